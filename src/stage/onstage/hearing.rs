//! What somebody on the stage learns: from the others, from the law, from its room
//! (`spec/stage.md`, section 2).

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BETWEEN_LACKS, Other, Stage,
    turns::{ALIVE, SETTLED},
};
use crate::{
    Seed,
    defence::{Defence, holds},
    group::signing::SigningKey,
    id::Leaf,
    keys::speaker::Signer,
    law::{Rank, Tag},
    media::{Rekey, STEP, SealRekey, rekey::SealChange},
    mls::SealingSecret,
    room::hall::{Facts, Said},
    stage::{
        card::{Card, voice_context},
        chain::{Clock, GRACE, MOST_STEPS},
        porter::{self, Desk, Porter},
        wire::{MAX_BECAUSE, Say},
    },
};

impl Stage {
    pub(super) fn hear(&mut self, said: Said, now: Instant) {
        let Ok(say) = Say::decode(said.bytes.0.bytes()) else { return };
        let rank = self.desk.law().rank_of(&said.key);
        match say {
            Say::Card(card) => {
                let known = self.cards.get(&said.leaf);
                let newer = known.is_none_or(|known| known.key != card.key || known.made_ms < card.made_ms);
                if card.leaf == said.leaf
                    && card.key == said.key
                    && newer
                    && (self.cards.len() < MAX_CARDS || known.is_some())
                    && card.verify(&self.group_id).is_ok()
                {
                    self.cards.insert(said.leaf, card);
                }
            }
            Say::Here(here) if rank != Rank::None => {
                self.catch_up(Duration::from_millis(here.hall_ms), now);
                if here.n > self.newest.n && self.lacks_at.is_none_or(|at| at + BETWEEN_LACKS <= now) {
                    self.lacks_at = Some(now);
                    self.says.push_back(Say::Lacks.encode());
                }
                self.porters.insert(said.from, Other { key: said.key, at: now, here });
                self.porters.retain(|_, other| other.at + ALIVE > now);
            }
            Say::Secrets(secrets) if rank != Rank::None => self.take_turn(secrets, said.key, now),
            Say::Here(_) | Say::Secrets(_) => {}
            Say::Lacks => self.somebody_lacks = true,
        }
    }

    pub(super) fn learn(&mut self, facts: &Facts<'_>, now: Instant) {
        (self.desk.unix_ms, self.desk.unix_at) = (facts.unix_ms, now);
        self.desk.on_stage = facts.members.iter().map(|member| member.id).collect();
        if facts.store.known().hash() != self.desk.known.hash() {
            let before = std::mem::replace(&mut self.desk.known, facts.store.known().clone());
            let out = out_tags(&self.desk);
            if !out.is_subset(&self.out_tags) {
                let new = self.desk.known.ids().filter(|id| before.get(id).is_none());
                let new: Vec<_> = new.filter(|id| !self.heeded.contains(id)).take(MAX_BECAUSE).collect();
                if !new.is_empty() {
                    self.unheeded.extend(new);
                    self.unheeded_since.get_or_insert(now);
                }
            }
            self.out_tags = out;
            if self.heeded_law == Some(self.desk.known.hash()) {
                self.heed_all();
                self.unheeded_since = None;
            }
            if let Some(porter) = &mut self.porter {
                porter.act_on_law(&self.desk, &self.key, &mut self.out, &mut self.rng);
            }
            self.pass_on_waiting(now);
        }
        // Cards of those who have gone, and of whom somebody of rank made up, take nobody's place.
        let on_stage = |leaf: &Leaf, card: &Card| {
            facts.members.iter().any(|member| member.leaf == *leaf && member.key == *card.key.as_bytes())
        };
        self.cards.retain(|leaf, card| on_stage(leaf, card));
        let heard = facts.members.iter().filter(|member| member.role.may_speak() && !member.muted);
        self.heard = heard.map(|member| (member.leaf, member.key)).collect();
        let own = facts.members.iter().find(|member| member.is_self).map(|member| member.leaf);
        let renewed = self.card_at.is_none_or(|at| at + CARD_LASTS <= now);
        if let Some(leaf) = own.filter(|leaf| renewed || self.own.as_ref().is_none_or(|(own, _)| own != leaf))
        {
            self.make_card(leaf, now);
        }
        match (&facts.door, &mut self.porter) {
            (Some((_, _, door)), Some(porter)) => porter.show(door.clone(), facts.chain(), now),
            (Some((answer, sealing, door)), None) => {
                let sealing = SealingSecret::derive(facts.store.known().terms().key_exchange, sealing);
                let clock = *self.clock.get_or_insert(Clock::told(Duration::ZERO, now));
                if let Ok(sealing) = sealing {
                    let answer = SigningKey::from_seed(Seed::copied(answer.bytes()));
                    let mut porter = Porter::new((answer, sealing), door.clone(), &self.desk, &clock, now);
                    porter.show(door.clone(), facts.chain(), now);
                    self.porter = Some(porter);
                    let alone = facts.members.len() == 1;
                    self.porter_since = if alone { now.checked_sub(SETTLED).unwrap_or(now) } else { now };
                    self.here_at = now;
                }
            }
            (None, _) => self.porter = None,
        }
    }

    pub(super) fn make_card(&mut self, leaf: Leaf, now: Instant) {
        let made_ms = self.desk.unix_ms(now);
        let seed = self.rng.seed();
        let context = voice_context(&self.group_id, made_ms);
        let signer = Arc::new(Signer::in_context(seed.bytes(), &context, leaf));
        let card = Card::sign(&self.desk.identity, leaf, signer.public, made_ms, &self.group_id);
        self.says.push_back(Say::Card(card.clone()).encode());
        self.cards.insert(leaf, card);
        self.own = Some((leaf, signer));
        self.card_at = Some(now);
    }

    /// The hall clock goes forward to what somebody of rank says, by so much at a time. Our
    /// listeners learn it at once: they go by our beats alone.
    pub(super) fn catch_up(&mut self, told: Duration, now: Instant) {
        let Some(clock) = &mut self.clock else { return };
        let (since, moved) = &mut self.moved;
        if since.is_none_or(|since| since + BETWEEN_MOVES <= now) {
            (*since, *moved) = (Some(now), Duration::ZERO);
        }
        let elapsed = clock.elapsed(now);
        let most = if holds(Defence::HallClock) { (STEP * MOST_STEPS).saturating_sub(*moved) } else { told };
        let ahead = told.saturating_sub(elapsed).min(most);
        clock.catch_up(elapsed + ahead, now);
        let before = std::mem::replace(moved, *moved + ahead);
        if before.as_secs() / GRACE.as_secs() != moved.as_secs() / GRACE.as_secs()
            && let Some(porter) = &mut self.porter
        {
            porter.beat_at(now);
        }
    }

    /// Takes a change of keys of the room: its keys are of no use, its silences count. A pause of
    /// the room and one of the hall (H12) go on until both have ended.
    pub(super) fn pass(&mut self, rekey: Rekey) {
        match rekey {
            Rekey::Seal(SealRekey(SealChange::Key(_))) => self.room_stopped = false,
            Rekey::Seal(SealRekey(SealChange::Stop(reason))) => {
                self.room_stopped = true;
                self.rekeys.push_back(Rekey::Seal(SealRekey::stop(reason)));
            }
            Rekey::Seal(SealRekey(SealChange::Pause(reason))) => {
                self.room_paused = Some(reason);
                self.pause();
            }
            Rekey::Seal(SealRekey(SealChange::Resume)) => {
                self.room_paused = None;
                self.pause();
            }
            Rekey::Open(rekey) if rekey.is_close() => {
                self.tuner.clear();
                self.rekeys.push_back(Rekey::Open(rekey));
            }
            Rekey::Open(_) => {}
        }
    }
}

/// Whom the law has put out.
pub(super) fn out_tags(desk: &Desk) -> BTreeSet<Tag> {
    let law = desk.law();
    law.tags().into_iter().filter(|tag| porter::put_out(law, tag).is_some()).collect()
}

/// How long a speaker key is used.
const CARD_LASTS: Duration = Duration::from_secs(600);
pub(super) const MAX_CARDS: usize = 1_000;
/// Others move our clock by six steps in this time, at most.
const BETWEEN_MOVES: Duration = Duration::from_secs(5);
