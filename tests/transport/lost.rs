//! How soon a session says that its relay is gone: killed without a word, or silent.
//!
//! What ends a connection at once holds here within three seconds. A reference relay that falls
//! silent is waited for on purpose, 35 seconds (SPEC section 8.2.3), and so is one over QUIC that
//! was killed; Janus and rtpengine have the limits of SPEC sections 8.7 and 8.9.
//! `how_long_it_takes` measures all of them.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    Seed,
    driver::Session,
    group::{Identity, Name},
    room::{RoomOptions, UnixTime},
    transport::{RelayName, Transport, TransportError, block_on, tcp_udp::TcpUdpClient},
};

/// Within which an application is told.
const SOON: Duration = Duration::from_secs(3);
/// Longer than any limit.
const LONG: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(500);

/// How a relay is lost.
#[derive(Clone, Copy, Debug)]
enum How {
    /// The process ends, and the operating system knows.
    Killed,
    /// The process stands still: nothing is answered any more.
    Silent,
}

fn lose(pid: u32, how: How) {
    let signal = match how {
        How::Killed => "-KILL",
        How::Silent => "-STOP",
    };
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// How long the session of somebody who made a room there takes to say that the relay is gone.
fn noticed<T: Transport>(member: T, pid: u32, how: How) -> Duration {
    let relays: Vec<RelayName> = Transport::relays(&member).into_iter().cloned().collect();
    let options = RoomOptions::new(Name::new("room").unwrap(), relays);
    let ada = Identity::from_seed(rand::random(), Name::new("Ada").unwrap());
    let unix = UnixTime::from(SystemTime::now());
    let session = Session::create_with(member, ada, options, Seed::generate().unwrap(), unix);
    let mut session = block_on(session).unwrap();
    let mut go_on = |lasts: Duration| {
        let until = session.now() + lasts;
        while session.now() < until {
            block_on(session.next(until))?;
        }
        Ok(())
    };
    go_on(MOMENT).unwrap();
    lose(pid, how);
    let start = Instant::now();
    assert_eq!(go_on(LONG), Err(TransportError::Closed), "{how:?}");
    let took = start.elapsed();
    println!("{how:?}: noticed after {took:?}");
    took
}

/// A reference relay in a process of its own: this binary, started again.
struct Process {
    child: Child,
    /// By TCP and UDP, and by QUIC.
    names: Vec<RelayName>,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "lost::the_relay", "--ignored", "--nocapture"])
            .env("SOTTOVOCE_PART", "relay")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let names = lines.filter_map(|line| Some(line.strip_prefix("relay ")?.parse().unwrap())).take(NAMES);
        let names: Vec<_> = names.collect();
        assert_eq!(names.len(), NAMES);
        Self { child, names }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NAMES: usize = if cfg!(feature = "quic") { 2 } else { 1 };

#[test]
#[ignore = "is the relay of the other tests here"]
fn the_relay() {
    if env::var_os("SOTTOVOCE_PART").is_none() {
        return;
    }
    #[cfg(feature = "quic")]
    let relay = sottovoce_testkit::quic::relay(Default::default());
    #[cfg(not(feature = "quic"))]
    let relay = super::places::relay();
    println!("\nrelay {}", relay.name());
    #[cfg(feature = "quic")]
    println!("relay {}", relay.quic_name().unwrap());
    // Whoever started it ends it, or has ended.
    let _ = std::io::stdin().read(&mut [0]);
}

fn by_tcp_udp(how: How) -> Duration {
    let relay = Process::start();
    noticed(TcpUdpClient::new(relay.names[0].clone()), relay.child.id(), how)
}

#[test]
fn a_killed_relay_is_noticed_soon_by_tcp_and_udp() {
    let took = by_tcp_udp(How::Killed);
    assert!(took < SOON, "{took:?}");
}

#[cfg(feature = "quic")]
fn by_quic(how: How) -> Duration {
    let relay = Process::start();
    let client = sottovoce::transport::quic::QuicClient::new(relay.names[1].clone()).unwrap();
    noticed(client, relay.child.id(), how)
}

#[cfg(feature = "moq")]
fn by_moq(how: How) -> Option<Duration> {
    let place = super::places::moq()?;
    Some(noticed((place.member)(), place.relay.pid(), how))
}

#[cfg(feature = "moq")]
#[test]
fn a_moq_relay_that_is_killed_or_silent_is_noticed_soon() {
    for how in [How::Killed, How::Silent] {
        let Some(took) = by_moq(how) else { return };
        assert!(took < SOON, "{how:?}: {took:?}");
    }
}

#[cfg(feature = "janus")]
fn by_janus(how: How) -> Option<Duration> {
    let place = super::places::janus()?;
    Some(noticed((place.member)(), place.relay.media.pid(), how))
}

#[cfg(feature = "janus")]
#[test]
fn a_killed_janus_is_noticed_soon() {
    let Some(took) = by_janus(How::Killed) else { return };
    assert!(took < SOON, "{took:?}");
}

#[cfg(feature = "rtpengine")]
fn by_rtpengine(how: How) -> Option<Duration> {
    let place = super::places::rtpengine()?;
    Some(noticed((place.member)(), place.relay.media.pid(), how))
}

#[cfg(feature = "rtpengine")]
#[test]
fn an_rtpengine_that_is_killed_or_silent_is_noticed_when_it_has_not_answered_for_five_seconds() {
    for how in [How::Killed, How::Silent] {
        let Some(took) = by_rtpengine(how) else { return };
        assert!(took < SOON + SOON, "{how:?}: {took:?}");
    }
}

#[test]
#[ignore = "measures what is not soon, which takes minutes"]
fn how_long_it_takes() {
    for how in [How::Killed, How::Silent] {
        println!("TCP and UDP: {:?}", by_tcp_udp(how));
        #[cfg(feature = "quic")]
        println!("QUIC: {:?}", by_quic(how));
        #[cfg(feature = "moq")]
        println!("MoQ: {:?}", by_moq(how));
        #[cfg(feature = "janus")]
        println!("Janus: {:?}", by_janus(how));
        #[cfg(feature = "rtpengine")]
        println!("rtpengine: {:?}", by_rtpengine(how));
    }
}
