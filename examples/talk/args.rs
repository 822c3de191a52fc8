//! The command line of `talk`.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{
    Parser, ValueExt,
    prelude::{Long, Short, Value},
};
use sottovoce::{media::Sound, transport::RelayName};

pub const USAGE: &str = "\
talk host RELAY [options]     makes a room at a relay, and prints an invite
talk join INVITE [options]    comes in
talk back --keep DIR          goes on in the room that it was in when it ended

  --name NAME       what the others see (default: Somebody)
  --music           makes a room for music in stereo: host alone chooses, who joins follows
  --stereo          makes a room for speech in stereo
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
    /// Of the room that is made.
    pub sound: Sound,
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
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        Self::read(&mut Parser::from_args(arguments)).map_err(|why| why.to_string())
    }

    fn read(parser: &mut Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut part = None;
        let mut args = Self {
            part: Part::Back,
            name: "Somebody".to_owned(),
            sound: Sound::Speech,
            play: None,
            record: None,
            keep: None,
            plain: false,
            seconds: None,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("name") => args.name = parser.value()?.string()?,
                Long("music") => args.sound = Sound::Music,
                Long("stereo") => args.sound = Sound::StereoSpeech,
                Long("play") => args.play = Some(parser.value()?.into()),
                Long("record") => args.record = Some(parser.value()?.into()),
                Long("keep") => args.keep = Some(parser.value()?.into()),
                Long("plain") => args.plain = true,
                Long("seconds") => args.seconds = Some(parser.value()?.parse()?),
                Value(word) if part.is_none() => part = Some(Part::read(&word.string()?, parser)?),
                other => return Err(other.unexpected()),
            }
        }
        if args.sound != Sound::Speech && !matches!(part, Some(Part::Host(_))) {
            return Err("--music and --stereo are for host: who comes in takes the room as it is".into());
        }
        args.part = part.ok_or("say host RELAY, join INVITE, or back --keep DIR")?;
        Ok(Some(args))
    }
}

impl Part {
    fn read(word: &str, parser: &mut Parser) -> Result<Self, lexopt::Error> {
        match word {
            "host" => {
                let relay = parser.value().map_err(|_| "host needs a relay")?.string()?;
                Ok(Self::Host(relay.parse().map_err(|why| format!("{relay}: {why}"))?))
            }
            "join" => Ok(Self::Join(parser.value().map_err(|_| "join needs an invite")?.string()?)),
            "back" => Ok(Self::Back),
            _ => Err("say host RELAY, join INVITE, or back --keep DIR".into()),
        }
    }
}
