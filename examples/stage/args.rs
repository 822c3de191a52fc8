//! What the stage is asked for.

use std::{ffi::OsString, fmt::Display, ops::RangeBounds, path::PathBuf, str::FromStr, time::Duration};

use lexopt::{
    Parser, ValueExt,
    prelude::{Long, Short},
};

/// What is to be done.
pub enum Command {
    /// The story on real sockets.
    Story(Options),
    /// The relay alone, with so many receivers.
    Receivers(usize),
    /// A cluster of MoQ relays with so many listeners, of which one node is killed, 1 to 3.
    #[cfg_attr(not(feature = "moq"), expect(dead_code, reason = "it wants the feature"))]
    Cluster { options: Options, listeners: usize, kill: usize },
    /// The measurement on virtual time.
    Simulation(Plan),
    /// To print [`HELP`].
    Help,
}

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
    /// One object on standard output instead of the table.
    pub json: bool,
}

/// What the simulation does.
pub struct Plan {
    pub listeners: usize,
    pub minutes: f64,
    pub joins_per_s: f64,
    pub leaves_per_s: f64,
    pub porters: usize,
    pub speakers: usize,
    pub seed: u64,
    pub json: bool,
}

/// Reads the arguments that follow the program's name. A value stands in the next argument or
/// behind `=`.
///
/// # Errors
/// What is wrong, in one line: an option that is not known, a value that is missing or out of its
/// range, or options of two forms together.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    read(&mut Parser::from_args(arguments)).map_err(|why| why.to_string())
}

fn read(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut options = Options {
        audience: 200,
        step: Duration::from_secs(5),
        input: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/jfk.wav")),
        out: PathBuf::from("target/stage"),
        json: false,
    };
    let mut plan = Plan {
        listeners: 200,
        minutes: 1.0,
        joins_per_s: 1.0,
        leaves_per_s: 1.0,
        porters: 4,
        speakers: 4,
        seed: 1,
        json: false,
    };
    let (mut receivers, mut cluster, mut kill, mut simulated) = (None, None, 2, false);
    let mut given = Vec::new();
    while let Some(argument) = parser.next()? {
        let name = match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long(name) => name.to_owned(),
            other => return Err(other.unexpected()),
        };
        match name.as_str() {
            "json" => (options.json, plan.json) = (true, true),
            "audience" => options.audience = within(parser, &name, 8..=600)?,
            "step" => options.step = Duration::from_secs(within(parser, &name, 2..=60)?),
            "input" => options.input = parser.value()?.into(),
            "out" => options.out = parser.value()?.into(),
            "receivers" => receivers = Some(within(parser, &name, 1..=5_000)?),
            "cluster" => cluster = Some(within(parser, &name, 3..=600)?),
            "kill" => kill = within(parser, &name, 1..=3)?,
            "listeners" => (plan.listeners, simulated) = (within(parser, &name, 1..=100_000)?, true),
            "minutes" => plan.minutes = within(parser, &name, 0.0..=1_440.0)?,
            "joins-per-s" => plan.joins_per_s = within(parser, &name, 0.0..=1_000.0)?,
            "leaves-per-s" => plan.leaves_per_s = within(parser, &name, 0.0..=1_000.0)?,
            "porters" => plan.porters = within(parser, &name, 1..=16)?,
            "speakers" => plan.speakers = within(parser, &name, 1..=48)?,
            "seed" => plan.seed = within(parser, &name, ..)?,
            _ => return Err(Long(&name).unexpected()),
        }
        given.push(name);
    }
    let (command, its): (_, &[&str]) = match (receivers, cluster) {
        (Some(receivers), _) => (Command::Receivers(receivers), &["receivers"]),
        (None, Some(listeners)) => {
            (Command::Cluster { options, listeners, kill }, &["cluster", "kill", "step", "input", "json"])
        }
        (None, None) if simulated => (Command::Simulation(plan), &SIMULATION),
        (None, None) => (Command::Story(options), &["audience", "step", "input", "out", "json"]),
    };
    match given.iter().find(|name| !its.contains(&name.as_str())) {
        Some(name) => Err(format!("--{name} does not go with the rest; --help says what does").into()),
        None => Ok(command),
    }
}

const SIMULATION: [&str; 8] =
    ["listeners", "minutes", "joins-per-s", "leaves-per-s", "porters", "speakers", "seed", "json"];

/// The value of an option, if it is a number of this range.
fn within<N>(parser: &mut Parser, name: &str, range: impl RangeBounds<N>) -> Result<N, lexopt::Error>
where
    N: FromStr<Err: Display> + PartialOrd,
{
    let value = parser.value()?.string()?;
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("--{name} cannot be {value}").into())
}

pub const HELP: &str = "\
A stage room on one machine: a relay on real sockets, a stage, an audience, real speech.

usage: stage [--audience N] [--step S] [--input WAV] [--out DIR] [--json]
       stage --receivers N
       stage --cluster N [--kill NODE] [--step S] [--input WAV] [--json]
       stage --listeners N [--minutes T] [--joins-per-s J] [--leaves-per-s L] [--porters P]
             [--speakers S] [--seed N] [--json]

  --audience N  how many listen in the end, 8 to 600; 200
  --step S      seconds for each size of the audience, 2 to 60; 5
  --input WAV   the speech; examples/data/jfk.wav
  --out DIR     where page, log and sounds go; target/stage
  --json        one JSON object instead of the table

With --receivers the relay alone is measured, with sockets that only receive, beside bare sends.
With --cluster three nodes of moq-relay carry the hall to N listeners, and node 1, 2 or 3 is killed:
2 if --kill does not say another. It wants --features moq, and scripts/relays.d/moq-relay build.
With --listeners it runs on virtual time and measures (docs/STAGE.md).
The status is 1 if a promise was broken.
";
