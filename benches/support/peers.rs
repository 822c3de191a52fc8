//! Other people's packets: the `sframe` crate in this process, and peers in processes of their own.

use std::{
    env,
    hint::black_box,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use sframe::{
    CipherSuite,
    frame::{EncryptedFrameView, MediaFrameView, MonotonicCounter},
    key::{DecryptionKey, EncryptionKey},
};
use sottovoce::media::HEADROOM;

use super::{
    arena::Arena,
    batch::{Sample, WARM, time},
    contest::{Batch, Contestant, Lane},
    output,
    raw::AesGcm,
};

/// Crate `sframe` over `ring`, by its views on buffers that are reused.
pub struct Sframe {
    seal_key: EncryptionKey,
    open_key: DecryptionKey,
    counter: MonotonicCounter,
    size: usize,
    sealed: Vec<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Sframe {
    pub const NAME: &'static str = "sframe";

    pub fn new(size: usize) -> Self {
        // A KID of four bytes and counters of two, as ours: headers of the same length.
        let (suite, kid) = (CipherSuite::AesGcm128Sha256, 0x89ab_cdefu64);
        let base_key = [0x5f; 32];
        Self {
            seal_key: EncryptionKey::derive_from(suite, kid, base_key).expect("the suite is there"),
            open_key: DecryptionKey::derive_from(suite, kid, base_key).expect("the suite is there"),
            counter: MonotonicCounter::with_start_value(0x100, u64::MAX),
            size,
            sealed: vec![],
            buffer: Vec::with_capacity(size + 64),
        }
    }
}

impl Contestant for Sframe {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn against(&self) -> &'static [&'static str] {
        &[AesGcm::BASE]
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        let plain = HEADROOM..HEADROOM + self.size;
        let (counter, seal_key, buffer) = (&mut self.counter, &self.seal_key, &mut self.buffer);
        arena.fill(self.size, count);
        let seal = time(arena.batch(count), |packet| {
            let frame = MediaFrameView::try_new(counter, &packet[plain.clone()]);
            frame.is_ok_and(|frame| black_box(frame.encrypt_into(seal_key, buffer)).is_ok())
        });

        self.sealed.resize_with(WARM + count, || Vec::with_capacity(self.size + 64));
        for (packet, sealed) in arena.batch(count).zip(&mut self.sealed) {
            let frame =
                MediaFrameView::try_new(counter, &packet[plain.clone()]).expect("the counter has room");
            frame.encrypt_into(seal_key, sealed).expect("the buffer grows");
        }
        let open_key = &self.open_key;
        let open = time(self.sealed.iter(), |sealed| {
            let frame = EncryptedFrameView::try_new(sealed);
            frame.is_ok_and(|frame| black_box(frame.decrypt_into(open_key, buffer)).is_ok())
        });
        let last = arena.batch(count).last().expect("a batch is never empty");
        assert_eq!(*buffer, last[plain], "what sframe opened is not what it sealed");
        Batch { seal: Some(seal), open: Some(open) }
    }
}

/// A peer's program, running and waiting for requests (benches/peers/README.md).
pub struct Peer {
    name: &'static str,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Why it has no figures, once a request has failed.
    pub failure: Option<String>,
}

impl Peer {
    pub const DAVEY: &'static str = "davey";

    /// Builds the peer in `benches/peers/<name>` and starts it.
    ///
    /// # Errors
    /// What to tell the reader of the table.
    pub fn start(name: &'static str) -> Result<Self, String> {
        if env::var_os("SOTTOVOCE_BENCH_PEERS").is_some_and(|wanted| wanted == "0") {
            return Err("SOTTOVOCE_BENCH_PEERS=0".into());
        }
        let manifest = sottovoce_testkit::checkout("benches/peers").join(name).join("Cargo.toml");
        let target = output::target_dir().join("peers");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        eprintln!("building the peer {name}");
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target)
            .stdout(Stdio::null())
            .status();
        match built {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("cargo could not build it: {status}")),
            Err(error) => return Err(format!("cargo could not be started: {error}")),
        }

        let program = target.join("release").join(format!("peer-{name}{}", env::consts::EXE_SUFFIX));
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("it could not be started: {error}"))?;
        let requests = child.stdin.take().ok_or("it has no input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("it has no output")?);
        let mut peer = Self { name, child, requests, answers, failure: None };
        let greeting = peer.line()?;
        if greeting.starts_with("peer ") { Ok(peer) } else { Err(format!("it said {greeting:?}")) }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("it ended".into()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(format!("it could not be heard: {error}")),
        }
    }

    fn batch(&mut self, verb: &str, size: usize, count: usize) -> Result<Sample, String> {
        let asked = writeln!(self.requests, "{verb} {size} {count}").and_then(|()| self.requests.flush());
        asked.map_err(|error| format!("it could not be asked: {error}"))?;
        let answer = self.line()?;
        let numbers = answer.split_once(' ').and_then(|(ns, allocations)| {
            Some((Duration::from_nanos(ns.parse().ok()?), allocations.parse().ok()?))
        });
        let (elapsed, allocations) = numbers.ok_or(format!("it said {answer:?}"))?;
        Ok(Sample { elapsed, count: count as u64, allocations })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It is this process's own child, and it holds nothing that could be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer at one size of packets.
pub struct Remote<'a> {
    pub peer: &'a mut Peer,
    pub size: usize,
}

impl Remote<'_> {
    fn ask(&mut self, verb: &str, count: usize) -> Option<Sample> {
        if self.peer.failure.is_some() {
            return None;
        }
        self.peer.batch(verb, self.size, count).map_err(|reason| self.peer.failure = Some(reason)).ok()
    }
}

impl Contestant for Remote<'_> {
    fn name(&self) -> &'static str {
        self.peer.name
    }

    fn against(&self) -> &'static [&'static str] {
        &[AesGcm::BASE]
    }

    fn lane(&self) -> Lane {
        Lane::Peer
    }

    fn run(&mut self, _arena: &mut Arena, count: usize) -> Batch {
        Batch { seal: self.ask("seal", count), open: self.ask("open", count) }
    }
}
