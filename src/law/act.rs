//! What somebody of rank wants to be the law (`spec/law.md`, L31 and L32).

use super::{answers::Law, standing::Role, statement::StatementId, terms::Tag};
use crate::id::IdentityKey;

/// What somebody of rank wants to be the law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Lets somebody in who is out and not banned. `used_up` is the single-use invite that it came
    /// by.
    Admit {
        /// Whom.
        who: Tag,
        /// As what.
        role: Role,
        /// The invite that this ends.
        used_up: Option<Tag>,
    },
    /// Gives somebody who is in another role; a mute stays.
    SetRole {
        /// To whom.
        who: Tag,
        /// Which.
        role: Role,
    },
    /// Nobody hears this member any more. About a moderator by the host alone.
    Mute {
        /// Whom.
        who: Tag,
    },
    /// Takes a mute back.
    Unmute {
        /// Whose.
        who: Tag,
    },
    /// Puts somebody out, who may knock again. About a moderator by the host alone.
    Remove {
        /// Whom.
        who: Tag,
    },
    /// Puts somebody out until an Unban. About a moderator by the host alone, who keeps none of its
    /// words.
    Ban {
        /// Whom.
        who: Tag,
    },
    /// A moderator takes its own Ban back, the host lifts all.
    Unban {
        /// Whose.
        who: Tag,
    },
    /// The host makes a member a moderator, for a new term.
    Promote {
        /// Whom.
        who: IdentityKey,
    },
    /// The host makes a moderator a listener.
    Demote {
        /// Whom.
        who: IdentityKey,
        /// Which of its words the host's user makes the host's own; the others end.
        keep: Vec<StatementId>,
        /// Whether it is banned as well.
        banned: bool,
    },
    /// The host makes a member host, and becomes a listener. Only to somebody heard in the last 15
    /// s.
    HandOver {
        /// To whom.
        to: IdentityKey,
    },
    /// The host ends the room.
    Close,
    /// The host signs a table of what is known, as it does when many standings count.
    TakeIn,
    /// Makes an invite that gives a role.
    MakeInvite {
        /// Its tag.
        invite: Tag,
        /// What it gives.
        role: Role,
    },
    /// Ends an invite.
    RevokeInvite {
        /// Its tag.
        invite: Tag,
    },
    /// Doors admit nobody who is not admitted yet.
    Lock,
    /// Doors admit again. A moderator takes its own lock back, the host lifts all.
    Unlock,
}

impl Act {
    /// Whether no moderator may do this, whoever it is about.
    pub(super) const fn is_for_the_host(&self) -> bool {
        use Act::{Close, Demote, HandOver, Promote, TakeIn};
        matches!(self, Promote { .. } | Demote { .. } | HandOver { .. } | Close | TakeIn)
    }

    /// The tag of the person that the act is about.
    pub(crate) fn subject(&self, law: &Law) -> Option<Tag> {
        match self {
            Self::Admit { who, .. }
            | Self::SetRole { who, .. }
            | Self::Mute { who }
            | Self::Unmute { who }
            | Self::Remove { who }
            | Self::Ban { who }
            | Self::Unban { who } => Some(*who),
            Self::Promote { who } | Self::Demote { who, .. } => Some(law.tag(who)),
            Self::HandOver { to } => Some(law.tag(to)),
            Self::Close
            | Self::TakeIn
            | Self::MakeInvite { .. }
            | Self::RevokeInvite { .. }
            | Self::Lock
            | Self::Unlock => None,
        }
    }
}
