//! The interface between a room and the relay that carries its bytes (SPEC section 8).
//!
//! ```text
//! room bytes   -> send_control -> relay -> receive -> room
//! sealed audio -> send_media   -> relay -> receive -> opener
//! ```
//!
//! A relay is never trusted: it sees only sealed bytes, and the planes above notice when it drops,
//! delays, repeats or invents messages. A transport therefore needs no cryptography of its own.
//!
//! # Waiting
//!
//! A client in here that waits leaves a waker, so it runs on any executor and without one
//! ([`block_on`]). It depends on no async runtime:
//!
//! ```text
//! executor: receive -> nothing there: leaves a waker, Pending ....... woken, polled, Inbound
//! thread of the connection: sockets ready -> inbox -> wakes it --------^
//! timer thread, one for the process: `until` has come -> wakes it -----^
//! ```
//!
//! One thread for each connection owns the sockets (`mio`) and bounded queues both ways; only the
//! client over TCP and UDP sends packets directly, from the caller's thread into its socket.
//! Connecting uses another thread for as long as it takes, since looking up a name blocks. A client
//! therefore works even while the runtime's thread is blocked, and [`block_on`] inside a runtime
//! returns, although it blocks that runtime's thread meanwhile. One reactor for all sockets of the
//! process would save the threads, at the price of a second queue for each packet or of an async
//! runtime.

#[cfg(feature = "janus")]
pub mod janus;
pub mod loopback;
#[cfg(feature = "moq")]
pub mod moq;
#[cfg(feature = "quic")]
pub mod quic;
#[cfg(feature = "rtpengine")]
pub mod rtpengine;
#[cfg(feature = "net")]
pub mod tcp_udp;

#[cfg(any(feature = "quic", feature = "janus"))]
mod address;
mod alarm;
#[cfg(feature = "net")]
mod answer;
#[cfg(feature = "net")]
mod attempts;
#[cfg(any(feature = "quic", feature = "janus"))]
mod certificate;
mod faults;
#[cfg(feature = "net")]
mod inbox;
#[cfg(feature = "net")]
mod line;
#[cfg(feature = "net")]
mod revoke;
mod split;
#[cfg(feature = "net")]
mod stats;

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Instant, SystemTime},
};

use bytes::Bytes;

#[cfg(feature = "room")]
pub(crate) use alarm::Alarm;
pub(crate) use faults::Dice;
pub use faults::{InvalidPercent, Percent};
pub use split::Split;
#[cfg(feature = "net")]
pub use stats::{ConnectionStats, Count, LaneStats, PathStats};

pub use crate::lane::{InvalidRelayName, MAX_CONTROL, MAX_MEDIA, Part, RelayName, RoomHandle};

/// Carries one member's control messages and sealed packets to the other members of a room.
///
/// The control lane is reliable and keeps the order of each sender's messages; messages of
/// different senders may arrive in any order. The media lane drops packets rather than wait. Both
/// lanes deliver to every other member and never back to the sender, although a room survives a
/// relay that does otherwise.
///
/// No method names an async runtime. A future never blocks the thread that polls it: other tasks of
/// the same executor run while it waits, and timers around it fire on time. SPEC section 8.1 says
/// what an adapter must do, and the module `conformance`, behind the feature of that name, tests
/// it.
pub trait Transport: Send {
    /// Every relay that this transport talks to, under its name in the room's allow-list: usually
    /// one, two for a [`Split`], never none.
    ///
    /// The driver checks that all of them are on the list before it calls any other method, so an
    /// adapter must not contact anybody (not even to look up a name) before then. The answer never
    /// changes. A transport that wraps another one returns the other's relays.
    fn relays(&self) -> Vec<&RelayName>;

    /// Sets which part this member takes in the rooms that it connects to from now on; until this
    /// is called it sends and receives. The default implementation does nothing, which is right for
    /// relays that know no parts.
    fn set_part(&mut self, part: Part) {
        let _ = part;
    }

    /// Opens the connection into the room that the relay knows as `handle`.
    ///
    /// It may be called again at any time: the new connection replaces an old one, and everything
    /// that had arrived on the old one but was not received is lost. A call that fails or is
    /// cancelled leaves the transport closed.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] if there is no such relay, [`TransportError::Busy`] if the
    /// relay has no place, [`TransportError::Refused`] if it turns the member away,
    /// [`TransportError::WrongCertificate`] if somebody else answers, [`TransportError::NoMedia`]
    /// if only the control lane works, [`TransportError::Exhausted`] if this device has no sockets
    /// or threads left.
    fn connect(&mut self, handle: RoomHandle) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Sends one control message, at most [`MAX_CONTROL`] bytes, reliably and in order.
    ///
    /// The adapter's queue must be bounded. While it is full this waits, so a sender is slowed down
    /// and nothing is lost. A future that is cancelled has sent either the whole message or nothing
    /// of it, so a message that is sent again may arrive twice.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`], or [`TransportError::Closed`] once the lane is gone.
    fn send_control(&mut self, message: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Sends one sealed packet of at least one byte immediately, or drops it silently. Never waits:
    /// a packet that is late is worth less than the next one.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`] above [`MAX_MEDIA`] bytes, or [`TransportError::Closed`].
    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError>;

    /// Waits for the next message or packet, at most until `until`.
    ///
    /// If `until` has passed, this takes what has already arrived, if anything, and returns at
    /// once. Cancelling the future loses nothing. Messages and packets that arrived before the
    /// connection was lost are still delivered. The queue of what waits to be received is bounded:
    /// packets beyond the bound are dropped, and messages beyond it stay at the relay, or end the
    /// connection.
    ///
    /// # Errors
    /// [`TransportError::Closed`] when nothing can arrive any more.
    fn receive(&mut self, until: Instant) -> impl Future<Output = Result<Inbound, TransportError>> + Send;

    /// Closes both lanes once the control messages that were sent have left, or after a bounded
    /// wait.
    ///
    /// From then on every method but `relays`, `connect`, `close`, `now` and `wall` fails with
    /// [`TransportError::Closed`].
    fn close(&mut self) -> impl Future<Output = ()> + Send;

    /// When the relay gave its last sign of life on this connection, on the clock of
    /// [`now`](Self::now). Everything that comes from the relay counts, even an answer to a ping of
    /// the adapter.
    ///
    /// An adapter that implements this pings once a second, and more often while it has no answer.
    /// `None` from adapters that do not ping, and without a connection: then only an error shows
    /// that the relay is gone.
    fn heard(&self) -> Option<Instant> {
        None
    }

    /// The time by which `until` is measured.
    ///
    /// Rooms and media never read a clock; they get the time from here. A simulated transport
    /// returns its own time, and everything above it then runs on that.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// The time of day, which goes on while the device sleeps; [`now`](Self::now) stands still then
    /// on most systems.
    ///
    /// `None` where time is simulated and no device sleeps. An adapter that implements `now` has to
    /// implement this as well.
    fn wall(&self) -> Option<SystemTime> {
        Some(SystemTime::now())
    }
}

/// [`Transport`] without `Send`, for executors whose futures stay on one thread, as in a browser.
///
/// Every [`Transport`] implements it, and [`Session`](crate::driver::Session) requires no more. An
/// adapter implements [`Transport`] if its futures can move to another thread, and this trait if
/// they cannot; the methods are the same.
pub trait LocalTransport {
    /// As [`Transport::relays`].
    fn relays(&self) -> Vec<&RelayName>;

    /// As [`Transport::connect`].
    ///
    /// # Errors
    /// As there.
    fn connect(&mut self, handle: RoomHandle) -> impl Future<Output = Result<(), TransportError>>;

    /// As [`Transport::send_control`].
    ///
    /// # Errors
    /// As there.
    fn send_control(&mut self, message: Bytes) -> impl Future<Output = Result<(), TransportError>>;

    /// As [`Transport::send_media`].
    ///
    /// # Errors
    /// As there.
    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError>;

    /// As [`Transport::receive`].
    ///
    /// # Errors
    /// As there.
    fn receive(&mut self, until: Instant) -> impl Future<Output = Result<Inbound, TransportError>>;

    /// As [`Transport::close`].
    fn close(&mut self) -> impl Future<Output = ()>;

    /// As [`Transport::heard`].
    fn heard(&self) -> Option<Instant> {
        None
    }

    /// As [`Transport::now`].
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// As [`Transport::wall`].
    fn wall(&self) -> Option<SystemTime> {
        Some(SystemTime::now())
    }
}

impl<T: Transport> LocalTransport for T {
    fn relays(&self) -> Vec<&RelayName> {
        Transport::relays(self)
    }

    fn connect(&mut self, handle: RoomHandle) -> impl Future<Output = Result<(), TransportError>> {
        Transport::connect(self, handle)
    }

    fn send_control(&mut self, message: Bytes) -> impl Future<Output = Result<(), TransportError>> {
        Transport::send_control(self, message)
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        Transport::send_media(self, packet)
    }

    fn receive(&mut self, until: Instant) -> impl Future<Output = Result<Inbound, TransportError>> {
        Transport::receive(self, until)
    }

    fn close(&mut self) -> impl Future<Output = ()> {
        Transport::close(self)
    }

    fn heard(&self) -> Option<Instant> {
        Transport::heard(self)
    }

    fn now(&self) -> Instant {
        Transport::now(self)
    }

    fn wall(&self) -> Option<SystemTime> {
        Transport::wall(self)
    }
}

/// The result of [`Transport::receive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// One control message of another member, for the room.
    Control(Bytes),
    /// One sealed packet of another member, for the opener.
    Media(Bytes),
    /// Nothing arrived until `until`.
    Idle,
}

/// Why a call of a transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// Nobody answers at the relay's address. Try again later, or try another relay of the
    /// allow-list.
    Unreachable,
    /// The relay, or the room on it, is full. Try again later, or try another relay of the
    /// allow-list.
    Busy,
    /// The server that answers does not speak our protocol, or refuses us. Take another relay of
    /// the allow-list.
    Refused,
    /// The server that answers has a certificate other than that in the relay's name. An attacker
    /// may be in between. Take another relay of the allow-list.
    WrongCertificate,
    /// The control lane works, but no datagram gets through. Take another relay, or another
    /// network.
    NoMedia,
    /// This device has no socket or thread left for the connection. Free some, then connect again.
    Exhausted,
    /// The message or packet is longer than its lane carries, and none of it was sent.
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The most that this lane carries: [`MAX_CONTROL`] or [`MAX_MEDIA`].
        limit: usize,
    },
    /// There is no connection, or it was lost. Connect again.
    Closed,
}

/// Runs a future to its end on this thread, for callers without an async runtime.
///
/// The thread sleeps until the future is woken. Inside an async runtime this blocks the runtime's
/// thread. A future of this crate completes all the same, but a future that only this thread could
/// wake never does.
///
/// ```
/// assert_eq!(sottovoce::transport::block_on(async { 6 * 7 }), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    thread_local! {
        // One waker for all calls, so that a call allocates nothing, and a late wake frees nothing.
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    let waker = WAKER.with(Waker::clone);
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake that came in between makes this return at once.
            Poll::Pending => thread::park(),
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the relay does not answer"),
            Self::Busy => f.write_str("the relay has no place left"),
            Self::Refused => f.write_str("the relay refused the connection"),
            Self::WrongCertificate => {
                f.write_str("the server that answers has another certificate than the relay")
            }
            Self::NoMedia => f.write_str("the relay's datagrams do not get through"),
            Self::Exhausted => f.write_str("no socket or thread is left for the connection"),
            Self::TooLarge { length, limit } => {
                write!(f, "{length} bytes on a lane that carries at most {limit} at once")
            }
            Self::Closed => f.write_str("the connection to the relay is closed"),
        }
    }
}

impl Error for TransportError {}

/// Refuses a message or packet that is longer than its lane carries.
pub(crate) fn check_length(length: usize, limit: usize) -> Result<(), TransportError> {
    if length > limit { Err(TransportError::TooLarge { length, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{task::Poll, time::Duration};

    use super::*;

    #[test]
    fn block_on_sleeps_until_another_thread_wakes_it() {
        let mut waker_gone = false;
        let answer = block_on(std::future::poll_fn(|context| {
            if waker_gone {
                return Poll::Ready(7);
            }
            waker_gone = true;
            let waker = context.waker().clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                waker.wake();
            });
            Poll::Pending
        }));
        assert_eq!(answer, 7);
    }

    #[test]
    fn errors_say_what_was_wrong() {
        let error = check_length(1_101, MAX_MEDIA).unwrap_err();
        assert_eq!(error.to_string(), "1101 bytes on a lane that carries at most 1100 at once");
        assert_eq!(check_length(MAX_CONTROL, MAX_CONTROL), Ok(()));
    }
}
