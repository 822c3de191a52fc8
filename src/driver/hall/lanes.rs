//! The lanes of a hall that a device has connected (`spec/stage.md`, H17).
//!
//! Each is a future of its own, which is polled when it was woken. Whoever polls [`Lanes`] sees
//! what came on any of them; what is to be sent is queued for its lane, and connects it if need
//! be.

mod trial;

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound::{Excluded, Included, Unbounded},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;
use bytes::Bytes;

use super::pipe::{Pipe, Served, serve};
use crate::{
    driver::policy::Connector,
    stage::HallLane,
    transport::{Inbound, Part, RelayName, RoomHandle, Transport, TransportError},
};

/// A lane that a device wants to be connected all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) lane: HallLane,
    pub(super) handle: RoomHandle,
    pub(super) part: Part,
}

/// What happened on a lane.
pub(super) enum Came {
    Inbound(HallLane, Inbound),
    /// On the hall lane, at the relay that is tried.
    Tried(Inbound),
    Lost(HallLane, TransportError),
    /// Something is connected that was not.
    Open,
}

/// Ready once the time has come.
type Slept = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes lanes and tells when the time has come, whatever the type of its transports.
trait Carrier: Send {
    fn serve(
        &mut self,
        relays: &[RelayName],
        relay: usize,
        wanted: Wanted,
        pipe: Arc<Pipe>,
    ) -> Option<Served>;
    fn sleep(&self, until: Instant) -> Slept;
}

impl<C: Connector> Carrier for C {
    fn serve(
        &mut self,
        relays: &[RelayName],
        relay: usize,
        wanted: Wanted,
        pipe: Arc<Pipe>,
    ) -> Option<Served> {
        let mut transport = self.lane(relays.get(relay)?, wanted.handle, wanted.part)?;
        if transport.relays().into_iter().any(|name| !relays.contains(name)) {
            return None;
        }
        transport.set_part(wanted.part);
        let watched = wanted.lane == HallLane::Hall;
        Some(Box::pin(serve(transport, wanted.handle, pipe, watched)))
    }

    fn sleep(&self, until: Instant) -> Slept {
        Box::pin(Connector::sleep(self, until))
    }
}

/// All lanes of a device.
pub(super) struct Lanes {
    carrier: Box<dyn Carrier>,
    relays: Vec<RelayName>,
    relay: usize,
    lanes: BTreeMap<HallLane, Slot>,
    parent: Arc<AtomicWaker>,
    alarm: Option<(Instant, Slept)>,
    /// How many lanes may be opened for a moment: refilled as time passes.
    allowed: f64,
    allowed_at: Option<Instant>,
    /// Messages and packets that found no way out.
    dropped: u64,
    served_last: Option<HallLane>,
    watch: trial::Watch,
}

struct Slot {
    wanted: Wanted,
    pipe: Arc<Pipe>,
    served: Option<Served>,
    bell: Arc<Bell>,
    /// It stays; else it goes [`LINGER`] after it was used.
    stays: bool,
    used_at: Instant,
    /// It is being closed because nothing uses it any more.
    ending: bool,
    failures: u32,
    /// Since when it is connected.
    open_since: Option<Instant>,
    retry_at: Option<Instant>,
    told_open: bool,
}

/// Rings for one lane.
struct Bell {
    rung: AtomicBool,
    parent: Arc<AtomicWaker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.parent.wake();
    }
}

impl Lanes {
    /// Contacts nobody yet. Lanes are at the relay of that place in the list.
    pub(super) fn new(connector: impl Connector + 'static, relays: Vec<RelayName>) -> Self {
        Self {
            carrier: Box::new(connector),
            relays,
            relay: 0,
            lanes: BTreeMap::new(),
            parent: Arc::default(),
            alarm: None,
            allowed: MOMENTARY_RATE,
            allowed_at: None,
            dropped: 0,
            served_last: None,
            watch: trial::Watch::default(),
        }
    }

    /// Has these lanes connected all the time, and others no longer than they are used.
    pub(super) fn want(&mut self, wanted: impl IntoIterator<Item = Wanted>, now: Instant) {
        for slot in self.lanes.values_mut() {
            slot.stays = false;
        }
        for wanted in wanted {
            let open = self.lanes.entry(wanted.lane);
            let slot = open.or_insert_with(|| Slot::new(wanted, &self.parent, now));
            if slot.wanted.part != wanted.part {
                *slot = Slot::new(wanted, &self.parent, now);
            }
            (slot.stays, slot.ending, slot.used_at) = (true, false, now);
            slot.pipe.stay();
        }
        self.handle_timeout(now);
    }

    /// Whether that lane is connected.
    pub(super) fn is_open(&self, lane: HallLane) -> bool {
        self.lanes.get(&lane).is_some_and(|slot| slot.pipe.is_open())
    }

    /// How many are connected or being connected.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Messages and packets that found no way out.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped + self.lanes.values().map(|slot| slot.pipe.dropped()).sum::<u64>()
    }

    /// Has a message sent, and the lane connected for a moment if it is not.
    pub(super) fn send(&mut self, lane: HallLane, handle: RoomHandle, message: Bytes, now: Instant) {
        if !self.lanes.contains_key(&lane) {
            if !self.may_open(now) {
                self.dropped += 1;
                return;
            }
            let slot = Slot::new(Wanted { lane, handle, part: Part::Says }, &self.parent, now);
            self.lanes.insert(lane, slot);
        }
        if let Some(slot) = self.lanes.get_mut(&lane) {
            (slot.used_at, slot.ending) = (now, false);
            slot.pipe.send(message);
            slot.bell.ring();
        }
        self.handle_timeout(now);
    }

    /// Has a packet sent on the hall lane.
    pub(super) fn send_media(&self, packet: &[u8]) {
        if let Some(slot) = self.lanes.get(&HallLane::Hall) {
            slot.pipe.send_media(packet);
            slot.bell.ring();
        }
    }

    /// The relay that they are at.
    pub(super) fn relay(&self) -> Option<&RelayName> {
        self.relays.get(self.relay)
    }

    /// Goes to this relay of the list, or to the next one; everything is connected anew.
    pub(super) fn move_to(&mut self, relay: Option<&RelayName>, now: Instant) {
        let named = relay.and_then(|relay| self.relays.iter().position(|known| known == relay));
        let next = (self.relay + 1) % self.relays.len().max(1);
        let place = if relay.is_some() { named.unwrap_or(self.relay) } else { next };
        if place != self.relay {
            self.relay = place;
            self.watch.end_trial();
            self.lanes.retain(|_, slot| slot.stays);
            for slot in self.lanes.values_mut() {
                *slot = Slot { stays: true, ..Slot::new(slot.wanted, &self.parent, now) };
            }
        }
    }

    /// Ends all of them after what is to be sent has left. Poll [`is_over`](Self::is_over) then.
    pub(super) fn end(&mut self) {
        self.watch = trial::Watch::default();
        self.lanes.retain(|_, slot| slot.served.is_some());
        for slot in self.lanes.values_mut() {
            (slot.stays, slot.ending, slot.retry_at) = (false, true, None);
            slot.pipe.end();
            slot.bell.ring();
        }
    }

    /// Connects what is to be connected, and drops what is used no more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for slot in self.lanes.values_mut().filter(|slot| slot.is_over(now) && !slot.ending) {
            slot.ending = true;
            slot.pipe.end();
            slot.bell.ring();
        }
        // One that does not come about in time goes with what it had to say.
        let dropped = &mut self.dropped;
        self.lanes.retain(|_, slot| {
            let late = slot.used_at + LINGER * 3 <= now;
            let gone = slot.is_over(now) && (slot.served.is_none() || late);
            *dropped += if gone { slot.pipe.dropped() } else { 0 };
            !gone
        });
        for slot in self.lanes.values_mut() {
            slot.connect(self.carrier.as_mut(), &self.relays, self.relay, now);
        }
        self.watch_over(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = |slot: &Slot| {
            let linger = if slot.ending && slot.served.is_some() { LINGER * 3 } else { LINGER };
            let over = (!slot.stays).then(|| slot.used_at + linger);
            [over, slot.retry_at].into_iter().flatten().min()
        };
        let watch = self.watch_timeout();
        self.lanes.values().filter_map(due).chain(watch).min()
    }

    /// The next thing that happened, or `None` once `until` has come.
    pub(super) fn poll(
        &mut self,
        until: Instant,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Option<Came>> {
        let came = self.poll_came(now, context);
        if came.is_ready() {
            return came.map(Some);
        }
        let (_, alarm) = match self.alarm.take().filter(|(at, _)| *at == until) {
            Some(alarm) => self.alarm.insert(alarm),
            None => self.alarm.insert((until, self.carrier.sleep(until))),
        };
        alarm.as_mut().poll(context).map(|()| None)
    }

    /// The same without an alarm.
    pub(super) fn poll_came(&mut self, now: Instant, context: &mut Context<'_>) -> Poll<Came> {
        self.parent.register(context.waker());
        // Those after the one that was served last come first: no lane keeps another back.
        let after = self.served_last;
        let ranges = match after {
            Some(last) => &[(Excluded(last), Unbounded), (Unbounded, Included(last))][..],
            None => &[(Unbounded, Unbounded)],
        };
        for range in ranges {
            for (lane, slot) in self.lanes.range_mut(*range) {
                if slot.bell.rung.swap(false, Ordering::AcqRel)
                    && let Some(came) = slot.poll(now)
                {
                    self.served_last = Some(*lane);
                    self.watch.note(&came, now);
                    return Poll::Ready(came);
                }
            }
        }
        self.watch.poll(now).map_or(Poll::Pending, Poll::Ready)
    }

    /// Whether none is left.
    pub(super) fn is_over(&self) -> bool {
        self.lanes.values().all(|slot| slot.served.is_none())
    }

    fn may_open(&mut self, now: Instant) -> bool {
        let since = self.allowed_at.replace(now).map(|at| now.saturating_duration_since(at));
        let more = since.unwrap_or_default().as_secs_f64() * MOMENTARY_RATE;
        self.allowed = (self.allowed + more).min(MOMENTARY_RATE);
        let momentary = self.lanes.values().filter(|slot| !slot.stays).count();
        if self.allowed < 1.0 || momentary >= MOMENTARY {
            return false;
        }
        self.allowed -= 1.0;
        true
    }
}

impl Slot {
    fn new(wanted: Wanted, parent: &Arc<AtomicWaker>, now: Instant) -> Self {
        Self {
            wanted,
            pipe: Arc::default(),
            served: None,
            bell: Arc::new(Bell { rung: AtomicBool::new(false), parent: Arc::clone(parent) }),
            stays: false,
            used_at: now,
            ending: false,
            failures: 0,
            open_since: None,
            retry_at: None,
            told_open: false,
        }
    }

    /// Nothing uses it any more.
    fn is_over(&self, now: Instant) -> bool {
        !self.stays && self.used_at + LINGER <= now
    }

    /// Has it connected, if it is time.
    fn connect(&mut self, carrier: &mut dyn Carrier, relays: &[RelayName], relay: usize, now: Instant) {
        if self.served.is_some() || self.ending || self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        (self.retry_at, self.told_open) = (None, false);
        self.served = carrier.serve(relays, relay, self.wanted, Arc::clone(&self.pipe));
        match self.served {
            Some(_) => self.bell.ring(),
            None => self.fail(now),
        }
    }

    fn poll(&mut self, now: Instant) -> Option<Came> {
        let waker = Waker::from(Arc::clone(&self.bell));
        let end = self.served.as_mut()?.as_mut().poll(&mut Context::from_waker(&waker));
        let came = self.pipe.take();
        if came.is_some() {
            self.failures = 0;
            self.bell.ring();
        }
        let lane = self.wanted.lane;
        let lost = match end {
            Poll::Ready(why) => {
                self.fail(now);
                (!self.ending).then_some(Came::Lost(lane, why))
            }
            Poll::Pending => None,
        };
        // What came is more than that it was the last.
        let opened = self.pipe.is_open() && !std::mem::replace(&mut self.told_open, true);
        if opened {
            self.open_since = Some(now);
        }
        came.map(|came| Came::Inbound(lane, came)).or(lost).or(opened.then_some(Came::Open))
    }

    /// It is lost, or did not come about.
    fn fail(&mut self, now: Instant) {
        self.served = None;
        // A lane on which nothing comes has held as well as any other.
        let held = self.open_since.take().map(|since| now.saturating_duration_since(since));
        if held >= Some(LONGEST_PAUSE) {
            self.failures = 0;
        }
        let pause = FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(8));
        self.retry_at = Some(now + pause.min(LONGEST_PAUSE));
        self.failures += 1;
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

/// How long a lane stays that was connected for a moment.
const LINGER: Duration = Duration::from_secs(3);
/// Such lanes at a time, and new ones in a second.
const MOMENTARY: usize = 96;
const MOMENTARY_RATE: f64 = 64.0;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
