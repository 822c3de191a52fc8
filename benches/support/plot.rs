//! Cumulative distributions as an SVG: latency on a logarithmic axis, percentiles by their nines.

use std::fmt::Write;

/// One chart among several that share a legend.
pub struct Panel {
    pub title: String,
    pub lines: Vec<Line>,
}

/// One distribution.
pub struct Line {
    /// Which entry of the legend it belongs to.
    pub style: Style,
    /// Nanoseconds, ascending.
    pub sorted: Vec<u64>,
}

/// How a line is drawn, and what the legend calls it.
#[derive(Clone, Copy, PartialEq)]
pub struct Style {
    pub name: &'static str,
    pub colour: &'static str,
    pub width: f64,
    pub dashes: &'static str,
}

/// Panels in rows of `columns`, with a legend of all styles below.
pub fn svg(title: &str, panels: &[Panel], columns: usize) -> String {
    let rows = panels.len().div_ceil(columns);
    let mut styles: Vec<Style> = vec![];
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !styles.contains(&line.style) {
            styles.push(line.style);
        }
    }
    let legend_rows = styles.len().div_ceil(LEGEND_COLUMNS);
    let width = columns as f64 * PANEL.0;
    let legend_top = TITLE + rows as f64 * PANEL.1;
    let height = legend_top + legend_rows as f64 * 20.0 + 16.0;

    let mut out = String::new();
    let mut put = |text: std::fmt::Arguments| out.write_fmt(text).expect("a String takes it");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    ));
    for (index, panel) in panels.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let (left, top) = (column as f64 * PANEL.0, TITLE + row as f64 * PANEL.1);
        put(format_args!("<g transform=\"translate({left},{top})\">\n{}</g>\n", panel.svg()));
    }
    for (index, style) in styles.iter().enumerate() {
        let (column, row) = (index % LEGEND_COLUMNS, index / LEGEND_COLUMNS);
        let (x, y) =
            (16.0 + column as f64 * width / LEGEND_COLUMNS as f64, legend_top + 12.0 + row as f64 * 20.0);
        put(format_args!(
            "<path d=\"M{x},{y}h36\" {}/><text x=\"{}\" y=\"{}\">{}</text>\n",
            style.attributes(),
            x + 44.0,
            y + 4.0,
            escaped(style.name)
        ));
    }
    out + "</svg>\n"
}

impl Panel {
    fn svg(&self) -> String {
        let (left, right, top, bottom) = (52.0, PANEL.0 - 24.0, 24.0, PANEL.1 - 34.0);
        let (low, high) = self.decades();
        let x = |ns: f64| left + (ns.max(1.0).log10() - low) / (high - low) * (right - left);
        let y = |share: f64| bottom - nines(share) / MOST_NINES * (bottom - top);

        let mut out = String::new();
        let mut put = |text: std::fmt::Arguments| out.write_fmt(text).expect("a String takes it");
        put(format_args!(
            "<text x=\"{left}\" y=\"14\" font-weight=\"bold\">{}</text>\n",
            escaped(&self.title)
        ));
        for decade in low as i32..=high as i32 {
            let at = x(10f64.powi(decade));
            put(format_args!(
                "<path d=\"M{at:.1},{top}V{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                bottom + 16.0,
                DECADES.get(decade as usize).copied().unwrap_or("")
            ));
        }
        for (share, name) in
            [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")]
        {
            let at = y(share);
            put(format_args!(
                "<path d=\"M{left},{at:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
                left - 6.0,
                at + 4.0
            ));
        }
        for line in &self.lines {
            let mut path = String::new();
            for (share, ns) in steps(&line.sorted) {
                let command = if path.is_empty() { 'M' } else { 'L' };
                write!(path, "{command}{:.1},{:.1}", x(ns as f64), y(share)).expect("a String takes it");
            }
            put(format_args!("<path d=\"{path}\" {}/>\n", line.style.attributes()));
        }
        out
    }

    /// The powers of ten around all samples.
    fn decades(&self) -> (f64, f64) {
        let extremes =
            self.lines.iter().filter_map(|line| Some((*line.sorted.first()?, *line.sorted.last()?)));
        let (low, high) =
            extremes.fold((u64::MAX, 1), |(low, high), (first, last)| (low.min(first), high.max(last)));
        let low = (low.min(high).max(1) as f64).log10().floor();
        (low, (high as f64).log10().ceil().max(low + 1.0))
    }
}

impl Style {
    fn attributes(&self) -> String {
        format!(
            "fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-dasharray=\"{}\" stroke-linejoin=\"round\"",
            self.colour, self.width, self.dashes
        )
    }
}

/// Points of the curve: dense where the axis stretches, and the largest sample at the end.
fn steps(sorted: &[u64]) -> Vec<(f64, u64)> {
    let count = sorted.len();
    let mut ranks: Vec<usize> = (0..=POINTS)
        .map(|point| 1.0 - 10f64.powf(-MOST_NINES * point as f64 / POINTS as f64))
        .map(|share| ((share * count as f64) as usize).min(count.saturating_sub(1)))
        .collect();
    ranks.dedup();
    ranks.into_iter().filter_map(|rank| Some((rank as f64 / count as f64, *sorted.get(rank)?))).collect()
}

/// 0 for none, 1 for 90 %, 2 for 99 %, and so on.
fn nines(share: f64) -> f64 {
    (-(1.0 - share).log10()).clamp(0.0, MOST_NINES)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const PANEL: (f64, f64) = (380.0, 250.0);
const TITLE: f64 = 40.0;
const LEGEND_COLUMNS: usize = 4;
const MOST_NINES: f64 = 4.0;
const POINTS: usize = 200;
const DECADES: [&str; 11] =
    ["1 ns", "10 ns", "100 ns", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
