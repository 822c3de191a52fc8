//! What a hostile member says: false beats and words, statements of others' names, and its own at
//! the edges.

use bytes::Bytes;

use super::Insider;
use crate::{
    group::codec::Writer,
    id::{Epoch, IdentityKey, MemberId},
    law::{Statement, Word, standing::Standing, statement::Content as _},
    wire::{
        heartbeat::{Beat, Heartbeat},
        leave::Leave,
        message::Message,
        saying::Saying,
        signed::Signed,
        statements::Statements,
    },
};

/// What a false heartbeat claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// How many epochs after this member's own.
    pub later: u64,
    /// A branch that nobody has, instead of the member's own.
    pub elsewhere: bool,
    /// How many milliseconds ahead its time is.
    pub ahead_ms: u64,
    /// That the keeper knows what this member knows, though the epoch lacks it.
    pub knows: bool,
}

impl Insider<'_> {
    /// A heartbeat in this member's own name, with a door at which its loot opens Shows.
    pub fn beat(&mut self, claim: Claim) -> Vec<Bytes> {
        let own = self.own();
        self.beat_as(own, None, claim)
    }

    /// A heartbeat in somebody else's name, without that identity's signature.
    pub fn forged_beat(&mut self, of: MemberId, claim: Claim) -> Vec<Bytes> {
        self.key_of(of).map_or_else(Vec::new, |key| self.beat_as(key, None, claim))
    }

    /// A genuine heartbeat of somebody who is out.
    pub fn friends_beat(&mut self, claim: Claim) -> Vec<Bytes> {
        let Some(friend) = self.loot.friends.pop() else { return Vec::new() };
        let key = IdentityKey::from_bytes(*friend.public());
        let envelopes = self.beat_as(key, Some(&friend), claim);
        self.loot.friends.push(friend);
        envelopes
    }

    fn beat_as(
        &mut self,
        key: IdentityKey,
        signer: Option<&crate::group::Identity>,
        claim: Claim,
    ) -> Vec<Bytes> {
        let now = self.now;
        let Some(door) = self.sealing_secret() else { return Vec::new() };
        let Ok((out, memory, seat)) = self.room.present() else { return Vec::new() };
        let known = memory.store.known();
        let beat = Beat {
            key,
            epoch: Epoch(seat.group.epoch().0.saturating_add(claim.later)),
            branch: if claim.elsewhere { out.random() } else { seat.group.branch() },
            step_ms: u64::try_from(seat.schedule.elapsed(now).as_millis()).unwrap_or_default(),
            time_ms: out.stamp_ms(now).saturating_add(claim.ahead_ms),
            epoch_law: seat.epoch_law.hash(),
            known_law: if claim.knows { known.hash() } else { seat.epoch_law.hash() },
            door_key: door.public().as_bytes().to_vec(),
        };
        let (group_id, salt) = (known.group_id().0, known.terms().salt);
        let signer = signer.unwrap_or(&out.identity);
        let heartbeat = Heartbeat::new(beat, Vec::new(), signer, &group_id, &salt, &mut out.rng);
        self.loot.note_door(door);
        self.send(&Message::Heartbeat(heartbeat))
    }

    /// A standing in the name of somebody of rank, under a signature of nobody.
    pub fn forged_standing(&mut self, by: MemberId, about: MemberId, word: u8) -> Vec<Bytes> {
        let Some(said) = self.draft(by, about, word, 1) else { return Vec::new() };
        let written = said.write(Writer::new().u8(STANDING)).bytes(&[7; 64]).finish();
        self.show(vec![written])
    }

    /// A standing of this member, which counts if it has rank, with a number so far above the
    /// greatest that counts.
    pub fn standing(&mut self, about: MemberId, word: u8, above: u32) -> Vec<Bytes> {
        let own = self.room.out.id();
        let Some(said) = self.draft(own, about, word, above) else { return Vec::new() };
        let Some(group_id) = self.room.memory().map(|memory| memory.store.known().group_id().0) else {
            return Vec::new();
        };
        let signed = said.write(Writer::new().bytes(Standing::SIGNED_AS).bytes(&group_id)).finish();
        let signature = self.room.out.identity.sign(&signed);
        let written = said.write(Writer::new().u8(STANDING)).bytes(&signature).finish();
        self.loot.standings.extend(Statement::decode(&written));
        self.show(vec![written])
    }

    /// Shows again what insiders of rank have signed, whatever has become of their rank.
    pub fn old_standings(&mut self) -> Vec<Bytes> {
        let written = self.loot.standings.iter().rev().take(32).map(Statement::encode).collect();
        self.show(written)
    }

    fn draft(&self, by: MemberId, about: MemberId, word: u8, above: u32) -> Option<Standing> {
        let law = self.room.memory()?.store.law();
        let issuer = self.key_of(by)?;
        let (term, about) = (law.term_of(&issuer)?, law.tag_of(about));
        let word = Word::from_id(word)?;
        let numbers = law.numbers(&about);
        let greatest = if matches!(word, Word::Role(_)) { numbers.n } else { numbers.bn };
        Some(Standing { issuer, term, about, word, n: greatest.saturating_add(above) })
    }

    fn show(&mut self, written: Vec<Vec<u8>>) -> Vec<Bytes> {
        Statements::new(written).map_or_else(|_| Vec::new(), |shown| self.say(&Saying::Statements(shown)))
    }

    /// A word of this member that claims another law than the one that it knows.
    pub fn false_word(&mut self) -> Vec<Bytes> {
        let out = &mut self.room.out;
        let (at_ms, known_law) = (out.stamp_ms(self.now), out.random());
        self.say(&Saying::Word { heard_ms: 0, at_ms, known_law })
    }

    /// A Leave of this member, so many milliseconds ahead of its clock, though it stays.
    pub fn leave_ahead(&mut self, ahead_ms: u64) -> Vec<Bytes> {
        let Some(group_id) = self.room.memory().map(|memory| memory.store.known().group_id().0) else {
            return Vec::new();
        };
        let time_ms = self.room.out.stamp_ms(self.now).saturating_add(ahead_ms);
        let leave = Signed::<Leave>::leave(&self.room.out.identity, &group_id, time_ms);
        self.say(&Saying::Leave(leave))
    }

    /// A Leave in somebody else's name, without that identity's signature.
    pub fn forged_leave(&mut self, of: MemberId) -> Vec<Bytes> {
        let Some(key) = self.key_of(of) else { return Vec::new() };
        let time_ms = self.room.out.stamp_ms(self.now);
        let written = Writer::new().bytes(key.as_bytes()).u64(time_ms).bytes(&[7; 64]).finish();
        Signed::<Leave>::decode(&written).map_or_else(|_| Vec::new(), |leave| self.say(&Saying::Leave(leave)))
    }

    /// The private half of this member's live speaker key, published before its time.
    pub fn publish_early(&mut self) -> Vec<Bytes> {
        let seed = self.room.out.reports.expiry.live_seed();
        seed.map_or_else(Vec::new, |seed| self.send(&Message::Spent(vec![*seed.bytes()])))
    }
}

/// The kind of a standing in the encoding of statements.
const STANDING: u8 = 0;
