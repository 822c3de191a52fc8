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
pub struct Row {
    pub listeners: usize,
    pub heard: u64,
    /// Packets that were said after the kill, and before it, and did not open.
    pub missed: u64,
    pub missed_before: u64,
    /// From the kill to the end of the longest gap, sorted.
    pub gaps: Vec<Duration>,
}

impl Row {
    fn percentile(&self, percent: usize) -> Duration {
        let place = (self.gaps.len() * percent).div_ceil(100).saturating_sub(1);
        self.gaps.get(place).copied().unwrap_or_default()
    }
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
            && lost.is_some_and(|row| row.percentile(99) < BACK && self.moved == row.listeners)
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "listeners": row.listeners,
                "heard": row.heard,
                "missed_before": row.missed_before,
                "missed_after": row.missed,
                "back_ms_p50": ms(row.percentile(50)),
                "back_ms_p99": ms(row.percentile(99)),
                "back_ms_max": ms(row.percentile(100)),
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
        row(
            "longest gap ends, p50 ms after the kill",
            rows.map(|row| format!("{:.0}", ms(row.percentile(50)))),
        );
        row("p99, ms", rows.map(|row| format!("{:.0}", ms(row.percentile(99)))));
        row("the last, ms", rows.map(|row| format!("{:.0}", ms(row.percentile(100)))));
        row("CPU, % of a core", self.costs.nodes.map(|percent| format!("{percent:.1}")));
        row("subscriptions", self.costs.subscriptions.map(|count| count.to_string()));
        let (members, counted) = self.everybody;
        row(&format!("subscriptions, {members} to one another"), counted.map(|count| count.to_string()));
        let Costs { listeners, opened_s, sessions, connections, stage, threads, .. } = &self.costs;
        let n = *listeners as f64;
        let _ = writeln!(
            table,
            "\na listener: {opened_s:.1} packets/s, {:.2} ms/s of CPU to open and {:.2} to receive, with the \
             stage's connections; the stage {stage:.1} % of a core; {threads} threads\n\
             {} of {} went over; {} violations; {} codes at the end\n\
             everybody to everybody would be {} subscriptions for {listeners}",
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

/// When sound has to be back.
const BACK: Duration = Duration::from_secs(2);
