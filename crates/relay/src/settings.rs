//! Settings: each is a flag, `--name VALUE`, and a key of the config file, `name = VALUE` in TOML.
//! A flag takes precedence over the file, the file over the default.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use lexopt::{Arg, ValueExt};
use sottovoce::{
    relay::{Limits, token::IssuerKey},
    transport::Percent,
};
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Place};

/// What the command line asks for.
pub enum Asked {
    Help,
    Version,
    /// Look whether the settings are good, and end.
    Check(Settings),
    Serve(Settings),
}

pub struct Settings {
    pub listen: SocketAddr,
    pub quic: Option<SocketAddr>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub metrics: Option<SocketAddr>,
    /// How often counts are printed, if they changed.
    pub report: Option<Duration>,
    /// How long members may go on after SIGTERM.
    pub drain: Duration,
    pub issuer: Option<IssuerKey>,
    /// Members of all rooms together.
    pub members: usize,
    pub rooms: usize,
    /// Members of one room.
    pub room_members: usize,
    pub log: Option<PathBuf>,
    pub loss: Percent,
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4433)),
            quic: None,
            certificate: None,
            key: None,
            metrics: None,
            report: Some(Duration::from_secs(60)),
            drain: Duration::from_secs(20),
            issuer: None,
            members: limits.connections,
            rooms: limits.rooms,
            room_members: limits.members,
            log: None,
            loss: Percent::default(),
            seed: 0,
        }
    }
}

impl Asked {
    pub fn from_args(arguments: impl Iterator<Item = OsString>) -> Result<Self, Error> {
        let wrong = |error: lexopt::Error| Error::Arguments(error.to_string());
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut check, mut config, mut flags) = (false, None, Vec::new());
        while let Some(argument) = parser.next().map_err(wrong)? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(Self::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Self::Version),
                Arg::Long("check") => check = true,
                Arg::Long("config") => config = Some(PathBuf::from(parser.value().map_err(wrong)?)),
                Arg::Long(name) => {
                    let setting = Setting::named(name, || Place::Flag)?;
                    flags.push((setting, parser.value().and_then(ValueExt::string).map_err(wrong)?));
                }
                other => return Err(wrong(other.unexpected())),
            }
        }
        let mut settings = Settings::default();
        if let Some(path) = config {
            let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, &error))?;
            settings.read(&text, &path)?;
        }
        for (setting, value) in flags {
            setting.put(&mut settings, Some(&value), Path::new(""), Place::Flag)?;
        }
        Ok(if check { Self::Check(settings) } else { Self::Serve(settings) })
    }
}

impl Settings {
    /// Takes over what a config file says. The paths in it start from its directory.
    fn read(&mut self, text: &str, path: &Path) -> Result<(), Error> {
        let place = |at: usize| {
            Place::Line(path.to_owned(), 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count())
        };
        let table = DeTable::parse(text).map_err(|error| Error::Syntax {
            place: place(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        // The first mistake is the one that is reported.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let place = || place(key.span().start);
            let setting = Setting::named(key.get_ref(), place)?;
            let value = match value.get_ref() {
                DeValue::String(text) => Some(text.as_ref()),
                DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
                DeValue::Float(number) => Some(number.as_str()),
                _ => None,
            };
            setting.put(self, value, directory, place())?;
        }
        Ok(())
    }
}

/// A setting, and how to read its value. Paths start from the directory.
struct Setting {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    expected: &'static str,
    set: fn(&mut Settings, &str, &Path) -> Option<()>,
}

impl Setting {
    fn named(name: &str, place: impl FnOnce() -> Place) -> Result<&'static Self, Error> {
        let found = SETTINGS.iter().find(|setting| setting.name == name);
        found.ok_or_else(|| Error::Unknown { place: place(), name: name.to_owned() })
    }

    fn put(&self, to: &mut Settings, value: Option<&str>, from: &Path, place: Place) -> Result<(), Error> {
        let set = value.and_then(|value| (self.set)(to, value, from));
        set.ok_or(Error::Value { place, name: self.name, expected: self.expected })
    }
}

/// Puts a value where it belongs, if it is one.
fn put<T: FromStr>(to: &mut T, value: &str) -> Option<()> {
    *to = value.parse().ok()?;
    Some(())
}

fn put_some<T: FromStr>(to: &mut Option<T>, value: &str) -> Option<()> {
    *to = Some(value.parse().ok()?);
    Some(())
}

fn put_path(to: &mut Option<PathBuf>, value: &str, from: &Path) -> Option<()> {
    *to = Some(from.join(value));
    Some(())
}

/// Whole seconds. As many as 32 bits hold can be added to any time of day.
fn seconds(value: &str) -> Option<Duration> {
    Some(Duration::from_secs(value.parse::<u32>().ok()?.into()))
}

pub fn help() -> String {
    let mut text = HELP.to_owned();
    for Setting { name, value, help, .. } in &SETTINGS {
        let flag = format!("--{name} {value}");
        text += &format!("\n  {flag:<22}{help}");
    }
    text
}

const HELP: &str = "\
Passes sealed audio between the members of sottovoce rooms, and holds no key.

Usage: sottovoce-relay [--config FILE] [--SETTING VALUE]...

  -h, --help            print this, and end
  -V, --version         print the version, and end
  --config FILE         read settings from a TOML file; a flag takes precedence over the file
  --check               look whether the settings are good, and end

Each setting is a flag, and a key of the config file (listen = \"203.0.113.7:4433\"):
";

const ADDRESS: &str = "an IP address and a port";
const NUMBER: &str = "a whole number";
const SECONDS: &str = "a whole number of seconds";
const FILE: &str = "the path of a file";

const SETTINGS: [Setting; 14] = [
    Setting {
        name: "listen",
        value: "ADDR",
        help: "address and port for TCP and UDP (127.0.0.1:4433); the one that members connect to",
        expected: ADDRESS,
        set: |to, value, _| put(&mut to.listen, value),
    },
    Setting {
        name: "quic",
        value: "ADDR",
        help: "address and port for QUIC as well; a UDP port of its own",
        expected: ADDRESS,
        set: |to, value, _| put_some(&mut to.quic, value),
    },
    Setting {
        name: "certificate",
        value: "FILE",
        help: "PEM file with the certificate for QUIC, and those that vouch for it",
        expected: FILE,
        set: |to, value, from| put_path(&mut to.certificate, value, from),
    },
    Setting {
        name: "key",
        value: "FILE",
        help: "PEM file with its private key",
        expected: FILE,
        set: |to, value, from| put_path(&mut to.key, value, from),
    },
    Setting {
        name: "metrics",
        value: "ADDR",
        help: "answer GET /metrics there, in Prometheus' text format",
        expected: ADDRESS,
        set: |to, value, _| put_some(&mut to.metrics, value),
    },
    Setting {
        name: "report",
        value: "SECONDS",
        help: "print counts that often, if they changed (60); 0 for never",
        expected: SECONDS,
        set: |to, value, _| {
            to.report = Some(seconds(value)?).filter(|every| !every.is_zero());
            Some(())
        },
    },
    Setting {
        name: "drain",
        value: "SECONDS",
        help: "how long members may go on after SIGTERM (20)",
        expected: SECONDS,
        set: |to, value, _| {
            to.drain = seconds(value)?;
            Some(())
        },
    },
    Setting {
        name: "issuer",
        value: "KEY",
        help: "admit only members with a token of this issuer: its public key, 64 hex digits",
        expected: "a public key of 64 hex digits",
        set: |to, value, _| put_some(&mut to.issuer, value),
    },
    Setting {
        name: "members",
        value: "N",
        help: "members of all rooms together (256)",
        expected: NUMBER,
        set: |to, value, _| put(&mut to.members, value),
    },
    Setting {
        name: "rooms",
        value: "N",
        help: "rooms with at least one member (64)",
        expected: NUMBER,
        set: |to, value, _| put(&mut to.rooms, value),
    },
    Setting {
        name: "room-members",
        value: "N",
        help: "members of one room (250)",
        expected: NUMBER,
        set: |to, value, _| put(&mut to.room_members, value),
    },
    Setting {
        name: "log",
        value: "FILE",
        help: "for an audit: write everything that members send to a file",
        expected: FILE,
        set: |to, value, from| put_path(&mut to.log, value, from),
    },
    Setting {
        name: "loss",
        value: "PERCENT",
        help: "for a demonstration: lose this share of packet copies (0)",
        expected: "a percentage",
        set: |to, value, _| put(&mut to.loss, value),
    },
    Setting {
        name: "seed",
        value: "N",
        help: "for a demonstration: makes the same packets get lost again (0)",
        expected: NUMBER,
        set: |to, value, _| put(&mut to.seed, value),
    },
];
