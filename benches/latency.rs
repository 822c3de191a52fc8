//! `cargo bench --bench latency`: how long each packet takes, and whether a commit on another
//! thread shows.
//!
//! ```text
//! media thread    due > wake > install keys > seal > hop > open      one packet each 400 us
//! relay thread                                    forwards over UDP on the loopback interface
//! control thread  quiet by turns with an MLS commit of a group of 102 each 100 ms: keys > channel
//! ```
//!
//! Real commits (`support/commits.rs`), real sockets, real threads. Stretches without and with
//! commits alternate, so both see the same machine. A run in which the media thread only counts,
//! with all else the same, shows what the machine itself does to a thread.
//! `SOTTOVOCE_BENCH_PACKETS=2000` makes it short. Saves `latency.json` and `latency.svg` in
//! `target/bench`.

mod support {
    pub use sottovoce_measure::alloc;

    pub mod commits;
    pub mod control;
    pub mod distribution;
    pub mod loopback;
    pub mod output;
    pub mod pace;
    pub mod plot;
    pub mod readable;
}

use std::{env, time::Duration};

use sottovoce::{Authenticity, Opener, PacketSize, Sealer};
use support::{
    alloc::Counting,
    commits::{Commits, Failed},
    control::{Control, Log},
    distribution::Summary,
    loopback::Loopback,
    output::{self, Json},
    pace::{self, Count, Part, Parts, Run, Work},
    plot::{self, Line, Panel, Style},
    readable::readable,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The group: the committer, ours, and as many senders as any run has.
const MEMBERS: u8 = 102;
const SENDERS: [usize; 3] = [1, 10, 100];
/// Bytes of Opus in a packet: 40 ms at 32 kb/s.
const OPUS: usize = 160;

fn main() -> Result<(), Failed> {
    // `cargo test` runs benchmarks without this flag: it wants to know whether they run, not how
    // fast.
    let measuring = env::args().any(|argument| argument == "--bench");
    let wanted = env::var("SOTTOVOCE_BENCH_PACKETS").ok().and_then(|packets| packets.parse().ok());
    let packets = wanted.unwrap_or(if measuring { 10_000 } else { 1 }).max(1);

    eprintln!("making an MLS group of {MEMBERS}");
    let mut commits = Commits::new(MEMBERS)?;
    let mut results = vec![];
    for authenticity in [Authenticity::Signed, Authenticity::Group] {
        for senders in SENDERS {
            let work = packets_of(senders);
            commits = results_of(commits, &mut results, authenticity, senders, work, packets)?;
        }
        if let Some(like) = results.last() {
            let work = counting_like(like);
            commits = results_of(commits, &mut results, authenticity, SENDERS[2], work, packets)?;
        }
    }
    println!("{}", report(&results));
    println!("saved {}", output::save("latency.json", &json(&results))?.display());
    println!("saved {}", output::save("latency.svg", &svg(&results))?.display());
    let allocations: u64 = results.iter().map(|result| result.run.allocations).sum();
    if allocations > 0 {
        Err(format!("the media thread allocated {allocations} times").into())
    } else {
        Ok(())
    }
}

/// One configuration and what came of it.
struct Outcome {
    authenticity: Authenticity,
    senders: usize,
    counting: bool,
    run: Run,
    log: Log,
}

fn results_of(
    commits: Commits,
    results: &mut Vec<Outcome>,
    authenticity: Authenticity,
    senders: usize,
    work: Work,
    packets: usize,
) -> Result<Commits, Failed> {
    let counting = matches!(work, Work::Counting { .. });
    eprintln!("{}", title(authenticity, senders, counting));
    let size = match authenticity {
        Authenticity::Signed => PacketSize::default(),
        Authenticity::Group => PacketSize::new(OPUS as u16)?,
    };
    let relay = Loopback::open()?;
    let control = Control::start(commits, senders, authenticity, size);
    let run = pace::run(work, &control, &relay, packets);
    relay.close();
    let (commits, log) = control.stop()?;
    results.push(Outcome { authenticity, senders, counting, run, log });
    Ok(commits)
}

fn packets_of(senders: usize) -> Work {
    let sealers = (0..senders).map(|_| Sealer::new()).collect();
    Work::Packets { sealers, opener: Box::new(Opener::new()), opus: OPUS }
}

/// Counting that takes as long as sealing and opening did in the middle.
fn counting_like(outcome: &Outcome) -> Work {
    let count = |part| {
        let middle = outcome.run.quiet.of(part).summary().map_or(0, |summary| summary.p50);
        Count::lasting(Duration::from_nanos(middle))
    };
    Work::Counting { seal: count(Part::Seal), open: count(Part::Open), packet: OPUS + 23 }
}

impl Outcome {
    fn stretches(&self) -> [(&'static str, &Parts); 2] {
        [("quiet", &self.run.quiet), ("epoch changes", &self.run.commits)]
    }

    fn title(&self) -> String {
        title(self.authenticity, self.senders, self.counting)
    }
}

fn title(authenticity: Authenticity, senders: usize, counting: bool) -> String {
    let mode = match authenticity {
        Authenticity::Signed => "signed",
        Authenticity::Group => "group",
    };
    match (counting, senders) {
        (true, _) => format!("baseline of {mode}, counting"),
        (false, 1) => format!("{mode}, 1 sender"),
        (false, _) => format!("{mode}, {senders} senders"),
    }
}

/// Quiet stretches and stretches with epoch changes side by side.
fn report(results: &[Outcome]) -> String {
    let mut out = format!(
        "\n{:<28}| {:^39} | {:^39} |\n{:<28}| {:>9} {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} {:>9} | rise of p99.9\n",
        "", "quiet", "across epoch changes", "", "p50", "p99", "p99.9", "max", "p50", "p99", "p99.9", "max",
    );
    for outcome in results {
        out += &format!("{}\n", outcome.title());
        for part in Part::ALL {
            let cells = outcome.stretches().map(|(_, parts)| cells(parts.of(part).summary()));
            let rise = rise(outcome, part).map_or("-".into(), |ns| {
                format!("{}{}", if ns < 0 { "-" } else { "+" }, readable(ns.unsigned_abs()))
            });
            out += &format!("  {:<26}| {} | {} | {rise}\n", part.name(), cells[0], cells[1]);
        }
    }
    out += "\ncommits, processed on the control thread\n";
    for outcome in results {
        let (commits, schedules) = (Summary::of(&outcome.log.commits), Summary::of(&outcome.log.schedules));
        if let (Some(commits), Some(schedules)) = (commits, schedules) {
            out += &format!(
                "  {:<30}| {} of {} bytes: p50 {}, max {}; starting {} key schedules: p50 {}\n",
                outcome.title(),
                commits.count,
                outcome.log.size,
                readable(commits.p50),
                readable(commits.max),
                outcome.senders + 1,
                readable(schedules.p50),
            );
        }
    }
    out + "\n" + &verdicts(results)
}

fn cells(summary: Option<Summary>) -> String {
    summary.map_or_else(
        || format!("{:>9} {:>9} {:>9} {:>9}", "-", "-", "-", "-"),
        |of| {
            let [p50, p99, p999, max] = [of.p50, of.p99, of.p999, of.max].map(readable);
            format!("{p50:>9} {p99:>9} {p999:>9} {max:>9}")
        },
    )
}

/// By how much the 99.9th percentile is higher across epoch changes, in nanoseconds.
fn rise(outcome: &Outcome, part: Part) -> Option<i64> {
    let [quiet, commits] = outcome.stretches().map(|(_, parts)| parts.of(part).summary());
    Some(commits?.p999 as i64 - quiet?.p999 as i64)
}

/// Sealing and opening must not wait for a commit: if they did, their p99.9 would rise by what one
/// takes.
///
/// A tenth of a commit is allowed, and whatever the baseline rises by on the same machine.
fn verdicts(results: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in results.iter().filter(|outcome| !outcome.counting) {
        let baseline =
            results.iter().find(|other| other.counting && other.authenticity == outcome.authenticity);
        let Some(commit) = Summary::of(&outcome.log.commits) else { continue };
        for part in [Part::Seal, Part::Open] {
            let Some(rise) = rise(outcome, part) else { continue };
            let machine = baseline.and_then(|baseline| self::rise(baseline, part)).unwrap_or(0).max(0);
            let allowed = commit.p50 as i64 / 10 + machine;
            let verdict = if rise <= allowed { "pass" } else { "FAIL" };
            out += &format!(
                "{verdict}  {}, {}: p99.9 rises by {} across epoch changes, at most {} allowed\n",
                outcome.title(),
                part.name(),
                readable(rise.max(0).unsigned_abs()),
                readable(allowed.unsigned_abs()),
            );
        }
    }
    let (lost, allocations) = results
        .iter()
        .fold((0, 0), |(lost, count), outcome| (lost + outcome.run.lost, count + outcome.run.allocations));
    out + &format!(
        "allocations on the media thread: {allocations}; packets lost on the loopback interface: {lost}\n"
    )
}

/// One row for each configuration, stretch and part; durations in nanoseconds.
fn json(results: &[Outcome]) -> String {
    let mut rows = vec![];
    for outcome in results {
        for (stretch, parts) in outcome.stretches() {
            for part in Part::ALL {
                let summary = parts.of(part).summary();
                let number = |of: fn(&Summary) -> u64| {
                    Json::number(summary.as_ref().map(|summary| of(summary) as f64), 0)
                };
                rows.push(vec![
                    ("name", Json::Text(outcome.title())),
                    ("senders", Json::Number(outcome.senders as f64, 0)),
                    ("stretch", Json::Text(stretch.into())),
                    ("part", Json::Text(part.name().into())),
                    ("samples", number(|of| of.count as u64)),
                    ("p50_ns", number(|of| of.p50)),
                    ("p99_ns", number(|of| of.p99)),
                    ("p999_ns", number(|of| of.p999)),
                    ("max_ns", number(|of| of.max)),
                    (
                        "commit_p50_ns",
                        Json::number(Summary::of(&outcome.log.commits).map(|of| of.p50 as f64), 0),
                    ),
                ]);
            }
        }
    }
    output::json(&rows)
}

/// A row of panels for each mode: seal, hop, open.
fn svg(results: &[Outcome]) -> String {
    let mut panels = vec![];
    for (authenticity, mode) in [(Authenticity::Signed, "signed"), (Authenticity::Group, "group")] {
        for part in [Part::Seal, Part::Hop, Part::Open] {
            let mut lines = vec![];
            for outcome in results.iter().filter(|outcome| outcome.authenticity == authenticity) {
                for ((_, parts), style) in outcome.stretches().into_iter().zip(styles(outcome)) {
                    lines.push(Line { style, sorted: parts.of(part).sorted() });
                }
            }
            panels.push(Panel { title: format!("{mode}: {}", part.name()), lines });
        }
    }
    plot::svg("Share of packets within a latency, quiet and across epoch changes", &panels, 3)
}

/// Blue is quiet, red has epoch changes, grey is the machine; wider lines have more senders.
fn styles(outcome: &Outcome) -> [Style; 2] {
    let style = |name, colour, width, dashes| Style { name, colour, width, dashes };
    match (outcome.counting, outcome.senders) {
        (true, _) => [
            style("counting instead, quiet", "#999", 1.5, ""),
            style("counting instead, epoch changes", "#999", 1.5, "2 3"),
        ],
        (false, 1) => [
            style("1 sender, quiet", "#9ecae1", 1.0, ""),
            style("1 sender, epoch changes", "#fcae91", 1.0, "5 2"),
        ],
        (false, 10) => [
            style("10 senders, quiet", "#4292c6", 1.5, ""),
            style("10 senders, epoch changes", "#fb6a4a", 1.5, "5 2"),
        ],
        (false, _) => [
            style("100 senders, quiet", "#084594", 2.0, ""),
            style("100 senders, epoch changes", "#cb181d", 2.0, "5 2"),
        ],
    }
}
