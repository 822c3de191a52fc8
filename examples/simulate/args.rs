//! The command line of `simulate`.

use std::ffi::OsString;

use lexopt::{
    Parser, ValueExt,
    prelude::{Long, Short},
};

pub const USAGE: &str = "\
simulate [options]

  --seeds N      storms (default: 20)
  --first N      the seed of the first one (default: 1); the same seed makes the same events
  --members M    members of each room, 4 to 64 (default: 8)
  --minutes T    how long each storm lasts (default: 10)
  --bans N       bans for the time to deafness, at each of 0, 2 and 10 % loss (default: 50)
  --insiders K   K of the members are hostile, and the relay helps them
  --without D    a world without the defence D, or in turn without each of them (all): each must be noticed
  --scene S      nothing but this scene
  --json         one object instead of lines
";

pub struct Args {
    pub seeds: u64,
    pub first: u64,
    pub members: usize,
    pub minutes: u64,
    pub bans: usize,
    pub json: bool,
    pub insiders: usize,
    pub without: Option<String>,
    pub scene: Option<String>,
}

impl Args {
    /// `None` if only help is wanted; else what is wrong.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut args = Self {
            seeds: 20,
            first: 1,
            members: 8,
            minutes: 10,
            bans: 50,
            json: false,
            insiders: 0,
            without: None,
            scene: None,
        };
        let mut parser = Parser::from_args(arguments);
        let wrong = |why: lexopt::Error| why.to_string();
        while let Some(argument) = parser.next().map_err(wrong)? {
            let option = match argument {
                Short('h') | Long("help") => return Ok(None),
                Long(option) => option.to_owned(),
                other => return Err(other.unexpected().to_string()),
            };
            let mut number = || parser.value().and_then(|value| value.parse()).map_err(wrong);
            match option.as_str() {
                "json" => args.json = true,
                "seeds" => args.seeds = number()?,
                "first" | "seed" => args.first = number()?,
                "members" => args.members = usize::try_from(number()?).unwrap_or(usize::MAX),
                "insiders" => args.insiders = usize::try_from(number()?).unwrap_or(usize::MAX),
                "minutes" => args.minutes = number()?,
                "bans" => args.bans = usize::try_from(number()?).unwrap_or(usize::MAX),
                "without" => args.without = Some(parser.value().and_then(ValueExt::string).map_err(wrong)?),
                "scene" => args.scene = Some(parser.value().and_then(ValueExt::string).map_err(wrong)?),
                _ => return Err(format!("--{option} is not known")),
            }
        }
        if !(4..=64).contains(&args.members) {
            return Err("a storm needs 4 to 64 members".to_owned());
        }
        if args.insiders + 3 > args.members {
            return Err("at least three members are honest".to_owned());
        }
        if args.without.is_some() && args.insiders == 0 {
            return Err("--without needs --insiders".to_owned());
        }
        if args.minutes > 24 * 60 || args.seeds > 1_000_000 || args.bans > 10_000 {
            return Err("that would never end".to_owned());
        }
        Ok(Some(args))
    }
}
