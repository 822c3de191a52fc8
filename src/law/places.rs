//! What the law says of a person, a tag or an invite: the words of its answers (`spec/law.md`).

use super::{standing::Role, table::Office};
use crate::id::IdentityKey;

/// From where the chain of hand-overs starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// From the founder: for every member.
    Founder,
    /// From the host and office of an invite: for a newcomer, until it holds the whole chain.
    Invite {
        /// The host that the invite names.
        host: IdentityKey,
        /// The host's office then.
        office: Office,
    },
}

/// What somebody may do beyond being admitted. Ordered: the host stands above moderators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rank {
    /// Nothing.
    None,
    /// Speaks about everybody without rank.
    Moderator,
    /// Speaks about everybody, and alone about rank.
    Host,
}

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The role; of who is banned, the one that an Unban gives back.
    pub(crate) role: Role,
    /// Whether it is heard by nobody.
    pub(crate) muted: bool,
    /// Whether it is banned.
    pub(crate) banned: bool,
}

impl Position {
    /// Whether it may be in the tree.
    pub(crate) fn is_admitted(&self) -> bool {
        self.role != Role::Out && !self.banned
    }
}

/// The numbers of one tag's two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The table's, of the role register.
    pub(crate) base_n: u32,
    /// The table's, of the ban register.
    pub(crate) base_bn: u32,
    /// The greatest that counts in the role register.
    pub(crate) n: u32,
    /// The greatest that counts in the ban register.
    pub(crate) bn: u32,
}

/// What law says about an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InviteState {
    /// It gives this role.
    Live(Role),
    /// It gives nothing any more.
    Revoked,
}
