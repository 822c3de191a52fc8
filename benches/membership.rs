//! `cargo bench --bench membership`: what joining, leaving and banning cost in a room, beside openmls alone.
//!
//! ```text
//! a room, every member real     knock > add > Welcome > first packet | Leave > removal | ban     one round,
//! a group of openmls, the same  KeyPackage > add > Welcome > secret  | removal         | removal  in turns
//! ```
//!
//! Both sides have the same cryptography (the RustCrypto provider, `ring` for signing), cipher suite, tree, committer, and
//! sizes of credentials and group context. Each has its own storage: openmls the one in memory that its provider
//! brings, which writes a group out at every step, the room one that keeps private keys alone. What each side does:
//!
//! - openmls: validates a KeyPackage, makes, processes and merges a commit, enters by a Welcome, exports the epoch's secret.
//! - the room, all that and: opens and seals envelopes, opens the knock, checks every credential and the policy, keeps
//!   the roster, starts the key schedule, makes the speaker key of the host and gives it to the others, and for
//!   whoever joins installs the keys and opens the first packet. For a leave also: the message that asks for it.
//!
//! The tree is as the adds left it: no member but the committer has ever committed, so a removal is encrypted to every
//! leaf, the worst case. Who commits is found out, not assumed. No wait and no network counts: the room's time is virtual, and
//! what is measured is the time on the processor. Ratios are taken round by round, and their median counts; the times and
//! the sizes are medians too.
//! `-- --sizes 2,10,50` measures only these sizes; `SOTTOVOCE_BENCH_ROUNDS=3` makes it short.

mod support {
    pub mod alloc;
    pub mod bare;
    pub mod clock;
    pub mod median;
    pub mod output;
    pub mod party;
    pub mod readable;
}

use std::{env, time::Duration};

use sottovoce::group::KeyExchange;
use support::{
    alloc::{Counting, live_bytes},
    bare::Bare,
    median::median,
    output::{self, Json},
    party::{Cost, Failed, Party},
    readable::readable,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZES: [u32; 5] = [2, 10, 50, 128, 250];
/// What a room may cost, as a multiple of openmls alone.
const BOUND: f64 = 1.15;

fn main() -> Result<(), Failed> {
    // `cargo test` runs benchmarks without this flag: it wants to know whether they run, not how fast.
    let measuring = env::args().any(|argument| argument == "--bench");
    let sizes = sizes(measuring)?;
    let wanted = env::var("SOTTOVOCE_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut results = vec![];
    for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
        for size in &sizes {
            let usual = if measuring { (3_000 / size).clamp(12, 100) } else { 1 };
            let rounds = wanted.unwrap_or(usual).max(1);
            eprintln!("{rounds} rounds of {size} members with {}", name(key_exchange));
            results.push(measure(key_exchange, *size, rounds)?);
        }
    }
    println!("{}", table(&results));
    println!("saved {}", output::save("membership.json", &json(&results))?.display());
    Ok(())
}

fn sizes(measuring: bool) -> Result<Vec<u32>, Failed> {
    let mut arguments = env::args().skip_while(|argument| argument != "--sizes");
    let Some(list) = arguments.nth(1) else {
        return Ok(if measuring { SIZES.into() } else { vec![2, 3] });
    };
    let sizes = list.split(',').map(|size| Ok(size.parse()?)).collect::<Result<Vec<u32>, Failed>>()?;
    if sizes.iter().any(|size| !(2..=1_000).contains(size)) {
        return Err("a room has 2 to 1000 members here".into());
    }
    Ok(sizes)
}

/// A room of one size, with one key exchange, and what came of it.
struct Outcome {
    key_exchange: KeyExchange,
    size: u32,
    changes: Vec<(Change, Pairs)>,
    /// Bytes of heap that one member's room holds, and one member's group with its storage.
    heap: [i64; 2],
    /// Bytes of one member's group as openmls stores it.
    stored: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Join,
    Leave,
    Ban,
}

/// One change, round by round: the room's cost and that of openmls.
type Pairs = Vec<(Cost, Cost)>;

fn measure(key_exchange: KeyExchange, size: u32, rounds: u32) -> Result<Outcome, Failed> {
    let (mut room, mut bare) = (Party::new(key_exchange, size)?, Bare::new(key_exchange, size)?);
    let mut changes = vec![(Change::Join, vec![]), (Change::Leave, vec![]), (Change::Ban, vec![])];
    // The first round is for the caches, and is dropped.
    for round in 0..=rounds {
        for change in [Change::Leave, Change::Join, Change::Ban, Change::Join] {
            let last = room.newest()?;
            let ours = match change {
                Change::Join => room.join()?,
                Change::Leave => room.leave()?,
                Change::Ban => room.ban()?,
            };
            let theirs = match change {
                Change::Join => bare.join(ours.committer, 1)?,
                Change::Leave => bare.remove(ours.committer, last)?,
                Change::Ban => bare.ban(ours.committer, last)?,
            };
            if round > 0
                && let Some((_, pairs)) = changes.iter_mut().find(|(kind, _)| *kind == change)
            {
                pairs.push((ours, theirs));
            }
        }
    }
    let stored = bare.stored();
    let weighed = |dropped: &mut dyn FnMut()| {
        let before = live_bytes();
        dropped();
        before - live_bytes()
    };
    let heap = [weighed(&mut || room.drop_last()), weighed(&mut || bare.drop_last())];
    Ok(Outcome { key_exchange, size, changes, heap, stored })
}

/// A part of a change: what it is called, and its time.
type Part = (&'static str, fn(&Cost) -> Option<Duration>);

/// The parts that are shown: the time from one end to the other for a join, and each member's own.
fn parts(change: Change) -> &'static [Part] {
    const COMMITTER: Part = ("committer", |cost| Some(cost.committing));
    const FOLLOWER: Part = ("receiver", |cost| Some(cost.following).filter(|spent| !spent.is_zero()));
    match change {
        Change::Join => &[
            ("knock to packet", |cost| Some(cost.committing + cost.entering?)),
            ("newcomer", |cost| cost.entering),
            COMMITTER,
            FOLLOWER,
        ],
        Change::Leave | Change::Ban => &[COMMITTER, FOLLOWER],
    }
}

/// Medians of one part over the rounds: the room's nanoseconds, those of openmls, and the ratio.
struct Figures {
    ours: f64,
    bare: f64,
    ratio: f64,
}

impl Figures {
    fn of(pairs: &Pairs, of: impl Fn(&Cost) -> Option<Duration>) -> Option<Self> {
        let both: Vec<(f64, f64)> = pairs
            .iter()
            .filter_map(|(ours, bare)| Some((of(ours)?.as_nanos() as f64, of(bare)?.as_nanos() as f64)))
            .collect();
        Some(Self {
            ours: median(both.iter().map(|(ours, _)| *ours).collect())?,
            bare: median(both.iter().map(|(_, bare)| *bare).collect())?,
            ratio: median(both.iter().map(|(ours, bare)| ours / bare).collect())?,
        })
    }

    fn passes(&self) -> bool {
        self.ratio <= BOUND
    }
}

fn bytes(pairs: &Pairs, of: impl Fn(&(Cost, Cost)) -> usize) -> Option<f64> {
    median(pairs.iter().map(|pair| of(pair) as f64).collect())
}

/// A line for each part of each change, with the sizes behind the first.
fn table(results: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in results {
        out += &format!(
            "\n{} members, {}\n{:<8}{:<18}{:>10}{:>10}{:>8}        {:>10}{:>10}\n",
            outcome.size,
            name(outcome.key_exchange),
            "",
            "",
            "room",
            "openmls",
            "x",
            "sent",
            "openmls",
        );
        for (change, pairs) in &outcome.changes {
            for (index, (part, time)) in parts(*change).iter().enumerate() {
                let Some(figures) = Figures::of(pairs, time) else { continue };
                let verdict = if figures.passes() { "pass" } else { "FAIL" };
                let readable = |ns: f64| readable(ns as u64);
                out += &format!(
                    "{:<8}{part:<18}{:>10}{:>10}{:>8.3}  {verdict}",
                    if index == 0 { change.name() } else { "" },
                    readable(figures.ours),
                    readable(figures.bare),
                    figures.ratio,
                );
                if *part == "committer" {
                    let sent = |of: fn(&(Cost, Cost)) -> usize| {
                        bytes(pairs, of).map_or(String::from("-"), |bytes| format!("{bytes:.0}"))
                    };
                    out += &format!("  {:>10}{:>10}", sent(|pair| pair.0.sent), sent(|pair| pair.1.sent));
                }
                out.push('\n');
            }
        }
        let [room, bare] = outcome.heap;
        out += &format!(
            "heap    {room} bytes a room, {bare} a group with its storage; {} bytes of state as stored\n",
            outcome.stored
        );
    }
    out + FOOT
}

const FOOT: &str = "
x:      median over the rounds of (room / openmls in the same round); pass is at most 1.15.
sent:   bytes of the committer's control messages, all of 1, 2, 4, 8 or 16 KiB, and of the commit (and Welcome) of openmls.
join:   knock to packet is newcomer + committer, from the first call to the first packet opened.
leave:  the committer is told by a message of the leaver, openmls by nobody.
";

/// One row for each part of each change.
fn json(results: &[Outcome]) -> String {
    let mut rows = vec![];
    for outcome in results {
        for (change, pairs) in &outcome.changes {
            for (part, time) in parts(*change) {
                let Some(figures) = Figures::of(pairs, time) else { continue };
                rows.push(vec![
                    ("key_exchange", Json::Text(name(outcome.key_exchange).into())),
                    ("members", Json::Number(outcome.size.into(), 0)),
                    ("change", Json::Text(change.name().into())),
                    ("part", Json::Text((*part).into())),
                    ("rounds", Json::Number(pairs.len() as f64, 0)),
                    ("room_ns", Json::Number(figures.ours, 0)),
                    ("openmls_ns", Json::Number(figures.bare, 0)),
                    ("ratio", Json::Number(figures.ratio, 3)),
                    ("room_sent", Json::number(bytes(pairs, |pair| pair.0.sent), 0)),
                    ("openmls_sent", Json::number(bytes(pairs, |pair| pair.1.sent), 0)),
                    ("room_heap", Json::Number(outcome.heap[0] as f64, 0)),
                    ("openmls_heap", Json::Number(outcome.heap[1] as f64, 0)),
                    ("stored", Json::Number(outcome.stored as f64, 0)),
                ]);
            }
        }
    }
    output::json(&rows)
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }
}

fn name(key_exchange: KeyExchange) -> &'static str {
    match key_exchange {
        KeyExchange::X25519 => "X25519",
        KeyExchange::MlKem768X25519 => "ML-KEM-768 + X25519",
    }
}
