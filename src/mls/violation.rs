//! Why a leaf, a commit or a tree is not in the form of SPEC section 14.

use std::fmt;

use crate::group::CredentialError;

/// The rule of form that a commit, a KeyPackage or a Welcome breaks.
///
/// Rules about rights are not here: they belong to the law, which sees only what passed these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The message is a PublicMessage from outside the group: an external commit or an external
    /// proposal.
    External,
    /// A proposal is of a kind that rooms do not use, stands outside a commit, or is another
    /// member's.
    ForeignProposal,
    /// A leaf, a KeyPackage or the group context has capabilities or extensions other than a
    /// room's.
    ForeignExtension,
    /// The room's entry in the AppDataDictionary is missing, malformed, or updated twice in one
    /// commit.
    MalformedContext,
    /// The authenticated data is malformed, or belongs to a message that must have none.
    MalformedAad,
    /// The KeyPackage is malformed, or MLS refuses it.
    KeyPackage,
    /// The credential of a leaf does not hold.
    Credential(CredentialError),
    /// The lifetime of a new leaf is not the one that follows from the time in its credential.
    Lifetime,
    /// The leaf of an update path has another identity than the leaf that it replaces.
    OtherIdentity,
    /// The leaf of an update path has another signature key than the leaf that it replaces.
    OtherLeafKey,
    /// The leaf of an update path says an earlier time than the leaf that it replaces.
    Backdated,
    /// A member signed the commit, and MLS cannot process it.
    BrokenCommit,
    /// A removed leaf is blank, or lies outside the tree.
    UnknownLeaf,
    /// One identity would have two leaves.
    Duplicate,
    /// The group would have more than 1,000 members.
    TooMany,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::External => "the message comes from outside the group",
            Self::ForeignProposal => "a proposal is of a kind that rooms do not use",
            Self::ForeignExtension => "a leaf or the group context has a foreign extension",
            Self::MalformedContext => "the room's entry in the group context is malformed",
            Self::MalformedAad => "the authenticated data is malformed",
            Self::KeyPackage => "the KeyPackage is not valid",
            Self::Credential(CredentialError::Malformed) => "a credential is malformed",
            Self::Credential(CredentialError::Forged) => "the signature of a credential does not hold",
            Self::Credential(CredentialError::IdentityAsLeaf) => "an identity key is used as a leaf key",
            Self::Lifetime => "the lifetime of a new leaf does not follow from its time",
            Self::OtherIdentity => "the new leaf of a committer has another identity",
            Self::OtherLeafKey => "the new leaf of a committer has another signature key",
            Self::Backdated => "the new leaf of a committer says an earlier time",
            Self::BrokenCommit => "MLS cannot process the signed commit",
            Self::UnknownLeaf => "a removed leaf is blank",
            Self::Duplicate => "one identity would have two leaves",
            Self::TooMany => "the group would have more than 1,000 members",
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

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn the_source_of_a_violation_is_what_it_wraps() {
        let inner = CredentialError::Forged;
        assert_eq!(Violation::Credential(inner).source().unwrap().to_string(), inner.to_string());
        assert!(Violation::TooMany.source().is_none());
    }
}
