//! A stage room on virtual time: what an audience costs, how soon a join is heard and a ban makes
//! deaf. Every listener is a real one.

use std::{collections::HashMap, time::Duration};

use rand::RngExt;
use sottovoce_measure::alloc::live_bytes;
use sottovoce_stage_sim::{Report, Setup, World, percentile};

use crate::args::Plan;

/// A listener that was banned and does not give up.
struct Banned {
    index: usize,
    at: Duration,
}

/// Does what the plan says, and returns the status to exit with.
pub fn main(plan: &Plan) -> u8 {
    let report = run(plan);
    if plan.json {
        println!("{}", json(&report));
    } else {
        table(&report);
    }
    u8::from(!report.violations.is_empty())
}

fn run(plan: &Plan) -> Report {
    let empty = live_bytes();
    let mut world = World::new(Setup {
        seed: plan.seed,
        porters: plan.porters,
        speakers: plan.speakers,
        sample: (plan.listeners / 500).max(2),
        ..Setup::default()
    });
    eprintln!("stage of {} with {} porters, at {:.0?}", world.members.len(), plan.porters, world.now());
    let stage_alone = live_bytes() - empty;
    fill(&mut world, plan.listeners);
    let watched: Vec<usize> = world.present().iter().copied().step_by((plan.listeners / 48).max(1)).collect();
    world.run_for(Duration::from_secs(12));
    for index in &watched {
        watch(&mut world, *index);
    }
    let held = (live_bytes() - empty - stage_alone) as f64 / plan.listeners.max(1) as f64;
    let joins_before = world.joins.len();
    let (begin, before) = (world.now(), Snapshot::of(&world));
    (world.turned, world.late, world.missed) = (0, 0, (Duration::ZERO, 0));
    world.unsaid = 0;
    world.traffic.clear();
    let turns = world.turns;
    let mut report = steady(&mut world, plan);
    let seconds = (world.now() - begin).as_secs_f64();
    for ((lane, size), count) in &world.traffic {
        let kbit_s = (*size as u64 * *count) as f64 * 8.0 / 1_000.0 / seconds / plan.listeners as f64;
        eprintln!("to a listener, {lane:6} {size:5} B: {kbit_s:.3} kbit/s");
    }
    before.compare(&world, seconds, &mut report);
    let mut joins = world.joins.split_off(joins_before.min(world.joins.len()));
    report.joins = joins.len();
    report.join_ms_p50 = percentile(&mut joins, 50);
    report.join_ms_p99 = percentile(&mut joins, 99);
    report.listeners = plan.listeners;
    report.listener_bytes = held;
    report.turns = world.turns - turns;
    let rows = watched.iter().filter_map(|index| world.ears[*index].as_ref());
    let row = rows.map(|ear| ear.watch.longest).max().unwrap_or(0);
    let row = Duration::from_millis(20) * row;
    (report.others_turned, report.others_late) = (world.turned, world.late);
    report.unsaid_ms = world.unsaid as f64 * 20.0;
    report.others_missed_ms_max = world.missed.0.max(row).as_secs_f64() * 1_000.0;
    if report.others_missed_ms_max > 200.0 {
        report.violations.push(format!("somebody missed {:.0} ms", report.others_missed_ms_max));
    }
    deaf_at_the_end(&mut world, &mut report);
    report.violations.append(&mut world.violations);
    report
}

/// Everybody comes: ten thousand within two minutes.
fn fill(world: &mut World, listeners: usize) {
    let per_second = (listeners / 60).clamp(10, 84);
    while world.present().len() < listeners {
        for _ in 0..per_second.min(listeners - world.present().len()) {
            let wait = Duration::from_secs_f64(1.0 / per_second as f64);
            world.join();
            world.run_for(wait);
        }
        eprint!("\r{} of {listeners} listen", world.present().len());
    }
    eprintln!();
}

fn watch(world: &mut World, index: usize) {
    if let Some(ear) = world.ears[index].as_mut() {
        ear.watch.every = true;
        world.watched.insert(index);
    }
}

fn steady(world: &mut World, plan: &Plan) -> Report {
    let mut report = Report::default();
    let begin = world.now();
    let end = begin + Duration::from_secs_f64(plan.minutes * 60.0);
    let (mut joined, mut left, mut banned) = (0.0, 0.0, 0.0);
    let mut deaf = Vec::new();
    let mut waiting: Vec<Banned> = Vec::new();
    let (mut speaker, mut unsaid) = (0, world.unsaid);
    while world.now() < end {
        world.run_for(Duration::from_millis(100));
        let passed = (world.now() - begin).as_secs_f64();
        while joined < passed * plan.joins_per_s {
            joined += 1.0;
            world.join();
        }
        while left < passed * plan.leaves_per_s {
            left += 1.0;
            if let Some(index) = world.anybody() {
                world.leave(index);
            }
        }
        // A ban each six seconds, by each porter in turn.
        if banned < (passed - 0.05 * (banned % 7.0)) / 6.0 {
            banned += 1.0;
            if let Some(index) = world.anybody() {
                waiting.push(ban(world, index, banned as usize % plan.porters));
            }
        }
        waiting.retain(|banned| {
            let over = banned.at + Duration::from_secs(4) <= world.now();
            if over {
                judge(world, banned, &mut deaf, &mut report);
            }
            !over
        });
        // Who speaks takes turns too.
        if passed as usize / 5 != speaker {
            speaker = passed as usize / 5;
            if world.unsaid > unsaid {
                let who = world.speaker;
                eprintln!("\nspeaker {who:?} had no key for {} ms", (world.unsaid - unsaid) * 20);
                unsaid = world.unsaid;
            }
            world.speaker = Some(speaker % world.members.len());
            world.check();
            eprint!("\r{passed:.0} s of {:.0}, {} listen ", plan.minutes * 60.0, world.present().len());
        }
    }
    eprintln!();
    for banned in waiting {
        world.take_out(banned.index);
    }
    report.bans = deaf.len();
    report.deaf_ms_p50 = percentile(&mut deaf, 50);
    report.deaf_ms_p99 = percentile(&mut deaf, 99);
    report
}

/// Bans somebody, who keeps its keys and goes on listening.
fn ban(world: &mut World, index: usize, by: usize) -> Banned {
    let at = world.now();
    let id = world.ears[index].as_mut().map(|ear| {
        ear.stubborn = true;
        ear.watch.last = None;
        ear.id
    });
    watch(world, index);
    world.member(by, |member, now| {
        if let Some(id) = id
            && let Err(error) = member.room.ban(id, now)
        {
            eprintln!("ban: {error}");
        }
    });
    Banned { index, at }
}

fn judge(world: &mut World, banned: &Banned, deaf: &mut Vec<Duration>, report: &mut Report) {
    let Some(ear) = world.take_out(banned.index) else { return };
    let last = ear.watch.last.map_or(Duration::ZERO, |last| last.saturating_sub(banned.at));
    if last > Duration::from_millis(1_500) {
        report.violations.push(format!("somebody banned at {:?} heard on for {last:?}", banned.at));
    }
    deaf.push(last);
}

/// At the end everybody who is in opens what is said.
fn deaf_at_the_end(world: &mut World, report: &mut Report) {
    world.run_for(Duration::from_secs(2));
    let present = world.present().to_vec();
    let before: HashMap<usize, u64> = present.iter().map(|index| (*index, opened(world, *index))).collect();
    for index in &present {
        world.watched.insert(*index);
    }
    world.run_for(Duration::from_millis(600));
    for (index, before) in before {
        let Some(ear) = &world.ears[index] else { continue };
        if ear.watch.opened == before && ear.joined + Duration::from_secs(3) < world.now() {
            let why = format!("{index} is deaf at the end: {ear:?}", ear = ear.listener);
            report.violations.push(why);
        }
    }
    let _: u8 = world.rng.random();
}

fn opened(world: &World, index: usize) -> u64 {
    world.ears[index].as_ref().map_or(0, |ear| ear.watch.opened)
}

/// What everybody had used at one moment.
struct Snapshot {
    ears: HashMap<usize, (Duration, u64)>,
    members: Vec<(Duration, u64, u64)>,
}

impl Snapshot {
    fn of(world: &World) -> Self {
        let ears = world.present().iter().filter_map(|index| {
            let ear = world.ears[*index].as_ref()?;
            Some((*index, (ear.cpu.used(), ear.sent + ear.received)))
        });
        let members = world.members.iter().map(|one| (one.cpu.used(), one.sent, one.received));
        Self { ears: ears.collect(), members: members.collect() }
    }

    /// Those who stayed all the time, and the busiest of the stage.
    fn compare(&self, world: &World, seconds: f64, report: &mut Report) {
        let (mut cpu, mut bytes, mut stayed) = (0.0, 0.0, 0.0);
        for (index, (cpu_before, bytes_before)) in &self.ears {
            if let Some(ear) = &world.ears[*index] {
                cpu += (ear.cpu.used() - *cpu_before).as_secs_f64();
                bytes += (ear.sent + ear.received - bytes_before) as f64;
                stayed += 1.0;
            }
        }
        report.listener_cpu_ms_s = cpu * 1_000.0 / seconds / f64::max(stayed, 1.0);
        report.listener_kbit_s = bytes * 8.0 / 1_000.0 / seconds / f64::max(stayed, 1.0);
        for (member, (cpu_before, sent, received)) in world.members.iter().zip(&self.members) {
            let cpu = (member.cpu.used() - *cpu_before).as_secs_f64() / seconds * 100.0;
            let up = (member.sent - sent) as f64 * 8.0 / 1_000.0 / seconds;
            let down = (member.received - received) as f64 * 8.0 / 1_000.0 / seconds;
            report.stage_cpu_percent = report.stage_cpu_percent.max(cpu);
            report.stage_up_kbit_s = report.stage_up_kbit_s.max(up);
            report.stage_kbit_s = report.stage_kbit_s.max(up + down);
        }
    }
}

fn json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "listeners": report.listeners,
        "listener_kbit_s": report.listener_kbit_s,
        "listener_cpu_ms_s": report.listener_cpu_ms_s,
        "listener_bytes": report.listener_bytes,
        "stage_cpu_percent": report.stage_cpu_percent,
        "stage_kbit_s": report.stage_kbit_s,
        "stage_up_kbit_s": report.stage_up_kbit_s,
        "joins": report.joins,
        "join_ms_p50": report.join_ms_p50,
        "join_ms_p99": report.join_ms_p99,
        "bans": report.bans,
        "deaf_ms_p50": report.deaf_ms_p50,
        "deaf_ms_p99": report.deaf_ms_p99,
        "others_missed_ms_max": report.others_missed_ms_max,
        "others_turned": report.others_turned,
        "others_late": report.others_late,
        "unsaid_ms": report.unsaid_ms,
        "turns": report.turns,
        "violations": report.violations,
    })
}

fn table(report: &Report) {
    let json = json(report);
    for (name, value) in json.as_object().into_iter().flatten() {
        println!("{name:22} {value}");
    }
}
