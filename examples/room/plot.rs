//! Packet size and spacing over time, sealed and in the control run side by side, as inline SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::{Report, Seen};

/// Four plots: size and spacing, of both runs, each pair on one scale.
pub fn pairs(report: &Report) -> String {
    let runs = [("sealed", &report.sealed), ("control", &report.control)];
    let mut text = String::from("<div class=pairs>");
    for (what, unit, values) in [
        ("Size", "bytes", sizes as fn(&[Seen]) -> Vec<(f64, f64)>),
        ("Spacing of one sender's packets", "ms", spacings as fn(&[Seen]) -> Vec<(f64, f64)>),
    ] {
        let dots = runs.map(|(name, seen)| (name, values(seen)));
        let most = dots.iter().flat_map(|(_, dots)| dots).map(|(_, value)| *value).fold(1.0, f64::max);
        for (name, dots) in dots {
            let distinct = distinct(&dots);
            let _ = write!(
                text,
                "<figure><figcaption><b>{what}, {name}</b> {} packets, {distinct}</figcaption>{}</figure>",
                dots.len(),
                scatter(&dots, report.seconds, most * 1.08, &format!("{what} in {unit}, {name} run"), unit)
            );
        }
    }
    text + "</div>"
}

fn sizes(seen: &[Seen]) -> Vec<(f64, f64)> {
    seen.iter().map(|packet| (packet.at.as_secs_f64(), packet.bytes as f64)).collect()
}

/// The time since the packet before, of the same sender.
fn spacings(seen: &[Seen]) -> Vec<(f64, f64)> {
    let mut before = BTreeMap::new();
    let mut dots = Vec::new();
    for packet in seen {
        if let Some(earlier) = before.insert(packet.from, packet.at) {
            dots.push((packet.at.as_secs_f64(), packet.at.saturating_sub(earlier).as_secs_f64() * 1e3));
        }
    }
    dots
}

/// How many values there are, to whole units.
fn distinct(dots: &[(f64, f64)]) -> String {
    let mut values: Vec<i64> = dots.iter().map(|(_, value)| value.round() as i64).collect();
    values.sort_unstable();
    let middle = values.get(values.len() / 2).copied().unwrap_or(0);
    values.dedup();
    match values.len() {
        1 => format!("all of them {middle}"),
        n => format!("{n} different values, median {middle}"),
    }
}

fn scatter(dots: &[(f64, f64)], seconds: f64, most: f64, label: &str, unit: &str) -> String {
    let mut text = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{label}\">");
    let height = |value: f64| TOP + (HEIGHT - TOP - FOOT) * (1.0 - value / most);
    let step =
        [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0].into_iter().find(|step| most / step < 6.0);
    let step = step.unwrap_or(most / 4.0);
    for line in 0..=(most / step) as u32 {
        let value = f64::from(line) * step;
        let y = height(value);
        let _ = write!(text, "<line x1={LEFT} x2={WIDTH} y1={y:.1} y2={y:.1} />");
        let _ = write!(text, "<text x={} y={:.1} text-anchor=end>{value:.0}</text>", LEFT - 6.0, y + 4.0);
    }
    let foot = HEIGHT - 4.0;
    let _ = write!(text, "<text x={LEFT} y=11>{unit}</text><text x={LEFT} y={foot}>0 s</text>");
    let _ = write!(text, "<text x={WIDTH} y={foot} text-anchor=end>{seconds:.0} s</text>");
    for (at, value) in dots {
        let x = LEFT + (WIDTH - LEFT - 3.0) * (at / seconds.max(0.1)).min(1.0);
        let _ = write!(text, "<circle cx={x:.1} cy={:.1} r=1.6 />", height(*value));
    }
    text + "</svg>"
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 40.0;
const TOP: f64 = 18.0;
const FOOT: f64 = 20.0;
