//! The command line of `talk`.

use std::path::PathBuf;

use sottovoce::transport::RelayName;

pub const USAGE: &str = "\
talk host RELAY [options]     makes a room at a relay, and prints an invite
talk join INVITE [options]    comes in

  --name NAME       what the others see (default: Somebody)
  --play FILE       a WAV file is said, instead of what the microphone hears
  --record FILE     what is heard goes into a WAV file, instead of to the loudspeaker
  --seconds N       ends after so long (default: when it is interrupted, or the room is over)
";

/// What was asked for.
pub struct Args {
    pub part: Part,
    pub name: String,
    pub play: Option<PathBuf>,
    pub record: Option<PathBuf>,
    pub seconds: Option<u64>,
}

pub enum Part {
    Host(RelayName),
    /// The invite's text: it is secret, and read when it is used.
    Join(String),
}

impl Args {
    /// `None` if only help is wanted; else what is wrong.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = arguments.peekable();
        let part = match (arguments.next().as_deref(), arguments.next()) {
            (Some("--help" | "-h"), _) => return Ok(None),
            (Some("host"), Some(relay)) => {
                Part::Host(relay.parse().map_err(|why| format!("{relay}: {why}"))?)
            }
            (Some("join"), Some(invite)) => Part::Join(invite),
            _ => return Err("say host RELAY or join INVITE".to_owned()),
        };
        let mut args = Self { part, name: "Somebody".to_owned(), play: None, record: None, seconds: None };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--name" => args.name = value,
                "--play" => args.play = Some(value.into()),
                "--record" => args.record = Some(value.into()),
                "--seconds" => {
                    args.seconds = Some(value.parse().map_err(|_| format!("{value} is no number"))?)
                }
                _ => return Err(format!("{option} is not known")),
            }
        }
        Ok(Some(args))
    }
}
