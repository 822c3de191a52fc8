//! Two packets a second to a side that does not answer, however much is on its way to it (SPEC
//! section 8.2.8).
//!
//! QUIC doubles the time between two probes for as long as nothing is acknowledged (RFC 9002
//! section 6.2.1), and sends nothing else while the congestion window is full. After an outage of
//! 25 seconds the next probe can be 25 seconds away, and with it the end of the outage. Here it is
//! half a second at most.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quinn_proto::{
    Connection, RttEstimator,
    congestion::{Controller, ControllerFactory, CubicConfig},
};

/// What a connection and its congestion controller have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The window counts as large enough.
    open: AtomicBool,
    /// How often something was acknowledged.
    acknowledged: AtomicU64,
    /// Something was sent since.
    outstanding: AtomicBool,
}

/// When to send a probe.
#[derive(Debug)]
pub(crate) struct Probe {
    gate: Gate,
    acknowledged: u64,
    /// The last time that something was acknowledged, or a probe was sent.
    last: Instant,
    /// To send one now and then in any case, so that both sides notice when their way has moved.
    always: bool,
    /// When something came, whatever it was.
    heard: Instant,
    /// How many frames with something for the application have come, and when the last two times
    /// were that some did.
    frames: u64,
    flow: [Option<Instant>; 2],
}

impl Gate {
    /// What makes the controllers that it opens, to be given to one connection.
    pub(crate) fn factory(&self) -> Arc<dyn ControllerFactory + Send + Sync> {
        Arc::new(Gated { gate: self.clone(), inner: Arc::new(CubicConfig::default()) })
    }
}

impl Probe {
    /// The probes of a member: also when there was nothing to acknowledge for a second.
    pub(crate) fn of_member(gate: Gate, now: Instant) -> Self {
        Self { gate, acknowledged: 0, last: now, always: true, heard: now, frames: 0, flow: [None; 2] }
    }

    /// The probes of a relay: only as long as something waits to be acknowledged.
    pub(crate) fn of_relay(gate: Gate, now: Instant) -> Self {
        Self { always: false, ..Self::of_member(gate, now) }
    }

    /// Something came, and with it so many frames for the application in all so far.
    pub(crate) fn note_heard(&mut self, frames: u64, now: Instant) {
        self.heard = now;
        if std::mem::replace(&mut self.frames, frames) != frames {
            self.flow = [self.flow[1], Some(now)];
        }
    }

    /// When the next one may be due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = match self.gate.0.outstanding.load(Ordering::Relaxed) {
            true => Some(self.last + UNANSWERED),
            false => self.always.then(|| self.last + SILENT),
        };
        due.into_iter().chain(self.missed()).min()
    }

    /// When to ask because what had come all the time does not come any more.
    fn missed(&self) -> Option<Instant> {
        let [Some(before), Some(last)] = self.flow else { return None };
        let at = self.heard.max(self.last) + MISSED;
        (self.always && last < before + CLOSE && at < last + FLOWS).then_some(at)
    }

    /// Calls `send` once for a packet that would not leave otherwise, if one is due.
    pub(crate) fn send(
        &mut self,
        connection: &mut Connection,
        now: Instant,
        send: impl FnOnce(&mut Connection),
    ) {
        let acknowledged = self.gate.0.acknowledged.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.acknowledged, acknowledged) != acknowledged {
            self.last = now;
        }
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.last = now;
        // A handshake has its own probes, and is given up before they become rare.
        if connection.is_handshaking() || connection.is_closed() {
            return;
        }
        connection.ping();
        self.gate.0.open.store(true, Ordering::Relaxed);
        send(connection);
        self.gate.0.open.store(false, Ordering::Relaxed);
    }
}

/// Makes a [`Controller`] of another one.
struct Gated<T> {
    gate: Gate,
    inner: T,
}

impl ControllerFactory for Gated<Arc<CubicConfig>> {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::clone(&self.inner).build(now, current_mtu);
        Box::new(Gated { gate: self.gate.clone(), inner })
    }
}

impl Controller for Gated<Box<dyn Controller>> {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.gate.0.outstanding.store(true, Ordering::Relaxed);
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.gate.0.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.gate.0.outstanding.store(false, Ordering::Relaxed);
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        // What is still on its way may be lost with what follows it.
        self.gate.0.outstanding.store(in_flight > 0, Ordering::Relaxed);
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.gate.0.open.load(Ordering::Relaxed) { u64::MAX } else { self.inner.window() }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Gated { gate: self.gate.clone(), inner: self.inner.clone_box() })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// How long something may wait for an acknowledgement before a probe is sent, and between two of
/// them.
const UNANSWERED: Duration = Duration::from_millis(500);
/// The same for a member while it has nothing to say.
const SILENT: Duration = Duration::from_secs(1);
/// The same while something comes all the time, and then nothing: for so long, if two things came
/// so close together.
const MISSED: Duration = Duration::from_millis(250);
const FLOWS: Duration = Duration::from_secs(2);
const CLOSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_packets_and_has_none_asks_four_times_a_second_for_two() {
        let now = Instant::now();
        let ms = |ms| now + Duration::from_millis(ms);
        let mut probe = Probe::of_member(Gate::default(), now);
        assert_eq!(probe.due(), Some(ms(1_000)));
        // One thing is no flow, nor is an answer that has nothing for the application.
        probe.note_heard(1, ms(40));
        probe.note_heard(1, ms(80));
        assert_eq!(probe.due(), Some(ms(1_000)));
        probe.note_heard(2, ms(90));
        assert_eq!(probe.due(), Some(ms(340)));
        probe.last = ms(340);
        assert_eq!(probe.due(), Some(ms(590)));
        // What is answered is asked again, until it is no wonder that nothing comes.
        probe.note_heard(2, ms(400));
        assert_eq!(probe.due(), Some(ms(650)));
        probe.last = ms(1_900);
        assert_eq!(probe.due(), Some(ms(2_900)));
        // Two things that came far apart are no flow; and a relay misses nothing.
        probe.note_heard(3, ms(2_000));
        assert_eq!(probe.due(), Some(ms(2_900)));
        let mut probe = Probe::of_relay(Gate::default(), now);
        probe.note_heard(1, ms(10));
        probe.note_heard(2, ms(20));
        assert_eq!(probe.due(), None);
    }
}
