//! Storms of halls: a stage room with an audience on virtual time, and hostile parties of every
//! kind, by a seed (`docs/STORMS.md`, section 8).
//!
//! ```text
//! cargo run --release --example halls -- --insiders 4 --listeners 60 --minutes 1 --seeds 20 --first 1
//! cargo run --release --example halls -- --insiders 4 --scene MadeUp --seeds 1 --first 17
//! cargo run --release --example halls -- --insiders 4 --without all --seeds 6
//! ```
//!
//! The exit status is 1 if anything was violated; with `--without` it is 1 if a defence that was
//! taken out was not noticed.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use lexopt::{Parser, ValueExt, prelude::Long};
use sottovoce::testkit::{Defence, without};
use sottovoce_hall_storms::{Plan, Report, Scene, storm};

struct Args {
    plan: Plan,
    seeds: u64,
    without: Option<String>,
    json: bool,
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(why) => {
            eprintln!("halls: {why}\n\nscenes: {:?}", Scene::ALL);
            return ExitCode::from(2);
        }
    };
    match &args.without {
        None => storms(&args),
        Some(name) => {
            let named = |it: &&Defence| name == "all" || it.name() == name;
            let defences = Defence::ALL.iter().filter(|it| it.is_of_hall()).filter(named);
            taken_out(&args, &defences.copied().collect::<Vec<_>>())
        }
    }
}

fn parse() -> Result<Args, lexopt::Error> {
    let plan = Plan { seed: 1, listeners: 60, insiders: 4, minutes: 1.0, only: None };
    let mut args = Args { plan, seeds: 20, without: None, json: false };
    let mut parser = Parser::from_env();
    while let Some(option) = parser.next()? {
        match option {
            Long("json") => args.json = true,
            Long("listeners") => args.plan.listeners = parser.value()?.parse::<usize>()?.clamp(8, 1_000),
            Long("insiders") => args.plan.insiders = parser.value()?.parse::<usize>()?.min(100),
            Long("minutes") => args.plan.minutes = parser.value()?.parse::<f64>()?.clamp(0.1, 1_440.0),
            Long("seeds") => args.seeds = parser.value()?.parse()?,
            Long("first") => args.plan.seed = parser.value()?.parse()?,
            Long("without") => args.without = Some(parser.value()?.string()?),
            Long("scene") => {
                let name = parser.value()?.string()?;
                args.plan.only = Some(Scene::named(&name).ok_or(format!("there is no scene {name}"))?);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(args)
}

fn storms(args: &Args) -> ExitCode {
    let began = Instant::now();
    let (mut lasted, mut violations, mut worst) = (Duration::ZERO, 0, Duration::ZERO);
    let mut objects = Vec::new();
    for seed in args.plan.seed..args.plan.seed + args.seeds {
        let Report { violations: found, scenes, lasted: time, healed, tally } =
            storm(Plan { seed, ..args.plan });
        for violation in &found {
            eprintln!("seed {seed}: {violation}");
        }
        if !found.is_empty() {
            eprintln!("seed {seed}: {scenes:?}");
        }
        (lasted, violations) = (lasted + time, violations + found.len());
        worst = worst.max(healed.unwrap_or_default());
        if args.json {
            objects.push(serde_json::json!({
                "seed": seed, "violations": found, "seconds": time.as_secs_f64(),
                "healed_s": healed.map(|it| it.as_secs_f64()), "tricks": tally.tricks,
                "packets": tally.packets, "bans": tally.bans, "turns": tally.turns,
                "deaf_ms": tally.deaf.as_secs_f64() * 1_000.0, "own_in_10_s": tally.own_in_10_s,
                "listener_bytes": tally.listener_bytes, "stage_bytes": tally.stage_bytes,
                "lanes": tally.lanes, "cells": tally.cells,
            }));
        } else {
            println!("seed {seed}: {:.0} s, healed {healed:.1?}, {tally:?}", time.as_secs_f64());
        }
    }
    let hours = lasted.as_secs_f64() / 3_600.0;
    if args.json {
        let object = serde_json::json!({
            "seeds": args.seeds, "first_seed": args.plan.seed, "hall_hours": hours,
            "listeners": args.plan.listeners, "insiders": args.plan.insiders,
            "violations": violations, "healed_max_s": worst.as_secs_f64(), "storms": objects,
        });
        println!("{object}");
    } else {
        println!(
            "{} storms, {hours:.2} hall-hours in {:.0} s; everybody heard again after {worst:.1?} at most",
            args.seeds,
            began.elapsed().as_secs_f64()
        );
        println!("violations: {violations}");
    }
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes out one defence after another: the storms have to notice each of them.
fn taken_out(args: &Args, defences: &[Defence]) -> ExitCode {
    let mut unnoticed = 0;
    for defence in defences {
        let noticed = (args.plan.seed..args.plan.seed + args.seeds).find_map(|seed| {
            let only = args.plan.only.or_else(|| Scene::against(*defence));
            let plan = Plan { seed, only, ..args.plan };
            let report = without(Some(*defence), || storm(plan));
            let known = if report.violations.is_empty() { Vec::new() } else { storm(plan).violations };
            let new = report.violations.into_iter().find(|it| !known.contains(it));
            new.map(|violation| (seed, violation))
        });
        match noticed {
            Some((seed, what)) => {
                println!("{} ({}): noticed, seed {seed}: {what}", defence.name(), defence.rule());
            }
            None => {
                unnoticed += 1;
                println!("{} ({}): NOT NOTICED in {} storms", defence.name(), defence.rule(), args.seeds);
            }
        }
    }
    println!("{} defences taken out, {unnoticed} unnoticed", defences.len());
    if unnoticed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
