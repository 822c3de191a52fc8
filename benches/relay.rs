//! `cargo bench --features quic,rtpengine,janus,moq --bench relay`: what a relay costs for each
//! packet that it delivers.
//!
//! ```text
//! speaker > relay, a process of its own > 10, 100, 300, 1000 receivers      25 and 50 packets a second
//! ```
//!
//! Bare `sendto`, our relay by UDP and by QUIC, and those of rtpengine, Janus and moq-relay that
//! are installed, take turns within the same run, so that all see the same machine. The last two
//! are reached by the library's adapters, which have a thread for each receiver, and are tried with
//! 100 of them at most: at moq-relay every member subscribes to every other one. Cost is the CPU
//! time of the relay's process (all threads, from the scheduler's own accounts), so it holds on a
//! busy machine; latency and loss include the receivers, which are one thread here, the same for
//! all. What sealing adds is measured by the same clock. `SOTTOVOCE_BENCH_ROUNDS`,
//! `SOTTOVOCE_BENCH_SECONDS` and `SOTTOVOCE_BENCH_RECEIVERS` make it longer or shorter. Saves
//! `relay.json` in `target/bench`.

// Others use what this one does not.
#[allow(dead_code)]
mod support {
    pub use sottovoce_measure::{alloc, batch};

    pub mod arena;
    #[cfg(any(feature = "moq", feature = "janus"))]
    pub mod clients;
    pub mod contest;
    pub mod crowd;
    pub mod median;
    pub mod ours;
    pub mod output;
    pub mod process;
    pub mod raw;
    pub mod room;
    pub mod swarm;
}

use std::{
    env, process,
    time::{Duration, Instant},
};

#[cfg(feature = "janus")]
use sottovoce_testkit::janus;
#[cfg(feature = "moq")]
use sottovoce_testkit::moq;
use support::{
    alloc::Counting,
    contest::Contest,
    crowd::{Bare, Crowd, Kind, OurUdp, Rtpengine},
    median::median,
    ours::Ours,
    output::{self, Json},
    process::{cpu, serve},
    swarm::OurQuic,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of a packet on the wire: 40 ms of Opus, signed.
const PACKET: usize = 263;
const RATES: [u32; 2] = [25, 50];
/// The most receivers with a thread each.
const CLIENTS_MAX: usize = 100;

/// One way from a speaker to receivers, through a relay in a process of its own.
pub trait Way {
    fn name(&self) -> &'static str;

    /// The relay's process.
    fn pid(&self) -> u32;

    /// Sends one packet of the speaker.
    fn send(&mut self, payload: &[u8]);

    /// Takes what has come to any receiver until that time, and hands it on.
    fn receive(&mut self, until: Instant, take: &mut dyn FnMut(&[u8]));
}

fn main() {
    // The relays of our own are this program again.
    if let Some(role) = env::var_os("SOTTOVOCE_BENCH_ROLE") {
        serve(&role.to_string_lossy());
        return;
    }
    // `cargo test` runs benchmarks without this flag: it wants to know whether they run, not how
    // fast.
    let measuring = env::args().any(|argument| argument == "--bench");
    let wanted = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    let (sizes, rounds, seconds): (&[usize], u32, f64) =
        if measuring { (&[10, 100, 300, 1_000], 4, 2.0) } else { (&[3], 1, 0.2) };
    let one = wanted("SOTTOVOCE_BENCH_RECEIVERS").map(|receivers| [receivers as usize]);
    let sizes = one.as_ref().map_or(sizes, <[usize; 1]>::as_slice);
    let rounds = wanted("SOTTOVOCE_BENCH_ROUNDS").unwrap_or(rounds).max(1);
    let seconds = wanted("SOTTOVOCE_BENCH_SECONDS").map_or(seconds, f64::from);

    let mut rows = Vec::new();
    for receivers in sizes.iter().copied() {
        eprintln!("{receivers} receivers: {rounds} rounds of {seconds} s a way and rate");
        let mut ways: Vec<Box<dyn Way>> = vec![Box::new(Crowd::<Bare>::gather(receivers).expect("sockets"))];
        ways.push(Box::new(Crowd::<OurUdp>::gather(receivers).expect("sockets")));
        ways.push(Box::new(OurQuic::gather(receivers)));
        match Crowd::<Rtpengine>::gather(receivers) {
            Some(way) => ways.push(Box::new(way)),
            None => println!("*** skipped: rtpengine is not installed"),
        }
        if receivers <= CLIENTS_MAX {
            ways.extend(others(receivers));
        }
        for rate in RATES {
            let mut tracks: Vec<Track> = ways.iter().map(|_| Track::default()).collect();
            for round in 0..rounds as usize {
                for turn in 0..ways.len() {
                    let at = (turn + round) % ways.len();
                    tracks[at].run(ways[at].as_mut(), receivers, rate, seconds);
                }
            }
            let floor = tracks[0].cost.clone();
            rows.extend(
                ways.iter().zip(tracks).map(|(way, track)| track.row(way.name(), receivers, rate, &floor)),
            );
        }
    }
    println!("{}", table(&rows));
    let json: Vec<_> = rows.iter().map(Row::json).collect();
    match output::save("relay.json", &output::json(&json)) {
        Ok(path) => println!("saved {}", path.display()),
        Err(error) => println!("NOT SAVED: {error}"),
    }
    sealing(&rows, if measuring { 100 } else { 2 });
    if rows.iter().any(|row| row.delivered == 0) {
        println!("a way delivered nothing");
        process::exit(1);
    }
}

/// The ways that are gone by the library's own adapters.
#[cfg(any(feature = "moq", feature = "janus"))]
fn others(receivers: usize) -> Vec<Box<dyn Way>> {
    use support::clients::Clients;
    let mut ways: Vec<Box<dyn Way>> = Vec::new();
    #[cfg(feature = "janus")]
    if let Some(relay) = janus::Janus::start() {
        // What runs is a shell that has become Janus.
        let (name, pid) = (relay.name(), relay.pid());
        let member = move || sottovoce::transport::janus::JanusClient::new(name.clone()).expect("a name");
        ways.push(Box::new(Clients::gather("Janus", pid, Box::new(relay), receivers, member)));
    }
    #[cfg(feature = "moq")]
    if let Some(relay) = moq::Moq::start(moq::Kind::Lite) {
        let (name, pid) = (relay.name(), relay.pid());
        let member = move || sottovoce::transport::moq::MoqClient::new(name.clone()).expect("a name");
        ways.push(Box::new(Clients::gather("moq-relay", pid, Box::new(relay), receivers, member)));
    }
    ways
}

/// Without them there are none.
#[cfg(not(any(feature = "moq", feature = "janus")))]
fn others(_: usize) -> Vec<Box<dyn Way>> {
    Vec::new()
}

/// What was measured on one way, round by round.
#[derive(Default)]
struct Track {
    /// Microseconds of CPU for each packet delivered.
    cost: Vec<f64>,
    /// Microseconds from the speaker to a receiver.
    latency: Vec<u32>,
    sent: u64,
    delivered: u64,
}

impl Track {
    /// Speaks for that long, then waits for what is under way.
    fn run(&mut self, way: &mut dyn Way, receivers: usize, rate: u32, seconds: f64) {
        let start = Instant::now();
        // Nothing of an earlier round counts.
        way.receive(start + Duration::from_millis(100), &mut |_| {});
        let (begin, before) = (Instant::now(), cpu(way.pid()));
        let packets = (seconds * f64::from(rate)).ceil() as u32;
        let due_for = u64::from(packets) * receivers as u64;
        let mut got = 0;
        let mut payload = [0xb9; PACKET];
        let session = rand::random::<[u8; 8]>();
        payload[..8].copy_from_slice(&session);
        let mut take = |packet: &[u8]| {
            let stamp = packet.get(8..16).and_then(|stamp| stamp.try_into().ok()).map(u64::from_be_bytes);
            if packet.len() == PACKET
                && packet.starts_with(&session)
                && let Some(stamp) = stamp
            {
                got += 1;
                let elapsed = begin.elapsed().as_nanos() as u64 - stamp;
                self.latency.push((elapsed / 1_000) as u32);
            }
        };
        for number in 0..packets {
            let due = begin + Duration::from_secs(1) * number / rate;
            way.receive(due, &mut take);
            payload[8..16].copy_from_slice(&(begin.elapsed().as_nanos() as u64).to_be_bytes());
            way.send(&payload);
        }
        way.receive(Instant::now() + Duration::from_millis(300), &mut take);
        let spent = cpu(way.pid()).saturating_sub(before);
        self.sent += due_for;
        self.delivered += got;
        if got > 0 {
            self.cost.push(spent.as_nanos() as f64 / 1_000.0 / got as f64);
        }
    }

    fn row(mut self, name: &'static str, receivers: usize, rate: u32, floor: &[f64]) -> Row {
        self.latency.sort_unstable();
        let at = |share: f64| {
            let place = ((self.latency.len() as f64 - 1.0) * share) as usize;
            self.latency.get(place).copied()
        };
        let ratios = self.cost.iter().zip(floor).map(|(own, floor)| own / floor).collect();
        Row {
            name,
            receivers,
            rate,
            cost: median(self.cost.clone()),
            ratio: median(ratios),
            p50: at(0.5),
            p99: at(0.99),
            loss: 100.0 * (1.0 - self.delivered as f64 / self.sent as f64),
            delivered: self.delivered,
        }
    }
}

struct Row {
    name: &'static str,
    receivers: usize,
    rate: u32,
    cost: Option<f64>,
    /// To bare `sendto`, median of the rounds.
    ratio: Option<f64>,
    p50: Option<u32>,
    p99: Option<u32>,
    loss: f64,
    delivered: u64,
}

impl Row {
    fn json(&self) -> Vec<(&'static str, Json)> {
        vec![
            ("way", Json::Text(self.name.to_owned())),
            ("receivers", Json::Number(self.receivers as f64, 0)),
            ("rate", Json::Number(self.rate.into(), 0)),
            ("us_per_packet", Json::number(self.cost, 2)),
            ("ratio", Json::number(self.ratio, 2)),
            ("p50_us", Json::number(self.p50.map(f64::from), 0)),
            ("p99_us", Json::number(self.p99.map(f64::from), 0)),
            ("loss_percent", Json::Number(self.loss, 2)),
            ("delivered", Json::Number(self.delivered as f64, 0)),
        ]
    }
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "\n| way | receivers | packets/s | µs CPU a delivered packet | to bare sendto | p50 µs | p99 µs | loss % |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let number = |value: Option<f64>, decimals: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.decimals$}"))
        };
        out += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} |\n",
            row.name,
            row.receivers,
            row.rate,
            number(row.cost, 2),
            number(row.ratio, 2),
            number(row.p50.map(f64::from), 0),
            number(row.p99.map(f64::from), 0),
            row.loss,
        );
    }
    out
}

/// What sealing at the speaker and opening at a receiver add to the way of a packet through our UDP
/// relay.
fn sealing(rows: &[Row], rounds: usize) {
    let opus = 160;
    let mut contest = Contest::new(opus, 256);
    let mut contestants: Vec<Box<dyn support::contest::Contestant>> =
        vec![Box::new(Ours::group(opus)), Box::new(Ours::signed(opus))];
    contest.sitting(&mut contestants, 256, rounds);
    for track in &contest.tracks {
        let both = (track.seal.ns().unwrap_or(0.0) + track.open.ns().unwrap_or(0.0)) / 1_000.0;
        println!("{}: sealing and opening take {both:.1} µs", track.name);
        for row in rows.iter().filter(|row| row.name == OurUdp::NAME && row.rate == 50) {
            if let Some(p50) = row.p50.map(f64::from) {
                let share = 100.0 * both / (p50 + both);
                println!("  {} receivers: {share:.1} % of the time from speech to ear", row.receivers);
            }
        }
    }
}
