//! What is chosen when a room or an invite is made (SPEC sections 6.3 and 7.2).

use std::{num::NonZeroU16, time::Duration};

use crate::{
    group::{KeyExchange, Name, Role},
    keys::Suite,
    lane::RelayName,
    law::Unattended,
    media::{Authenticity, PacketSize, Sound},
};

/// What a room is like. All but the admission is fixed for the room's life, and every member sees
/// it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomOptions {
    /// What the room is called. Relays do not see it.
    pub name: Name,
    /// The relays that may be contacted, 1 to 8. Nothing else ever is.
    pub relays: Vec<RelayName>,
    /// Who decides about a knock; [`Admission::Ask`] by default.
    pub admission: Admission,
    /// The role of whoever comes in without one of its own: speaker, or listener (the default).
    pub default_role: Role,
    /// How members agree on keys; [`KeyExchange::X25519`] by default.
    pub key_exchange: KeyExchange,
    /// What packets are sealed with.
    pub suite: Suite,
    /// Whether packets carry their speaker's signature.
    pub authenticity: Authenticity,
    /// The one size of packets before they are sealed, in a room for [`Sound::Speech`]. Every other
    /// sound has its own size, and this one is not looked at.
    pub packet_size: PacketSize,
    /// What packets hold: [`Sound::Speech`] by default.
    pub sound: Sound,
    /// How long members go on sending without a word of anybody of rank; ten minutes by default.
    pub unattended: Unattended,
}

impl RoomOptions {
    /// A room of listeners, with the host's admission and signed packets.
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
    /// The host, knock by knock.
    #[default]
    Ask,
    /// Nobody: whoever has an invite comes in, unless banned.
    Open,
}

/// How long and for how many an invite is good.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InviteOptions {
    /// How long from now; a day by default.
    pub lasts: Duration,
    /// How many it lets in; `None`, the default, is any number.
    pub uses: Option<NonZeroU16>,
    /// The role that it gives; `None`, the default, is the room's default role.
    pub role: Option<Role>,
}

impl InviteOptions {
    /// An invite for this long and any number.
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
