//! The parts of membership that need neither time nor network: identities, names, roles, codes
//! (SPEC sections 6 and 7).
//!
//! ```text
//! identity > credential > leaf of the MLS tree > roster
//! invite > knock > vetted key package > commit > policy > permit > merge > epoch secret
//! ```
//!
//! Only `mls` names openmls. [`Room`](crate::room::Room) drives what is here.
//!
//! ```
//! use sottovoce::group::{Identity, Name, Role};
//!
//! // An identity is the same in every room. A store keeps it.
//! let ada = Identity::generate(Name::new("Ada")?)?;
//! // Names are not unique; fingerprints are, and people compare them.
//! assert_eq!(format!("{:#}", ada.id()).parse(), Ok(ada.id()));
//! assert!(Role::Moderator.may_admit() && !Role::Moderator.outranks(Role::Host));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod announce;
pub(crate) mod codec;
pub(crate) mod identity;
pub(crate) mod key_exchange;
mod role;
pub(crate) mod signing;
pub(crate) mod verify;

pub use identity::{CredentialError, Identity, Name, NameError};
pub use key_exchange::KeyExchange;
pub use role::Role;
pub use verify::{PairCode, RoomCode};

/// One member of a room, as all members see it: a leaf of the MLS tree (SPEC section 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The fingerprint of the member's identity key.
    pub id: MemberId,
    /// The name that the member gave itself. Names are not unique; fingerprints are.
    pub name: Name,
    /// What the member may do.
    pub role: Role,
    /// Whether the host or a moderator has muted the member: then nobody opens its packets.
    pub muted: bool,
    /// The member's place in the tree, from which its media keys derive.
    pub leaf: Leaf,
    /// Whether this is the local member.
    pub is_self: bool,
    /// The identity key itself, for signatures outside MLS.
    pub(crate) key: [u8; 32],
}

use crate::id::{Leaf, MemberId};
