//! What a listener does when its relay gives no sign of life: it tries another one beside it
//! (`spec/stage.md`, H17, rule 5).

use std::time::{Duration, Instant};

use super::{Came, Lanes, Slot};
use crate::{stage::HallLane, transport::Inbound};

/// How the hall lane is, and what is tried in its place.
#[derive(Default)]
pub(super) struct Watch {
    /// Whether another relay is tried at all.
    on: bool,
    /// When a packet came last at the relay that we are at.
    packet: Option<Instant>,
    /// Since when the hall lane is lost.
    lost: Option<Instant>,
    trial: Option<Trial>,
    /// When another one may begin, and how many in a row were in vain.
    rest: Option<Instant>,
    vain: u32,
}

/// The hall lane at another relay.
struct Trial {
    relay: usize,
    slot: Slot,
    /// When nothing was left of the relay that we are at.
    began: Instant,
    /// Since when this relay is tried.
    since: Instant,
}

impl Watch {
    pub(super) fn end_trial(&mut self) {
        (self.trial, self.packet, self.lost) = (None, None, None);
    }

    /// The relay that we are at is there after all. Who has tried in vain tries less often: a relay
    /// that is only slow must not bring its whole audience to all others.
    fn give_up(&mut self, now: Instant) {
        if self.trial.take().is_some() {
            let recent = self.rest.is_some_and(|rest| now < rest + REST_MAX);
            self.vain = if recent { self.vain + 1 } else { 0 };
            self.rest = Some(now + (REST * 2u32.pow(self.vain.min(4))).min(REST_MAX));
        }
        self.lost = None;
    }

    /// Notes what a lane at the relay that we are at has brought.
    pub(super) fn note(&mut self, came: &Came, now: Instant) {
        match came {
            Came::Inbound(HallLane::Hall, what) => {
                self.give_up(now);
                if matches!(what, Inbound::Media(_)) {
                    self.packet = Some(now);
                }
            }
            Came::Lost(HallLane::Hall, _) => _ = self.lost.get_or_insert(now),
            _ => {}
        }
    }

    /// What the relay that is tried has brought.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Came> {
        let slot = &mut self.trial.as_mut()?.slot;
        if !slot.bell.rung.swap(false, std::sync::atomic::Ordering::AcqRel) {
            return None;
        }
        match slot.poll(now)? {
            Came::Inbound(_, what) => Some(Came::Tried(what)),
            // The time goes on, and then comes the next one.
            _ => None,
        }
    }
}

impl Lanes {
    /// Whether another relay is tried when the one that we are at gives no sign of life.
    pub(in crate::driver::hall) fn set_watch(&mut self, on: bool) {
        self.watch.on = on;
    }

    /// Goes over to the relay that is tried. The other lanes follow in a moment.
    pub(in crate::driver::hall) fn go_over(&mut self, now: Instant) {
        let Some(trial) = self.watch.trial.take() else { return };
        self.watch.end_trial();
        self.relay = trial.relay;
        self.lanes.retain(|_, slot| slot.stays);
        for slot in self.lanes.values_mut() {
            *slot = Slot {
                stays: true,
                retry_at: Some(now + SOUND_FIRST),
                ..Slot::new(slot.wanted, &self.parent, now)
            };
        }
        self.lanes.insert(HallLane::Hall, trial.slot);
    }

    /// Begins a trial, goes on to the next relay, or ends it.
    pub(super) fn watch_over(&mut self, now: Instant) {
        let alive = self.hall().and_then(|slot| slot.pipe.heard());
        if let Some(trial) = &self.watch.trial
            && alive.is_some_and(|heard| heard > trial.began)
        {
            self.watch.give_up(now);
        }
        let next = match &self.watch.trial {
            Some(trial) if trial.since + PATIENCE <= now => Some((trial.relay, trial.began)),
            Some(_) => None,
            None => match self.silent_at() {
                // We were asleep, or this machine has too much to do: that is nobody's silence.
                Some(at) if at + LATE < now && self.watch.lost.is_none() => {
                    self.watch.rest = self.watch.rest.max(Some(now + MISSED));
                    None
                }
                Some(at) if at <= now => Some((self.relay, now)),
                _ => None,
            },
        };
        if let Some((after, began)) = next
            && let Some(relay) = self.relay_after(after)
            && let Some(wanted) = self.hall().map(|slot| slot.wanted)
        {
            let slot = Slot { stays: true, ..Slot::new(wanted, &self.parent, now) };
            self.watch.trial = Some(Trial { relay, slot, began, since: now });
        }
        if let Some(trial) = &mut self.watch.trial {
            trial.slot.connect(self.carrier.as_mut(), &self.relays, trial.relay, now);
        }
    }

    /// When [`watch_over`](Self::watch_over) wants to be called next.
    pub(super) fn watch_timeout(&self) -> Option<Instant> {
        match &self.watch.trial {
            Some(trial) => [Some(trial.since + PATIENCE), trial.slot.retry_at].into_iter().flatten().min(),
            None => self.silent_at(),
        }
    }

    fn hall(&self) -> Option<&Slot> {
        self.lanes.get(&HallLane::Hall)
    }

    /// When the relay that we are at counts as gone, if nothing of it comes until then.
    fn silent_at(&self) -> Option<Instant> {
        self.relay_after(self.relay).filter(|_| self.watch.on)?;
        let silent = match self.watch.lost {
            Some(lost) => lost,
            None => {
                let heard = self.hall()?.pipe.heard()?;
                let flows = self.watch.packet.is_some_and(|packet| packet + FLOWS > heard);
                heard + if flows { MISSED } else { SILENT }
            }
        };
        Some(self.watch.rest.map_or(silent, |rest| silent.max(rest)))
    }

    /// The relay of the list after this one, unless it is the one that we are at.
    fn relay_after(&self, relay: usize) -> Option<usize> {
        let place = |step| (relay + step) % self.relays.len().max(1);
        (1..=2).map(place).find(|place| *place != self.relay)
    }
}

/// How long a relay may give no sign of life: while packets came, and else (8.1, rule 9).
const MISSED: Duration = Duration::from_millis(800);
const SILENT: Duration = Duration::from_millis(2_500);
/// How long ago the last packet may be. Adapters ask four times a second for longer than that.
const FLOWS: Duration = Duration::from_millis(1_500);
/// How much later than we wanted we may look, and the relay still be silent.
const LATE: Duration = Duration::from_millis(250);
/// How long nothing is tried after a trial that was in vain; it doubles with each in a row.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(60);
/// How long a relay is tried.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the other lanes wait after the hall lane.
const SOUND_FIRST: Duration = Duration::from_millis(500);
