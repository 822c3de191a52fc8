//! What the user types while people talk: one command a line.

use std::time::Instant;

use sottovoce::{
    MemberId,
    group::Member,
    room::{Audience, CommandError, MessageKind, Room, SendError},
    voice::{Receiver, Tuning},
};

pub const COMMANDS: &str = "\
  say TEXT      everybody reads TEXT
  who           who is in the room, each with the start of its fingerprint
  code          the room's code, the same for everybody in it
  invite        the invite that was printed at the beginning, by whoever made the room
  mic off       our microphone; and mic on
  hand          our hand goes up; and lower, or lower WHO with rank
  quiet WHO     we alone do not hear WHO; and hear WHO: a name, or the start of a fingerprint
  volume WHO N  we alone hear WHO at N percent, 0 to 400
  side WHO S    we alone hear WHO on the left, the right, or in the middle
  deaf          we hear nobody; and undeaf
  mute WHO      nobody hears WHO any more; and unmute WHO
  remove WHO    WHO goes, and comes back only if somebody lets it in
  ban WHO       WHO goes, and nobody lets it in; and unban WHO
  lock          nobody new comes in; and unlock
  leave         ends the talk
";

/// What commands act on.
pub struct Desk<'a> {
    pub room: &'a mut Room,
    pub listener: &'a mut Receiver,
    pub microphone: &'a mut bool,
    pub invite: Option<&'a str>,
    pub now: Instant,
}

/// Whom we have banned, for they are in no list any more.
#[derive(Default)]
pub struct Typed {
    banned: Vec<(MemberId, String)>,
}

impl Typed {
    /// Does what was typed, and returns what to say of it; `None` if the talk is to end.
    pub fn obey(&mut self, desk: &mut Desk<'_>, line: &str) -> Option<String> {
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if verb == "leave" {
            return None;
        }
        Some(self.act(desk, verb, rest.trim()).unwrap_or_else(|why| format!("{verb}: {why}")))
    }

    fn act(&mut self, desk: &mut Desk<'_>, verb: &str, rest: &str) -> Result<String, String> {
        let now = desk.now;
        match verb {
            "" => Ok(String::new()),
            "help" => Ok(COMMANDS.trim_end().to_owned()),
            "who" => Ok(desk.room.roster().iter().map(describe).collect::<Vec<_>>().join("\n")),
            "code" => {
                let code = desk.room.code().map(|code| format!("code {code}"));
                code.ok_or_else(|| "we are not in yet".to_owned())
            }
            "invite" => {
                desk.invite.map(str::to_owned).ok_or_else(|| "whoever made the room has it".to_owned())
            }
            "say" => {
                let sent = desk.room.send_message(Audience::All, MessageKind::TEXT, rest.as_bytes(), now);
                sent.map(|_| format!("you: {rest}")).map_err(|why| why.to_string())
            }
            "mic" => {
                *desk.microphone = on_or_off(rest)?;
                Ok(format!("microphone {rest}"))
            }
            "hand" => sent(desk.room.raise_hand(now), "your hand is up"),
            "lower" if rest.is_empty() => {
                sent(desk.room.lower_hand(desk.room.id(), now), "your hand is down")
            }
            "lower" => {
                let (id, name) = member(desk.room, rest)?;
                sent(desk.room.lower_hand(id, now), &format!("{name}'s hand is down"))
            }
            "lock" => done(desk.room.set_locked(true, now), "nobody new comes in"),
            "unlock" => done(desk.room.set_locked(false, now), "whoever has an invite may come in"),
            "deaf" | "undeaf" => {
                desk.listener.set_deafened(verb == "deaf");
                Ok(if verb == "deaf" { "you hear nobody" } else { "you hear everybody" }.to_owned())
            }
            "quiet" | "hear" | "volume" | "side" => tune(desk, verb, rest),
            "mute" | "unmute" | "remove" | "ban" => {
                let (id, name) = member(desk.room, rest)?;
                match verb {
                    "mute" => done(desk.room.set_muted(id, true, now), &format!("{name} is muted")),
                    "unmute" => done(desk.room.set_muted(id, false, now), &format!("{name} is heard again")),
                    "remove" => done(desk.room.remove(id, now), &format!("{name} goes")),
                    _ => {
                        let said = done(desk.room.ban(id, now), &format!("{name} is banned"))?;
                        self.banned.push((id, name));
                        Ok(said)
                    }
                }
            }
            "unban" => {
                let (id, name) = find(self.banned.iter().cloned(), rest)?;
                let said = done(desk.room.unban(id, now), &format!("{name} may be let in again"))?;
                self.banned.retain(|(banned, _)| *banned != id);
                Ok(said)
            }
            _ => Err(format!("is not known; there is\n{}", COMMANDS.trim_end())),
        }
    }
}

/// Changes how we alone hear somebody.
fn tune(desk: &mut Desk<'_>, verb: &str, rest: &str) -> Result<String, String> {
    let (whom, how) = match verb {
        "quiet" | "hear" => (rest, ""),
        _ => rest.rsplit_once(' ').ok_or("needs a member and how it is to be heard")?,
    };
    let (id, name) = member(desk.room, whom.trim())?;
    let tuning = desk.listener.tuning(id);
    let tuned = match (verb, how) {
        ("quiet", _) => Ok(tuning.with_mute(true)),
        ("hear", _) => Ok(tuning.with_mute(false)),
        ("side", "left") => tuning.with_pan(-1.0),
        ("side", "right") => tuning.with_pan(1.0),
        ("side", "middle") => tuning.with_pan(0.0),
        ("side", _) => return Err("left, right or middle".to_owned()),
        _ => {
            let percent: f32 =
                how.trim_end_matches('%').parse().map_err(|_| format!("{how} is no number"))?;
            tuning.with_volume(percent / 100.0)
        }
    };
    let tuned = tuned.and_then(|tuning| desk.listener.tune(id, tuning).map(|()| tuning));
    let heard = describe_tuning(tuned.map_err(|why| why.to_string())?);
    Ok(format!(
        "{name}, for you: {}",
        if heard.is_empty() { "as it comes".to_owned() } else { heard.join(", ") }
    ))
}

/// How somebody is heard, where that is not as it comes.
pub fn describe_tuning(tuning: Tuning) -> Vec<String> {
    let volume = (tuning.volume() != 1.0).then(|| format!("volume {:.0} %", tuning.volume() * 100.0));
    let side = (tuning.pan() != 0.0).then(|| if tuning.pan() < 0.0 { "left" } else { "right" }.to_owned());
    let quiet = tuning.is_muted().then(|| "quiet for you".to_owned());
    [volume, side, quiet].into_iter().flatten().collect()
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

fn member(room: &Room, whom: &str) -> Result<(MemberId, String), String> {
    find(room.roster().iter().map(|member| (member.id, member.name.to_string())), whom)
}

/// The one who has this name, or a fingerprint that begins so. Names are not unique.
fn find(people: impl Iterator<Item = (MemberId, String)>, whom: &str) -> Result<(MemberId, String), String> {
    let is_meant = |(id, name): &(MemberId, String)| {
        !whom.is_empty() && (name == whom || id.to_string().starts_with(whom))
    };
    let mut found = people.filter(is_meant);
    let one = found.next().ok_or_else(|| format!("nobody is called {whom:?}"))?;
    match found.next() {
        None => Ok(one),
        Some(_) => Err(format!("several are called {whom:?}: say the start of a fingerprint")),
    }
}

fn describe(member: &Member) -> String {
    let muted = if member.muted { ", muted" } else { "" };
    let own = if member.is_self { ", you" } else { "" };
    format!("{:<12} {}  {:?}{muted}{own}", member.name.as_str(), member.id, member.role)
}

fn done(outcome: Result<(), CommandError>, said: &str) -> Result<String, String> {
    outcome.map(|()| said.to_owned()).map_err(|why| why.to_string())
}

fn sent(outcome: Result<(), SendError>, said: &str) -> Result<String, String> {
    outcome.map(|()| said.to_owned()).map_err(|why| why.to_string())
}
