//! Bans: what the banned hear, when they come back, and what they come back with.

use std::{collections::HashMap, time::Duration};

use rand::RngExt;
use sottovoce::{
    MemberId, Opener,
    group::Role,
    room::InviteOptions,
    testkit::{HeldTicket, ListenerInsider, Rank},
};

use crate::storm::Storm;

/// Somebody that was banned and keeps all that it had.
pub(crate) struct Banned {
    pub(crate) id: MemberId,
    index: usize,
    at: Duration,
    by: usize,
    opener: Opener,
    ticket: Option<HeldTicket>,
    /// Since when each member of the stage knows of the ban.
    known: HashMap<usize, Duration>,
}

impl Storm {
    /// An honest member of rank bans somebody, who keeps its keys.
    pub(crate) fn ban_somebody(&mut self) -> Option<(usize, usize)> {
        let index = self.world.anybody().filter(|index| !self.liars.contains(index))?;
        let by = self.honest_porter()?;
        self.ban(index, by).then_some((index, by))
    }

    pub(crate) fn ban(&mut self, index: usize, by: usize) -> bool {
        let Some(ear) = self.world.ears[index].as_ref() else { return false };
        let (id, at) = (ear.id, self.world.now());
        let mut done = false;
        self.world.member(by, |member, now| done = member.room.ban(id, now).is_ok());
        if !done {
            return false;
        }
        // Its real listener obeys and ends; the copy of its keys does not.
        let now = self.world.instant();
        let Some(ear) = self.world.ears[index].as_mut() else { return false };
        let ticket = ListenerInsider::of(&mut ear.listener, now).ticket();
        ear.stubborn = true;
        self.tally.bans += 1;
        let opener = Opener::new();
        self.banned.push(Banned { id, index, at, by, opener, ticket, known: HashMap::new() });
        true
    }

    /// The banned come back in whatever way.
    pub(crate) fn come_back(&mut self) {
        if self.banned.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.banned.len());
        let (index, ticket) = (self.banned[at].index, self.banned[at].ticket.clone());
        let mut invite = self.world.invite.copy();
        if self.rng.random() {
            let by = self.rng.random_range(0..self.porters);
            let mut options = InviteOptions::default();
            options.role = Some(Role::Listener);
            self.world.member(by, |member, now| {
                if let Ok(made) = member.room.invite(options, now) {
                    invite = made;
                }
            });
        }
        let who = self.world.identity_of(index);
        let again = self.world.join_at(who, invite, 0);
        self.world.keep_identity(again, index);
        self.liars.insert(again);
        let now = self.world.instant();
        if let Some(ear) = self.world.ears[again].as_mut() {
            let mut insider = ListenerInsider::of(&mut ear.listener, now);
            match (self.rng.random_range(0..3), ticket) {
                (0, Some(ticket)) => insider.show(ticket),
                (1, _) => insider.show_forged(),
                _ => {}
            }
        }
        self.returned.push((again, index));
    }

    /// What was sealed since the last step, against those who were banned.
    pub(crate) fn judge_bans(&mut self) {
        let now = self.world.now();
        let spoke = self.world.spoke.replace(Vec::new()).unwrap_or_default();
        let honest_head = self.head_is_honest();
        for banned in &mut self.banned {
            for (index, member) in self.world.members.iter().enumerate() {
                let knows = member.stage.as_ref().is_some_and(|stage| Rank::knows_out(stage, banned.id));
                if knows {
                    banned.known.entry(index).or_insert(now);
                }
            }
            for (at, by, packet) in &spoke {
                if self.false_members.contains(by) || *at < banned.at {
                    continue;
                }
                let opens = |opener: &mut Opener| opener.open(&mut packet.to_vec()).is_ok();
                let own = self.world.ears.get_mut(banned.index).and_then(Option::as_mut);
                if !own.is_some_and(|ear| opens(&mut ear.opener)) && !opens(&mut banned.opener) {
                    continue;
                }
                // H12: a turn that heeds the ban comes a second after it knew at the latest, and is
                // switched to another second later.
                let known = banned.known.get(by).copied();
                let late = known.is_some_and(|known| *at > known + Rank::HEEDED + SWITCH + STEP);
                if late {
                    let since = *at - known.unwrap_or_default();
                    self.violations.push(format!(
                        "H12: {by} sealed {since:?} after it knew of a ban by {}, and the banned opens it",
                        banned.by
                    ));
                }
                let calm = self.calm_since.is_some_and(|since| since + CALM <= banned.at) && honest_head;
                if calm && *at > banned.at + DEAF {
                    self.violations.push(format!(
                        "H7: a banned listener opens what was sealed {:?} after",
                        *at - banned.at
                    ));
                }
                self.tally.deaf = self.tally.deaf.max(at.saturating_sub(banned.at));
            }
        }
        self.tally.packets += spoke.len();
    }

    /// Nobody who came back is let in by an honest porter that knows.
    pub(crate) fn judge_seats(&mut self) {
        let now = self.world.instant();
        for (index, member) in self.world.members.iter().enumerate() {
            if member.dead || self.false_members.contains(&index) {
                continue;
            }
            let Some(stage) = &member.stage else { continue };
            for (id, out) in Rank::of(stage, now).seated {
                if out {
                    self.violations.push(format!("H9: {index} seats {id:?}, whom its law has out"));
                }
                if self.without_right.contains(&id) {
                    self.violations.push(format!("H9: {index} seats {id:?}, who has no right to hear"));
                }
            }
        }
    }
}

/// H4: a turn is announced so long before its switch at most.
const SWITCH: Duration = Duration::from_secs(1);
/// The step of the simulator, and what one message takes within it.
const STEP: Duration = Duration::from_millis(120);
/// H7 and H4: 250 ms and 330 ms, two ways of 60 ms, and 360 ms for one loss.
const DEAF: Duration = Duration::from_millis(1_120);
/// How long the network has been fair before the stricter bound holds.
pub(crate) const CALM: Duration = Duration::from_secs(10);
