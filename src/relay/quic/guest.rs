//! One connection by QUIC: from the hello to the last byte. No sockets.
//!
//! [`stream`] has what comes and goes on its stream; here are its times, its packets and its end.

mod stream;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::{ConnectionEvent, Dir, EndpointEvent, Event, StreamEvent, StreamId, Transmit, VarInt};

use super::{Hub, LINGER};
use crate::transport::quic::{
    probe::{Gate, Probe},
    tls::DATAGRAMS,
};
use crate::{
    relay::{Limits, Shared, fair, log::Connection, outbox::Outbox, pending::Number},
    relay_protocol::wire::Frames,
};

pub(super) struct Guest {
    connection: quinn_proto::Connection,
    probe: Probe,
    stream: Option<StreamId>,
    stage: Stage,
    /// What is being written.
    unsent: Bytes,
    readable: bool,
    /// There may be room for more to be written.
    writable: bool,
    /// There is something new in the outbox.
    pub(super) rung: bool,
    /// It is in the list of those that something has happened to.
    pub(super) busy: bool,
    /// When it will be looked at in any case.
    pub(super) scheduled: Option<Instant>,
    /// When the rooms were last told that it is there, and whether something came since.
    heard: Instant,
    arrived: bool,
    /// It has just become a member.
    pub(super) admitted: bool,
    /// It is this one of those that have not sent their hello.
    pending: Option<Number>,
    /// Packets for it, by who sent them.
    packets: fair::Queue<Connection, Bytes>,
    lost: bool,
}

enum Stage {
    /// Its hello has yet to come, by then.
    Hello {
        bytes: Vec<u8>,
        until: Instant,
    },
    Member(Member),
    /// All is said; the other side ends the connection, or this one does then.
    Leaving {
        number: Option<Connection>,
        until: Instant,
    },
}

struct Member {
    number: Connection,
    outbox: Arc<Outbox>,
    frames: Frames,
    /// It said too much at once, and is not read before then.
    read_after: Option<Instant>,
    /// Since when it has accepted nothing of what is written to it.
    stuck: Option<Instant>,
}

/// Whether there is still a connection.
pub(super) enum Present {
    Here,
    Gone,
}

impl Guest {
    /// Somebody whose address is proved.
    pub(super) fn new(
        connection: quinn_proto::Connection,
        gate: Gate,
        pending: Number,
        now: Instant,
        limits: &Limits,
    ) -> Self {
        let until = now + limits.hello_timeout;
        Self {
            connection,
            probe: Probe::of_relay(gate, now),
            stream: None,
            stage: Stage::Hello { bytes: Vec::new(), until },
            unsent: Bytes::new(),
            readable: false,
            writable: false,
            rung: false,
            busy: false,
            scheduled: None,
            heard: now,
            arrived: false,
            admitted: false,
            pending: Some(pending),
            packets: fair::Queue::default(),
            lost: false,
        }
    }

    /// Its number, once it is or was a member.
    pub(super) fn number(&self) -> Option<Connection> {
        match &self.stage {
            Stage::Hello { .. } => None,
            Stage::Member(member) => Some(member.number),
            Stage::Leaving { number, .. } => *number,
        }
    }

    pub(super) fn handle_event(&mut self, event: ConnectionEvent) {
        self.connection.handle_event(event);
        self.arrived = true;
    }

    /// Whether it was time for anything.
    pub(super) fn handle_timeout(&mut self, now: Instant, shared: &Shared) -> bool {
        if self.due(&shared.limits).is_none_or(|due| due > now) {
            return false;
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        match &self.stage {
            Stage::Hello { until, .. } if *until <= now => self.end(now, NO_HELLO),
            Stage::Leaving { until, .. } if *until <= now => self.end(now, DONE),
            Stage::Member(member) => {
                if member.stuck.is_some_and(|since| since + shared.limits.write_timeout <= now) {
                    shared.rooms().cut(&[member.number]);
                    self.rung = true;
                }
                // Looked at in any case, since the time to read on may have come.
                self.readable = true;
            }
            _ => {}
        }
        true
    }

    /// When it wants to be looked at.
    pub(super) fn due(&mut self, limits: &Limits) -> Option<Instant> {
        let own = match &self.stage {
            _ if self.connection.is_closed() => None,
            Stage::Hello { until, .. } | Stage::Leaving { until, .. } => Some(*until),
            Stage::Member(member) => {
                [member.read_after, member.stuck.map(|since| since + limits.write_timeout)]
                    .into_iter()
                    .flatten()
                    .min()
            }
        };
        let probe = self.probe.due().filter(|_| !self.connection.is_closed());
        [own, probe, self.connection.poll_timeout()].into_iter().flatten().min()
    }

    /// Goes on as far as it can.
    pub(super) fn drive(&mut self, now: Instant, shared: &Arc<Shared>, hub: &Arc<Hub>) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    let opened = self.connection.streams().accept(Dir::Bi);
                    self.stream = self.stream.or(opened);
                    self.readable = true;
                }
                Event::Stream(StreamEvent::Readable { .. }) => self.readable = true,
                Event::Stream(StreamEvent::Writable { .. }) => self.writable = true,
                Event::Stream(StreamEvent::Stopped { .. }) => self.end(now, DONE),
                Event::ConnectionLost { .. } => self.lost = true,
                _ => {}
            }
        }
        if self.lost || self.connection.is_closed() {
            return self.let_go(shared);
        }
        let Some(stream) = self.stream else { return };
        if let Stage::Member(Member { number, .. }) = &self.stage
            && self.arrived
            && now >= self.heard + SIGNS_OF_LIFE
        {
            (self.heard, self.arrived) = (now, false);
            shared.rooms().handle_sign_of_life(*number, now);
        }
        if std::mem::take(&mut self.readable) {
            self.read(stream, now, shared, hub);
        }
        if std::mem::take(&mut self.rung) | std::mem::take(&mut self.writable) {
            self.write(stream, now);
        }
    }

    /// The next packet that it has sent.
    pub(super) fn next_packet(&mut self) -> Option<Bytes> {
        self.connection.datagrams().recv()
    }

    /// Queues a packet for it. If too many wait, the oldest of who sent most of them is dropped.
    pub(super) fn queue_packet(&mut self, from: Connection, packet: Bytes) {
        if matches!(self.stage, Stage::Member(_)) {
            let cost = packet.len() + OVERHEAD;
            self.packets.push(from, packet, cost);
            while self.packets.cost() > PACKETS_WAITING {
                self.packets.pop_from_fattest();
            }
        }
    }

    /// Gives the connection as many of them as it can send soon, in turn from each sender.
    pub(super) fn hand_over_packets(&mut self) {
        while self.connection.datagrams().send_buffer_space() > DATAGRAMS - HANDED_OVER
            && let Some((_, packet)) = self.packets.pop()
        {
            // It fails if the way has become too narrow, which loses the packet as any way may.
            let _ = self.connection.datagrams().send(packet, true);
        }
    }

    /// Which one it is of those that have not sent their hello.
    pub(super) fn pending(&self) -> Option<Number> {
        self.pending
    }

    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        buffer.clear();
        self.connection.poll_transmit(now, segments, buffer)
    }

    /// A packet for a member that has not answered for a while.
    pub(super) fn poll_probe(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let mut transmit = None;
        self.probe.send(&mut self.connection, now, |connection| {
            buffer.clear();
            transmit = connection.poll_transmit(now, 1, buffer);
        });
        transmit
    }

    pub(super) fn poll_endpoint(&mut self, mut handle: impl FnMut(EndpointEvent) -> Option<ConnectionEvent>) {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = handle(event) {
                self.connection.handle_event(event);
            }
        }
    }

    pub(super) fn presence(&self) -> Present {
        if self.connection.is_drained() { Present::Gone } else { Present::Here }
    }

    /// Ends the connection because the relay stops, or has no place for it any more.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if !self.connection.is_closed() {
            self.end(now, DONE);
        }
    }

    /// Gives back what it had. There is no connection any more.
    pub(super) fn gone(&self, shared: &Shared) {
        // Who was hung up on for another one was counted then.
        if let Some(number) = self.pending
            && shared.pending().leave(number)
            && matches!(self.stage, Stage::Hello { .. })
        {
            shared.rooms().counts.refuse(|refusals| &mut refusals.no_hello);
        }
        if let Some(number) = self.number() {
            shared.rooms().leave(number);
        }
    }

    fn end(&mut self, now: Instant, code: VarInt) {
        self.connection.close(now, code, Bytes::new());
    }

    /// Takes a member out of its room as soon as its connection is over.
    fn let_go(&mut self, shared: &Shared) {
        if let Stage::Member(member) = &self.stage {
            shared.rooms().detach(member.number);
        }
    }
}

/// The relay, or the member, has nothing more to say.
const DONE: VarInt = VarInt::from_u32(0);
/// What came is no hello, or none came in time.
const NO_HELLO: VarInt = VarInt::from_u32(1);
/// The member broke a limit, or its token was taken back.
const CUT_OFF: VarInt = VarInt::from_u32(2);
/// Bytes of the stream that are handled at a time.
const CHUNK: usize = 16 * 1024;
/// Bytes of packets that wait for a member.
const PACKETS_WAITING: usize = 64 * 1024;
/// What a packet counts for above its own bytes.
const OVERHEAD: usize = 64;
/// Bytes of packets that the connection has at a time, which it sends in the order in which they
/// came.
const HANDED_OVER: usize = 4 * 1024;
/// How often the rooms are told that a member is there, at most.
const SIGNS_OF_LIFE: Duration = Duration::from_secs(1);
