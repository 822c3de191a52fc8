//! The thread of a connection: QUIC between the queues of a [`Line`] and a socket.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use quinn_proto::{Connection, Dir, Event, ReadError, StreamEvent, StreamId, VarInt};

use super::{
    pipe::{Pipe, why},
    tls::Terms,
};
use crate::{
    relay_protocol::wire::{self, Frames},
    transport::{
        MAX_MEDIA, TransportError,
        attempts::Claim,
        line::{End, Line},
        stats::Gauge,
        tcp_udp::refused,
    },
};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To take part in a room.
    Join,
    /// To have a token taken back.
    Revoke,
}

pub(super) struct Worker {
    pipe: Pipe,
    connection: Connection,
    line: Arc<Line>,
    purpose: Purpose,
    /// Set when the relay's certificate was not the right one.
    rejected: Arc<AtomicBool>,
    /// To be taken once the relay has answered.
    claim: Claim,
    /// Where to tell whether there is a connection; taken when that is clear.
    told: Option<mpsc::Sender<Result<(), TransportError>>>,
    stream: Option<StreamId>,
    /// What is being written.
    unsent: Bytes,
    answer: Vec<u8>,
    frames: Frames,
    /// A message for which the inbox had no room.
    held: Option<Bytes>,
    packets: VecDeque<Bytes>,
    /// We have said everything.
    finished: bool,
    /// The relay has said everything.
    ended: bool,
    lost: Option<TransportError>,
    gauge: Gauge,
    measured: Instant,
}

impl Worker {
    /// Prepares to reach the relay, and sends nothing yet. `opening` is the first that the relay is
    /// told.
    pub(super) fn new(
        remote: SocketAddr,
        host: &str,
        Terms { config, rejected, gate }: Terms,
        opening: Bytes,
        purpose: Purpose,
        claim: Claim,
        told: mpsc::Sender<Result<(), TransportError>>,
    ) -> Result<Self, TransportError> {
        let (pipe, connection) = Pipe::open(remote, host, config, gate)?;
        let line = Arc::new(Line::new(pipe.waker()));
        Ok(Self {
            pipe,
            connection,
            line,
            purpose,
            rejected,
            claim,
            told: Some(told),
            stream: None,
            unsent: opening,
            answer: Vec::new(),
            frames: Frames::default(),
            held: None,
            packets: VecDeque::new(),
            finished: false,
            ended: false,
            lost: None,
            gauge: Gauge::default(),
            measured: Instant::now(),
        })
    }

    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// Serves the connection until it has ended.
    pub(super) fn run(mut self) {
        loop {
            let now = Instant::now();
            self.handle_events(now);
            self.handle_stream(now);
            self.handle_packets();
            self.measure(now);
            if self.line.how_to_end() == End::GiveUp && !self.connection.is_closed() {
                self.connection.close(now, DONE, Bytes::new());
            }
            self.pipe.flush(&mut self.connection, now);
            if let Some(lost) = self.lost {
                // What had come before was read above.
                self.fail(lost);
            }
            if self.connection.is_closed() {
                break;
            }
            let until = self.connection.poll_timeout().unwrap_or(now + TICK).min(now + TICK);
            self.pipe.wait(until);
            let heard = self.pipe.receive(&mut self.connection);
            let now = Instant::now();
            if heard {
                self.line.note_heard(now);
            }
            if self.connection.poll_timeout().is_some_and(|due| due <= now) {
                self.connection.handle_timeout(now);
            }
        }
        self.fail(TransportError::Closed);
    }

    /// Notes once a second how the way is, which is that of both lanes.
    fn measure(&mut self, now: Instant) {
        if self.told.is_some() || now < self.measured + TICK {
            return;
        }
        self.measured = now;
        self.gauge.note(self.connection.rtt());
        let path = self.connection.stats().path;
        self.gauge.count(path.sent_packets, path.lost_packets);
        self.line.measured(self.gauge, self.gauge);
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll() {
            match event {
                // Another of the relay's addresses was faster.
                Event::Connected if !self.claim.take() => self.end(now, TransportError::Unreachable),
                Event::Connected => {
                    let fits = self.connection.datagrams().max_size().is_some_and(|most| most >= MAX_MEDIA);
                    self.stream = self.connection.streams().open(Dir::Bi);
                    if !fits && self.purpose == Purpose::Join {
                        self.end(now, TransportError::NoMedia);
                    } else if self.stream.is_none() {
                        self.end(now, TransportError::Refused);
                    }
                }
                Event::DatagramReceived => {
                    while let Some(packet) = self.connection.datagrams().recv() {
                        if self.told.is_none() && packet.len() <= MAX_MEDIA {
                            self.line.inbox.push_media(packet);
                        }
                    }
                }
                Event::Stream(StreamEvent::Stopped { .. }) => self.end(now, TransportError::Closed),
                Event::ConnectionLost { reason } => {
                    self.lost = Some(why(&reason, self.rejected.load(Ordering::Relaxed)));
                }
                _ => {}
            }
        }
    }

    /// Moves both directions of the stream as far as they go.
    fn handle_stream(&mut self, now: Instant) {
        let Some(stream) = self.stream else { return };
        self.read(stream, now);
        self.write(stream);
    }

    fn read(&mut self, stream: StreamId, now: Instant) {
        if self.held.take().is_some_and(|held| self.deliver(held).is_err()) {
            return;
        }
        let mut bytes = Vec::new();
        loop {
            let mut receive = self.connection.recv_stream(stream);
            let Ok(mut chunks) = receive.read(true) else { break };
            bytes.clear();
            while bytes.len() < CHUNKS {
                match chunks.next(CHUNK) {
                    Ok(Some(chunk)) => bytes.push(chunk.bytes),
                    Err(ReadError::Blocked) => break,
                    Ok(None) | Err(_) => {
                        self.ended = true;
                        break;
                    }
                }
            }
            // What that tells the other side goes with everything else.
            let _ = chunks.finalize();
            let read = !bytes.is_empty();
            for chunk in &bytes {
                self.handle_bytes(chunk, now);
            }
            if !read || self.ended || self.held.is_some() || self.connection.is_closed() {
                break;
            }
        }
        if self.ended && self.held.is_none() {
            // The relay has said everything, and so have we.
            self.end(now, TransportError::Closed);
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        let mut bytes = bytes;
        if self.told.is_some() {
            let missing = wire::SHORT_ANSWER_LEN.saturating_sub(self.answer.len());
            let (answer, rest) = bytes.split_at(missing.min(bytes.len()));
            self.answer.extend_from_slice(answer);
            bytes = rest;
            if self.answer.len() < wire::SHORT_ANSWER_LEN {
                return;
            }
            let answer = match self.purpose {
                Purpose::Join => wire::parse_admitted(&self.answer),
                Purpose::Revoke => wire::parse_revoked(&self.answer),
            };
            match answer {
                Err(refusal) => return self.end(now, refused(refusal)),
                Ok(()) => {
                    // Whoever asked may have given up in the meantime.
                    let _ = self.told.take().map(|told| told.send(Ok(())));
                }
            }
        }
        self.frames.push(bytes);
        self.hand_on(now);
    }

    fn deliver(&mut self, message: Bytes) -> Result<(), ()> {
        self.line.deliver(message).map_err(|held| self.held = Some(held))?;
        self.hand_on(Instant::now());
        if self.held.is_some() { Err(()) } else { Ok(()) }
    }

    /// Gives the application the messages that have come whole, until it has no room for one.
    fn hand_on(&mut self, now: Instant) {
        while self.held.is_none() {
            match self.frames.next() {
                Ok(Some(message)) => self.held = self.line.deliver(message).err(),
                Ok(None) => return,
                Err(_) => return self.end(now, TransportError::Closed),
            }
        }
    }

    fn write(&mut self, stream: StreamId) {
        while !self.finished {
            if self.unsent.is_empty() {
                // Before the answer nothing but the opening.
                match self.told.is_none().then(|| self.line.next_control()).flatten() {
                    Some(frame) => self.unsent = frame,
                    None if self.line.how_to_end() == End::Finish => {
                        self.finished = true;
                        // It fails if the relay has ended it, which comes to the same.
                        let _ = self.connection.send_stream(stream).finish();
                        return;
                    }
                    None => return,
                }
            }
            match self.connection.send_stream(stream).write(&self.unsent) {
                Ok(written) => self.unsent.advance(written.min(self.unsent.len())),
                Err(_) => return,
            }
        }
    }

    fn handle_packets(&mut self) {
        self.line.take_media(&mut self.packets);
        for packet in self.packets.drain(..) {
            if self.told.is_none() {
                // It fails if the way has become too narrow, which loses the packet as any way may.
                let _ = self.connection.datagrams().send(packet, true);
            }
        }
    }

    /// Ends the connection from this side, and says why if anybody still asks.
    fn end(&mut self, now: Instant, why: TransportError) {
        self.fail(why);
        self.connection.close(now, DONE, Bytes::new());
    }

    fn fail(&mut self, why: TransportError) {
        // Whoever asked may have given up in the meantime.
        let _ = self.told.take().map(|told| told.send(Err(why)));
        self.line.hang_up();
    }
}

/// The error code of a connection that ends because all is said.
const DONE: VarInt = VarInt::from_u32(0);
/// How long the thread may take to notice what it was not woken for.
const TICK: Duration = Duration::from_secs(1);
/// Bytes, and pieces of the stream, that are handled at a time.
const CHUNK: usize = 16 * 1024;
const CHUNKS: usize = 8;
