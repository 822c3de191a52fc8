//! `cargo bench --bench membership`: what joining, leaving and banning cost in a room, beside
//! openmls alone.
//!
//! ```text
//! a room, every member real     knock > add > Welcome > first packet | Leave > removal | ban     one round,
//! a group of openmls, the same  KeyPackage > add > Welcome > secret  | removal         | removal  in turns
//! ```
//!
//! Both sides have the same cryptography (the RustCrypto provider, `ring` for signing), cipher
//! suite, tree, committer, and sizes of credentials and group context. Each has its own storage:
//! openmls the one in memory that its provider brings, which writes a group out at every step, the
//! room one that keeps private keys alone. What each side does:
//!
//! - openmls: validates a KeyPackage, makes, processes and merges a commit, enters by a Welcome,
//!   exports the epoch's secret.
//! - openmls that checks identities, what MLS demands of every application (RFC 9420 section
//!   5.3.1): all that, and the signature of an identity in each credential, whenever somebody
//!   enters a tree or a leaf is added or replaced.
//! - the room, all that and: opens and seals envelopes, opens the knock, checks the policy, keeps
//!   the roster, starts the key schedule, makes the speaker key of the host and gives it to the
//!   others, and for whoever joins seals the knock, installs the keys and opens the first packet.
//!   For a leave also: the message that asks for it.
//!
//! Up to 128 members all are there, as rooms and as groups of openmls. In larger rooms three are:
//! the host, who commits; the first who came, a moderator, who follows; and whoever comes, leaves,
//! is muted or banned. The others knocked with real keys and are leaves of the tree, admitted by
//! statements like everybody, on all sides; nobody runs their rooms. `-- --leaves` measures smaller
//! rooms so too.
//!
//! The tree is as the adds left it: no member but the committer has ever committed, so a removal is
//! encrypted to every leaf, the worst case. Who commits is found out, not assumed. No wait and no
//! network counts: the room's time is virtual, and what is measured is the time on the processor.
//! Ratios are taken round by round, and their median counts; the times and the sizes are medians
//! too. `-- --sizes 2,10,50` measures only these sizes; `SOTTOVOCE_BENCH_ROUNDS=3` makes it short.

mod support {
    pub use sottovoce_measure::alloc;

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
    bare::{Bare, Checks},
    median::median,
    output::{self, Json},
    party::{Cost, Failed, Party, WHOLE},
    readable::readable,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZES: [u32; 7] = [2, 10, 50, 128, 250, 500, 1_000];
/// What a room may cost, as a multiple of openmls with the same checks of identities.
const BOUND: f64 = 1.15;
/// How many are banned before the rooms are made anew: each ban makes the state larger, on all
/// sides.
const BANS: u32 = 12;

fn main() -> Result<(), Failed> {
    // `cargo test` runs benchmarks without this flag: it wants to know whether they run, not how
    // fast.
    let measuring = env::args().any(|argument| argument == "--bench");
    let sizes = sizes(measuring)?;
    let wanted = env::var("SOTTOVOCE_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut results = vec![];
    for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
        let largest = u32::try_from(key_exchange.max_members())?;
        for size in sizes.iter().map(|size| (*size).min(largest)) {
            let usual = if measuring { (3_000 / size).clamp(12, 100) } else { 1 };
            let rounds = wanted.unwrap_or(usual).max(1);
            eprintln!("{rounds} rounds of {size} members with {}", name(key_exchange));
            let outcome = measure(key_exchange, size, rounds)?;
            println!("{}", table(&outcome));
            results.push(outcome);
        }
    }
    println!("{FOOT}");
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
    changes: Vec<(Change, Rounds)>,
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
    Mute,
}

/// One change, round by round: the room's cost, that of openmls with the same checks of identities,
/// and without.
type Rounds = Vec<[Cost; 3]>;

/// The same room three times: ours, and with openmls alone.
struct Trio {
    room: Party,
    checking: Bare,
    bare: Bare,
}

impl Trio {
    fn new(key_exchange: KeyExchange, size: u32) -> Result<Self, Failed> {
        let whole = size <= WHOLE && !env::args().any(|argument| argument == "--leaves");
        let bare = |checks| Bare::new(key_exchange, size, checks, whole);
        let room = Party::new(key_exchange, size, whole)?;
        Ok(Self { room, checking: bare(Checks::Identities)?, bare: bare(Checks::Nothing)? })
    }

    /// The same change in all three. In turns: whoever comes later finds the caches warm.
    fn make(&mut self, change: Change, round: u32) -> Result<[Cost; 3], Failed> {
        let last = self.room.newest()?;
        let ours = match change {
            Change::Join => self.room.join()?,
            Change::Leave => self.room.leave()?,
            Change::Ban => self.room.ban()?,
            Change::Mute => self.room.mute()?,
        };
        let make = |group: &mut Bare| match change {
            Change::Join => group.join(ours.committer, 1),
            Change::Leave => group.remove(ours.committer, last),
            Change::Ban => group.ban(ours.committer, last),
            Change::Mute => group.change_context(ours.committer),
        };
        if round.is_multiple_of(2) {
            let (checked, unchecked) = (make(&mut self.checking)?, make(&mut self.bare)?);
            return Ok([ours, checked, unchecked]);
        }
        let (unchecked, checked) = (make(&mut self.bare)?, make(&mut self.checking)?);
        Ok([ours, checked, unchecked])
    }
}

/// Of each kind the first round is for the caches, and is dropped. Nobody is banned while joining
/// and leaving are measured, and a few are while banning is.
fn measure(key_exchange: KeyExchange, size: u32, rounds: u32) -> Result<Outcome, Failed> {
    let (mut joins, mut leaves, mut bans, mut mutes) = (vec![], vec![], vec![], vec![]);
    let mut trio = Trio::new(key_exchange, size)?;
    for round in 0..=rounds {
        let (left, joined) = (trio.make(Change::Leave, round)?, trio.make(Change::Join, round)?);
        if round > 0 {
            leaves.push(left);
            joins.push(joined);
        }
    }
    // An even number: nobody is muted in the end.
    for round in 0..=(rounds | 1) {
        let muted = trio.make(Change::Mute, round)?;
        if round > 0 {
            mutes.push(muted);
        }
    }
    while bans.len() < rounds as usize {
        for round in 0..=BANS.min(rounds) {
            let banned = trio.make(Change::Ban, round)?;
            trio.make(Change::Join, round)?;
            if round > 0 {
                bans.push(banned);
            }
        }
        if bans.len() < rounds as usize {
            trio = Trio::new(key_exchange, size)?;
        }
    }
    let Trio { mut room, mut bare, .. } = trio;
    let stored = bare.stored();
    let weighed = |dropped: &mut dyn FnMut()| {
        let before = live_bytes();
        dropped();
        before - live_bytes()
    };
    let heap = [weighed(&mut || room.drop_last()), weighed(&mut || bare.drop_last())];
    let changes =
        vec![(Change::Join, joins), (Change::Leave, leaves), (Change::Ban, bans), (Change::Mute, mutes)];
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
        Change::Leave | Change::Ban | Change::Mute => &[COMMITTER, FOLLOWER],
    }
}

/// Medians of one part over the rounds: nanoseconds of the room, of openmls with the same checks
/// and without, and the ratios of the first to the others.
struct Figures {
    spent: [f64; 3],
    ratio: f64,
    ratio_unchecked: f64,
}

impl Figures {
    fn of(rounds: &Rounds, of: impl Fn(&Cost) -> Option<Duration>) -> Option<Self> {
        let ns = |cost: &Cost| Some(of(cost)?.as_nanos() as f64);
        let all: Vec<[f64; 3]> =
            rounds.iter().filter_map(|[a, b, c]| Some([ns(a)?, ns(b)?, ns(c)?])).collect();
        let of_all = |of: fn(&[f64; 3]) -> f64| median(all.iter().map(of).collect());
        Some(Self {
            spent: [of_all(|spent| spent[0])?, of_all(|spent| spent[1])?, of_all(|spent| spent[2])?],
            ratio: of_all(|[ours, checked, _]| ours / checked)?,
            ratio_unchecked: of_all(|[ours, _, unchecked]| ours / unchecked)?,
        })
    }

    fn passes(&self) -> bool {
        self.ratio <= BOUND
    }
}

/// The median of what was sent: of a room 0, of openmls 2.
fn sent(rounds: &Rounds, side: usize) -> Option<f64> {
    median(rounds.iter().filter_map(|round| Some(round.get(side)?.sent as f64)).collect())
}

/// A line for each part of each change, with the sizes behind the first.
fn table(outcome: &Outcome) -> String {
    let mut out = format!(
        "\n{} members, {}\n{:<8}{:<18}{:>10}{:>10}{:>8}        {:>10}{:>8}{:>10}{:>10}\n",
        outcome.size,
        name(outcome.key_exchange),
        "",
        "",
        "room",
        "checking",
        "x",
        "openmls",
        "x",
        "sent",
        "openmls",
    );
    for (change, rounds) in &outcome.changes {
        for (index, (part, time)) in parts(*change).iter().enumerate() {
            let Some(figures) = Figures::of(rounds, time) else { continue };
            let verdict = if figures.passes() { "pass" } else { "FAIL" };
            let [ours, checked, unchecked] = figures.spent.map(|ns| readable(ns as u64));
            out += &format!(
                "{:<8}{part:<18}{ours:>10}{checked:>10}{:>8.3}  {verdict}  {unchecked:>10}{:>8.3}",
                if index == 0 { change.name() } else { "" },
                figures.ratio,
                figures.ratio_unchecked,
            );
            if *part == "committer" {
                let sent = |side| sent(rounds, side).map_or(String::from("-"), |bytes| format!("{bytes:.0}"));
                out += &format!("{:>10}{:>10}", sent(0), sent(2));
            }
            out.push('\n');
        }
    }
    let [room, bare] = outcome.heap;
    out += &format!(
        "heap    {room} bytes a room, {bare} a group with its storage; {} bytes of state as stored\n",
        outcome.stored
    );
    out
}

const FOOT: &str = "
checking: openmls that checks the signature of an identity in each credential, as a room does and every application has to.
x:      median over the rounds of (room / the openmls to its left in the same round); pass is at most 1.15 of the one that checks.
sent:   bytes of the committer's control messages, all of 1, 2, 4, 8 or 16 KiB, and of the commit (and Welcome) of openmls.
join:   knock to packet is newcomer + committer, from the first call to the first packet opened. Nobody is banned: each ban in
        the state of a room is one more signature that a newcomer checks.
leave:  the committer is told by a message of the leaver, openmls by nobody.
";

/// One row for each part of each change.
fn json(results: &[Outcome]) -> String {
    let mut rows = vec![];
    for outcome in results {
        for (change, rounds) in &outcome.changes {
            for (part, time) in parts(*change) {
                let Some(figures) = Figures::of(rounds, time) else { continue };
                let [room, checked, unchecked] = figures.spent;
                rows.push(vec![
                    ("key_exchange", Json::Text(name(outcome.key_exchange).into())),
                    ("members", Json::Number(outcome.size.into(), 0)),
                    ("change", Json::Text(change.name().into())),
                    ("part", Json::Text((*part).into())),
                    ("rounds", Json::Number(rounds.len() as f64, 0)),
                    ("room_ns", Json::Number(room, 0)),
                    ("openmls_checking_ns", Json::Number(checked, 0)),
                    ("ratio", Json::Number(figures.ratio, 3)),
                    ("openmls_ns", Json::Number(unchecked, 0)),
                    ("ratio_unchecked", Json::Number(figures.ratio_unchecked, 3)),
                    ("room_sent", Json::number(sent(rounds, 0), 0)),
                    ("openmls_sent", Json::number(sent(rounds, 2), 0)),
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
            Self::Mute => "mute",
        }
    }
}

fn name(key_exchange: KeyExchange) -> &'static str {
    match key_exchange {
        KeyExchange::X25519 => "X25519",
        KeyExchange::MlKem768X25519 => "ML-KEM-768 + X25519",
    }
}
