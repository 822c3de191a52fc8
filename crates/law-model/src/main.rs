//! `law-model search N [FIRST]`, `rules N [NAMES]`, `trace SEED [RULE]`, `exhaustive DEPTH [RULE]`,
//! `laws N`.

use std::time::Instant;

use law_model::{
    Rule, Rules,
    exhaustive::{Reach, look},
    laws, run_with,
    search::{Seen, search, without},
};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize, else_: u64| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(else_);
    let rule = |at: usize| args.get(at).and_then(|name| Rule::named(name));
    let began = Instant::now();
    match args.get(1).map(String::as_str) {
        Some("trace") => {
            let clocks = args.iter().any(|arg| arg == "clocks");
            let room = run_with(rule(3).map_or(Rules::ALL, Rules::without), number(2, 1), clocks, true);
            room.trace.iter().flatten().for_each(|line| println!("{line}"));
            println!("{:?}", room.violations);
        }
        Some("rules") => {
            let names: Vec<&str> = args.iter().skip(3).map(String::as_str).collect();
            for rule in Rule::EVERY {
                if names.is_empty() || names.contains(&format!("{rule:?}").as_str()) {
                    let seen = without(*rule, 1..number(2, 2_000) + 1, 1);
                    println!(
                        "{:<14} {:<4} {:>7} {}",
                        format!("{rule:?}"),
                        rule.number(),
                        seen.runs,
                        said(&seen)
                    );
                }
            }
        }
        Some("scenes") => {
            println!("{:?}", law_model::scenes::idle_keeper(Rules::ALL).violations);
            println!("{:?}", law_model::scenes::idle_keeper(Rules::without(Rule::Idle)).violations);
        }
        Some("laws") => {
            println!("{:?}", laws::look(Rules::ALL, number(2, 3) as usize));
            for (rule, _) in laws::RULES {
                println!("without {rule:?}: {:?}", laws::look(Rules::without(*rule), 2).broken);
            }
        }
        Some("exhaustive") => {
            let reach = Reach { depth: number(2, 2) as usize, relays: 4, acts: 5, starts: 4 };
            println!("{:?}", look(rule(3).map_or(Rules::ALL, Rules::without), reach));
        }
        _ => {
            let first = number(3, 1);
            let seen = search(
                Rules::ALL,
                args.get(1).is_some_and(|arg| arg == "clocks"),
                first..first + number(2, 1_000),
                u64::MAX,
            );
            let Seen { runs, seals, entered, pauses, .. } = seen;
            println!("{runs} runs, {seals} seals, {entered} epochs entered, {pauses} pauses");
            for (violation, (times, seed)) in &seen.violations {
                println!("{times:>6} {violation} [seed {seed}]");
            }
        }
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
}

fn said(seen: &Seen) -> String {
    if seen.violations.is_empty() {
        return "NOTHING".into();
    }
    let mut violations: Vec<_> = seen.violations.iter().collect();
    violations.sort_by_key(|(_, (times, _))| std::cmp::Reverse(*times));
    let said = violations.iter().take(3).map(|(what, (times, seed))| format!("{times}x {what} [{seed}]"));
    said.collect::<Vec<_>>().join("; ")
}
