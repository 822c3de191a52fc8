//! What the user types while people talk: one command a line.

use std::{
    io,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use sottovoce::{
    MemberId,
    group::Member,
    room::{CommandError, Room},
};

pub const COMMANDS: &str = "\
  who           who is in the room, each with the start of its fingerprint
  code          the room's code, the same for everybody in it
  mute WHO      nobody hears WHO any more: a name, or the start of a fingerprint; and unmute WHO
  remove WHO    WHO goes, and comes back only if somebody lets it in
  ban WHO       WHO goes, and nobody lets it in; and unban WHO
  lock          nobody new comes in; and unlock
  leave         ends the talk
";

/// The lines of standard input, and whom they have banned.
pub struct Typed {
    lines: Receiver<String>,
    banned: Vec<(MemberId, String)>,
}

impl Typed {
    /// Reads in a thread of its own, which ends with the program.
    pub fn read() -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines, banned: Vec::new() }
    }

    /// Does what was typed, and prints what came of it. Returns `false` if the talk is to end.
    pub fn obey(&mut self, room: &mut Room, now: Instant) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            let (verb, whom) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match self.act(room, verb, whom.trim(), now) {
                Ok(_) if verb == "leave" => return false,
                Ok(said) => println!("{said}"),
                Err(why) => println!("{verb}: {why}"),
            }
        }
        true
    }

    fn act(&mut self, room: &mut Room, verb: &str, whom: &str, now: Instant) -> Result<String, String> {
        match verb {
            "" | "leave" => Ok(String::new()),
            "help" => Ok(COMMANDS.trim_end().to_owned()),
            "who" => Ok(room.roster().iter().map(describe).collect::<Vec<_>>().join("\n")),
            "code" => {
                room.code().map(|code| format!("code {code}")).ok_or_else(|| "we are not in yet".to_owned())
            }
            "lock" => done(room.set_locked(true, now), "nobody new comes in"),
            "unlock" => done(room.set_locked(false, now), "whoever has an invite may come in"),
            "mute" | "unmute" | "remove" | "ban" => {
                let people = room.roster().iter().map(|member| (member.id, member.name.to_string()));
                let (id, name) = find(people, whom)?;
                match verb {
                    "mute" => done(room.set_muted(id, true, now), &format!("{name} is muted")),
                    "unmute" => done(room.set_muted(id, false, now), &format!("{name} is heard again")),
                    "remove" => done(room.remove(id, now), &format!("{name} goes")),
                    _ => {
                        let said = done(room.ban(id, now), &format!("{name} is banned"))?;
                        self.banned.push((id, name));
                        Ok(said)
                    }
                }
            }
            "unban" => {
                let (id, name) = find(self.banned.iter().cloned(), whom)?;
                let said = done(room.unban(id, now), &format!("{name} may be let in again"))?;
                self.banned.retain(|(banned, _)| *banned != id);
                Ok(said)
            }
            _ => Err(format!("is not known; there is\n{}", COMMANDS.trim_end())),
        }
    }
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
