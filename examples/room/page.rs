//! The page of a run: one self-contained HTML file with pictures that say at a glance what was
//! heard where.
//!
//! Nothing is fetched: pictures are data, style is inline, there is no script.

use std::fmt::Write as _;
use std::time::Duration;

use sottovoce_examples::{base64, html, html::escape, resample};

use crate::plot;
use crate::report::{Member, Report, ms};
use crate::spectrogram::{draw, height_of};
use crate::table::yes_no;

/// The whole page.
pub fn render(report: &Report) -> String {
    let mut page = html::head(TITLE, STYLE);
    page += &headline(report);
    page += "<section><h2>What was heard, and where</h2>";
    page += "<p>Time runs to the right, pitch upwards. Bright is loud.</p>";
    for sound in sounds(report) {
        page += &sound.figure();
    }
    page += "</section><section><h2>What the relay saw of the packets</h2>";
    page += "<p>Each dot is a packet as it came to the relay. Left, sealed by sottovoce; right, the control \
             run: the same speech at variable bit rate with pauses, not sealed.</p>";
    page += &plot::pairs(report);
    page += "</section>";
    page += &members(report);
    page +=
        "<footer>Made by <code>cargo run --release --example room</code>.</footer></main></body></html>\n";
    page
}

fn headline(report: &Report) -> String {
    let Report { audit, ban, .. } = report;
    let deaf = ban.deaf.map_or("never".to_owned(), |deaf| format!("{:.0} ms", ms(deaf)));
    let figures = [
        (report.members.len().to_string(), "members".to_owned()),
        (format!("{:.0} s", report.seconds), format!("of speech, {} sealed packets", report.packets_sent)),
        (audit.leaks.to_string(), format!("of {} canaries found at the relay", audit.needles)),
        (audit.leaks_control.to_string(), "hits of the same search in the control run".to_owned()),
        (yes_no(report.bit_identical).to_owned(), format!("heard to the bit, {} packets", report.compared)),
        (deaf, format!("from the ban until {} was deaf", ban.name)),
    ];
    html::headline(TITLE, &report.broken(), &figures)
}

/// One spectrogram and what to see in it.
struct Sound<'a> {
    title: &'static str,
    caption: String,
    samples: &'a [i16],
    /// A moment to mark.
    mark: Option<(Duration, &'static str)>,
}

fn sounds(report: &Report) -> [Sound<'_>; 6] {
    let Report { sounds, ban, .. } = report;
    let at_ban = Some((ban.at, "ban"));
    [
        Sound {
            title: "Said",
            caption: "The speech, before Opus.".to_owned(),
            samples: &sounds.sent,
            mark: None,
        },
        Sound {
            title: "Heard by a listener",
            caption: "The same voice after Opus, seal, relay and back.".to_owned(),
            samples: &sounds.heard,
            mark: None,
        },
        Sound {
            title: "Heard by the relay, playing the payloads as samples",
            caption: "Noise from edge to edge: sealed bytes have no pitch and no pauses.".to_owned(),
            samples: &sounds.relay_as_pcm,
            mark: None,
        },
        Sound {
            title: "Heard by the relay, playing the payloads as Opus",
            caption: "What a decoder makes of sealed bytes. It changes when the key id in the header does."
                .to_owned(),
            samples: &sounds.relay_as_opus,
            mark: None,
        },
        Sound {
            title: "Heard by the relay in the control run",
            caption: "Without sealing the relay hears everything. Pauses are cut out, as they were not sent."
                .to_owned(),
            samples: &sounds.control_as_opus,
            mark: None,
        },
        Sound {
            title: "Heard by the banned member",
            caption: format!(
                "{} goes on receiving every packet ({} after the ban) and trying every key it had; {} of them opened.",
                ban.name, ban.received_after, ban.opened_after
            ),
            samples: &sounds.banned,
            mark: at_ban,
        },
    ]
}

impl Sound<'_> {
    fn figure(&self) -> String {
        let seconds = self.samples.len() as f64 / f64::from(resample::RATE);
        let picture = draw(self.samples, WIDTH, HEIGHT).png();
        let picture = base64::encode(&picture, base64::STANDARD);
        let mut text = format!(
            "<figure><figcaption><b>{}</b> {}</figcaption><div class=spectrum><img alt=\"Spectrogram: {}\" \
             src=\"data:image/png;base64,{picture}\">",
            self.title,
            escape(&self.caption),
            escape(&self.caption)
        );
        for (hz, name) in [(100.0, "100 Hz"), (1_000.0, "1 kHz"), (8_000.0, "8 kHz")] {
            let _ = write!(text, "<i style=\"bottom:{:.1}%\">{name}</i>", height_of(hz) * 100.0);
        }
        if let Some((at, name)) = self.mark {
            let left = at.as_secs_f64() / seconds.max(0.1) * 100.0;
            let _ = write!(text, "<u style=\"left:{left:.2}%\"><span>{name}</span></u>");
        }
        let _ =
            write!(text, "</div><div class=time><span>0 s</span><span>{seconds:.0} s</span></div></figure>");
        text
    }
}

fn members(report: &Report) -> String {
    let mut text = String::from(
        "<section><h2>Members</h2><div class=scroll><table><thead><tr><th>name<th>role<th>received<th>opened\
         <th>refused<th>join<th>deaf</tr></thead><tbody>",
    );
    for member in &report.members {
        let Member { name, role, received, opened, .. } = member;
        let reasons: Vec<String> = member
            .refused
            .iter()
            .map(|(reason, count)| format!("{count} {}", reason.replace('_', " ")))
            .collect();
        let refused = if reasons.is_empty() { "0".to_owned() } else { reasons.join(", ") };
        let deaf = member.deaf.map_or(String::new(), |deaf| format!("{:.0} ms", ms(deaf)));
        let _ = write!(
            text,
            "<tr><td>{}<td>{role}<td>{received}<td>{opened}<td>{refused}<td>{:.0} ms<td>{deaf}</tr>",
            escape(name),
            ms(member.join)
        );
    }
    text + "</tbody></table></div></section>"
}

const WIDTH: usize = 1_200;
const HEIGHT: usize = 200;

const TITLE: &str = "A sealed room";
const STYLE: &str = "\
:root { --dot: #2f6f8f }
@media (prefers-color-scheme: dark) { :root { --dot: #7cc0df } }
.spectrum img { display: block; width: 100%; height: 9rem; object-fit: fill }
.spectrum i { position: absolute; left: .4rem; font: .7rem system-ui, sans-serif; color: #fff; text-shadow: 0 0 3px #000, 0 0 3px #000 }
.time { display: flex; justify-content: space-between; color: var(--soft); font-size: .75rem }
.pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.25rem } .pairs figure { margin: 0 }
svg circle { fill: var(--dot); fill-opacity: .45 } table { width: 100% } th, td { padding: .4rem .75rem .4rem 0 }
";
