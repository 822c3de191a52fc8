//! A UDP socket that one thread waits for, and can be woken from.

use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

/// What came in one UDP datagram.
pub(crate) struct Arrived {
    pub(crate) from: SocketAddr,
    pub(crate) to: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) bytes: BytesMut,
}

/// Reads many datagrams a system call where the system can, and never waits but in
/// [`Socket::wait`].
pub(crate) struct Socket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    buffer: Vec<u8>,
    /// There may be more to read, which is told only once.
    more: bool,
}

impl Socket {
    /// A socket at this address that reads `batch` datagrams, or runs of equal ones, at a time.
    pub(crate) fn bind(address: SocketAddr, batch: usize) -> io::Result<Self> {
        let mut socket = mio::net::UdpSocket::bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // As much as the system allows: acknowledgements of a thousand members come all at once.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER);
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WOKEN)?);
        let buffer = vec![0; batch.clamp(1, quinn_udp::BATCH_SIZE) * DATAGRAM_MAX * state.gro_segments()];
        Ok(Self { socket, state, poll, events: Events::with_capacity(4), waker, buffer, more: true })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What ends a wait from another thread.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// How many datagrams of one connection may go in one call.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Waits until something comes, somebody wakes, or that time.
    pub(crate) fn wait(&mut self, until: Instant) {
        let until = if self.more { Instant::now() } else { until };
        let left = until.saturating_duration_since(Instant::now());
        // It fails when a signal comes, which is as good as being woken.
        let _ = self.poll.poll(&mut self.events, Some(left));
    }

    /// Takes what has come. False once there is nothing more.
    pub(crate) fn receive(&mut self, mut handle: impl FnMut(Arrived)) -> bool {
        let chunk = DATAGRAM_MAX * self.state.gro_segments();
        let mut slices: Vec<_> = self.buffer.chunks_exact_mut(chunk).map(IoSliceMut::new).collect();
        let mut metas = vec![RecvMeta::default(); slices.len()];
        let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
            Ok(count) => count,
            Err(error) => {
                // Otherwise somebody's port is closed: that is for the connection's own timers.
                self.more = !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                return self.more;
            }
        };
        self.more = true;
        for (meta, slice) in metas.iter().zip(&slices).take(count) {
            let run = slice.get(..meta.len).unwrap_or_default();
            for datagram in run.chunks(meta.stride.max(1)) {
                handle(Arrived {
                    from: meta.addr,
                    to: meta.dst_ip,
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    bytes: BytesMut::from(datagram),
                });
            }
        }
        true
    }

    /// Sends, or loses what cannot leave now: QUIC sends again what has to arrive.
    pub(crate) fn send(&self, transmit: &Transmit, buffer: &[u8]) {
        let contents = buffer.get(..transmit.size).unwrap_or_default();
        let _ = self.state.try_send(
            UdpSockRef::from(&self.socket),
            &quinn_udp::Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
                contents,
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            },
        );
    }
}

const SOCKET: Token = Token(0);
const WOKEN: Token = Token(1);
/// The longest datagram that is taken.
const DATAGRAM_MAX: usize = 1_472;
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
