//! A QUIC connection as `moq-net` wants one: streams and datagrams that are polled.
//!
//! ```text
//! moq-net -> Session, Outgoing, Incoming -> quinn-proto        (calls, which park a waker if there is nothing to do)
//! thread of the connection -> Link::handle_events -> wakers    (what came in wakes who waits for it)
//! ```
//!
//! Everything happens on the thread of the connection; the lock is there because `moq-net` wants to be able to move a session.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use moq_net::web_transport_trait::{Error, Stats, poll};
use quinn_proto::{
    Chunk, Connection, ConnectionError, Dir, Event, FinishError, ReadError, StreamEvent, StreamId, VarInt,
    WriteError,
};

/// The connection and who waits for something of it.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// What the last turn of the thread began at.
    pub(super) now: Instant,
    /// The relay has opened a stream, which it does when it has let us in.
    pub(super) greeted: bool,
    lost: Option<Fault>,
    /// Streams that we have ended, and of which not everything has arrived.
    unacknowledged: HashSet<StreamId>,
    waiting: Waiting,
}

/// Wakers, by what they wait for.
#[derive(Default)]
struct Waiting {
    accept: [Vec<Waker>; 2],
    open: [Vec<Waker>; 2],
    datagram: Vec<Waker>,
    closed: Vec<Waker>,
    readable: HashMap<StreamId, Vec<Waker>>,
    writable: HashMap<StreamId, Vec<Waker>>,
    acknowledged: HashMap<StreamId, Vec<Waker>>,
}

impl Link {
    pub(super) fn new(connection: Connection, now: Instant) -> Self {
        Self {
            connection,
            now,
            greeted: false,
            lost: None,
            unacknowledged: HashSet::new(),
            waiting: Waiting::default(),
        }
    }

    /// Wakes whoever waits for what has happened. Gives the reason if the connection was lost.
    pub(super) fn handle_events(&mut self) -> Option<ConnectionError> {
        let mut lost = None;
        while let Some(event) = self.connection.poll() {
            let waiting = &mut self.waiting;
            match event {
                Event::DatagramReceived => wake(&mut waiting.datagram),
                Event::Stream(StreamEvent::Opened { dir }) => {
                    self.greeted = true;
                    wake(&mut waiting.accept[index(dir)]);
                }
                Event::Stream(StreamEvent::Available { dir }) => wake(&mut waiting.open[index(dir)]),
                Event::Stream(StreamEvent::Readable { id }) => wake_stream(&mut waiting.readable, id),
                Event::Stream(StreamEvent::Writable { id }) => wake_stream(&mut waiting.writable, id),
                Event::Stream(StreamEvent::Finished { id }) => {
                    self.unacknowledged.remove(&id);
                    wake_stream(&mut waiting.acknowledged, id);
                }
                Event::Stream(StreamEvent::Stopped { id, .. }) => {
                    self.unacknowledged.remove(&id);
                    wake_stream(&mut waiting.writable, id);
                    wake_stream(&mut waiting.acknowledged, id);
                }
                Event::ConnectionLost { reason } => {
                    self.lose(Fault::from(&reason));
                    lost = Some(reason);
                }
                _ => {}
            }
        }
        lost
    }

    fn lose(&mut self, fault: Fault) {
        self.lost.get_or_insert(fault);
        let waiting = std::mem::take(&mut self.waiting);
        let streams = [waiting.readable, waiting.writable, waiting.acknowledged];
        let one = waiting.accept.into_iter().chain(waiting.open).chain([waiting.datagram, waiting.closed]);
        one.chain(streams.into_iter().flat_map(HashMap::into_values)).flatten().for_each(Waker::wake);
    }

    /// Whether all that was said on streams that were ended has arrived.
    pub(super) fn has_arrived(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    fn check(&self) -> Result<(), Fault> {
        self.lost.clone().map_or(Ok(()), Err)
    }
}

/// One of the handles that `moq-net` makes of the connection.
#[derive(Clone)]
pub(super) struct Session {
    link: Arc<Mutex<Link>>,
    protocol: Arc<str>,
    codes: Codes,
}

/// How codes of streams stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    Plain,
    /// In the space of HTTP/3, where WebTransport has them: relays are about that end a session over others, without WebTransport too.
    WebTransport,
}

impl Codes {
    fn on_the_wire(self, code: u32) -> VarInt {
        let code = u64::from(code);
        match self {
            Self::Plain => VarInt::from_u64(code).unwrap_or(VarInt::MAX),
            // draft-ietf-webtrans-http3, section 4.4: every 31st is reserved.
            Self::WebTransport => {
                VarInt::from_u64(0x52e4_a40f_a8db + code + code / 0x1e).unwrap_or(VarInt::MAX)
            }
        }
    }
}

impl Session {
    /// A session on this connection, whose handshake has agreed upon this protocol.
    pub(super) fn new(link: Arc<Mutex<Link>>, protocol: &str, codes: Codes) -> Self {
        Self { link, protocol: Arc::from(protocol), codes }
    }

    fn accept(&self, dir: Dir, cx: &Context<'_>) -> Poll<Result<StreamId, Fault>> {
        let mut link = lock(&self.link);
        if let Some(id) = link.connection.streams().accept(dir) {
            return Poll::Ready(Ok(id));
        }
        link.check()?;
        park(&mut link.waiting.accept[index(dir)], cx)
    }

    fn open(&self, dir: Dir, cx: &Context<'_>) -> Poll<Result<StreamId, Fault>> {
        let mut link = lock(&self.link);
        link.check()?;
        match link.connection.streams().open(dir) {
            Some(id) => Poll::Ready(Ok(id)),
            None => park(&mut link.waiting.open[index(dir)], cx),
        }
    }

    fn outgoing(&self, id: StreamId) -> Outgoing {
        Outgoing { link: Arc::clone(&self.link), id, codes: self.codes, ended: false }
    }

    fn incoming(&self, id: StreamId) -> Incoming {
        Incoming { link: Arc::clone(&self.link), id, codes: self.codes, ended: false }
    }
}

impl poll::Session for Session {
    type SendStream = Outgoing;
    type RecvStream = Incoming;
    type Error = Fault;

    fn poll_accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Fault>> {
        self.accept(Dir::Uni, cx).map_ok(|id| self.incoming(id))
    }

    fn poll_accept_bi(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Outgoing, Incoming), Fault>> {
        self.accept(Dir::Bi, cx).map_ok(|id| (self.outgoing(id), self.incoming(id)))
    }

    fn poll_open_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outgoing, Fault>> {
        self.open(Dir::Uni, cx).map_ok(|id| self.outgoing(id))
    }

    fn poll_open_bi(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Outgoing, Incoming), Fault>> {
        self.open(Dir::Bi, cx).map_ok(|id| (self.outgoing(id), self.incoming(id)))
    }

    fn poll_send_datagram(&mut self, _: &mut Context<'_>, payload: &[u8]) -> Poll<Result<(), Fault>> {
        let mut link = lock(&self.link);
        link.check()?;
        // What is too large, or finds no room, is lost as on any network.
        let _ = link.connection.datagrams().send(Bytes::copy_from_slice(payload), true);
        Poll::Ready(Ok(()))
    }

    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Fault>> {
        let mut link = lock(&self.link);
        if let Some(datagram) = link.connection.datagrams().recv() {
            return Poll::Ready(Ok(datagram));
        }
        link.check()?;
        park(&mut link.waiting.datagram, cx)
    }

    fn max_datagram_size(&self) -> usize {
        lock(&self.link).connection.datagrams().max_size().unwrap_or_default()
    }

    fn protocol(&self) -> Option<&str> {
        Some(&self.protocol)
    }

    fn close(&mut self, code: u32, reason: &str) {
        let mut link = lock(&self.link);
        if link.lost.is_some() {
            return;
        }
        let now = link.now;
        link.connection.close(now, VarInt::from_u32(code), Bytes::copy_from_slice(reason.as_bytes()));
        link.lose(Fault::Ended(Some((code, reason.to_owned()))));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        let mut link = lock(&self.link);
        match link.check() {
            Err(fault) => Poll::Ready(fault),
            Ok(()) => park(&mut link.waiting.closed, cx),
        }
    }

    fn stats(&self) -> impl Stats {
        RoundTrip(lock(&self.link).connection.rtt())
    }
}

/// What `moq-net` is told of the way.
struct RoundTrip(Duration);

impl Stats for RoundTrip {
    fn rtt(&self) -> Option<Duration> {
        Some(self.0)
    }
}

/// A stream to the relay.
pub(super) struct Outgoing {
    link: Arc<Mutex<Link>>,
    id: StreamId,
    codes: Codes,
    /// Finished, or reset.
    ended: bool,
}

impl poll::SendStream for Outgoing {
    type Error = Fault;

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Fault>> {
        let mut link = lock(&self.link);
        link.check()?;
        match link.connection.send_stream(self.id).write(bytes) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(WriteError::Blocked) => park(link.waiting.writable.entry(self.id).or_default(), cx),
            Err(WriteError::Stopped(code)) => Poll::Ready(Err(Fault::Stream(short(code)))),
            Err(WriteError::ClosedStream) => Poll::Ready(Err(Fault::Over)),
        }
    }

    fn set_priority(&mut self, order: u8) {
        // It fails if the stream has ended, and then nothing has priority.
        let _ = lock(&self.link).connection.send_stream(self.id).set_priority(order.into());
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.ended = true;
        let mut link = lock(&self.link);
        match link.connection.send_stream(self.id).finish() {
            Ok(()) => {
                link.unacknowledged.insert(self.id);
                Ok(())
            }
            Err(FinishError::Stopped(code)) => Err(Fault::Stream(short(code))),
            Err(FinishError::ClosedStream) => Err(Fault::Over),
        }
    }

    fn reset(&mut self, code: u32) {
        self.ended = true;
        let mut link = lock(&self.link);
        link.unacknowledged.remove(&self.id);
        // It fails if the stream has ended.
        let _ = link.connection.send_stream(self.id).reset(self.codes.on_the_wire(code));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut link = lock(&self.link);
        match link.connection.send_stream(self.id).stopped() {
            // Everything has been acknowledged, or was reset.
            Err(_) => Poll::Ready(Ok(())),
            Ok(Some(code)) => Poll::Ready(Err(Fault::Stream(short(code)))),
            Ok(None) => {
                link.check()?;
                park(link.waiting.acknowledged.entry(self.id).or_default(), cx)
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut link = lock(&self.link);
        link.waiting.writable.remove(&self.id);
        link.waiting.acknowledged.remove(&self.id);
        if !self.ended {
            // Half a message is worse than none.
            let _ = link.connection.send_stream(self.id).reset(self.codes.on_the_wire(0));
        }
    }
}

/// A stream of the relay's.
pub(super) struct Incoming {
    link: Arc<Mutex<Link>>,
    id: StreamId,
    codes: Codes,
    /// Read to its end, reset, or stopped.
    ended: bool,
}

impl Incoming {
    fn poll_chunk(&mut self, cx: &Context<'_>, most: usize) -> Poll<Result<Option<Bytes>, Fault>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        if most == 0 {
            return Poll::Ready(Ok(Some(Bytes::new())));
        }
        let mut link = lock(&self.link);
        let read = match link.connection.recv_stream(self.id).read(true) {
            Ok(mut chunks) => {
                let read = chunks.next(most);
                // What that tells the other side goes with everything else.
                let _ = chunks.finalize();
                read
            }
            Err(_) => return Poll::Ready(Err(Fault::Over)),
        };
        match read {
            Ok(Some(Chunk { bytes, .. })) => Poll::Ready(Ok(Some(bytes))),
            Ok(None) => {
                self.ended = true;
                Poll::Ready(Ok(None))
            }
            Err(ReadError::Reset(code)) => {
                self.ended = true;
                Poll::Ready(Err(Fault::Stream(short(code))))
            }
            Err(ReadError::Blocked) => {
                link.check()?;
                park(link.waiting.readable.entry(self.id).or_default(), cx)
            }
        }
    }
}

impl poll::RecvStream for Incoming {
    type Error = Fault;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<Option<usize>, Fault>> {
        self.poll_chunk(cx, into.len()).map_ok(|chunk| {
            chunk.map(|chunk| {
                let (start, _) = into.split_at_mut(chunk.len().min(into.len()));
                start.copy_from_slice(&chunk);
                start.len()
            })
        })
    }

    fn poll_read_buf<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut B,
    ) -> Poll<Result<Option<usize>, Fault>> {
        let most = into.chunk_mut().len();
        self.poll_chunk(cx, most).map_ok(|chunk| {
            chunk.map(|chunk| {
                let length = chunk.len();
                into.put(chunk);
                length
            })
        })
    }

    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Option<Bytes>, Fault>> {
        self.poll_chunk(cx, most)
    }

    fn stop(&mut self, code: u32) {
        self.ended = true;
        // It fails if the stream has ended.
        let _ = lock(&self.link).connection.recv_stream(self.id).stop(self.codes.on_the_wire(code));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut link = lock(&self.link);
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        match link.connection.recv_stream(self.id).received_reset() {
            Ok(None) => {
                link.check()?;
                park(link.waiting.readable.entry(self.id).or_default(), cx)
            }
            Ok(Some(_)) | Err(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut link = lock(&self.link);
        link.waiting.readable.remove(&self.id);
        if !self.ended {
            let _ = link.connection.recv_stream(self.id).stop(self.codes.on_the_wire(0));
        }
    }
}

/// Why a connection or a stream does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection has ended, with a code and a reason if either side gave them.
    Ended(Option<(u32, String)>),
    /// The relay has given the stream up, with this code.
    Stream(u32),
    /// The stream had ended already.
    Over,
}

impl From<&ConnectionError> for Fault {
    fn from(error: &ConnectionError) -> Self {
        Self::Ended(match error {
            ConnectionError::ApplicationClosed(close) => {
                Some((short(close.error_code), String::from_utf8_lossy(&close.reason).into_owned()))
            }
            _ => None,
        })
    }
}

impl Error for Fault {
    fn session_error(&self) -> Option<(u32, String)> {
        match self {
            Self::Ended(why) => why.clone(),
            _ => None,
        }
    }

    fn stream_error(&self) -> Option<u32> {
        match self {
            Self::Stream(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Some((code, _))) => write!(f, "the connection was ended with code {code}"),
            Self::Ended(None) => f.write_str("the connection was lost"),
            Self::Stream(code) => write!(f, "the stream was given up with code {code}"),
            Self::Over => f.write_str("the stream had ended"),
        }
    }
}

impl std::error::Error for Fault {}

// Nothing panics while it holds the lock, and what it guards is valid after every statement.
pub(super) fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers who waits, once.
fn park<T>(waiting: &mut Vec<Waker>, cx: &Context<'_>) -> Poll<T> {
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
    Poll::Pending
}

fn wake(waiting: &mut Vec<Waker>) {
    waiting.drain(..).for_each(Waker::wake);
}

fn wake_stream(waiting: &mut HashMap<StreamId, Vec<Waker>>, id: StreamId) {
    waiting.remove(&id).into_iter().flatten().for_each(Waker::wake);
}

fn index(dir: Dir) -> usize {
    match dir {
        Dir::Bi => 0,
        Dir::Uni => 1,
    }
}

/// Codes of MoQ are short; one that is not means nothing to us.
fn short(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}
