//! What insiders do: one scene at a time, alone or together, with the relay's help or without it.

use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use sottovoce::{
    MemberId,
    group::Role,
    testkit::{Claim, Forced, ForcedAdd, ForcedLaw, Insider, Kind},
};

use crate::{
    devices::Trouble,
    gang::{Gang, SECOND, SLICE},
    net::Peer,
};

/// What insiders set out to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// Statements in others' names, at the edges, of terms that have ended.
    Statements,
    /// Heartbeats that claim what is not so, of others, of who is out.
    Beats,
    /// Commits of somebody who does not keep.
    OutOfTurn,
    /// Everybody of rank is away, and an insider keeps.
    Keeping,
    /// An insider of rank keeps, and leaves in whom another of rank puts out.
    Idle,
    /// The relay cuts somebody off, and an insider welcomes it into a group of its own making.
    MadeUp,
    /// A newcomer is welcomed into a group of an insider's making.
    Newcomer,
    /// Calls, questions, returns, knocks, renewals without end.
    Floods,
    /// Somebody comes back, and an insider that it asks says nothing.
    Refuse,
    /// The relay holds words back from one member.
    HeldBack,
    /// Nothing of a keeper's commits comes to one member, and all of its heartbeats do.
    Withheld,
    /// One member hears everybody but those of rank.
    Unattended,
    /// The keeper falls silent for one member, and an insider follows it.
    Succession,
    /// A live speaker key is published, and its holder speaks on.
    Publish,
    /// What was said before is said again.
    Replays,
    /// Leaves of others, and returns of who is there.
    Leaves,
    /// Two insiders hand the keeping to and fro.
    TwoInTurn,
    /// No malice: what devices and networks do.
    Of(Trouble),
}

impl Scene {
    pub const ALL: [Self; 17] = [
        Self::Statements,
        Self::Beats,
        Self::OutOfTurn,
        Self::Keeping,
        Self::Idle,
        Self::MadeUp,
        Self::Newcomer,
        Self::Floods,
        Self::Refuse,
        Self::HeldBack,
        Self::Withheld,
        Self::Unattended,
        Self::Succession,
        Self::Publish,
        Self::Replays,
        Self::Leaves,
        Self::TwoInTurn,
    ];

    pub fn any(rng: &mut StdRng) -> Self {
        match rng.random_range(0..Self::ALL.len() + 7) {
            which if which < Self::ALL.len() => Self::ALL[which],
            _ => Self::Of(Trouble::any(rng)),
        }
    }

    /// The scene with this name.
    #[allow(dead_code, reason = "the example's command line uses it")]
    pub fn named(name: &str) -> Option<Self> {
        let hostile = Self::ALL.into_iter().find(|scene| format!("{scene:?}") == name);
        let trouble = Trouble::ALL.into_iter().find(|trouble| format!("{trouble:?}") == name);
        hostile.or(trouble.map(Self::Of))
    }

    /// A scene in which nobody needs the relay.
    pub fn without_relay(rng: &mut StdRng) -> Self {
        const THESE: [Scene; 7] = [
            Scene::Statements,
            Scene::Beats,
            Scene::OutOfTurn,
            Scene::Floods,
            Scene::Publish,
            Scene::Replays,
            Scene::Leaves,
        ];
        THESE[rng.random_range(0..THESE.len())]
    }
}

impl Gang<'_> {
    /// Plays a scene to its end.
    pub fn play(&mut self, scene: Scene) {
        if let Scene::Of(trouble) = scene {
            return self.trouble(trouble);
        }
        if self.insiders.is_empty() {
            return self.pass_slices(10 * SECOND);
        }
        match scene {
            Scene::Keeping => self.keeping(),
            Scene::Idle => self.idle(),
            Scene::MadeUp => self.made_up(),
            Scene::Newcomer => self.newcomer(),
            Scene::Refuse => self.refuse(),
            Scene::HeldBack => self.held_back(),
            Scene::Withheld => self.withheld(),
            Scene::Unattended => self.unattended(),
            Scene::Succession => self.succession(),
            Scene::TwoInTurn => self.two_in_turn(),
            _ => {
                // One kind of flood in each scene, one after the other.
                self.flood = Some(self.plan.seed + self.floods);
                self.floods += u64::from(scene == Scene::Floods);
                let end = self.net.now + Duration::from_secs(self.rng.random_range(20..40));
                while self.net.now < end {
                    self.trick(scene);
                    self.pass(SLICE);
                }
                self.flood = None;
            }
        }
    }

    /// One trick of a scene that needs nothing else.
    pub fn trick(&mut self, scene: Scene) {
        if self.insiders.is_empty() {
            return;
        }
        self.tricks += 1;
        match scene {
            Scene::Statements => self.statements(),
            Scene::Beats => self.beats(),
            Scene::OutOfTurn => self.out_of_turn(),
            Scene::Publish => self.publish(),
            Scene::Replays => self.replays(),
            Scene::Leaves => self.leaves(),
            _ => self.floods(),
        }
    }

    /// Calls each insider.
    pub fn each_insider(&mut self, mut act: impl FnMut(&mut Insider<'_>)) {
        for peer in self.insiders.clone() {
            self.insider(peer, &mut act);
        }
    }

    /// Calls one insider, and carries out what its room wants.
    pub fn insider<T>(&mut self, peer: Peer, act: impl FnOnce(&mut Insider<'_>) -> T) -> T {
        let loot = &mut self.loot;
        self.net.with(peer, |room, now| act(&mut Insider::of(room, loot, now)))
    }

    /// What an insider says to everybody.
    pub fn tell_all(&mut self, peer: Peer, act: impl FnOnce(&mut Insider<'_>) -> Vec<Bytes>) {
        let messages = self.insider(peer, act);
        let all: Vec<Peer> = (0..self.net.devices.len()).map(Peer).collect();
        self.net.send_as(peer, &all, messages);
    }

    pub fn some_insider(&mut self) -> Peer {
        *self.insiders.choose(&mut self.rng).expect("there are insiders")
    }

    pub fn victim(&mut self) -> (Peer, MemberId) {
        let peer = *self.honest.choose(&mut self.rng).expect("somebody is honest");
        (peer, self.net.id(peer))
    }

    /// An honest member without rank, if there is one.
    pub fn follower(&mut self) -> Option<Peer> {
        let ranked = self.book.borrow().ranked.clone();
        let followers: Vec<Peer> =
            self.honest.iter().copied().filter(|peer| !ranked.contains(&self.net.id(*peer))).collect();
        followers.choose(&mut self.rng).copied()
    }

    pub fn others(&self, than: Peer) -> Vec<Peer> {
        (0..self.net.devices.len()).map(Peer).filter(|peer| *peer != than).collect()
    }

    pub fn hold(&mut self, from: Vec<Peer>, to: Peer, kind: Option<Kind>, later: Option<Duration>) {
        self.book.borrow_mut().relay.holds.push((from, to, kind, later));
    }

    fn statements(&mut self) {
        let (by, (victim, about)) = (self.some_insider(), self.victim());
        let (own, host) = (self.net.id(by), self.net.id(self.host));
        let word = *WORDS.choose(&mut self.rng).expect("there are words");
        let ranked = self.book.borrow().ranked_insiders.contains(&own);
        match self.rng.random_range(0..4) {
            0 => self.tell_all(by, |insider| insider.forged_standing(host, about, word)),
            1 if ranked && victim != self.host => {
                // It is law until the host acts.
                self.book.borrow_mut().put_out.insert(about);
                let above = *EDGES.choose(&mut self.rng).expect("there are edges");
                self.tell_all(by, |insider| insider.standing(about, word, above));
            }
            2 => self.tell_all(by, |insider| insider.old_standings()),
            _ => self.tell_all(by, |insider| insider.forged_standing(host, own, word)),
        }
    }

    fn beats(&mut self) {
        let (by, (_, of)) = (self.some_insider(), self.victim());
        let keeper = self.net.room(by).keeper().unwrap_or(of);
        let claim = Claim {
            later: [0, 0, 1, 2, 1 << 40][self.rng.random_range(0..5)],
            elsewhere: self.rng.random_bool(0.7),
            ahead_ms: [0, 0, 1_000, 3_600_000][self.rng.random_range(0..4)],
            knows: self.rng.random_bool(0.5),
        };
        match self.rng.random_range(0..4) {
            0 => self.tell_all(by, |insider| insider.beat(claim)),
            1 => self.tell_all(by, |insider| insider.forged_beat(keeper, claim)),
            2 => self.tell_all(by, |insider| insider.friends_beat(claim)),
            _ => self.tell_all(by, |insider| insider.false_word()),
        }
    }

    fn out_of_turn(&mut self) {
        let (by, (_, victim)) = (self.some_insider(), self.victim());
        if self.rng.random_range(0..8) == 0 && !self.off.contains_key(&self.host) {
            // Somebody is muted, and before the keeper puts that into the tree the insider does.
            let muted = self.rng.random_bool(0.3);
            let _ = self.net.with(self.host, |room, now| room.set_muted(victim, muted, now));
            self.pass(Duration::from_millis(90));
            let forced = Forced { law: ForcedLaw::Known, ..Forced::default() };
            return self.tell_all(by, |insider| insider.commit(forced));
        }
        let forced = match self.rng.random_range(0..6) {
            0 => Forced { removes: vec![victim], ..Forced::default() },
            1 => Forced { adds: ForcedAdd::Friend, ..Forced::default() },
            2 => Forced { takes_over: true, law: ForcedLaw::Known, ..Forced::default() },
            3 => Forced { takes_over: true, removes: vec![victim], ..Forced::default() },
            4 => Forced { takes_over: true, unshown: 3, ..Forced::default() },
            _ => Forced { law: ForcedLaw::False, ..Forced::default() },
        };
        self.tell_all(by, |insider| insider.commit(forced));
    }

    fn publish(&mut self) {
        let by = self.some_insider();
        let branch = sottovoce::testkit::Witness::of(&self.net.devices[by.0].room).branch();
        let id = self.net.id(by);
        let messages = self.insider(by, |insider| insider.publish_early());
        let (Some(branch), false) = (branch, messages.is_empty()) else { return };
        for to in self.honest.clone() {
            let there = sottovoce::testkit::Witness::of(&self.net.devices[to.0].room).branch();
            if there == Some(branch) && !self.net.is_off(to) && !self.net.is_asleep(to) {
                for message in &messages {
                    let said = self.net.inject(to, message);
                    if self.book.borrow().is_traced {
                        eprintln!("{:.2?} {to:?} is told the key of {id}: {said:?}", self.net.since_begin());
                    }
                }
                self.book.borrow_mut().published.insert((to, id, branch));
            }
        }
    }

    fn replays(&mut self) {
        let by = self.some_insider();
        for _ in 0..4 {
            let which = self.rng.random_range(0..10_000);
            self.tell_all(by, |insider| insider.replay(which));
        }
        if !self.net.relay_log.is_empty() {
            let message = self.net.relay_log[self.rng.random_range(0..self.net.relay_log.len())].clone();
            let to = *self.honest.choose(&mut self.rng).expect("somebody is honest");
            if !self.net.is_off(to) && !self.net.is_asleep(to) {
                let _ = self.net.inject(to, &message);
            }
        }
    }

    fn leaves(&mut self) {
        let (by, (_, of)) = (self.some_insider(), self.victim());
        match self.rng.random_range(0..4) {
            0 => self.tell_all(by, |insider| insider.forged_leave(of)),
            1 => {
                let own = self.net.id(by);
                let until = 1_000 * (self.net.unix_now().as_secs() + 601);
                self.book.borrow_mut().said_to_leave.insert(own, until);
                self.tell_all(by, |insider| insider.leave_ahead(600_000));
            }
            2 => self.tell_all(by, |insider| insider.own_return(0)),
            _ => self.tell_all(by, |insider| insider.own_return(59_000)),
        }
    }

    fn floods(&mut self) {
        let mut by = self.some_insider();
        let invite: sottovoce::room::Invite = self.link.parse().expect("it was made by this room");
        // One kind for twenty seconds, so that what has no bound shows it.
        let kind = self.flood.unwrap_or_else(|| self.net.since_begin().as_secs() / 20 + self.plan.seed) % 11;
        if kind == 8 && self.net.room(by).roster().len() > 7 * self.plan.members {
            return;
        }
        if kind == 1 && self.strangers < 24 && !self.off.contains_key(&self.host) {
            // There is something to ask for: the host has banned people who never came.
            self.strangers += 1;
            let mut stranger = [9; 32];
            stranger[0] = self.strangers;
            let _ = self.net.with(self.host, |room, now| room.ban(MemberId::from_bytes(stranger), now));
        }
        if kind == 5 {
            // Badges are for who has rank.
            let mut ranked = self.book.borrow().ranked_insiders.clone();
            if ranked.is_empty() && self.flood.is_some() && self.plan.only.is_some() {
                // The host gives rank to the wrong one.
                let id = self.net.id(by);
                if self.net.with(self.host, |room, now| room.set_role(id, Role::Moderator, now)).is_ok() {
                    let book = &mut *self.book.borrow_mut();
                    book.ranked.insert(id);
                    book.ranked_insiders.insert(id);
                    ranked.insert(id);
                }
            }
            by =
                self.insiders.iter().copied().find(|peer| ranked.contains(&self.net.id(*peer))).unwrap_or(by);
        }
        for _ in 0..if kind == 9 { 1 } else { 6 } {
            let which = self.rng.random_range(0..10_000);
            self.tell_all(by, |insider| match kind {
                0 => insider.call(),
                1 => insider.ask(which),
                2 => insider.missing(),
                3 => insider.own_return(0),
                4 => insider.empty_show(),
                5 => insider.answer_key(),
                6 => insider.future_message(8_000),
                7 => insider.renewal(),
                8 => insider.throwaway_knock(&invite),
                9 => insider.commit(Forced { takes_over: true, law: ForcedLaw::Known, ..Forced::default() }),
                _ => insider.own_return(0),
            });
        }
    }
}

/// Bytes of words: out, listener, speaker, muted speaker, Unban, Ban.
const WORDS: [u8; 6] = [0, 2, 3, 0x13, 0x80, 0x81];
/// How far above the greatest number a word stands.
const EDGES: [u32; 6] = [1, 2, 4_000, 4_096, 4_097, u32::MAX];
