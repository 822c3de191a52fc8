//! What the story is asked for.

use std::path::PathBuf;
use std::time::Duration;

/// How the story goes.
pub struct Options {
    /// How many listen in the end, the late crowd among them.
    pub audience: usize,
    /// How long the audience stays as large as it is, before more come.
    pub step: Duration,
    /// The speech.
    pub input: PathBuf,
    /// Where the page goes.
    pub out: PathBuf,
    /// Only the relay is measured, with so many receivers.
    pub receivers: Option<usize>,
    /// A cluster of MoQ relays is measured instead, with so many listeners.
    pub cluster: Option<usize>,
    /// Which of its nodes is killed, from 1 on.
    pub kill: usize,
    /// One object on standard output instead of the table.
    pub json: bool,
}

/// `None` if help is asked for.
///
/// # Errors
/// What is wrong, in one line.
pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        audience: 200,
        step: Duration::from_secs(5),
        input: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/jfk.wav")),
        out: PathBuf::from("target/stage"),
        receivers: None,
        cluster: None,
        kill: 2,
        json: false,
    };
    while let Some(name) = args.next() {
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--json" => {
                options.json = true;
                continue;
            }
            _ => {}
        }
        let value = args.next().ok_or(format!("{name} wants a value"))?;
        let wrong = || format!("{name} cannot be {value}");
        match name.as_str() {
            "--audience" => {
                let audience = value.parse().ok().filter(|audience| (8..=600).contains(audience));
                options.audience = audience.ok_or_else(wrong)?;
            }
            "--receivers" => {
                let receivers = value.parse().ok().filter(|receivers| (1..=5_000).contains(receivers));
                options.receivers = Some(receivers.ok_or_else(wrong)?);
            }
            "--cluster" => {
                let cluster = value.parse().ok().filter(|cluster| (3..=600).contains(cluster));
                options.cluster = Some(cluster.ok_or_else(wrong)?);
            }
            "--kill" => {
                let kill = value.parse().ok().filter(|kill| (1..=3).contains(kill));
                options.kill = kill.ok_or_else(wrong)?;
            }
            "--step" => {
                let step = value.parse().ok().filter(|seconds| (2..=60).contains(seconds));
                options.step = Duration::from_secs(step.ok_or_else(wrong)?);
            }
            "--input" => options.input = value.into(),
            "--out" => options.out = value.into(),
            _ => return Err(format!("{name} is not known; --help says what is")),
        }
    }
    Ok(Some(options))
}

pub const HELP: &str = "\
A stage room on one machine: a relay on real sockets, a stage, an audience, real speech.

usage: stage [--audience N] [--step S] [--input WAV] [--out DIR] [--json]
       stage --receivers N
       stage --cluster N [--kill NODE] [--step S] [--json]
       stage --listeners N [--minutes T] [--joins-per-s J] [--leaves-per-s L] [--json]

  --audience N  how many listen in the end, 8 to 600; 200
  --step S      seconds for each size of the audience, 2 to 60; 5
  --input WAV   the speech; examples/data/jfk.wav
  --out DIR     where page, log and sounds go; target/stage
  --json        one JSON object instead of the table

With --cluster three moq-relay nodes carry the stage, and one of them is killed: 2, or 1, at which
those who speak are, or 3 (docs/STAGE.md; feature moq, and scripts/relays.d/moq-relay build).
With --receivers the relay alone is measured, with sockets that only receive, beside bare sends.
With --listeners it runs on virtual time and measures (docs/STAGE.md).
The status is 1 if a promise was broken.
";
