//! The options of the example, from one table: names, meaning, limits and the text of `--help`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use lexopt::{
    Parser,
    prelude::{Long, Short, Value},
};

/// The exit code for a command line that is wrong.
pub const EXIT_USAGE: u8 = 2;
/// The exit code for a run that failed, or whose input or output is no use.
pub const EXIT_FAILURE: u8 = 1;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// To run the room.
    Run(Options),
    /// To print [`help`].
    Help,
}

/// The options of a run, each within its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The recording that the speakers play.
    pub input: PathBuf,
    /// Members over the whole run, the host, the one to be banned and the late one included.
    pub members: usize,
    /// Seconds of speech.
    pub seconds: u32,
    /// Where the files of the run go.
    pub out: PathBuf,
    /// Whether standard output gets one JSON object and nothing else.
    pub json: bool,
    /// The share of media packets that the relay drops, in percent.
    pub loss_percent: f64,
    /// What decides every random choice of the run that is not a key.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            input: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/jfk.wav")),
            members: 6,
            seconds: 20,
            out: PathBuf::from("target/room"),
            json: false,
            loss_percent: 0.0,
            seed: 1,
        }
    }
}

/// Reads the arguments that follow the program's name.
///
/// A value stands in the next argument or behind `=`. `--help` wins over whatever follows it.
///
/// # Errors
/// [`Error`] for the first argument that is wrong; it prints as one line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut options = Options::default();
    let mut given = Vec::new();
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|why| Error::Unknown(why.to_string()))? {
        let name = match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long(name) => format!("--{name}"),
            Short(name) => format!("-{name}"),
            Value(value) => value.to_string_lossy().into_owned(),
        };
        let entry = TABLE.iter().find(|entry| entry.name == name).ok_or(Error::Unknown(name))?;
        if given.contains(&entry.name) {
            return Err(Error::Repeated(entry.name));
        }
        given.push(entry.name);
        match &entry.set {
            Set::Flag(set) if parser.optional_value().is_none() => set(&mut options),
            Set::Flag(_) => return Err(Error::NoValueWanted(entry.name)),
            Set::Value(_, set) => {
                let value = parser.value().map_err(|_| Error::NoValue(entry.name))?;
                set(&mut options, &value).map_err(|wanted| Error::Wrong {
                    name: entry.name,
                    value: value.to_string_lossy().into_owned(),
                    wanted,
                })?;
            }
        }
    }
    Ok(Command::Run(options))
}

/// The text for `--help`, with its limits and defaults.
pub fn help() -> String {
    let mut text = String::from(
        "A sealed room, end to end: a relay and several members on loopback, real speech, one ban.\n\n\
         Usage: cargo run --release --example room -- [options]\n\n",
    );
    for Entry { name, set, meaning } in TABLE {
        let value = if let Set::Value(value, _) = set { value } else { "" };
        text += &format!(
            "  {:<17} {}\n",
            format!("{name} {value}"),
            meaning.replace('\n', "\n                    ")
        );
    }
    text += "  --help            Print this text\n\n\
             Exit status: 0 when every promise held, 1 when one did not or a file is no use, 2 for a wrong option.\n";
    text
}

/// A command line that cannot be followed; prints as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no such option.
    Unknown(String),
    /// An option stands twice.
    Repeated(&'static str),
    /// An option lacks its value.
    NoValue(&'static str),
    /// An option has a value and takes none.
    NoValueWanted(&'static str),
    /// A value is outside the option's limits.
    Wrong {
        /// The option.
        name: &'static str,
        /// Its value as given.
        value: String,
        /// What it takes.
        wanted: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unknown(argument) => write!(f, "no option {argument:?}; --help lists them"),
            Error::Repeated(name) => write!(f, "{name} is given twice"),
            Error::NoValue(name) => write!(f, "{name} needs a value"),
            Error::NoValueWanted(name) => write!(f, "{name} takes no value"),
            Error::Wrong { name, value, wanted } => write!(f, "{name} takes {wanted}, not {value:?}"),
        }
    }
}

impl std::error::Error for Error {}

/// One option.
struct Entry {
    name: &'static str,
    set: Set,
    meaning: &'static str,
}

/// What an option does, and the name of its value.
enum Set {
    Flag(fn(&mut Options)),
    Value(&'static str, fn(&mut Options, &OsStr) -> Result<(), String>),
}

const TABLE: &[Entry] = &[
    Entry {
        name: "--input",
        set: Set::Value("FILE.wav", |options, value| {
            options.input = path(value, "the path of a WAV file")?;
            Ok(())
        }),
        meaning: "What the speakers say: a WAV file of any rate and channel count\n(default: eleven seconds of public-domain speech)",
    },
    Entry {
        name: "--members",
        set: Set::Value("N", |options, value| {
            options.members = number(value, MEMBERS)?;
            Ok(())
        }),
        meaning: "Members over the whole run, 5 to 64 (default: 6)",
    },
    Entry {
        name: "--seconds",
        set: Set::Value("S", |options, value| {
            options.seconds = number(value, SECONDS)?;
            Ok(())
        }),
        meaning: "Seconds of speech, 4 to 600; a shorter recording is repeated (default: 20)",
    },
    Entry {
        name: "--out",
        set: Set::Value("DIR", |options, value| {
            options.out = path(value, "the path of a directory")?;
            Ok(())
        }),
        meaning: "Where recordings, captures and the page go (default: target/room)",
    },
    Entry {
        name: "--json",
        set: Set::Flag(|options| options.json = true),
        meaning: "Print one JSON object instead of the table",
    },
    Entry {
        name: "--loss",
        set: Set::Value("PERCENT", |options, value| {
            options.loss_percent = percent(value)?;
            Ok(())
        }),
        meaning: "Media packets that the relay drops, 0 to 90 percent (default: 0)",
    },
    Entry {
        name: "--seed",
        set: Set::Value("N", |options, value| {
            options.seed = number(value, 0..=u64::MAX)?;
            Ok(())
        }),
        meaning: "What decides which packets are lost (default: 1)",
    },
];

fn path(value: &OsStr, wanted: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err(wanted.to_owned()) } else { Ok(PathBuf::from(value)) }
}

/// A whole number within `limits`.
fn number<T>(value: &OsStr, limits: RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + fmt::Display,
{
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| limits.contains(number));
    number.ok_or_else(|| format!("a whole number from {} to {}", limits.start(), limits.end()))
}

fn percent(value: &OsStr) -> Result<f64, String> {
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| LOSS.contains(number));
    number.ok_or_else(|| format!("a percentage from {} to {}", LOSS.start(), LOSS.end()))
}

/// A host, a speaker, one to be banned and one who comes late, up to what one machine plays in real
/// time.
const MEMBERS: RangeInclusive<usize> = 5..=64;
/// Long enough for a ban half way, short enough to keep every recording in memory.
const SECONDS: RangeInclusive<u32> = 4..=600;
/// Beyond this nothing is left to compare.
const LOSS: RangeInclusive<f64> = 0.0..=90.0;
