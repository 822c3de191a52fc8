//! The page of a run: one self-contained HTML file. Nothing is fetched: pictures are data, style is
//! inline, there is no script.

use std::fmt::Write as _;

use sottovoce_examples::{base64, html, html::escape};

use crate::report::{Mark, Report, Sound};
use crate::spectrogram::draw;

/// The whole page.
pub fn render(report: &Report) -> String {
    let mut page = html::head(TITLE, STYLE);
    page += &headline(report);
    page += "<section><h2>Who heard what</h2><p>A line for each listener, in the order of coming; \
             time, as far as somebody spoke, runs to the right. Blue: a packet that opened. \
             Yellow: one of the guest. White: one that was missed. Red: one that came after the \
             ban and did not open.</p><figure>";
    page += &image("Who heard what", &heat(report), "heat");
    page += "</figure></section><section><h2>What was heard, and where</h2>";
    page += "<p>Time runs to the right, pitch upwards. Bright is loud.</p>";
    for sound in &report.sounds {
        page += &spectrum(sound);
    }
    page += "</section><section><h2>The audience over time</h2><p>The line is who is seated, as \
             host and moderator count; the dots are who has just opened a packet.</p>";
    page += &over_time(report);
    page += "</section><section><h2>What a listener costs</h2><p>CPU of one listener in each \
             second, against the size of the audience: its session, which opens packets and \
             checks signatures; its sockets; and its share of the relay.</p>";
    page += &costs(report);
    page += "</section><section><h2>What the relay saw</h2>";
    page += &relay(report);
    page += "</section><footer>Made by <code>cargo run --release --example stage</code>.</footer></main></body></html>\n";
    page
}

fn headline(report: &Report) -> String {
    let ms = |value: Option<f64>| value.map_or("never".to_owned(), |ms| format!("{ms:.0} ms"));
    let figures = [
        (report.listeners.to_string(), "listeners".to_owned()),
        (
            format!("{:.0} s", report.seconds),
            format!("{} packets, opened {} times", report.said, report.opened),
        ),
        (
            format!("{:.0} ms", report.joins.0),
            format!("from coming to hearing; p99 {:.0} ms", report.joins.1),
        ),
        (
            format!("{:.0} ms", report.crowd_joins.0),
            format!("the same in a crowd of {} at once; p99 {:.0} ms", report.crowd, report.crowd_joins.1),
        ),
        (ms(report.up_ms), "from being let up to being heard".to_owned()),
        (ms(report.ban.deaf_ms), format!("from the ban until {} was deaf", report.ban.name)),
        (format!("{:.0} ms", report.missed_ms_max), "the most that anybody else missed".to_owned()),
        (report.relay.leaks.to_string(), format!("of {} canaries at the relay", report.relay.needles)),
    ];
    html::headline(TITLE, &report.broken(), &figures)
}

/// A line of pixels for each listener.
fn heat(report: &Report) -> Vec<u8> {
    let rows = &report.rows;
    let packets = rows.first().map_or(0, |row| row.heard.len());
    let tall = (400 / rows.len().max(1)).clamp(2, 12);
    let mut pixels = Vec::new();
    for row in rows {
        let line: Vec<u8> = (0..WIDTH)
            .map(|column| {
                let (from, to) = (column * packets / WIDTH, ((column + 1) * packets).div_ceil(WIDTH));
                let marks = row.heard.get(from..to.max(from + 1)).unwrap_or_default();
                let any = |mark: Mark| marks.contains(&mark);
                // What went wrong shows.
                match () {
                    () if any(Mark::Missed) => 2,
                    () if any(Mark::Banned) && !any(Mark::Heard) => 3,
                    () if any(Mark::Heard) && report.by_guest.get(from) == Some(&true) => 4,
                    () if any(Mark::Heard) => 1,
                    () => 0,
                }
            })
            .collect();
        (0..tall).for_each(|_| pixels.extend(&line));
    }
    let mut file = Vec::new();
    let height = u32::try_from(rows.len() * tall).unwrap_or(0).max(1);
    let mut encoder = png::Encoder::new(&mut file, WIDTH as u32, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .set_palette([[24, 24, 30], [86, 156, 214], [255, 255, 255], [190, 60, 30], [229, 176, 72]].concat());
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.expect("writing to memory cannot fail, and there is a pixel for each");
    file
}

fn image(alt: &str, png: &[u8], class: &str) -> String {
    let data = base64::encode(png, base64::STANDARD);
    format!("<img class={class} alt=\"{}\" src=\"data:image/png;base64,{data}\">", escape(alt))
}

fn spectrum(sound: &Sound) -> String {
    let picture = draw(&sound.samples, WIDTH, 160).png();
    let mut text = format!(
        "<figure><figcaption><b>{}</b> {}</figcaption><div class=spectrum>{}",
        sound.title,
        escape(&sound.caption),
        image(sound.title, &picture, "sound")
    );
    if let Some((share, name)) = sound.mark {
        let _ = write!(text, "<u style=\"left:{:.2}%\"><span>{name}</span></u>", share * 100.0);
    }
    text + "</div></figure>"
}

fn over_time(report: &Report) -> String {
    let seconds = report.audience.last().map_or(1.0, |(at, ..)| *at).max(1.0);
    let most = report.listeners.max(1) as f64 * 1.08;
    let mut plot = Plot::new(seconds, most, "s", "people");
    let line = report.audience.iter().map(|(at, seated, _)| (*at, *seated as f64)).collect::<Vec<_>>();
    plot.line(&line, "a");
    for (at, _, hearing) in &report.audience {
        plot.dot(*at, *hearing as f64, "b");
    }
    plot.end()
}

fn costs(report: &Report) -> String {
    let most = report.growth.iter().map(|cost| cost.listeners).max().unwrap_or(1) as f64 * 1.05;
    let tall = |cost: &crate::report::Cost| cost.session_ms_s.max(cost.sockets_ms_s).max(cost.relay_ms_s);
    let tall = report.growth.iter().map(tall).fold(0.1, f64::max) * 1.15;
    let mut plot = Plot::new(most, tall, "listeners", "ms each second");
    for (class, name, value) in [
        ("a", "session", (|cost| cost.session_ms_s) as fn(&crate::report::Cost) -> f64),
        ("b", "sockets", |cost| cost.sockets_ms_s),
        ("c", "relay", |cost| cost.relay_ms_s),
    ] {
        let line: Vec<_> = report.growth.iter().map(|cost| (cost.listeners as f64, value(cost))).collect();
        plot.line(&line, class);
        for (x, y) in &line {
            plot.dot(*x, *y, class);
        }
        if let Some((x, y)) = line.last() {
            plot.name(*x, *y, name);
        }
    }
    let mut text = plot.end();
    text += "<div class=scroll><table><thead><tr><th>listeners<th>session ms/s<th>sockets ms/s<th>relay ms/s\
             <th>control kbit/s<th>packets/s<th>threads of the process</tr></thead><tbody>";
    for cost in &report.growth {
        let _ = write!(
            text,
            "<tr><td>{}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.1}<td>{}</tr>",
            cost.listeners,
            cost.session_ms_s,
            cost.sockets_ms_s,
            cost.relay_ms_s,
            cost.control_kbit_s,
            cost.opened_s,
            cost.threads
        );
    }
    text + "</tbody></table></div>"
}

fn relay(report: &Report) -> String {
    let relay = &report.relay;
    let sizes: Vec<String> = relay.sizes.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "<p>{} connections, {} at one time, each in a room with a random name: it tells that there is a \
         stage and an audience, how many there are, and when. Sealed packets all have {} bytes. {} came \
         in and {} went out; of control messages {} in, {} out.</p>\
         <div class=scroll><table><thead><tr><th>bytes of a control message<th>how many</tr></thead><tbody>",
        relay.connections,
        relay.members,
        sizes.join(" or "),
        relay.packets,
        relay.copies,
        relay.control,
        relay.control_copies
    );
    for (size, count) in &relay.control_sizes {
        let _ = write!(text, "<tr><td>{size}<td>{count}</tr>");
    }
    let _ = write!(
        text,
        "</tbody></table></div><p>{} canaries (speech, Opus packets, names, identities) were \
         looked for in the {} bytes that came to it: {} hits. The same search in what was said, \
         unsealed: {}.</p>",
        relay.needles, relay.bytes, relay.leaks, relay.leaks_control
    );
    text
}

/// A plot as inline SVG.
struct Plot {
    text: String,
    right: f64,
    top: f64,
}

impl Plot {
    fn new(right: f64, top: f64, x: &str, y: &str) -> Self {
        let mut text = format!("<svg viewBox=\"0 0 900 240\" role=img aria-label=\"{y} against {x}\">");
        let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];
        let step = |most: f64| steps.into_iter().find(|step| most / step < 7.0).unwrap_or(most / 5.0);
        let mut plot = Self { text: String::new(), right, top };
        for (most, across) in [(top, true), (right, false)] {
            let step = step(most);
            for line in 0..=(most / step) as u32 {
                let value = f64::from(line) * step;
                let (px, py) = if across { plot.at(0.0, value) } else { plot.at(value, 0.0) };
                let _ = match across {
                    true => write!(
                        text,
                        "<line x1=46 x2=900 y1={py:.1} y2={py:.1} /><text x=40 y={:.1} text-anchor=end>{value}</text>",
                        py + 4.0
                    ),
                    false => write!(text, "<text x={px:.1} y=236 text-anchor=middle>{value}</text>"),
                };
            }
        }
        let _ = write!(text, "<text x=46 y=11>{y}</text><text x=898 y=222 text-anchor=end>{x}</text>");
        plot.text = text;
        plot
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (46.0 + 850.0 * (x / self.right).min(1.0), 218.0 - 200.0 * (y / self.top).min(1.0))
    }

    fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points
            .iter()
            .map(|(x, y)| {
                let (x, y) = self.at(*x, *y);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = write!(self.text, "<polyline class={class} points=\"{}\" />", points.join(" "));
    }

    fn dot(&mut self, x: f64, y: f64, class: &str) {
        let (x, y) = self.at(x, y);
        let _ = write!(self.text, "<circle class={class} cx={x:.1} cy={y:.1} r=2.2 />");
    }

    fn name(&mut self, x: f64, y: f64, name: &str) {
        let (x, y) = self.at(x, y);
        let _ = write!(self.text, "<text x={x:.1} y={:.1} text-anchor=end>{name}</text>", y - 7.0);
    }

    fn end(self) -> String {
        self.text + "</svg>"
    }
}

const WIDTH: usize = 1_200;

const TITLE: &str = "A stage and its audience";
const STYLE: &str = "\
:root { --a: #2f6f8f; --b: #c2410c; --c: #5b7f2b }
@media (prefers-color-scheme: dark) { :root { --a: #7cc0df; --b: #fb923c; --c: #a3c96a } }
img { display: block; width: 100% } .heat { height: auto; image-rendering: pixelated } .sound { height: 8rem; object-fit: fill }
polyline { fill: none; stroke-width: 2 } polyline.a { stroke: var(--a) } polyline.b { stroke: var(--b) } polyline.c { stroke: var(--c) }
circle.a { fill: var(--a) } circle.b { fill: var(--b) } circle.c { fill: var(--c) }
table { margin: 1rem 0 } th, td { padding: .4rem 1.5rem .4rem 0 }
";
