//! How dear it is for the reference relay to copy a hall's packets to thousands, beside bare sends
//! of the same bytes to the same sockets in the same run.
//!
//! Receivers are sockets and no listeners: what they would do with a packet is measured elsewhere.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use sottovoce::relay::{Limits, Relay, RelayOptions};
use sottovoce::transport::tcp_udp::TcpUdpClient;
use sottovoce::transport::{RoomHandle, Transport, block_on};

use sottovoce_stage_sim::Cpu;

use crate::cpu;

/// Somebody who gets packets: its place in the room, and where packets come.
struct Receiver {
    _control: TcpStream,
    media: UdpSocket,
    /// What shows that it is there.
    bind: Vec<u8>,
    got: u64,
}

/// Measures with so many receivers, and prints one JSON object.
///
/// # Errors
/// Whatever the system does not give: descriptors, threads, ports.
pub fn run(receivers: usize) -> Result<bool, Box<dyn Error>> {
    let limits =
        Limits { connections: receivers + 16, members: receivers + 16, pending: 1_024, ..Limits::default() };
    let relay = Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions { limits, ..Default::default() })?;
    let hall = [7; 16];
    let mut all = Vec::new();
    for number in 0..receivers {
        all.push(Receiver::enter(relay.address(), &hall)?);
        if number % 500 == 499 {
            eprintln!("{} receive", number + 1);
        }
    }
    let mut speaker = TcpUdpClient::new(relay.name());
    block_on(speaker.connect(RoomHandle::from_bytes(hall)))?;
    // As long as a sealed packet of the default size.
    let packet = [0xb9; 228];
    let targets: Vec<SocketAddr> =
        all.iter().map(|receiver| receiver.media.local_addr()).collect::<Result<_, _>>()?;
    let (mut relayed, mut bare, mut copies) = (Duration::ZERO, Duration::ZERO, 0);
    let began = Instant::now();
    let media = cpu::find("relay media").ok_or("this system does not tell what threads use")?;
    // In turns, so that what else the machine does falls on both.
    for _ in 0..ROUNDS {
        let (before, counted) = (cpu::used(&media), relay.counts().copies);
        let mut signs = all.chunks(receivers.div_ceil(25));
        for_a_second(|| {
            let _ = speaker.send_media(&packet);
            // Receivers say once a second that they are there, which the relay answers.
            for receiver in signs.next().into_iter().flatten() {
                let _ = receiver.media.send_to(&receiver.bind, relay.address());
            }
        });
        // A machine that has other work may be behind.
        let (due, late) = (counted + 25 * receivers as u64, Instant::now() + Duration::from_secs(3));
        while relay.counts().copies < due && Instant::now() < late {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(100));
        relayed += cpu::used(&media).saturating_sub(before);
        copies += relay.counts().copies - counted;
        drain(&mut all, packet.len());
        let (targets, socket) = (targets.clone(), UdpSocket::bind(("127.0.0.1", 0))?);
        let sender = thread::spawn(move || {
            let mut cpu = Cpu::default();
            for_a_second(|| {
                cpu.charge(|| {
                    for target in &targets {
                        let _ = socket.send_to(&packet, target);
                    }
                });
            });
            cpu.used()
        });
        bare += sender.join().map_err(|_| "the sender panicked")?;
        // What did not come from the relay is not counted as received.
        let got: u64 = all.iter().map(|receiver| receiver.got).sum();
        drain(&mut all, packet.len());
        let kept = all.iter_mut().map(|receiver| &mut receiver.got);
        let more: u64 = kept.map(|got| *got).sum::<u64>() - got;
        eprintln!("{copies} copies, {got} received; {more} of the bare sends");
        set(&mut all, got);
    }
    let got: u64 = all.iter().map(|receiver| receiver.got).sum();
    let sent = ROUNDS as u64 * 25 * receivers as u64;
    let micros = |used: Duration, packets: u64| used.as_secs_f64() * 1e6 / packets.max(1) as f64;
    let (relay_us, bare_us) = (micros(relayed, copies), micros(bare, sent));
    println!(
        "{}",
        serde_json::json!({
            "receivers": receivers,
            "packets_s": 25,
            "seconds": began.elapsed().as_secs_f64(),
            "due": sent,
            "copies": copies,
            "received": got,
            "relay_us": relay_us,
            "bare_us": bare_us,
            "ratio": relay_us / bare_us,
        })
    );
    Ok(got * 1_000 >= sent * 999)
}

/// Forgets what was received above that.
fn set(all: &mut [Receiver], got: u64) {
    let mut left = got;
    for receiver in all {
        receiver.got = receiver.got.min(left);
        left -= receiver.got;
    }
}

/// 25 times in a second.
fn for_a_second(mut act: impl FnMut()) {
    let began = Instant::now();
    for number in 0..25 {
        let at = began + Duration::from_millis(40) * number;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        act();
    }
}

/// Takes what has come.
fn drain(all: &mut [Receiver], length: usize) {
    let mut buffer = [0; 2_048];
    for receiver in all {
        while let Ok(read) = receiver.media.recv(&mut buffer) {
            receiver.got += u64::from(read == length);
        }
    }
}

impl Receiver {
    /// Comes in to hear (SPEC sections 8.2.1 and 8.2.3).
    fn enter(relay: SocketAddr, hall: &[u8; 16]) -> Result<Self, Box<dyn Error>> {
        let mut control = TcpStream::connect(relay)?;
        control.write_all(&[b"svrelay\x04", &hall[..], &[1]].concat())?;
        let mut answer = [0; 25];
        control.read_exact(&mut answer)?;
        let ticket = answer.strip_prefix(b"svrelay\x01\x00").ok_or("the relay does not let it in")?;
        let media = UdpSocket::bind(("127.0.0.1", 0))?;
        media.connect(relay)?;
        media.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut cookie = [0; 16].to_vec();
        let mut buffer = [0; 64];
        for _ in 0..20 {
            media.send(&[b"\xff\x00sv\x01\x01", ticket, &cookie].concat())?;
            match media.recv(&mut buffer) {
                Ok(38) => cookie = buffer[22..38].to_vec(),
                Ok(22) => {
                    // Bare sends come from another address.
                    let address = media.local_addr()?;
                    drop(media);
                    let media = UdpSocket::bind(address)?;
                    media.set_nonblocking(true)?;
                    let bind = [b"\xff\x00sv\x01\x01", ticket, &[0; 16]].concat();
                    return Ok(Self { _control: control, media, bind, got: 0 });
                }
                Ok(_) => {}
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err("the relay does not bind it".into())
    }
}

const ROUNDS: usize = 6;
