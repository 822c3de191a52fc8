//! The real rtpengine on this machine, if there is one.

use std::{
    env,
    net::UdpSocket,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sottovoce::transport::RelayName;

/// A daemon of its own, ended when this is dropped.
pub struct Rtpengine {
    daemon: Child,
    port: u16,
}

impl Rtpengine {
    /// Starts one. `None`, loudly, where none is installed; with SOTTOVOCE_REQUIRE_RELAYS set that
    /// is a failure.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    pub fn start_with(more: &[&str]) -> Option<Self> {
        // Somebody else may take a port that was free a moment ago; the daemon ends then, and
        // another one is tried.
        for _ in 0..5 {
            match Self::spawn(more) {
                Ok(mut relay) => {
                    if relay.answers() {
                        return Some(relay);
                    }
                }
                Err(error) => {
                    let required = env::var_os("SOTTOVOCE_REQUIRE_RELAYS").is_some();
                    assert!(!required, "rtpengine is required: {error}");
                    println!(
                        "\n*** skipped: rtpengine: {error}\n*** Nothing was tried with a real rtpengine.\n"
                    );
                    return None;
                }
            }
        }
        panic!("rtpengine is there, and does not start");
    }

    fn spawn(more: &[&str]) -> std::io::Result<Self> {
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, cli) = (free(), free());
        let low = 20_000 + free() % 50 * 200;
        let daemon = Command::new("rtpengine")
            .args(["--config-file=none", "--interface=127.0.0.1", "--foreground", "--log-stderr"])
            .args(["--table=-1", "--num-threads=2", "--log-level=3"])
            .arg(format!("--listen-ng=127.0.0.1:{port}"))
            .arg(format!("--listen-cli=127.0.0.1:{cli}"))
            .args([format!("--port-min={low}"), format!("--port-max={}", low + 1_999)])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { daemon, port })
    }

    /// Waits until it does, or has ended.
    fn answers(&mut self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && matches!(self.daemon.try_wait(), Ok(None)) {
            let _ = socket.send_to(b"1 d7:command4:pinge", ("127.0.0.1", self.port));
            if socket.recv(&mut [0; 100]).is_ok() {
                return true;
            }
        }
        false
    }

    pub fn name(&self) -> RelayName {
        format!("rtp:127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
