//! The rules of SPEC section 7 that an authentic message can break.

use std::fmt;

use crate::group::CredentialError;

/// A rule that a message broke. The message had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Violation {
    /// A commit came from outside the group.
    ExternalCommit,
    /// A commit holds a kind of proposal that rooms do not use.
    ForeignProposal,
    /// A commit or leaf holds an extension that rooms do not use.
    ForeignExtension,
    /// The room's data in a commit, beside its proposals, is not in the form of SPEC section 14.
    Malformed,
    /// The identity behind a leaf does not vouch for the leaf.
    Credential(CredentialError),
    /// A new leaf is valid for longer than a leaf may be.
    Lifetime,
    /// The committer's new leaf belongs to another identity or another key, or is older than its
    /// last.
    Succession,
    /// A member signed a commit that MLS cannot process.
    BrokenCommit,
    /// A commit declares a law that does not follow from the statements that it names (C2).
    Law,
    /// A chain of hand-overs differs from the one that this member has accepted (C2).
    HandOver,
    /// The tree would hold an identity that its law does not admit (C3).
    NotAdmitted,
    /// One identity would have two leaves (C3).
    Duplicate,
    /// A KeyPackage was used before, is older than its identity's Leave, or has an impossible time
    /// (C4).
    Stale,
    /// A commit removes a member that is admitted and was heard lately (C5).
    Ejected,
    /// A commit removes a leaf that is empty, or comes from an empty leaf.
    UnknownLeaf,
    /// The room would have more than 1,000 members.
    TooMany,
    /// The committer is not the keeper, and may not take over as keeper (C6).
    NotTheKeeper,
    /// A commit names a keeper other than its committer (C6).
    Keeping,
    /// The committer makes more than 18 epochs in 30 seconds (C6).
    TooFast,
    /// The sender's role does not permit this.
    NoRight,
    /// A speaker key is announced that its leaf does not vouch for, that is weak, or that replaces
    /// another.
    SpeakerKey,
    /// A speaker key is announced at a time that this member's clock does not confirm: one of the
    /// two clocks is wrong.
    Clock,
    /// A host signed two different hand-overs of one office, so neither can be trusted.
    TwoHandOvers,
}

/// A breach of the MLS profile breaks a rule of the room as well.
impl From<crate::mls::Violation> for Violation {
    fn from(violation: crate::mls::Violation) -> Self {
        use crate::mls::Violation as Form;
        match violation {
            Form::External => Self::ExternalCommit,
            Form::ForeignProposal => Self::ForeignProposal,
            Form::ForeignExtension => Self::ForeignExtension,
            Form::MalformedContext | Form::MalformedAad | Form::KeyPackage => Self::Malformed,
            Form::Credential(error) => Self::Credential(error),
            Form::Lifetime => Self::Lifetime,
            Form::OtherIdentity | Form::OtherLeafKey | Form::Backdated => Self::Succession,
            Form::BrokenCommit => Self::BrokenCommit,
            Form::UnknownLeaf => Self::UnknownLeaf,
            Form::Duplicate => Self::Duplicate,
            Form::TooMany => Self::TooMany,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExternalCommit => "a commit from outside the group",
            Self::ForeignProposal => "a kind of proposal that rooms do not use",
            Self::ForeignExtension => "an extension that rooms do not use",
            Self::Malformed => "a commit whose room data is malformed",
            Self::Credential(_) => "a leaf for which its identity does not vouch",
            Self::Lifetime => "a leaf that is valid for too long",
            Self::Succession => "a leaf that passes to another identity or key",
            Self::BrokenCommit => "a commit that MLS cannot process",
            Self::Law => "a commit whose law does not follow from its statements",
            Self::HandOver => "a chain of hand-overs that differs from the known one",
            Self::NotAdmitted => "a tree with an identity that its law does not admit",
            Self::Duplicate => "two leaves of one identity",
            Self::Stale => "a key package that was used, left behind, or has an impossible time",
            Self::Ejected => "the removal of a member that is admitted and present",
            Self::UnknownLeaf => "an empty leaf",
            Self::TooMany => "more than 1,000 members",
            Self::NotTheKeeper => "a commit by a member that is not the keeper",
            Self::Keeping => "a commit that names a keeper other than its committer",
            Self::TooFast => "more than 18 commits in 30 seconds",
            Self::NoRight => "the sender's role does not permit this",
            Self::SpeakerKey => "a speaker key that is not acceptable",
            Self::Clock => "an announcement at a time that our clock does not confirm",
            Self::TwoHandOvers => "two hand-overs of one office",
        })
    }
}

impl std::error::Error for Violation {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Credential(error) => Some(error),
            _ => None,
        }
    }
}
