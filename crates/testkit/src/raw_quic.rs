//! QUIC spelled out: a client that need not keep to any rule, and a server that need not be a
//! relay.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, ReadError, ServerConfig, StreamId, Transmit, TransportConfig, VarInt, WriteError,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Believes anybody.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// TLS for a client that believes anybody.
pub fn credulous() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth()
}

/// One connection, driven by whoever waits for something.
pub struct Raw {
    socket: UdpSocket,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    pub connection: Connection,
    pub stream: Option<StreamId>,
    pub ended: Option<ConnectionError>,
    pub connected: bool,
}

impl Raw {
    /// Begins a handshake with this ALPN.
    pub fn start(remote: std::net::SocketAddr, alpn: &[u8]) -> Self {
        let mut tls = credulous();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(VarInt::from_u32(100_000)).receive_window(VarInt::from_u32(100_000));
        config.transport_config(Arc::new(transport));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let (handle, connection) = endpoint.connect(Instant::now(), config, remote, "x.example").unwrap();
        Self { socket, endpoint, handle, connection, stream: None, ended: None, connected: false }
    }

    /// A connection that is through the handshake, with a stream on which nothing was said.
    pub fn connect(remote: std::net::SocketAddr) -> Self {
        let mut raw = Self::start(remote, b"sottovoce/1");
        raw.drive_until(|raw| raw.connected);
        raw.stream = raw.connection.streams().open(Dir::Bi);
        raw
    }

    /// Goes on from another port, as when an address translator forgets or a telephone changes
    /// networks.
    pub fn move_elsewhere(&mut self) {
        self.socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    }

    /// Carries on until that holds, or the connection has ended.
    pub fn drive_until(&mut self, done: impl Fn(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) && self.ended.is_none() {
            assert!(Instant::now() < deadline, "this never happens");
            self.drive(Duration::from_millis(10));
        }
    }

    /// Sends what is to be sent, and takes what comes within that time.
    pub fn drive(&mut self, patience: Duration) {
        let now = Instant::now();
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        let mut buffer = Vec::new();
        while let Some(Transmit { destination, size, .. }) =
            self.connection.poll_transmit(now, 1, &mut buffer)
        {
            let _ = self.socket.send_to(&buffer[..size], destination);
            buffer.clear();
        }
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut datagram = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
            let bytes = BytesMut::from(&datagram[..length]);
            let event = self.endpoint.handle(Instant::now(), from, None, None, bytes, &mut buffer);
            if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                self.connection.handle_event(event);
            }
            self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => self.ended = Some(reason),
                _ => {}
            }
        }
    }

    /// Writes all of it, waiting for room.
    pub fn write(&mut self, mut bytes: &[u8]) {
        let stream = self.stream.unwrap();
        while !bytes.is_empty() && self.ended.is_none() {
            match self.connection.send_stream(stream).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(WriteError::Blocked) => {}
                Err(_) => return,
            }
            self.drive(Duration::from_millis(1));
        }
    }

    /// Everything on the stream up to that many bytes, or its end.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let (stream, mut all) = (self.stream.unwrap(), Vec::new());
        let deadline = Instant::now() + Duration::from_secs(20);
        while all.len() < length {
            assert!(Instant::now() < deadline, "only {} bytes came", all.len());
            let mut receive = self.connection.recv_stream(stream);
            let Ok(mut chunks) = receive.read(true) else { return all };
            let next = chunks.next(length - all.len());
            let _ = chunks.finalize();
            match next {
                Ok(Some(chunk)) => all.extend_from_slice(&chunk.bytes),
                Err(ReadError::Blocked) if self.ended.is_none() => self.drive(Duration::from_millis(10)),
                _ => return all,
            }
        }
        all
    }

    pub fn datagram(&mut self, bytes: &[u8]) {
        let _ = self.connection.datagrams().send(Bytes::copy_from_slice(bytes), true);
        self.drive(Duration::from_millis(1));
    }

    /// The application error code that the other side ended with.
    pub fn code(&mut self) -> Option<u64> {
        self.drive_until(|_| false);
        match &self.ended {
            Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into_inner()),
            _ => None,
        }
    }
}

/// Shows this certificate, whoever it belongs to.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A QUIC server that is no relay of ours.
pub struct Impostor {
    pub address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// Shows a certificate, signs with a key that need not be the one of that certificate, speaks
    /// that ALPN, and says nothing on any stream.
    pub fn start(certificate: Vec<u8>, key: Vec<u8>, alpn: &[u8]) -> Self {
        let provider = default_provider();
        let key = provider.key_provider.load_private_key(PrivateKeyDer::try_from(key).unwrap()).unwrap();
        let shown = CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
        tls.alpn_protocols = vec![alpn.to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&socket, config, &stopped));
        Self { address, stop, thread: Some(thread) }
    }
}

fn serve(socket: &UdpSocket, config: ServerConfig, stopped: &AtomicBool) {
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::new(config)), true, None);
    let mut connections: Vec<(ConnectionHandle, Connection)> = Vec::new();
    let (mut datagram, mut buffer) = ([0; 2_048], Vec::new());
    while !stopped.load(Ordering::Relaxed) {
        buffer.clear();
        if let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let bytes = BytesMut::from(&datagram[..length]);
            match endpoint.handle(Instant::now(), from, None, None, bytes, &mut buffer) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    match endpoint.accept(incoming, Instant::now(), &mut buffer, None) {
                        Ok(new) => connections.push(new),
                        Err(error) => {
                            let size = error.response.map_or(0, |response| response.size);
                            let _ = socket.send_to(&buffer[..size], from);
                        }
                    }
                }
                Some(DatagramEvent::ConnectionEvent(to, event)) => {
                    for (handle, connection) in &mut connections {
                        if *handle == to {
                            connection.handle_event(event);
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
        for (handle, connection) in &mut connections {
            let now = Instant::now();
            if connection.poll_timeout().is_some_and(|due| due <= now) {
                connection.handle_timeout(now);
            }
            while connection.poll().is_some() {}
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            buffer.clear();
            while let Some(Transmit { destination, size, .. }) = connection.poll_transmit(now, 1, &mut buffer)
            {
                let _ = socket.send_to(&buffer[..size], destination);
                buffer.clear();
            }
        }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
