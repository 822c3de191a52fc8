//! A relay that does what a script says, and somebody in the room who publishes what it likes.

use std::{
    future::Future,
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use moq_net::{Server, Timestamp, broadcast, group, kio::Waiter, origin, track};
use quinn_proto::{DatagramEvent, Endpoint, EndpointConfig, ServerConfig, crypto::rustls::QuicServerConfig};

use super::ROOM;
use crate::transport::{
    RelayName, Transport, block_on,
    moq::{
        MoqClient, Pin, room_path,
        session::{Link, Session, lock},
        streams::Codes,
    },
};

/// A relay that does what it is told to, to the one member that it lets in.
pub(super) struct Pretender {
    pub(super) name: RelayName,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a turn of the pretender is given: where it publishes, and since when the member is there.
pub(super) type Script = Box<dyn FnMut(&origin::Producer, Duration) + Send>;

impl Pretender {
    pub(super) fn start(script: Script) -> Self {
        Self::spawn(Some(script))
    }

    /// One that does the handshake and then says nothing.
    pub(super) fn mute() -> Self {
        Self::spawn(None)
    }

    fn spawn(script: Option<Script>) -> Self {
        let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let mut tls =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
        tls.alpn_protocols = vec![b"moq-lite-06".to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let address = socket.local_addr().unwrap();
        let name = format!("moq:{address}#{}", Pin::of(made.cert.der())).parse().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&socket, config, script, &stopped));
        Self { name, stop, thread: Some(thread) }
    }

    pub(super) fn member(&self) -> MoqClient {
        let mut member = MoqClient::new(self.name.clone()).unwrap();
        block_on(member.connect(ROOM)).unwrap();
        member
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn serve(socket: &UdpSocket, config: ServerConfig, mut script: Option<Script>, stop: &AtomicBool) {
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::new(config)), true, None);
    let mut there = None;
    let mut moq = None;
    let mut buffer = vec![0; 2_000];
    let mut out = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let now = Instant::now();
            out.clear();
            match endpoint.handle(now, from, None, None, BytesMut::from(&buffer[..length]), &mut out) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let Ok((handle, connection)) = endpoint.accept(incoming, now, &mut out, None) else {
                        continue;
                    };
                    there = Some((handle, Arc::new(Mutex::new(Link::new(connection, now)))));
                    moq = None;
                }
                Some(DatagramEvent::ConnectionEvent(to, event)) => {
                    if let Some((_, link)) = there.as_ref().filter(|(handle, _)| *handle == to) {
                        lock(link).connection.handle_event(event);
                    }
                }
                _ => {}
            }
        }
        let Some((handle, link)) = &there else { continue };
        let now = Instant::now();
        {
            let mut link = lock(link);
            link.now = now;
            if link.connection.poll_timeout().is_some_and(|due| due <= now) {
                link.connection.handle_timeout(now);
            }
            link.handle_events();
        }
        if moq.is_none() && script.is_some() && !lock(link).connection.is_handshaking() {
            let session = Session::new(Arc::clone(link), "moq-lite-06", Codes::Plain);
            let (mouth, mouth_driver) = origin::Producer::new(origin::Config::default());
            let (ears, ears_driver) = origin::Producer::new(origin::Config::default());
            let server = Server::new().with_publisher(&mouth).with_subscriber(ears.clone());
            moq = Some((
                Box::pin(async move { server.accept(now, session).await }),
                None,
                [mouth_driver, ears_driver],
                mouth,
                ears,
                now,
            ));
        }
        if let Some((accepting, running, drivers, mouth, _ears, since)) = &mut moq {
            if running.is_none()
                && let Poll::Ready(Ok(accepted)) =
                    accepting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                *running = Some(accepted);
            }
            if let Some((_session, driver)) = running {
                if let Some(script) = &mut script {
                    script(mouth, now - *since);
                }
                for _ in 0..8 {
                    for driver in drivers.iter_mut() {
                        let _ = driver.poll(now, &Waiter::noop());
                    }
                    if driver.poll(now, &Waiter::noop()).is_err() {
                        break;
                    }
                }
            }
        }
        let mut link = lock(link);
        while let Some(event) = link.connection.poll_endpoint_events() {
            if let Some(event) = endpoint.handle_event(*handle, event) {
                link.connection.handle_event(event);
            }
        }
        loop {
            out.clear();
            let Some(transmit) = link.connection.poll_transmit(now, 1, &mut out) else { break };
            let _ = socket.send_to(&out[..transmit.size], transmit.destination);
        }
    }
}

/// Somebody in the room, who publishes what the script says.
pub(super) struct Somebody {
    pub(super) broadcasts: [broadcast::Producer; 2],
    pub(super) control: track::Producer,
    pub(super) media: track::Producer,
}

impl Somebody {
    pub(super) fn new(mouth: &origin::Producer, number: u32) -> Self {
        let path = format!("{}/{number:032x}", room_path(ROOM));
        let info = track::Info::default().with_max_age(Duration::from_secs(10));
        let publish = |path: &str, track: &str| {
            let broadcast = mouth.create_broadcast(path).unwrap();
            let track = broadcast.create_track(track, info.clone()).unwrap();
            broadcast.announce(origin::Route::default()).unwrap();
            (broadcast, track)
        };
        let (messages, control) = publish(&path, "c");
        let (packets, media) = publish(&format!("{path}00000000"), "m");
        Self { broadcasts: [messages, packets], control, media }
    }

    /// A group of the control track with this number and these frames.
    pub(super) fn group(&self, sequence: u64, frames: &[&[u8]]) {
        let mut group = self.control.create_group(group::Info { sequence }).unwrap();
        for frame in frames {
            group
                .write_frame(Timestamp::from_millis(sequence).unwrap(), Bytes::copy_from_slice(frame))
                .unwrap();
        }
        group.finish().unwrap();
    }
}

pub(super) fn framed(back: u32, message: &[u8]) -> Vec<u8> {
    [&back.to_be_bytes(), message].concat()
}
