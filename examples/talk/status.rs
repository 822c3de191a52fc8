//! Who is in the room, who is heard, how loud and how late: for the screen, and as lines.

use sottovoce::{
    driver::policy::{Call, Connector, State},
    media::Level,
    room::Room,
    voice::{Receiver, Talker},
};
use sottovoce_examples::talk::{Person, View, tame};

use crate::typed::describe_tuning;

/// Fills in what the screen shows of the room; `level` is our own.
pub fn fill<C: Connector>(view: &mut View, call: &Call<C>, listener: &Receiver, level: Option<Level>) {
    let room = call.room();
    view.room = room.name().map_or("a room", |name| name.as_str()).to_owned();
    view.state = call.state().to_string();
    view.well = *call.state() == State::In;
    view.code = room.code().map(|code| code.to_string());
    let totals = listener.totals();
    let waits = listener.talkers().filter(|talker| talker.mixed).map(|talker| talker.waits.as_millis()).max();
    view.traffic = format!("{} heard, {} lost", totals.expected, totals.lost);
    if let Some(waits) = waits {
        view.traffic += &format!(", waits {waits} ms");
    }
    let hands = room.hands();
    let talkers: Vec<Talker> = listener.talkers().collect();
    view.people = room
        .roster()
        .iter()
        .map(|member| {
            let talker = talkers.iter().find(|talker| talker.member == member.id);
            let level = if member.is_self { level } else { talker.map(|talker| talker.level) };
            let mut notes = describe_tuning(listener.tuning(member.id));
            let facts = [
                (member.muted, "muted by a moderator"),
                (talker.is_some_and(|talker| talker.notes.muted), "microphone off"),
                (member.is_self && !view.microphone, "microphone off"),
                (room.is_absent(member.id), "away"),
            ];
            notes.extend(facts.iter().filter(|(is_so, _)| *is_so).map(|(_, fact)| (*fact).to_owned()));
            Person {
                name: member.name.to_string(),
                fingerprint: member.id.to_string().chars().take(8).collect(),
                role: format!("{:?}", member.role).to_lowercase(),
                is_self: member.is_self,
                below: level.map(|level| level.below_overload()),
                talks: level.is_some_and(|level| level.is_voice()),
                hand: hands.iter().position(|hand| *hand == member.id).map(|at| at + 1),
                notes,
            }
        })
        .collect();
}

/// Who is heard, how loud, and how late: a line for each.
pub fn print(room: &Room, listener: &Receiver) {
    for talker in listener.talkers() {
        let name = room.roster().iter().find(|member| member.id == talker.member);
        crate::screen::print(&format!(
            "{:<12} {:>4} dB{}{}  waits {} ms  {} played, {} recovered, {} made up, {} late",
            name.map_or("gone".into(), |member| tame(member.name.as_str())),
            -i32::from(talker.level.below_overload()),
            if talker.level.is_voice() { " speaks" } else { "" },
            if talker.notes.muted { " muted" } else { "" },
            talker.waits.as_millis(),
            talker.stats.played,
            talker.stats.recovered,
            talker.stats.concealed,
            talker.stats.late,
        ));
    }
}
