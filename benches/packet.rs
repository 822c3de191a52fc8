//! `cargo bench --bench packet`: what sealing and opening one packet costs, against the AEAD alone
//! and against peers.
//!
//! ```text
//! one interleaved run   every contestant, one batch a round, new order each round > table, target/bench/packet.json
//! criterion groups      this library alone, to follow from change to change      > target/criterion
//! ```
//!
//! Ratios are taken round by round; criterion cannot do that, so the comparison has a run of its
//! own. `SOTTOVOCE_BENCH_ROUNDS=20` makes it short, `SOTTOVOCE_BENCH_PEERS=0` leaves out peers in
//! other processes, and any argument, such as a filter, goes to criterion and leaves out the
//! comparison. The exit status says only whether anything of this library allocated: times depend
//! on the machine, so their bounds are printed.

mod support {
    pub use sottovoce_measure::{alloc, batch};

    pub mod arena;
    pub mod contest;
    pub mod median;
    pub mod moments;
    pub mod ours;
    pub mod output;
    pub mod peers;
    pub mod raw;
    pub mod report;
    pub mod room;
}

use std::{env, process::ExitCode, time::Duration};

use criterion::{BenchmarkId, Criterion};
use support::{
    alloc::Counting,
    arena::{Arena, TAIL},
    batch::Sample,
    contest::{Batch, Contest, Contestant},
    moments::{self, FarAhead, Install, NewSender, UnknownKid},
    ours::Ours,
    output,
    peers::{Peer, Remote, Sframe},
    raw::{AesGcm, Ed25519, Sha256},
    report::{self, MEMORY, Row},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of an Opus packet: from the shortest that speech has to the largest that is sealed.
const SIZES: [usize; 6] = [20, 60, 120, 160, 320, 1_000];
/// Where what does not depend on the size is measured.
const USUAL: usize = 160;
/// Timed packets of a batch.
const COUNT: usize = 128;
/// How often all contestants are made anew during the rounds, elsewhere in memory.
const SITTINGS: usize = 10;
/// The largest packet that a room may have.
const LARGEST: usize = 1_000;

fn main() -> ExitCode {
    // `cargo test` runs benchmarks without this flag: it wants to know whether they run, not how
    // fast.
    let measuring = env::args().any(|argument| argument == "--bench");
    let arguments = env::args().skip(1).any(|argument| argument != "--bench");
    let mut allocated = false;
    if !arguments {
        let rounds = env::var("SOTTOVOCE_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        allocated = compare(rounds.unwrap_or(if measuring { 400 } else { 2 }).max(1), measuring);
    }
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    follow(&mut criterion);
    criterion.final_summary();
    if allocated { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The interleaved run. Returns whether anything of ours allocated.
fn compare(rounds: usize, peers: bool) -> bool {
    let mut davey = if peers { Peer::start(Peer::DAVEY) } else { Err("left out of tests".into()) };
    let mut rows = vec![];
    for size in SIZES {
        eprintln!("{rounds} rounds at {size} bytes");
        let mut contest = Contest::new(size, COUNT);
        for sitting in 0..SITTINGS.min(rounds) {
            contest.shift();
            let mut contestants = contestants(size);
            if let Ok(peer) = &mut davey {
                contestants.push(Box::new(Remote { peer, size }));
            }
            let rounds = rounds * (sitting + 1) / SITTINGS - rounds * sitting / SITTINGS;
            contest.sitting(&mut contestants, COUNT, rounds.max(1));
        }
        rows.extend(contest.tracks.iter().map(|track| Row::of(track, &contest.tracks, size)));
    }
    let failure = davey.as_ref().map_or_else(|reason| Some(reason.clone()), |peer| peer.failure.clone());
    if let Some(reason) = failure {
        rows.retain(|row| row.name != Peer::DAVEY);
        let note = Some(reason);
        rows.extend(SIZES.map(|size| Row {
            name: Peer::DAVEY,
            size: Some(size),
            note: note.clone(),
            ..Row::default()
        }));
    }
    rows.push(Row { name: MEMORY, bytes: Some(moments::bytes_per_idle_sender()), ..Row::default() });

    let order: Vec<&str> = rows.iter().map(|row| row.name).collect();
    rows.sort_by_key(|row| order.iter().position(|name| *name == row.name));
    println!("\n{}", report::table(&rows));
    println!("{}", report::verdicts(&rows));
    match output::save("packet.json", &report::to_json(&rows)) {
        Ok(path) => println!("saved {}", path.display()),
        Err(error) => println!("NOT SAVED: {error}"),
    }
    report::allocated(&rows)
}

/// Everybody who is in this process, at one size.
fn contestants<'a>(size: usize) -> Vec<Box<dyn Contestant + 'a>> {
    let signed_opus = size.min(LARGEST - TAIL);
    let mut all: Vec<Box<dyn Contestant + 'a>> = vec![
        Box::new(AesGcm::base(size)),
        Box::new(Ours::group(size)),
        Box::new(Ours::signed(signed_opus)),
        Box::new(Ours::recorded(signed_opus)),
        Box::new(Ed25519::new()),
        Box::new(Sha256::new(signed_opus)),
        Box::new(Sframe::new(size)),
        Box::new(Ours::many(size)),
        Box::new(Ours::many_shuffled(size)),
        Box::new(Ours::forged(size)),
        Box::new(AesGcm::base_256(size)),
        Box::new(Ours::suite_5(size)),
    ];
    if size == USUAL {
        all.push(Box::new(NewSender::new(size)));
        all.push(Box::new(NewSender::crowded(size)));
        all.push(Box::new(UnknownKid::new(size)));
        all.push(Box::new(FarAhead::new(size)));
        all.push(Box::new(Install::new(size)));
    }
    all
}

/// Criterion's own groups: this library alone, so that a change shows.
fn follow(criterion: &mut Criterion) {
    for (mode, new) in [("group", Ours::group as fn(usize) -> Ours), ("signed", Ours::signed)] {
        let mut group = criterion.benchmark_group(mode);
        for size in [60, 160, LARGEST] {
            let opus = if mode == "signed" { size.min(LARGEST - TAIL) } else { size };
            let sides: [(&str, Side); 2] = [("seal", |batch| batch.seal), ("open", |batch| batch.open)];
            for (verb, side) in sides {
                let (mut ours, mut arena) = (new(opus), Arena::new(size, COUNT));
                group.bench_function(BenchmarkId::new(verb, size), |bencher| {
                    bencher.iter_custom(|iterations| {
                        elapsed(iterations, |count| side(ours.run(&mut arena, count)))
                    });
                });
            }
        }
        group.finish();
    }
}

/// What is picked of a batch.
type Side = fn(Batch) -> Option<Sample>;

/// What `iterations` operations take, in batches.
fn elapsed(iterations: u64, mut batch: impl FnMut(usize) -> Option<Sample>) -> Duration {
    let (mut left, mut elapsed) = (iterations, Duration::ZERO);
    while left > 0 {
        let sample = batch(usize::try_from(left).unwrap_or(COUNT).min(COUNT)).expect("this side is measured");
        elapsed += sample.elapsed;
        left -= sample.count.min(left);
    }
    elapsed
}
