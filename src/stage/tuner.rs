//! Which hall epoch a device opens, and under which it seals: the same for listeners and speakers
//! (`spec/stage.md`, H4).
//!
//! ```text
//! announced ── held ──┬─ 350 ms before the switch: the opener has both
//!                     └─ the switch: the sealer goes over ── 2 s ── the epoch before is dropped
//! ```
//!
//! An epoch that is still held gives way to a newer one without a trace: a ban does not have to
//! wait for a turn that was announced just before.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    card::Programme,
    chain::{Clock, GRACE},
    epoch::{Base, EpochName},
};
use crate::{
    id::{Epoch, Leaf, Step},
    keys::{Suite, speaker::Signer},
    media::{
        PacketSize, Rekey, Schedule, SealRekey, SilenceReason,
        hall::{HallStart, until},
    },
};

/// The media keys of a hall, from the base keys that its porter gave.
pub(super) struct Tuner {
    suite: Suite,
    packet_size: PacketSize,
    group_id: [u8; 32],
    /// Announced, and not in the opener yet.
    held: Option<Held>,
    present: Option<Running>,
    /// The one before, until it is dropped.
    before: Option<Running>,
    /// The newest key of the present epoch for the sealer, until the switch.
    waits: Option<SealRekey>,
    rekeys: VecDeque<Rekey>,
}

struct Held {
    base: Base,
    programme: Arc<Programme>,
    own: Option<(Leaf, Arc<Signer>)>,
    switch_at: Instant,
}

struct Running {
    name: EpochName,
    schedule: Schedule,
    switch_at: Instant,
    switched: bool,
}

impl Tuner {
    pub(super) fn new(suite: Suite, packet_size: PacketSize, group_id: [u8; 32]) -> Self {
        Self {
            suite,
            packet_size,
            group_id,
            held: None,
            present: None,
            before: None,
            waits: None,
            rekeys: VecDeque::new(),
        }
    }

    /// The number of the newest epoch that this holds; 0 if there is none.
    pub(super) fn newest(&self) -> u64 {
        let held = self.held.as_ref().map(|held| held.base.name.n);
        held.or(self.present.as_ref().map(|running| running.name.n)).unwrap_or(0)
    }

    /// The newest epoch that the opener has.
    pub(super) fn present(&self) -> Option<&EpochName> {
        self.present.as_ref().map(|running| &running.name)
    }

    /// The epochs that are in use, are about to be, or have just been, for a judge.
    #[cfg(feature = "testkit")]
    pub(super) fn names(&self) -> impl Iterator<Item = &EpochName> {
        let running = [&self.present, &self.before].into_iter().flatten().map(|running| &running.name);
        running.chain(self.held.as_ref().map(|held| &held.base.name))
    }

    /// The mark of an epoch that this holds.
    pub(super) fn mark_of(&self, n: u64) -> Option<[u8; 16]> {
        let running = [&self.present, &self.before].into_iter().flatten().map(|running| &running.name);
        let names = self.held.iter().map(|held| &held.base.name).chain(running);
        names.filter(|name| name.n == n).map(EpochName::mark).next()
    }

    /// Takes an epoch that is newer than all before; another changes nothing. Whoever may speak in
    /// it has a leaf and a signer.
    pub(super) fn announce(
        &mut self,
        base: Base,
        programme: Arc<Programme>,
        own: Option<(Leaf, Arc<Signer>)>,
        switch_at: Instant,
    ) {
        if base.name.n > self.newest() {
            self.held = Some(Held { base, programme, own, switch_at });
        }
    }

    pub(super) fn handle_timeout(&mut self, clock: &Clock, now: Instant) {
        if self.install_at().is_some_and(|at| at <= now)
            && let Some(held) = self.held.take()
        {
            self.install(held, clock, now);
        }
        for running in [&mut self.before, &mut self.present].into_iter().flatten() {
            let passed = clock.elapsed(now).saturating_sub(until(running.name.first));
            running.schedule.handle_elapsed(passed, now);
        }
        self.collect(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let switch = self.present.as_ref().filter(|running| !running.switched).map(|now| now.switch_at);
        let running = [&self.before, &self.present].into_iter().flatten();
        let due = running.filter_map(|running| running.schedule.poll_timeout());
        due.chain([self.install_at(), switch].into_iter().flatten()).min()
    }

    pub(super) fn poll_rekey(&mut self) -> Option<Rekey> {
        self.rekeys.pop_front()
    }

    /// Drops every epoch, and tells nobody: the caller closes opener and sealer.
    pub(super) fn clear(&mut self) {
        (self.held, self.present, self.before, self.waits) = (None, None, None, None);
        self.rekeys.clear();
    }

    /// When the held epoch goes to the opener: before its switch, and not before those speakers who
    /// are late have left the one before the present.
    fn install_at(&self) -> Option<Instant> {
        let held = self.held.as_ref()?;
        let early = held.switch_at.checked_sub(EARLY).unwrap_or(held.switch_at);
        let pending = self.present.as_ref().filter(|_| self.before.is_some());
        let settled = pending.map(|present| (present.switch_at + SETTLING).min(held.switch_at));
        Some(settled.map_or(early, |settled| settled.max(early)))
    }

    fn install(&mut self, held: Held, clock: &Clock, now: Instant) {
        let Held { mut base, programme, own, switch_at } = held;
        base.advance(self.suite, clock.step(now));
        let voices = programme.voices(&self.group_id);
        let start = HallStart {
            base_key: base.key,
            step: Step(base.step),
            began: clock.boundary(base.name.first),
            retire_at: switch_at.max(now) + GRACE,
            group_id: &self.group_id,
            epoch: Epoch(base.name.n),
            authenticator: &base.name.authenticator,
            suite: self.suite,
            packet_size: self.packet_size,
            voices: &voices,
            own,
        };
        // Programmes are in order and bounded, so only collisions of 256 pseudonyms could fail.
        let Ok(schedule) = Schedule::start_in_hall(start, now) else { return };
        self.waits = Some(SealRekey::stop(SilenceReason::NotASpeaker));
        self.before = self.present.take();
        self.present = Some(Running { name: base.name, schedule, switch_at, switched: false });
    }

    /// Takes what the schedules have for opener and sealer.
    fn collect(&mut self, now: Instant) {
        let switching = self.present.as_ref().is_some_and(|present| !present.switched);
        if let Some(before) = &mut self.before {
            while let Some(rekey) = before.schedule.poll_rekey() {
                if matches!(rekey, Rekey::Open(_)) || switching {
                    self.rekeys.push_back(rekey);
                }
            }
            // Once it is dropped from the opener nothing of it is needed.
            if !switching && self.present.as_ref().is_some_and(|new| new.switch_at + GRACE <= now) {
                self.before = None;
            }
        }
        if let Some(present) = &mut self.present {
            while let Some(rekey) = present.schedule.poll_rekey() {
                match rekey {
                    Rekey::Seal(seal) if !present.switched => self.waits = Some(seal),
                    rekey => self.rekeys.push_back(rekey),
                }
            }
            if !present.switched && present.switch_at <= now {
                present.switched = true;
                self.rekeys.extend(self.waits.take().map(Rekey::Seal));
            }
        }
    }
}

/// When an epoch is gone over to that is announced so many milliseconds before: whatever somebody
/// says, no later than honest turns are.
pub(super) fn switch_at(switch_ms: u16, now: Instant) -> Instant {
    now + Duration::from_millis(switch_ms.into()).min(AHEAD)
}

/// How long before its switch a turn is announced, at most.
pub(super) const AHEAD: Duration = Duration::from_secs(1);
/// How long before its switch an epoch goes to the opener.
pub(super) const EARLY: Duration = Duration::from_millis(350);
/// How late after a switch a speaker may still seal under the epoch before.
pub(super) const SETTLING: Duration = Duration::from_millis(150);
