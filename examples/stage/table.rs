//! What the measurement of a cluster has to say, as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::ms;

/// What everybody uses while nothing happens; CPU in percent of a core.
pub struct Costs {
    pub listeners: usize,
    /// Packets that a listener opens in a second.
    pub opened_s: f64,
    pub nodes: [f64; 3],
    pub sessions: f64,
    pub connections: f64,
    pub stage: f64,
    pub threads: usize,
    pub subscriptions: [u64; 3],
}

/// The listeners that came in at one node.
#[derive(Default)]
pub struct Row {
    pub listeners: usize,
    pub heard: u64,
    /// Packets that were said after the kill, and before it, and did not open.
    pub missed: u64,
    pub missed_before: u64,
    /// The longest time without a packet, from a second before the kill on, sorted; and the time
    /// from the kill to its end.
    pub gaps: Vec<Duration>,
    pub backs: Vec<Duration>,
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    ms(sorted.get(place).copied().unwrap_or_default())
}

/// All of it.
pub struct Outcome {
    pub costs: Costs,
    /// How many members were subscribed to one another, and the subscriptions at each node.
    pub everybody: (usize, [u64; 3]),
    /// The place of the node that was killed.
    pub killed: usize,
    pub rows: [Row; 3],
    /// How many of its listeners were at another one in the end.
    pub moved: usize,
    pub violations: u32,
    /// Different codes that were read in the end.
    pub codes: usize,
}

impl Outcome {
    /// Whether sound was back in time, for everybody.
    pub fn kept(&self) -> bool {
        let lost = self.rows.get(self.killed);
        self.violations == 0
            && lost.is_some_and(|row| percentile(&row.backs, 99) < BACK && self.moved == row.listeners)
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "listeners": row.listeners,
                "heard": row.heard,
                "missed_before": row.missed_before,
                "missed_after": row.missed,
                "gap_ms_p99": percentile(&row.gaps, 99),
                "gap_ms_max": percentile(&row.gaps, 100),
                "back_ms_p50": percentile(&row.backs, 50),
                "back_ms_p99": percentile(&row.backs, 99),
                "back_ms_max": percentile(&row.backs, 100),
            })
        });
        json!({
            "listeners": self.costs.listeners,
            "opened_s": self.costs.opened_s,
            "nodes_cpu_percent": self.costs.nodes,
            "sessions_cpu_percent": self.costs.sessions,
            "connections_cpu_percent": self.costs.connections,
            "stage_cpu_percent": self.costs.stage,
            "threads": self.costs.threads,
            "subscriptions": self.costs.subscriptions,
            "everybody_members": self.everybody.0,
            "everybody_subscriptions": self.everybody.1,
            "killed": self.killed + 1,
            "moved": self.moved,
            "nodes": rows.collect::<Vec<_>>(),
            "violations": self.violations,
            "codes": self.codes,
        })
    }

    pub fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, cells: [String; 3]| {
            let [first, second, third] = cells;
            let _ = writeln!(table, "| {name} | {first} | {second} | {third} |");
        };
        let node = |place: usize| {
            format!("node {}{}", place + 1, if place == self.killed { ", killed" } else { "" })
        };
        row(&format!("{} listeners", self.costs.listeners), [0, 1, 2].map(node));
        row("---", [0, 1, 2].map(|_| "---".to_owned()));
        let rows = self.rows.each_ref();
        row("came in here", rows.map(|row| row.listeners.to_string()));
        row("packets heard", rows.map(|row| row.heard.to_string()));
        row(
            "missed before the kill; after it",
            rows.map(|row| format!("{}; {}", row.missed_before, row.missed)),
        );
        let gaps = |place| rows.map(|row| format!("{:.0}", percentile(&row.gaps, place)));
        row("longest time without a packet, p50, ms", gaps(50));
        row("p99, ms", gaps(99));
        row("the longest of all, ms", gaps(100));
        row("CPU, % of a core", self.costs.nodes.map(|percent| format!("{percent:.1}")));
        row("subscriptions", self.costs.subscriptions.map(|count| count.to_string()));
        let (members, counted) = self.everybody;
        row(&format!("subscriptions, {members} to one another"), counted.map(|count| count.to_string()));
        let Costs { listeners, opened_s, sessions, connections, stage, threads, .. } = &self.costs;
        let n = *listeners as f64;
        let back = |place| self.rows.get(self.killed).map_or(0.0, |row| percentile(&row.backs, place));
        let _ = writeln!(
            table,
            "\nback after the kill, p50 {:.0} ms, p99 {:.0} ms, the last {:.0} ms\n\
             a listener: {opened_s:.1} packets/s, {:.2} ms/s of CPU to open and {:.2} to receive, with the \
             stage's connections; the stage {stage:.1} % of a core; {threads} threads\n\
             {} of {} went over; {} violations; {} codes at the end\n\
             everybody to everybody would be {} subscriptions for {listeners}",
            back(50),
            back(99),
            back(100),
            sessions * 10.0 / n,
            connections * 10.0 / n,
            self.moved,
            self.rows.get(self.killed).map_or(0, |row| row.listeners),
            self.violations,
            self.codes,
            2 * listeners * (listeners - 1),
        );
        table
    }
}

/// When sound has to be back, in milliseconds.
const BACK: f64 = 2_000.0;
