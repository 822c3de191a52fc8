//! The thread of a connection: moves bytes between the session, the WebSocket and one UDP socket.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::{Events, Interest, Poll, Token, Waker, net::UdpSocket};

use super::{
    name::Address,
    peer::Brought,
    session::{Session, State},
    socket::{Read, Socket},
};
use crate::transport::{
    RoomHandle, TransportError,
    attempts::Claim,
    line::{End, Line},
};

pub(super) struct Worker {
    poll: Poll,
    socket: Socket,
    media: Media,
    session: Session,
    /// Where to tell whether this member is in the room; taken when that is clear.
    told: Option<mpsc::Sender<Result<(), TransportError>>>,
    packets: VecDeque<Bytes>,
}

/// The way of sealed packets, in and out.
struct Media {
    socket: UdpSocket,
    /// Media goes where the allow-list says, whatever a relay says.
    relay: IpAddr,
    line: Arc<Line>,
}

impl Media {
    fn take(&self, brought: Brought<'_>) {
        match brought {
            // What cannot leave now is lost, as on any network.
            Brought::Datagram(bytes, to) if to.ip() == self.relay => {
                let _ = self.socket.send_to(bytes, to);
            }
            Brought::Datagram(..) => {}
            Brought::Packet(packet) => {
                self.line.inbox.push_media(Bytes::copy_from_slice(packet));
            }
        }
    }
}

impl Worker {
    /// Opens the WebSocket, which takes until the deadline at most.
    pub(super) fn new(
        address: Address<'_>,
        remote: SocketAddr,
        handle: RoomHandle,
        deadline: Instant,
        claim: &Claim,
        told: mpsc::Sender<Result<(), TransportError>>,
    ) -> Result<Self, TransportError> {
        let exhausted = |_| TransportError::Exhausted;
        let mut poll = Poll::new().map_err(exhausted)?;
        let waker = Waker::new(poll.registry(), WAKE).map_err(exhausted)?;
        let any = match remote {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut udp = UdpSocket::bind(any).map_err(exhausted)?;
        poll.registry().register(&mut udp, MEDIA, Interest::READABLE).map_err(exhausted)?;
        let port = udp.local_addr().map_err(exhausted)?.port();
        let socket = Socket::open(address, remote, &mut poll, SIGNALS, deadline, claim)?;
        let here = SocketAddr::new(socket.local.ip(), port);
        let media =
            Media { socket: udp, relay: socket.remote.ip(), line: Arc::new(Line::new(Arc::new(waker))) };
        let session = Session::new(handle, here, Instant::now());
        Ok(Self { poll, socket, media, session, told: Some(told), packets: VecDeque::new() })
    }

    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.media.line)
    }

    /// Serves the connection until it has ended.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(16);
        let why = loop {
            let more = self.turn();
            if let State::Over(why) = self.session.state() {
                break why;
            }
            let until = self.session.poll_timeout();
            let left = if more { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
            // What wakes it without anything to do costs one turn.
            let _ = self.poll.poll(&mut events, Some(left));
        };
        self.socket.close();
        // Whoever asked may have given up in the meantime.
        let _ = self.told.take().map(|told| told.send(Err(why)));
    }

    /// Does all that is to be done now, or some of it and says that there is more.
    fn turn(&mut self) -> bool {
        let Self { socket, media, session, told, packets, .. } = self;
        let mut more = Self::read_texts(socket, session);
        more |= Self::read_datagrams(media, session);
        if session.state() == State::Joined && told.is_some() {
            let _ = told.take().map(|told| told.send(Ok(())));
        }
        media.line.take_media(packets);
        let closing = media.line.how_to_end() != End::NotYet;
        let now = Instant::now();
        for packet in packets.drain(..) {
            session.send(&packet, now, |brought| media.take(brought));
        }
        if closing && session.state() != State::Leaving {
            session.leave(now, |brought| media.take(brought));
        }
        session.handle_timeout(now, |brought| media.take(brought));
        while let Some(text) = session.poll_text() {
            if !socket.write(text) {
                session.fail(TransportError::Closed);
            }
        }
        if !socket.flush() {
            session.fail(TransportError::Closed);
        }
        more
    }

    fn read_texts(socket: &mut Socket, session: &mut Session) -> bool {
        for _ in 0..AT_ONCE {
            match socket.read() {
                Read::Text(text) => session.handle_text(&text, Instant::now()),
                Read::Other => {}
                Read::Nothing => return false,
                Read::Over => {
                    session.fail(TransportError::Refused);
                    return false;
                }
            }
        }
        true
    }

    fn read_datagrams(media: &Media, session: &mut Session) -> bool {
        let mut buffer = [0; LONGEST_DATAGRAM];
        for _ in 0..AT_ONCE {
            let (length, from) = match media.socket.recv_from(&mut buffer) {
                Ok(arrived) => arrived,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // What the other side refuses for the moment is no end of all datagrams.
                Err(_) => continue,
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            if from.ip() == media.relay {
                session.handle_datagram(from, bytes, Instant::now(), |brought| media.take(brought));
            }
        }
        true
    }
}

const SIGNALS: Token = Token(0);
const MEDIA: Token = Token(1);
const WAKE: Token = Token(2);
/// Messages, and datagrams, that are handled before anything else has its turn.
const AT_ONCE: usize = 64;
/// Longer than any that carries a sealed packet.
const LONGEST_DATAGRAM: usize = 2_000;
