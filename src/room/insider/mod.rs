//! A hostile member: a real room with a valid leaf, whose holder says whatever its keys let it say.
//!
//! ```text
//! Room ──> Insider { room, loot } ──> envelopes, to be delivered to whomever the test likes
//! loot: older laws, KeyPackages of others, keys of false doors, identities of banned friends
//! ```
//!
//! Nothing here asks a rule. A message that cannot be made at the moment makes no envelope.

mod commits;
mod floods;
mod sayings;
mod witness;

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

pub use self::{
    commits::{Forced, ForcedAdd, ForcedLaw},
    sayings::Claim,
    witness::Witness,
};
use super::{Room, outbox::own_key};
use crate::{
    group::Identity,
    id::{IdentityKey, MemberId},
    law::{LiveSet, Statement},
    mls::{Candidate, Purpose, Sealed, SealingSecret},
    wire::{
        inbox::Inbox,
        message::Message,
        saying::Saying,
        show::{Show, ShowContent, Wish},
        signed::Signed,
    },
};

/// What hostile members have collected, together.
#[derive(Default)]
pub struct Loot {
    /// Laws that were known once, the oldest first.
    laws: Vec<LiveSet>,
    /// KeyPackages of others: whose, and whether the owner waits for a Welcome by a return or by a
    /// knock.
    packages: VecDeque<Package>,
    /// Keys of doors that false heartbeats showed, the newest last.
    doors: VecDeque<SealingSecret>,
    /// Identities that the law put out, and whose holders work together with the insiders.
    friends: Vec<Identity>,
    /// Standings that insiders of rank have signed.
    standings: Vec<Statement>,
    /// Messages of others, to be said again.
    messages: VecDeque<Vec<u8>>,
    inbox: Inbox,
    counter: u64,
}

struct Package {
    owner: MemberId,
    bytes: Vec<u8>,
    /// The law that the owner showed with it is known; newcomers showed none.
    returns: bool,
}

/// The kind of message in an envelope, as any holder of the lane key can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A heartbeat.
    Heartbeat,
    /// An MLS message.
    Mls,
    /// A Welcome.
    Welcome,
    /// A knock.
    Knock,
    /// An answer.
    Answer,
    /// A Show, a return or a Leave to a keeper.
    Show,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(message: &Message) -> Self {
        match message {
            Message::Heartbeat(_) => Self::Heartbeat,
            Message::Mls(_) => Self::Mls,
            Message::Welcome(_) => Self::Welcome,
            Message::Knock(_) => Self::Knock,
            Message::Answer(_) => Self::Answer,
            Message::Show(_) => Self::Show,
            Message::Chain(_) | Message::Spent(_) | Message::Call => Self::Other,
        }
    }
}

impl Loot {
    /// Adds the identity of somebody who is out, and works together with the insiders.
    pub fn befriend(&mut self, friend: Identity) {
        if self.friends.len() < MAX_FRIENDS {
            self.friends.push(friend);
        }
    }

    /// How many KeyPackages of others there are whose owners wait.
    pub fn packages(&self) -> usize {
        self.packages.len()
    }

    /// Whether somebody who is out works together with the insiders.
    pub fn has_friends(&self) -> bool {
        !self.friends.is_empty()
    }
}

/// A hostile member's means, for as long as it acts.
pub struct Insider<'a> {
    room: &'a mut Room,
    loot: &'a mut Loot,
    now: Instant,
}

impl<'a> Insider<'a> {
    /// Takes hold of a member's room at `now`.
    pub fn of(room: &'a mut Room, loot: &'a mut Loot, now: Instant) -> Self {
        let mut insider = Self { room, loot, now };
        insider.note_law();
        insider.take_overheard();
        insider
    }

    /// Reads an envelope of the lane, and keeps what may be of use.
    pub fn overhear(&mut self, envelope: &[u8]) -> Option<Kind> {
        let whole = self.loot.inbox.receive(&self.room.out.lane, envelope, self.now).ok()??;
        let message = Message::decode(&whole).ok()?;
        if let Message::Show(show) = &message {
            let _ = self.open_show(show);
        }
        let kind = Kind::of(&message);
        if self.loot.messages.len() >= MAX_MESSAGES {
            // A random one goes, so that what is hours old is kept as well.
            self.loot.counter = self.loot.counter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (self.loot.counter >> 33) as usize % self.loot.messages.len();
            self.loot.messages.remove(at);
        }
        self.loot.messages.push_back(whole);
        Some(kind)
    }

    /// Says again what somebody said, in a new envelope; `which` chooses.
    pub fn replay(&mut self, which: usize) -> Vec<Bytes> {
        let count = self.loot.messages.len().max(1);
        let message = self.loot.messages.get(which % count).cloned();
        message.map_or_else(Vec::new, |message| self.envelopes(&message))
    }

    /// A Show that somebody sealed to a door of ours.
    fn open_show(&mut self, show: &Show) -> Option<()> {
        let group_id = self.room.memory()?.store.known().group_id().0;
        // A true keeper's own door, or one that a false beat showed.
        let own = self.room.seat().and_then(|seat| seat.keeper.as_ref()).map(|keeper| &keeper.door);
        let mut doors = self.loot.doors.iter().chain(own);
        let door = doors.find(|door| show.is_at(door.public().as_bytes()))?;
        let door_key = door.public().as_bytes().to_vec();
        let aad = Show::aad(&group_id, &door_key, &show.reference);
        let sealed = Sealed { kem_output: show.kem.clone(), sealed: show.sealed.clone() };
        let plain = door.open(Purpose::Show, &sealed, &aad)?;
        let content = Signed::<ShowContent>::decode(&plain).ok()?;
        let content = content.verify(&group_id, &door_key, &show.reference).ok()?.into_content();
        if let Wish::Return { key_package, .. } = content.wish {
            self.loot.note_package(content.key.id(), key_package, true);
        }
        Some(())
    }

    /// KeyPackages that doors passed on in this member's epoch.
    fn take_overheard(&mut self) {
        let own = self.room.out.id();
        for bytes in std::mem::take(&mut self.room.out.overheard) {
            let Some(memory) = self.room.memory() else { continue };
            let (terms, group_id) = (memory.store.known().terms(), memory.store.known().group_id().0);
            if let Ok(candidate) = Candidate::vet(&bytes, &group_id, terms.key_exchange)
                && candidate.id != own
            {
                self.loot.note_package(candidate.id, bytes, false);
            }
        }
    }

    fn note_law(&mut self) {
        let Some(memory) = self.room.memory() else { return };
        let known = memory.store.known();
        if self.loot.laws.last() == Some(known) {
            return;
        }
        if self.loot.laws.len() >= MAX_LAWS {
            // The first stays: it is the oldest.
            self.loot.laws.remove(1);
        }
        self.loot.laws.push(known.clone());
    }

    fn own(&self) -> IdentityKey {
        own_key(&self.room.out)
    }

    /// The identity key of a member, if its leaf or its rank shows it.
    fn key_of(&self, member: MemberId) -> Option<IdentityKey> {
        let memory = self.room.memory()?;
        let leaf = self.room.seat().and_then(|seat| seat.group.occupant(member)).map(|member| member.key);
        leaf.or_else(|| memory.key_of(member))
    }

    /// A fresh pair of HPKE keys, for a false door or an answer.
    fn sealing_secret(&mut self) -> Option<SealingSecret> {
        let key_exchange = self.room.memory()?.store.known().terms().key_exchange;
        SealingSecret::derive(key_exchange, &self.room.out.rng.seed()).ok()
    }

    fn envelopes(&mut self, message: &[u8]) -> Vec<Bytes> {
        let out = &mut self.room.out;
        out.lane.seal(message, &mut out.rng).unwrap_or_default()
    }

    fn send(&mut self, message: &Message) -> Vec<Bytes> {
        self.envelopes(&message.encode())
    }

    /// Says something in MLS, as from this member's leaf.
    fn say(&mut self, saying: &Saying) -> Vec<Bytes> {
        let Ok((_, _, seat)) = self.room.present() else { return Vec::new() };
        let Ok(message) = seat.group.seal(&saying.encode()) else { return Vec::new() };
        self.send(&Message::Mls(message))
    }
}

impl Loot {
    fn note_package(&mut self, owner: MemberId, bytes: Vec<u8>, returns: bool) {
        if self.packages.iter().any(|package| package.bytes == bytes) {
            return;
        }
        if self.packages.len() >= MAX_PACKAGES {
            self.packages.pop_front();
        }
        self.packages.push_back(Package { owner, bytes, returns });
    }

    fn note_door(&mut self, door: SealingSecret) {
        if self.doors.len() >= MAX_DOORS {
            self.doors.pop_front();
        }
        self.doors.push_back(door);
    }
}

const MAX_LAWS: usize = 64;
const MAX_PACKAGES: usize = 64;
const MAX_DOORS: usize = 64;
const MAX_FRIENDS: usize = 4;
const MAX_MESSAGES: usize = 512;
