//! `simulate --insiders K`: storms with insiders, and worlds without single defences.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::json;
use sottovoce::testkit::{Defence, without};

use sottovoce_testkit::{
    deaf::percentile,
    devices::Trouble,
    gang::{Plan, Report, gang_storm},
    guard::Most,
    scenes::Scene,
};

use crate::args::Args;

/// Runs what the command line asks for.
pub fn run(args: &Args) -> ExitCode {
    let only = match &args.scene {
        None => None,
        Some(name) => match Scene::named(name) {
            Some(scene) => Some(scene),
            None => {
                eprintln!("simulate: the scenes are {:?} and {:?}", Scene::ALL, Trouble::ALL);
                return ExitCode::from(2);
            }
        },
    };
    let plan = Plan {
        seed: args.first,
        members: args.members,
        insiders: args.insiders,
        minutes: args.minutes,
        only,
    };
    if std::env::var("LOUD").is_err() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    match args.without.as_deref() {
        None => storms(args, plan),
        Some("all") => {
            let of_rooms = Defence::ALL.iter().copied().filter(|defence| !defence.is_of_hall());
            taken_out(args, plan, &of_rooms.collect::<Vec<_>>())
        }
        Some(name) => match Defence::ALL.iter().find(|defence| defence.name() == name) {
            Some(defence) => taken_out(args, plan, &[*defence]),
            None => {
                let names: Vec<_> = Defence::ALL.iter().map(|defence| defence.name()).collect();
                eprintln!("simulate: the defences are {}", names.join(", "));
                ExitCode::from(2)
            }
        },
    }
}

fn storms(args: &Args, plan: Plan) -> ExitCode {
    let began = Instant::now();
    let (mut lasted, mut opened, mut tricks, mut violations) = (Duration::ZERO, 0, 0, 0);
    let (mut most, mut heaviest, mut healed) = (Most::default(), 0, Vec::new());
    let (mut sent, mut silent) = (0, 0);
    for seed in args.first..args.first + args.seeds {
        let report = gang_storm(Plan { seed, ..plan });
        tell(seed, &report);
        let Report { lasted: time, opened: packets, .. } = report;
        (lasted, opened, tricks) = (lasted + time, opened + packets, tricks + report.tricks);
        violations += report.violations.len();
        (most, heaviest) = (most.or(report.most), heaviest.max(report.heaviest));
        (sent, silent) = (sent + report.sent, silent + report.silent);
        healed.extend(report.healed);
        if !args.json {
            println!(
                "seed {seed}: {:.0} s, {} tricks, {packets} opened, healed {:.1?}, {} violations, {:?}, {} bytes",
                time.as_secs_f64(),
                report.tricks,
                report.healed,
                report.violations.len(),
                report.most,
                report.heaviest,
            );
        }
    }
    healed.sort_unstable();
    let hours = lasted.as_secs_f64() / 3_600.0;
    if args.json {
        let object = json!({
            "seeds": args.seeds,
            "first_seed": args.first,
            "members": args.members,
            "insiders": args.insiders,
            "room_hours": hours,
            "violations": violations,
            "packets_opened": opened,
            "tricks": tricks,
            "room_bytes_max": heaviest,
            "healed_p50_s": percentile(&healed, 50).as_secs_f64(),
            "healed_max_s": healed.last().copied().unwrap_or_default().as_secs_f64(),
            "epochs_a_minute": most.epochs_a_minute,
            "control_bytes_a_minute": most.bytes_a_minute,
        });
        println!("{object}");
    } else {
        println!(
            "{} storms of {} members and {} insiders, {hours:.2} room-hours in {:.0} s: {tricks} tricks, {opened} packets opened",
            args.seeds,
            args.members,
            args.insiders,
            began.elapsed().as_secs_f64(),
        );
        println!(
            "all honest members heard each other {:.1} s (median) and {:.1} s (at most) after the relay came to behave",
            percentile(&healed, 50).as_secs_f64(),
            healed.last().copied().unwrap_or_default().as_secs_f64(),
        );
        println!(
            "afterwards they sent {sent} packets and were silent for {silent}, while the insiders went on"
        );
        println!("the most: {most:?}; a member's room held {heaviest} bytes");
        println!("violations: {violations}");
    }
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says the first violation of each kind, how many there are of it, and which scenes were played.
fn tell(seed: u64, report: &Report) {
    let mut kinds: BTreeMap<String, (usize, &String)> = BTreeMap::new();
    for violation in &report.violations {
        kinds.entry(kind(violation)).or_insert((0, violation)).0 += 1;
    }
    for (count, violation) in kinds.values() {
        eprintln!("seed {seed}: {count} times: {violation}");
    }
    if !kinds.is_empty() {
        eprintln!("seed {seed}: {:?}", report.scenes);
    }
}

/// Takes out one defence after another: the storms have to notice each of them.
fn taken_out(args: &Args, plan: Plan, defences: &[Defence]) -> ExitCode {
    let mut unnoticed = 0;
    for defence in defences {
        let mut noticed = None;
        for seed in args.first..args.first + args.seeds {
            let only = plan.only.or_else(|| scene_against(*defence));
            let plan = Plan { seed, only, ..plan };
            let report = without(Some(*defence), || gang_storm(plan));
            if report.violations.is_empty() {
                continue;
            }
            // What the whole room violates in the same storm says nothing about this defence.
            let known: Vec<String> = gang_storm(plan).violations.iter().map(|what| kind(what)).collect();
            if let Some(violation) = report.violations.iter().find(|what| !known.contains(&kind(what))) {
                noticed = Some((seed, report.scenes, violation.clone()));
                break;
            }
        }
        match noticed {
            Some((seed, scenes, violation)) => {
                println!(
                    "{} ({}): noticed, seed {seed}, {scenes:?}: {violation}",
                    defence.name(),
                    defence.rule()
                );
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

/// The scene that a defence is made for, where it takes more than a storm of all scenes to meet it.
const fn scene_against(defence: Defence) -> Option<Scene> {
    use Defence::*;
    Some(match defence {
        StatementSignature => Scene::Statements,
        CommitTurn | TakeoverSilence => Scene::OutOfTurn,
        CommitLaw | CommitTree | CommitFresh | CommitRemoves | CommitPace => Scene::Keeping,
        TakeoverPace => Scene::TwoInTurn,
        RenewalWord | CallPace | AddPace | AnswerPace | AnnouncePace | BadgePace | DoorPace | DoorBound
        | PendingBound | HeldBound => Scene::Floods,
        BeatSignature => Scene::Beats,
        Made | Proof => Scene::HeldBack,
        ProofOfNext => Scene::Succession,
        Withheld => Scene::Withheld,
        Attended => Scene::Unattended,
        LeaveSignature => Scene::Leaves,
        Receipt => Scene::Newcomer,
        WelcomeTree | WelcomeLaw => Scene::MadeUp,
        Publication => Scene::Publish,
        InVain => Scene::Refuse,
        IdleKeeper | Restrict | Removal => Scene::Idle,
        _ => return None,
    })
}

/// What kind of violation it is: its words, without names and numbers.
fn kind(violation: &str) -> String {
    let words =
        violation.split_whitespace().filter(|word| word.chars().all(|c| c.is_alphabetic() || c == ','));
    words.take(6).collect::<Vec<_>>().join(" ")
}
