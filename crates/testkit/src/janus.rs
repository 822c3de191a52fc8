//! The real Janus on this machine, if there is one.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use sottovoce::transport::{RelayName, janus::Pin};

use crate::checkout;

/// A server of its own, ended when this is dropped.
pub struct Janus {
    server: Child,
    port: u16,
    files: PathBuf,
    pin: Option<Pin>,
}

impl Janus {
    /// Starts one. `None`, loudly, where none is installed; with SOTTOVOCE_REQUIRE_RELAYS set that
    /// is a failure.
    pub fn start() -> Option<Self> {
        Self::start_with(false)
    }

    /// The same with TLS, and a certificate that is good for nothing but its pin.
    pub fn start_with_tls() -> Option<Self> {
        Self::start_with(true)
    }

    fn start_with(tls: bool) -> Option<Self> {
        let there =
            Command::new("janus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if let Err(error) = there {
            let required = env::var_os("SOTTOVOCE_REQUIRE_RELAYS").is_some();
            assert!(!required, "janus is required: {error}");
            println!("\n*** skipped: janus: {error}\n*** Nothing was tried with a real Janus.\n");
            return None;
        }
        // Somebody else may take a port that was free a moment ago; the server ends then, and
        // another one is tried.
        for _ in 0..5 {
            let mut relay = Self::spawn(tls);
            if relay.answers() {
                return Some(relay);
            }
        }
        panic!("janus is there, and does not start");
    }

    fn spawn(tls: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let files = env::temp_dir().join(format!("sottovoce-janus-{}-{number}", std::process::id()));
        fs::create_dir_all(&files).unwrap();
        let pin = tls.then(|| {
            let made = rcgen::generate_simple_self_signed(["janus".to_owned()]).unwrap();
            fs::write(files.join("cert.pem"), made.cert.pem()).unwrap();
            fs::write(files.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
            Pin::of(made.cert.der())
        });
        let log = fs::File::create(files.join("log")).unwrap();
        let low = 10_000 + u32::from(port) % 40 * 500;
        let server = Command::new(checkout("scripts/relays.d/janus"))
            .arg("serve")
            .arg(&files)
            .args([port.to_string(), format!("{low}-{}", low + 499)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { server, port, files, pin }
    }

    /// Waits until it does, or has ended.
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && matches!(self.server.try_wait(), Ok(None)) {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    pub fn name(&self) -> RelayName {
        match self.pin {
            None => format!("janus:127.0.0.1:{}", self.port).parse().unwrap(),
            Some(pin) => format!("janus+tls:127.0.0.1:{}#{pin}", self.port).parse().unwrap(),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.files.join("log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if env::var_os("SOTTOVOCE_KEEP_LOGS").is_none() {
            let _ = fs::remove_dir_all(&self.files);
        }
    }
}
