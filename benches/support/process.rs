//! Relays as processes of their own, and what they cost.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, UdpSocket},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use sottovoce::relay::{
    Limits, Relay, RelayOptions,
    quic::{Certificate, Listen},
};

/// A relay that is this program in another role. It ends when this is dropped.
pub struct Process {
    pub child: Child,
    /// What it said that it listens at.
    pub addresses: Vec<SocketAddr>,
    _stdin: Option<ChildStdin>,
}

impl Process {
    pub fn start(role: &str) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program has a name"))
            .env("SOTTOVOCE_BENCH_ROLE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let addresses = line.split_whitespace().map(|address| address.parse().expect("an address")).collect();
        let stdin = child.stdin.take();
        Self { child, addresses, _stdin: stdin }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays a relay's part until nobody wants it any more.
pub fn serve(role: &str) {
    let here: SocketAddr = ([127, 0, 0, 1], 0).into();
    match role {
        "bare" => bare(),
        "udp" => {
            let relay = Relay::start(here, RelayOptions { limits: limits(), ..RelayOptions::default() })
                .expect("a relay");
            say(&[relay.address()]);
            wait();
        }
        "quic" => {
            let made = rcgen::generate_simple_self_signed(["relay".to_owned()]).expect("a certificate");
            let key = made.signing_key.serialize_der();
            let certificate = Certificate::from_der(vec![made.cert.der().to_vec()], key).expect("it fits");
            let quic = Some(Listen { address: here, certificate });
            let relay =
                Relay::start(here, RelayOptions { limits: limits(), quic, ..RelayOptions::default() })
                    .expect("a relay");
            say(&[relay.quic_address().expect("it was asked for")]);
            wait();
        }
        _ => panic!("no such role: {role}"),
    }
}

/// The least that forwarding can be: one socket, one `sendto` for each receiver. The receivers'
/// addresses come first.
fn bare() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    say(&[socket.local_addr().expect("an address")]);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the receivers");
    let to: Vec<SocketAddr> =
        line.split_whitespace().map(|address| address.parse().expect("an address")).collect();
    let mut buffer = [0; 2_048];
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        for address in &to {
            let _ = socket.send_to(&buffer[..length], address);
        }
    }
}

impl Process {
    /// Tells the bare forwarder who is to receive.
    pub fn tell(&mut self, to: &[SocketAddr]) {
        let line: String = to.iter().map(|address| format!("{address} ")).collect();
        let stdin = self._stdin.as_mut().expect("it listens");
        writeln!(stdin, "{line}").expect("it listens");
    }
}

fn limits() -> Limits {
    Limits {
        connections: 1_100,
        members: 1_100,
        media_rate: 1_000,
        room_control_rate: u32::MAX,
        room_media_rate: u32::MAX,
        copy_rate: u32::MAX,
        idle_timeout: Duration::from_secs(3_600),
        ..Limits::default()
    }
}

fn say(addresses: &[SocketAddr]) {
    let line: String = addresses.iter().map(|address| format!("{address} ")).collect();
    println!("{line}");
}

/// Until the other side is gone.
fn wait() {
    let _ = std::io::stdin().read(&mut [0]);
}

/// CPU time of all threads of a process so far, by the scheduler's account.
pub fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the relay runs");
    let spent = threads.flatten().filter_map(|thread| {
        let account = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        account.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}
