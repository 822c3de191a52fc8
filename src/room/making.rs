//! Commits of our own: as the keeper, to take the keeping over, and to renew our leaf (SPEC section
//! 7, rules K3 to K8).

use std::time::{Duration, Instant};

use super::{
    error::CommandError,
    event::Event,
    freshness::is_timely_path,
    memory::Memory,
    outbox::{Outbox, own_key},
    seat::Seat,
    shown,
    welcome::write_law,
};
use crate::{
    id::{Leaf, MemberId},
    law::Rank,
    mls::{Aad, Candidate, CommitError, Context, Draft, Summary},
    wire::{
        door::Door,
        envelope::MAX_MESSAGE,
        heartbeat::{Beat, Heartbeat},
        message::Message,
        saying::Saying,
        signed::Signed,
    },
};

/// The work of a commit of ours, besides making the known law the epoch's law.
#[derive(Default)]
pub(super) struct Work {
    pub(super) removes: Vec<Leaf>,
    pub(super) adds: Vec<Candidate>,
    /// With new keys for our leaf.
    pub(super) renews: bool,
}

impl Seat {
    /// Does the keeper's work: commits and heartbeats.
    pub(super) fn tend_keeping(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        if self.keeper.is_none() {
            return;
        }
        if out.idles()
            && let Some(keeper) = &mut self.keeper
        {
            keeper.put_off(now);
        }
        for _ in 0..if out.idles() { 0 } else { MAX_COMMITS_AT_ONCE } {
            let differs = memory.store.known().hash() != self.epoch_law.hash();
            let now_ms = self.room_ms(out, now);
            let Some(mut keeper) = self.keeper.take() else { return };
            let plan = keeper.plan(&self.view(memory, now), differs, self.answered(now), now_ms);
            let Some(plan) = plan else {
                self.keeper = Some(keeper);
                break;
            };
            if !self.takes_part(now) && !plan.urgent {
                // A keeper that goes elsewhere commits only removals of who is out.
                self.keeper = Some(keeper);
                break;
            }
            let adds = keeper.take(&plan.adds);
            self.keeper = Some(keeper);
            self.forward_leaves(out, memory, &plan.removes);
            // An identity that could not be added no longer waits, so the next plan differs.
            let shrinks = !adds.is_empty();
            let work = Work { removes: plan.removes, adds, renews: false };
            if self.commit(out, memory, work, now).is_err() && !shrinks {
                // Nothing of it is done, so it is due still: it is tried again, but not at once.
                if let Some(keeper) = &mut self.keeper {
                    keeper.put_off(now);
                }
                break;
            }
        }
        let due = self.keeper.as_mut().is_some_and(|keeper| keeper.take_heartbeat(now));
        if due && self.takes_part(now) {
            self.send_heartbeat(out, memory, now);
        }
    }

    /// When the keeper last heard somebody. Nobody could answer a keeper that is alone, so it does
    /// not wait for that (K8).
    pub(super) fn answered(&self, now: Instant) -> Instant {
        if self.group.roster().len() == 1 { now } else { self.liveness.proof() }
    }

    /// Makes a commit that also makes the epoch's law the one that we know, merges it and sends it.
    pub(super) fn commit(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        work: Work,
        now: Instant,
    ) -> Result<(), CommandError> {
        let Work { removes, mut adds, renews } = work;
        let outcome = loop {
            match self.try_commit(out, memory, &removes, &adds, renews, now) {
                // Fewer newcomers make a shorter Welcome, and one KeyPackage that MLS refuses,
                // because it shows a key of somebody else, keeps nobody else out. The others come
                // with the next commit.
                Err(_) if adds.len() > 1 => {
                    let later = adds.split_off(adds.len() / 2);
                    if let Some(keeper) = &mut self.keeper {
                        keeper.put_back(later);
                    }
                }
                outcome => break outcome,
            }
        };
        if let Some(keeper) = &mut self.keeper {
            adds.iter().for_each(|candidate| keeper.note_added(candidate.id, now));
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(CommitError::TooLarge) => {
                out.tell(Event::RoomTooLarge);
                Err(CommandError::TooLarge)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn try_commit(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        removes: &[Leaf],
        adds: &[Candidate],
        renews: bool,
        now: Instant,
    ) -> Result<(), CommitError> {
        let known = memory.store.known().clone();
        let added: Vec<[u8; 32]> =
            known.ids().filter(|id| self.epoch_law.get(id).is_none()).map(|id| id.0).collect();
        self.show(out, memory, now);
        let own = memory.store.law().tag(&own_key(out));
        let context = Context { keeper: own.0, law: known.hash() };
        let context = (context != *self.group.context()).then_some(context);
        let newcomers = if adds.is_empty() { Vec::new() } else { write_law(&known) };
        let aad = Aad::new(out.stamp_ms(now), added).ok_or(CommitError::TooLarge)?;
        let candidates: Vec<&Candidate> = adds.iter().collect();
        let draft = Draft {
            adds: &candidates,
            removes,
            context,
            renew: renews.then_some(&out.identity),
            made_ms: self.leaf_made_ms(out, memory, now),
            aad,
            law_for_newcomers: &newcomers,
            max_message: MAX_MESSAGE - OVERHEAD,
        };
        let committed = self.group.commit(&draft)?;
        let sent = out.send(&Message::Mls(committed.commit));
        let welcomed = committed.welcome.map_or(Ok(()), |welcome| out.send(&Message::Welcome(welcome)));
        debug_assert!(sent.is_ok() && welcomed.is_ok(), "the size was checked before the commit was made");
        self.enter_after_own(out, memory, known, &committed.summary, now);
        if let Some(keeper) = &mut self.keeper {
            keeper.note_commit(now);
        }
        Ok(())
    }

    fn enter_after_own(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        law: crate::law::LiveSet,
        summary: &Summary,
        now: Instant,
    ) {
        let removed: Vec<Leaf> = summary.removed.iter().map(|member| member.leaf).collect();
        let left: Vec<MemberId> = summary.removed.iter().map(|member| member.id).collect();
        let added: Vec<MemberId> = summary.added.iter().map(|member| member.id).collect();
        let own = out.id();
        if self.group.roster().iter().all(|member| member.is_self || added.contains(&member.id)) {
            // Nobody could follow us before. Before the epoch begins, or the app would be told that
            // nobody hears us, and in the same moment that somebody does.
            self.liveness.prove(now);
        }
        self.enter_epoch(out, memory, own, law, &removed, &left, &added, now);
    }

    /// The others may lack the Leaves because of which a commit removes somebody.
    fn forward_leaves(&mut self, out: &mut Outbox, memory: &Memory, removes: &[Leaf]) {
        let leaves: Vec<_> = removes
            .iter()
            .filter_map(|leaf| self.group.occupant_at(*leaf))
            .filter(|member| memory.freshness.has_left(member.id, member.made_ms))
            .filter_map(|member| memory.leave_of(member.id))
            .collect();
        for leave in leaves {
            self.say(out, &Saying::Leave(leave));
        }
    }

    /// Members were added: nobody waits at our door for one who is in (D7). If one of them has
    /// left, by a Leave that we keep, the committer does not seem to have heard it (P4).
    pub(super) fn note_added(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        added: &[MemberId],
        now: Instant,
    ) {
        if let Some(doors) = &mut memory.doors {
            added.iter().for_each(|member| doors.let_go(out, *member));
        }
        for member in added.iter().filter_map(|member| self.group.occupant(*member)) {
            if memory.freshness.has_left(member.id, member.made_ms) {
                // Everybody who keeps it would say it: the first does, and the leaf is gone.
                let spread = u32::from_be_bytes(out.random()) % LEAVE_SPREAD_MS;
                self.unsaid.push((now + Duration::from_millis(spread.into()), member.id));
            }
        }
    }

    /// Says the Leaves of who was added and is still there.
    pub(super) fn tend_leaves(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        let due: Vec<_> =
            self.unsaid.extract_if(.., |(at, _)| *at <= now).map(|(_, member)| member).collect();
        let leaves = due.iter().filter_map(|member| self.group.occupant(*member)).map(|member| member.leaf);
        let leaves: Vec<Leaf> = leaves.collect();
        self.forward_leaves(out, memory, &leaves);
    }

    /// Takes the keeping over, if it is our turn.
    pub(super) fn tend_takeover(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        let due = self.turns.takeover_at(&self.view(memory, now));
        if self.keeps() || !self.takes_part(now) || due.is_none_or(|due| due > now) {
            return;
        }
        self.turns.note_tried(now);
        if out.idles() {
            return;
        }
        let view = self.view(memory, now);
        let known = view.known();
        let removes: Vec<Leaf> = self
            .group
            .roster()
            .iter()
            .filter(|member| {
                !member.is_self
                    && (!known.admits(&member.key) || memory.freshness.has_left(member.id, member.made_ms))
            })
            .map(|member| member.leaf)
            .collect();
        self.forward_leaves(out, memory, &removes);
        // A commit that fails is tried again at our next turn.
        let _ = self.commit(out, memory, Work { removes, ..Work::default() }, now);
    }

    /// Renews our leaf now and then, so that what was once seen of our keys is of no use for long.
    pub(super) fn tend_renewal(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        if now < self.renew_at || !self.takes_part(now) {
            return;
        }
        self.renew_at = now + RENEW_AGAIN;
        if self.group.roster().len() == 1 {
            return;
        }
        if self.keeps() {
            if self.commit(out, memory, Work { renews: true, ..Work::default() }, now).is_ok() {
                self.plan_renewal(out, now);
            }
            return;
        }
        if memory.store.known().hash() != self.epoch_law.hash() {
            return;
        }
        let Some(aad) = Aad::new(out.stamp_ms(now), Vec::new()) else { return };
        let made_ms = self.leaf_made_ms(out, memory, now);
        let draft = Draft { renew: Some(&out.identity), made_ms, ..Draft::new(aad, MAX_MESSAGE - OVERHEAD) };
        if let Ok(commit) = self.group.prepare(&draft) {
            let _ = out.send(&Message::Mls(commit));
        }
    }

    /// The keeper's heartbeat states the branch that our renewal leads to.
    pub(super) fn merge_prepared(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        let law = self.epoch_law.clone();
        match self.group.merge_prepared() {
            Ok(_) => {
                let own = out.id();
                self.enter_epoch(out, memory, own, law, &[], &[], &[], now);
                self.plan_renewal(out, now);
            }
            Err(failure) => self.fault = Some(failure),
        }
    }

    /// What our leaf says once it is renewed (K10). While no petition of ours is out it is as new
    /// as the newest KeyPackage that we made: nobody puts one of them in its place any more. One
    /// that is further ahead than a keeper takes raises nothing: the renewal would not count.
    fn leaf_made_ms(&self, out: &Outbox, memory: &Memory, now: Instant) -> u64 {
        let newest_ms = out.newest_made_ms(&memory.freshness);
        let counts = is_timely_path(newest_ms, 0, true, self.room_ms(out, now));
        if self.returning.is_none() && counts { newest_ms } else { 0 }
    }

    /// KeyPackages of ours were not used, and we keep our leaf: it is renewed soon, and outlives
    /// them.
    pub(super) fn outlive_petitions(&mut self, out: &mut Outbox, now: Instant) {
        let spread = Duration::from_millis((u32::from_be_bytes(out.random()) % 1_000).into());
        self.renew_at = self.renew_at.min(now + spread);
    }

    pub(super) fn plan_renewal(&mut self, out: &mut Outbox, now: Instant) {
        let members = u32::try_from(self.group.roster().len()).unwrap_or(u32::MAX);
        let every = RENEW_EVERY.max(RENEWALS_APART * members);
        // Between half and one and a half of it: not all at once.
        let spread = u32::from_be_bytes(out.random()) % 1_000;
        self.renew_at = now + every / 2 + every / 1_000 * spread;
    }

    /// Proves that the keeper is there, and passes on doors of people of rank.
    pub(super) fn send_heartbeat(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        let Some(keeper) = &self.keeper else { return };
        let time_ms = out.stamp_ms(now);
        let beat = Beat {
            key: own_key(out),
            epoch: self.group.epoch(),
            branch: self.group.branch(),
            step_ms: u64::try_from(self.schedule.elapsed(now).as_millis()).unwrap_or(u64::MAX),
            time_ms,
            epoch_law: self.epoch_law.hash(),
            known_law: memory.store.known().hash(),
            door_key: keeper.door.public().as_bytes().to_vec(),
        };
        let doors = self.doors_to_show(memory);
        let terms = memory.store.known().terms();
        let group_id = memory.store.known().group_id().0;
        let heartbeat = Heartbeat::new(beat, doors, &out.identity, &group_id, &terms.salt, &mut out.rng);
        self.beat = now;
        memory.newest.note(out.id(), time_ms, memory.store.law().rank_of(&own_key(out)));
        let _ = out.send(&Message::Heartbeat(heartbeat));
    }

    /// Our own door, if we have rank, and those that people of rank said, three in all.
    fn doors_to_show(&self, memory: &Memory) -> Vec<Signed<Door>> {
        let law = memory.store.law();
        let own = memory.doors.as_ref().and_then(|doors| doors.door(&memory.store));
        let ranked = |member: &&MemberId| {
            self.group.occupant(**member).is_some_and(|member| law.rank_of(&member.key) > Rank::None)
        };
        let host = law.host().id();
        let mut others: Vec<_> = self.doors_heard.keys().filter(ranked).collect();
        others.sort_by_key(|member| (**member != host, **member));
        let others = others.into_iter().filter_map(|member| self.doors_heard.get(member).cloned());
        own.into_iter().chain(others).take(3).collect()
    }

    /// Shows in this epoch what we know and the epoch's law lacks.
    pub(super) fn show(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        let known = memory.store.known();
        let lacking: Vec<_> = known
            .statements()
            .filter(|statement| self.epoch_law.get(&statement.id()).is_none())
            .filter(|statement| self.showing.note_shown(statement.id()))
            .map(|statement| statement.statement())
            .collect();
        self.showing.note_showing(now);
        for part in shown::parts(lacking) {
            self.say(out, &Saying::Statements(part));
        }
    }
}

impl From<CommitError> for CommandError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::TooLarge => Self::TooLarge,
            CommitError::Mls(failure) => Self::Mls(failure.0),
            CommitError::Violation(violation) => Self::NotPermitted(violation.into()),
        }
    }
}

/// The parts of a message around the commit or Welcome in it.
const OVERHEAD: usize = 16;
const MAX_COMMITS_AT_ONCE: usize = 4;
/// A member that keeps the Leave of somebody who was added says it within this time.
const LEAVE_SPREAD_MS: u32 = 10_000;
/// How old the keys of our leaf get.
const RENEW_EVERY: Duration = Duration::from_secs(600);
/// How long after a renewal that did not count we try again.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
/// In a large room there are no more renewals than one in this time.
const RENEWALS_APART: Duration = Duration::from_secs(6);
