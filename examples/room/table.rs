//! The table that a run prints when it ends.

use std::fmt::Write as _;

use crate::report::{Member, Report, ms};

/// The members one a line, and under them what the run showed.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(report.members.iter().map(row));
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Words to the left, figures to the right.
            let _ = match column {
                0 | 1 | 6 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text.push('\n');
    for (name, value) in summary(report) {
        let _ = writeln!(text, "{name:<28}{value}");
    }
    for sentence in report.broken() {
        let _ = writeln!(text, "BROKEN: {sentence}");
    }
    text
}

fn row(member: &Member) -> [String; COLUMNS] {
    let reasons: Vec<String> =
        member.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    [
        member.name.clone(),
        member.role.clone(),
        member.received.to_string(),
        member.opened.to_string(),
        format!("{:.1}", ms(member.join)),
        member.deaf.map_or(String::new(), |deaf| format!("{:.1}", ms(deaf))),
        reasons.join(", "),
    ]
}

fn summary(report: &Report) -> [(&'static str, String); 6] {
    let Report { audit, ban, filed, .. } = report;
    let deaf = ban.deaf.map_or("never".to_owned(), |deaf| format!("{:.1} ms after the ban", ms(deaf)));
    [
        ("packets sealed and sent", format!("{} in {} s", report.packets_sent, report.seconds)),
        (
            "heard equals never sealed",
            format!("{}, {} packets compared", yes_no(report.bit_identical), report.compared),
        ),
        (
            "canaries at the relay",
            format!("{} of {}, in {} bytes", audit.leaks, audit.needles, report.relay_bytes),
        ),
        ("canaries in the control run", format!("{} hits", audit.leaks_control)),
        (
            "deaf",
            format!("{} {deaf}, opened {} of {} after it", ban.name, ban.opened_after, ban.received_after),
        ),
        (
            "proved by a report",
            match filed.proved {
                Ok(packets) => {
                    format!("{packets} packets, {:.1} s, of {}", filed.audio.as_secs_f64(), filed.name)
                }
                Err(_) => "nothing".to_owned(),
            },
        ),
    ]
}

/// A truth in one word.
pub fn yes_no(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

const COLUMNS: usize = 7;
const HEAD: [&str; COLUMNS] = ["name", "role", "received", "opened", "join ms", "deaf ms", "refused"];
