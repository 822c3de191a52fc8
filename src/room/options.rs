//! The choices that are made with a room or an invite (SPEC sections 6.3 and 7.2).

use std::{num::NonZeroU16, time::Duration};

use crate::{
    group::{KeyExchange, Name, Role},
    keys::Suite,
    lane::RelayName,
    law::Unattended,
    media::{Authenticity, PacketSize, Sound},
};

/// The terms of a room. All of them but the admission are fixed for the room's life, and every
/// member sees them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomOptions {
    /// The name of the room. Relays do not see it.
    pub name: Name,
    /// The relays that members may contact, 1 to 8. They never contact any other.
    pub relays: Vec<RelayName>,
    /// Who decides about a knock; [`Admission::Ask`] by default.
    pub admission: Admission,
    /// The role of a member that is admitted without a role of its own: speaker, or listener (the
    /// default).
    pub default_role: Role,
    /// How members agree on keys; [`KeyExchange::X25519`] by default.
    pub key_exchange: KeyExchange,
    /// The cipher that seals packets.
    pub suite: Suite,
    /// Whether packets carry their speaker's signature.
    pub authenticity: Authenticity,
    /// The size of all packets before they are sealed, in a room for [`Sound::Speech`]. Every other
    /// sound has a size of its own, and ignores this one.
    pub packet_size: PacketSize,
    /// The kind of sound that packets hold: [`Sound::Speech`] by default.
    pub sound: Sound,
    /// How long members go on sending without hearing the host or a moderator; ten minutes by
    /// default.
    pub unattended: Unattended,
}

impl RoomOptions {
    /// A room with the defaults: newcomers become listeners, the host or a moderator decides about
    /// each knock, and packets are signed.
    pub fn new(name: Name, relays: impl IntoIterator<Item = RelayName>) -> Self {
        Self {
            name,
            relays: relays.into_iter().collect(),
            admission: Admission::default(),
            default_role: Role::Listener,
            key_exchange: KeyExchange::default(),
            suite: Suite::default(),
            authenticity: Authenticity::default(),
            packet_size: PacketSize::default(),
            sound: Sound::default(),
            unattended: Unattended::default(),
        }
    }
}

/// Who decides about a knock with a valid invite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Admission {
    /// The host or a moderator decides about each knock.
    #[default]
    Ask,
    /// Nobody decides: everybody with an invite is let in, unless banned.
    Open,
}

/// How long an invite is valid, and for how many people.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InviteOptions {
    /// How long the invite is valid from now; a day by default.
    pub lasts: Duration,
    /// How many people it lets in; `None`, the default, is any number.
    pub uses: Option<NonZeroU16>,
    /// The role that it gives; `None`, the default, is the room's default role.
    pub role: Option<Role>,
}

impl InviteOptions {
    /// An invite that is valid for `lasts`, for any number of people.
    pub fn lasting(lasts: Duration) -> Self {
        Self { lasts, ..Self::default() }
    }

    /// The same invite for at most `uses` people.
    pub fn for_at_most(mut self, uses: NonZeroU16) -> Self {
        self.uses = Some(uses);
        self
    }
}

impl Default for InviteOptions {
    fn default() -> Self {
        Self { lasts: Duration::from_secs(24 * 60 * 60), uses: None, role: None }
    }
}
