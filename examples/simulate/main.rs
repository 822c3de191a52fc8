//! Rooms in storms, on virtual time: everything that a relay and members can do wrong, and what
//! must hold all the same.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 100 --members 8 --minutes 10
//! cargo run --release --example simulate -- --first 1234 --seeds 1          the same events again
//! ```
//!
//! After every step it holds: members of one branch of an epoch have one roster and one code;
//! whoever opens a packet is on the roster that its sender saw when it sealed it; nobody sends 15 s
//! after the last word that was sent to it; no key seals one counter twice. At the end of each
//! storm the relay behaves, and everybody who was not banned must be in one epoch and hear the
//! others within 90 s. `--json` prints one object; the exit status is 1 if anything was violated.
//! SPEC.md section 7 has the rules.

mod args;
mod hostile;

use std::{process::ExitCode, time::Duration};

use args::Args;
use serde_json::json;
use sottovoce_testkit::{
    alloc, deaf,
    storm::{Outcome, storm},
};

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("simulate: {why}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    if args.insiders > 0 || args.scene.is_some() {
        return hostile::run(&args);
    }
    // A violation that stops a room is said once, below.
    std::panic::set_hook(Box::new(|_| {}));
    let outcomes: Vec<Outcome> = (args.first..args.first + args.seeds)
        .map(|seed| {
            let outcome = storm(seed, args.members, args.minutes);
            for violation in &outcome.violations {
                eprintln!("seed {seed}: {violation}");
            }
            outcome
        })
        .collect();
    let violations: usize = outcomes.iter().map(|outcome| outcome.violations.len()).sum();
    let lasted: Duration = outcomes.iter().map(|outcome| outcome.lasted).sum();
    let room_minutes = lasted.as_secs_f64() / 60.0;
    let mut healed: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.healed).collect();
    healed.sort_unstable();
    let sum = |part: fn(&Outcome) -> u64| outcomes.iter().map(part).sum::<u64>();
    let heaviest = outcomes.iter().map(|outcome| outcome.heaviest).max().unwrap_or_default();
    let gone = outcomes.iter().filter(|outcome| outcome.gone).count();
    let deaf: Vec<_> = [0, 2, 10].map(|loss| (loss, deaf::times(args.first, loss, args.bans))).into();
    let violations = violations + deaf.iter().map(|(_, (_, violations))| violations.len()).sum::<usize>();
    for violation in deaf.iter().flat_map(|(_, (_, violations))| violations) {
        eprintln!("{violation}");
    }
    if args.json {
        let object = json!({
            "seeds": args.seeds,
            "first_seed": args.first,
            "members": args.members,
            "room_minutes": room_minutes,
            "violations": violations,
            "rooms_gone": gone,
            "room_bytes_max": heaviest,
            "epochs": sum(|outcome| outcome.epochs),
            "packets_opened": sum(|outcome| outcome.opened),
            "blows": sum(|outcome| outcome.blows),
            "healed_p50_s": deaf::percentile(&healed, 50).as_secs_f64(),
            "healed_max_s": healed.last().copied().unwrap_or_default().as_secs_f64(),
            "deaf_ms": deaf.iter().map(|(loss, (times, _))| json!({
                "loss_percent": loss,
                "bans": times.len(),
                "p50": deaf::percentile(times, 50).as_millis() as u64,
                "p99": deaf::percentile(times, 99).as_millis() as u64,
            })).collect::<Vec<_>>(),
        });
        println!("{object}");
    } else {
        println!(
            "{} storms over {} members, {room_minutes:.0} room-minutes: {} epochs, {} packets opened, {} blows",
            args.seeds,
            args.members,
            sum(|outcome| outcome.epochs),
            sum(|outcome| outcome.opened),
            sum(|outcome| outcome.blows),
        );
        println!("rooms that all had left at one time: {gone}");
        println!(
            "together again after {:.1} s (median), {:.1} s at most",
            deaf::percentile(&healed, 50).as_secs_f64(),
            healed.last().copied().unwrap_or_default().as_secs_f64()
        );
        for (loss, (times, _)) in &deaf {
            println!(
                "deaf after a ban with {loss} % loss: p50 {} ms, p99 {} ms, of {}",
                deaf::percentile(times, 50).as_millis(),
                deaf::percentile(times, 99).as_millis(),
                times.len()
            );
        }
        println!("a member's room held {heaviest} bytes at most");
        println!("violations: {violations}");
    }
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
