//! A QUIC connection as `moq-net` wants one: streams and datagrams that are polled.
//!
//! ```text
//! moq-net -> Session, Outgoing, Incoming -> quinn-proto        (calls, which park a waker if there is nothing to do)
//! thread of the connection -> Link::handle_events -> wakers    (what came in wakes who waits for it)
//! ```
//!
//! Everything happens on the thread of the connection; the lock is there because `moq-net` wants to
//! be able to move a session.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use moq_net::web_transport_trait::{Stats, poll};
use quinn_proto::{Connection, ConnectionError, Dir, Event, StreamEvent, StreamId, VarInt};

use super::streams::{Codes, Fault, Incoming, Outgoing};

/// The connection and who waits for something of it.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// What the last turn of the thread began at.
    pub(super) now: Instant,
    /// The relay has opened a stream, which it does when it has let us in.
    pub(super) greeted: bool,
    lost: Option<Fault>,
    /// Streams that we have ended, and of which not everything has arrived.
    pub(super) unacknowledged: HashSet<StreamId>,
    pub(super) waiting: Waiting,
}

/// Wakers, by what they wait for.
#[derive(Default)]
pub(super) struct Waiting {
    accept: Both,
    open: Both,
    datagram: Vec<Waker>,
    closed: Vec<Waker>,
    pub(super) readable: HashMap<StreamId, Vec<Waker>>,
    pub(super) writable: HashMap<StreamId, Vec<Waker>>,
    pub(super) acknowledged: HashMap<StreamId, Vec<Waker>>,
}

/// Wakers, by the direction of the stream that they wait for.
#[derive(Default)]
struct Both {
    bi: Vec<Waker>,
    uni: Vec<Waker>,
}

impl Both {
    fn of(&mut self, dir: Dir) -> &mut Vec<Waker> {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }
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
                    wake(waiting.accept.of(dir));
                }
                Event::Stream(StreamEvent::Available { dir }) => wake(waiting.open.of(dir)),
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
        let Waiting { accept, open, datagram, closed, readable, writable, acknowledged } = waiting;
        let streams = [readable, writable, acknowledged];
        let one = [accept.bi, accept.uni, open.bi, open.uni, datagram, closed];
        let all = one.into_iter().chain(streams.into_iter().flat_map(HashMap::into_values));
        all.flatten().for_each(Waker::wake);
    }

    /// Whether all that was said on streams that were ended has arrived.
    pub(super) fn has_arrived(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
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
        park(link.waiting.accept.of(dir), cx)
    }

    fn open(&self, dir: Dir, cx: &Context<'_>) -> Poll<Result<StreamId, Fault>> {
        let mut link = lock(&self.link);
        link.check()?;
        match link.connection.streams().open(dir) {
            Some(id) => Poll::Ready(Ok(id)),
            None => park(link.waiting.open.of(dir), cx),
        }
    }

    fn outgoing(&self, id: StreamId) -> Outgoing {
        Outgoing { link: Arc::clone(&self.link), id, codes: self.codes, ended: false }
    }

    fn incoming(&self, id: StreamId) -> Incoming {
        Incoming { link: Arc::clone(&self.link), id, codes: self.codes, taken: 0, ended: false }
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

// Nothing panics while it holds the lock, and what it guards is valid after every statement.
pub(super) fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers who waits, once.
pub(super) fn park<T>(waiting: &mut Vec<Waker>, cx: &Context<'_>) -> Poll<T> {
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
