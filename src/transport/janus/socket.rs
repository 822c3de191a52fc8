//! The WebSocket to Janus: opening it in bounded time, and messages of bounded size.

use std::{
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpStream as Blocking},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use tungstenite::{
    ClientHandshake, Error, HandshakeError, Message, WebSocket,
    client::{IntoClientRequest, client_with_config},
    http::HeaderValue,
    protocol::WebSocketConfig,
};

use super::name::{Address, Security};
use crate::transport::{TransportError, attempts::Claim, certificate};

pub(super) struct Socket {
    inner: WebSocket<Stream>,
    /// Where the relay is, and where it sees us.
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
}

/// What a socket has come to.
pub(super) enum Read {
    Text(String),
    /// Something else.
    Other,
    /// Nothing yet.
    Nothing,
    /// The connection is over, or what came cannot be part of one.
    Over,
}

impl Socket {
    pub(super) fn open(
        address: Address<'_>,
        remote: SocketAddr,
        poll: &mut Poll,
        token: Token,
        deadline: Instant,
        claim: &Claim,
    ) -> Result<Self, TransportError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TransportError::Unreachable);
        }
        let exhausted = |_| TransportError::Exhausted;
        let stream = Blocking::connect_timeout(&remote, left).map_err(|_| TransportError::Unreachable)?;
        if !claim.take() {
            return Err(TransportError::Unreachable);
        }
        let local = stream.local_addr().map_err(|_| TransportError::Unreachable)?;
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(exhausted)?;
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, token, interest).map_err(exhausted)?;
        let (stream, rejected) = Stream::new(stream, address)?;
        // What is below is a matter of the stream.
        let url = format!("ws://{}{}", address.host_and_port, address.path);
        let mut request = url.into_client_request().map_err(|_| TransportError::Unreachable)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(LONGEST_BACKLOG)
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let mut shaken = client_with_config(request, stream, Some(config));
        let mut events = Events::with_capacity(8);
        loop {
            let half: tungstenite::handshake::MidHandshake<ClientHandshake<Stream>> = match shaken {
                Ok((inner, _)) => return Ok(Self { inner, remote, local }),
                Err(HandshakeError::Failure(_)) if rejected.load(Ordering::Relaxed) => {
                    return Err(TransportError::WrongCertificate);
                }
                Err(HandshakeError::Failure(_)) => return Err(TransportError::Refused),
                Err(HandshakeError::Interrupted(half)) => half,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TransportError::Unreachable);
            }
            match poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(TransportError::Exhausted);
                }
                _ => shaken = half.handshake(),
            }
        }
    }

    pub(super) fn read(&mut self) -> Read {
        match self.inner.read() {
            Ok(Message::Text(text)) => Read::Text(text.to_string()),
            // Pings are answered below, the rest is not Janus.
            Ok(_) => Read::Other,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::Over,
        }
    }

    /// False if it cannot be sent, now or later.
    pub(super) fn write(&mut self, text: String) -> bool {
        goes_on(self.inner.write(Message::text(text)))
    }

    /// Sends what could not be sent before.
    pub(super) fn flush(&mut self) -> bool {
        goes_on(self.inner.flush())
    }

    pub(super) fn close(&mut self) {
        // The other side may be gone, which is the same.
        let _ = self.inner.close(None);
        let _ = self.inner.flush();
    }
}

fn goes_on(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Io(error)) => error.kind() == ErrorKind::WouldBlock,
        Err(_) => false,
    }
}

/// TCP, or TLS over it.
enum Stream {
    Plain(TcpStream),
    Sealed(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The stream, and where it says that what answers has another certificate.
    fn new(inner: TcpStream, address: Address<'_>) -> Result<(Self, Arc<AtomicBool>), TransportError> {
        let pin = match address.security {
            Security::None => return Ok((Self::Plain(inner), Arc::default())),
            Security::WebPki => None,
            Security::Pinned(pin) => Some(pin),
        };
        let (config, rejected) = certificate::client(pin).ok_or(TransportError::Exhausted)?;
        let host = ServerName::try_from(address.host.to_owned()).map_err(|_| TransportError::Unreachable)?;
        let tls = ClientConnection::new(Arc::new(config), host).map_err(|_| TransportError::Exhausted)?;
        Ok((Self::Sealed(Box::new(StreamOwned::new(tls, inner))), rejected))
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Sealed(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Sealed(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Sealed(stream) => stream.flush(),
        }
    }
}

/// What Janus says of a room with 64 speakers has some 20 KiB.
const LONGEST_MESSAGE: usize = 128 * 1024;
const READ_BUFFER: usize = 16 * 1024;
/// What may wait for a relay that does not read.
const LONGEST_BACKLOG: usize = 256 * 1024;
