//! The command line of `talk`.

use std::path::PathBuf;

use sottovoce::transport::RelayName;

pub const USAGE: &str = "\
talk host RELAY [options]     makes a room at a relay, and prints an invite
talk join INVITE [options]    comes in
talk back --keep DIR          goes on in the room that it was in when it ended

  --name NAME       what the others see (default: Somebody)
  --play FILE       a WAV file is said, instead of what the microphone hears
  --record FILE     what is heard goes into a WAV file, instead of to the loudspeaker
  --keep DIR        who we are and the room that we are in are kept there, sealed, and the room is not left at the end
  --plain           prints lines, though there is a whole terminal to draw on
  --seconds N       ends after so long (default: when it is interrupted, or the room is over)

While people talk, these can be typed, one a line; in a terminal with a / in front, and anything else is said to all:

";

/// What was asked for.
pub struct Args {
    pub part: Part,
    pub name: String,
    pub play: Option<PathBuf>,
    pub record: Option<PathBuf>,
    pub keep: Option<PathBuf>,
    pub plain: bool,
    pub seconds: Option<u64>,
}

pub enum Part {
    Host(RelayName),
    /// The invite's text: it is secret, and read when it is used.
    Join(String),
    Back,
}

impl Args {
    /// `None` if only help is wanted; else what is wrong.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = arguments;
        let part = match arguments.next().as_deref() {
            Some("--help" | "-h") => return Ok(None),
            Some("host") => {
                let relay = arguments.next().ok_or("host needs a relay")?;
                Part::Host(relay.parse().map_err(|why| format!("{relay}: {why}"))?)
            }
            Some("join") => Part::Join(arguments.next().ok_or("join needs an invite")?),
            Some("back") => Part::Back,
            _ => return Err("say host RELAY, join INVITE, or back --keep DIR".to_owned()),
        };
        let name = "Somebody".to_owned();
        let mut args = Self { part, name, play: None, record: None, keep: None, plain: false, seconds: None };
        while let Some(option) = arguments.next() {
            if option == "--plain" {
                args.plain = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--name" => args.name = value,
                "--play" => args.play = Some(value.into()),
                "--record" => args.record = Some(value.into()),
                "--keep" => args.keep = Some(value.into()),
                "--seconds" => {
                    args.seconds = Some(value.parse().map_err(|_| format!("{value} is no number"))?)
                }
                _ => return Err(format!("{option} is not known")),
            }
        }
        Ok(Some(args))
    }
}
