//! Real MoQ relays on this machine, if there are any.

mod tokens;

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use sottovoce::transport::{
    RelayName, RoomHandle, Transport, block_on,
    moq::{MoqClient, Pin},
};

use crate::checkout;
pub use tokens::Issuer;

/// Which relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `moq-relay`, which speaks moq-lite, and forms clusters.
    Lite,
    /// `moq-relay-ietf`, which speaks draft 18 of IETF MoQ transport.
    Ietf,
}

/// A server of its own, ended when this is dropped.
pub struct Moq {
    server: Child,
    port: u16,
    metrics: Option<u16>,
    files: PathBuf,
    pin: Pin,
}

/// What one node of a cluster is told: whom it dials, at what price, and who says what members may.
#[derive(Default)]
pub struct Setup<'a> {
    pub peers: &'a [(&'a Moq, u32)],
    /// `http://host:port/` of who answers for tokens; everybody may do everything if there is none.
    pub auth: Option<String>,
    /// Whether it counts what it does: [`Moq::counted`].
    pub metrics: bool,
}

impl Moq {
    /// Starts one. `None`, loudly, where none is built; with SOTTOVOCE_REQUIRE_RELAYS set that is a
    /// failure.
    pub fn start(kind: Kind) -> Option<Self> {
        Self::start_with(kind, &Setup::default())
    }

    pub fn start_with(kind: Kind, setup: &Setup<'_>) -> Option<Self> {
        let program = program(kind);
        if !program.exists() {
            let required = env::var_os("SOTTOVOCE_REQUIRE_RELAYS").is_some();
            assert!(!required || kind == Kind::Ietf, "{} is required", program.display());
            println!(
                "\n*** skipped: no {}\n*** Nothing was tried with a real MoQ relay.\n",
                program.display()
            );
            return None;
        }
        // Somebody else may take a port that was free a moment ago; the server ends then, and
        // another one is tried.
        for _ in 0..5 {
            let mut relay = Self::spawn(kind, &program, setup);
            if relay.answers() {
                return Some(relay);
            }
            println!("{}", relay.log());
        }
        panic!("{} is there, and does not start", program.display());
    }

    fn spawn(kind: Kind, program: &Path, setup: &Setup<'_>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let metrics =
            setup.metrics.then(|| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let files = env::temp_dir().join(format!("sottovoce-moq-{}-{number}", std::process::id()));
        // It watches the directory of its certificate: nothing else may be written there.
        let tls = files.join("tls");
        fs::create_dir_all(&tls).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (tls.join("certificate.pem"), tls.join("key.pem"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new(program);
        match kind {
            Kind::Lite => {
                let config = files.join("config.toml");
                fs::write(&config, config_of(port, metrics, &tls, setup)).unwrap();
                command.arg(config);
            }
            Kind::Ietf => {
                command.arg("--bind").arg(format!("127.0.0.1:{port}"));
                command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
                command.arg("--coordinator-file").arg(files.join("coordinator.json"));
            }
        }
        let log = fs::File::create(files.join("log")).unwrap();
        let server = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .current_dir(&files)
            .spawn()
            .unwrap();
        Self { server, port, metrics, files, pin: Pin::of(made.cert.der()) }
    }

    /// Waits until it does, or has ended.
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && matches!(self.server.try_wait(), Ok(None)) {
            let mut probe = MoqClient::new(self.name()).unwrap();
            // One that asks for tokens refuses this.
            match block_on(probe.connect(RoomHandle::from_bytes([0; 16]))) {
                Err(sottovoce::transport::TransportError::Unreachable) => {
                    thread::sleep(Duration::from_millis(50))
                }
                _ => return true,
            }
        }
        false
    }

    pub fn name(&self) -> RelayName {
        format!("moq:127.0.0.1:{}#{}", self.port, self.pin).parse().unwrap()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// The sum of what it has counted under a name, as `/metrics` tells it, with a word that its
    /// labels have; `None` if it does not count or does not answer.
    pub fn counted(&self, name: &str, label: &str) -> Option<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics?)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut told = String::new();
        stream.read_to_string(&mut told).ok()?;
        let ours =
            told.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        let counts = ours
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Some(counts.sum())
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.files.join("log")).unwrap_or_default()).into_owned()
    }
}

fn program(kind: Kind) -> PathBuf {
    let built = checkout("target/relays");
    match kind {
        Kind::Lite => built.join("release/moq-relay-pinned"),
        Kind::Ietf => built.join("bin/moq-relay-ietf"),
    }
}

fn config_of(port: u16, metrics: Option<u16>, tls: &Path, setup: &Setup<'_>) -> String {
    let auth = match &setup.auth {
        Some(url) => format!("url = \"{url}\""),
        None => "public = [\"**\"]".to_owned(),
    };
    let peers: Vec<String> = setup
        .peers
        .iter()
        .map(|(peer, cost)| format!("\"https://localhost:{}/?cost={cost}\"", peer.port))
        .collect();
    let roots: Vec<String> = setup
        .peers
        .iter()
        .map(|(peer, _)| format!("\"{}\"", peer.files.join("tls/certificate.pem").display()))
        .collect();
    let cluster = match peers.is_empty() {
        true => String::new(),
        false => format!(
            "[connect]\nbind = \"127.0.0.1:0\"\ntls.root = [{}]\n[cluster]\nconnect = [{}]\n",
            roots.join(", "),
            peers.join(", ")
        ),
    };
    let metrics = metrics.map_or(String::new(), |port| {
        format!("[stats]\nenabled = true\n[internal]\nlisten = \"127.0.0.1:{port}\"\n")
    });
    format!(
        "[listen]\nbind = \"127.0.0.1:{port}\"\ntls.cert = [\"{0}/certificate.pem\"]\ntls.key = [\"{0}/key.pem\"]\n\
         [auth]\n{auth}\n{cluster}{metrics}[quic]\nidle_timeout = \"1s\"\nkeep_alive = \"250ms\"\n",
        tls.display()
    )
}

impl Drop for Moq {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if env::var_os("SOTTOVOCE_KEEP_LOGS").is_none() {
            let _ = fs::remove_dir_all(&self.files);
        }
    }
}
