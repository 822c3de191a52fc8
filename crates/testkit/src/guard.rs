//! Looks at every honest member after every step, and writes down what must never be.
//!
//! ```text
//! a room was called ──> its tree, its law, its keeper, its roles against what honest people of rank did
//! a packet was sealed, opened ──> who may hear, who may be heard, for how long nobody was heard
//! ```
//!
//! What honest people did is told to it, so that it believes no room.
#![allow(dead_code, reason = "each program uses its own part")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::{
    MemberId,
    room::{ControlError, Event, Room, Status},
    testkit::{Kind, Witness},
};

use crate::net::{Net, Peer, Watcher};

/// What is known of one honest member from outside.
#[derive(Default)]
pub struct Member {
    pub known: Option<[u8; 32]>,
    pub branch: Option<[u8; 32]>,
    pub epoch: u64,
    pub keeper: Option<MemberId>,
    pub roster: Vec<MemberId>,
    /// Since when somebody in the tree is out by the law that the member knows.
    pub out_since: BTreeMap<MemberId, Instant>,
    /// When the newest word of each was made, and when that was looked at.
    pub heard: HashMap<MemberId, Instant>,
    pub looked_at: Option<Instant>,
    /// The greatest time that a leaf of each said.
    pub made_ms: HashMap<MemberId, u64>,
    /// The times that the leaves of its tree say.
    pub tree_ms: HashMap<MemberId, u64>,
    /// Bans that it knew once.
    pub banned: BTreeSet<MemberId>,
    /// An epoch of its keeper that it was told of, and when.
    pub told: Option<(u64, Instant)>,
    /// The last change of epoch was a commit, by whom.
    pub committed: Option<(MemberId, Vec<MemberId>, Vec<MemberId>)>,
    /// The newest message of somebody of rank that came, by when it was sent; or when its user was
    /// there.
    pub rank_heard: Option<Instant>,
    pub commits: VecDeque<(Instant, MemberId)>,
    pub takeovers: VecDeque<(Instant, MemberId)>,
    pub epochs: VecDeque<Instant>,
    pub added: VecDeque<(Instant, MemberId)>,
    pub places_lost: VecDeque<Instant>,
    /// When it sent how many bytes, and how many were in its tree.
    pub sent: VecDeque<(Instant, usize, usize)>,
    pub beats: VecDeque<Instant>,
    /// What it said to everybody in MLS.
    pub sayings: VecDeque<Instant>,
    pub waiting: usize,
    pub status: Option<Status>,
    /// It has just come in, by a door.
    pub joined: bool,
    /// When it entered by a Welcome.
    pub welcomed: Option<Instant>,
    /// When the newest message of each that came was sent, as far as the member can tell: by the
    /// one that took the least time.
    pub last: HashMap<MemberId, Instant>,
    /// The least time that a message of each took, and when that was.
    pub fastest: HashMap<MemberId, (Duration, Instant)>,
    pub law: Option<[u8; 32]>,
    /// Since when the law that it knows lets somebody in the tree not be heard.
    pub restricted: HashMap<MemberId, Instant>,
    /// Who came in that has no device here, when, and who said its role.
    pub strangers: VecDeque<(Instant, Option<MemberId>)>,
    /// It asked its keeper in vain for its place lately.
    pub asked_in_vain: bool,
    /// What it thought of its keeper, if that is told.
    pub keeper_story: String,
    pub overfull: bool,
}

/// The most of what was counted, for the figures of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    pub epochs_a_minute: usize,
    pub commits_of_one: usize,
    pub takeovers_a_minute: usize,
    pub bytes_a_minute: usize,
    pub sayings_a_minute: usize,
    pub beats_in_30_s: usize,
    pub places_lost_a_minute: usize,
    pub adds_of_one_a_minute: usize,
}

impl Most {
    pub fn or(self, other: Self) -> Self {
        Self {
            epochs_a_minute: self.epochs_a_minute.max(other.epochs_a_minute),
            commits_of_one: self.commits_of_one.max(other.commits_of_one),
            takeovers_a_minute: self.takeovers_a_minute.max(other.takeovers_a_minute),
            bytes_a_minute: self.bytes_a_minute.max(other.bytes_a_minute),
            sayings_a_minute: self.sayings_a_minute.max(other.sayings_a_minute),
            beats_in_30_s: self.beats_in_30_s.max(other.beats_in_30_s),
            places_lost_a_minute: self.places_lost_a_minute.max(other.places_lost_a_minute),
            adds_of_one_a_minute: self.adds_of_one_a_minute.max(other.adds_of_one_a_minute),
        }
    }
}

/// What honest people did, and what was seen of the members.
#[derive(Default)]
pub struct Book {
    pub violations: Vec<String>,
    pub most: Most,
    /// Everybody to whom an honest host ever gave rank.
    pub ranked: BTreeSet<MemberId>,
    /// Everybody whom somebody of rank banned or removed, insiders of rank included.
    pub put_out: BTreeSet<MemberId>,
    /// Everybody whom an honest host banned.
    pub banned_by_host: BTreeSet<MemberId>,
    /// Everybody who left, and when, in Unix milliseconds.
    pub left: BTreeMap<MemberId, u64>,
    /// The same by the storm's clock.
    pub left_at: BTreeMap<MemberId, Instant>,
    /// Insiders who said that they leave, whether or not they did, and with which time at most, in
    /// Unix milliseconds.
    pub said_to_leave: BTreeMap<MemberId, u64>,
    /// Insiders of rank: what they sign is law until the host acts.
    pub ranked_insiders: BTreeSet<MemberId>,
    /// Who published a live speaker key, in which branch, and to whom that has come.
    pub published: BTreeSet<(Peer, MemberId, [u8; 32])>,
    /// Seconds after which nobody sends without somebody of rank.
    pub unattended: Duration,
    /// How many insiders there are.
    pub insiders: usize,
    /// What the relay does for insiders.
    pub relay: Box<Relay>,
    pub members: HashMap<Peer, Member>,
    /// Whether each epoch that an honest member enters is told.
    pub is_traced: bool,
    traced: usize,
    beats: HashMap<Bytes, u64>,
}

/// What the relay does for insiders.
#[derive(Default)]
pub struct Relay {
    /// From whom to whom what kind of message comes so much later; without a time never.
    pub holds: Vec<Hold>,
}

/// Senders, receiver, what kind of message, and how much later it comes.
pub type Hold = (Vec<Peer>, Peer, Option<Kind>, Option<Duration>);

impl Book {
    /// Says at once what was violated, if each epoch is told.
    fn trace(&mut self, net: &Net) {
        if self.is_traced {
            for violation in &self.violations[self.traced..] {
                eprintln!("{:.2?} VIOLATION {violation}", net.since_begin());
            }
        }
        self.traced = self.violations.len();
    }

    /// For how long a member may seal without a word of rank: six times as long if all of rank in
    /// its tree said that they leave (S4).
    fn may_be_unattended(&self, room: &Room) -> Duration {
        let witness = Witness::of(room);
        let mut ranked = room.hears().filter(|member| witness.has_rank(*member)).peekable();
        let gone = |member| {
            let left = self.said_to_leave.get(&member).max(self.left.get(&member));
            left.is_some_and(|left| witness.made_ms(member).is_some_and(|made| made <= *left))
        };
        if ranked.peek().is_some() && ranked.all(gone) { self.unattended * 6 } else { self.unattended }
    }
}

/// A watcher that writes into a book.
pub struct Guard(pub Rc<RefCell<Book>>);

impl Watcher for Guard {
    fn called(&mut self, net: &Net, peer: Peer) {
        if !net.devices[peer.0].is_insider {
            self.0.borrow_mut().look(net, peer);
        }
        self.0.borrow_mut().trace(net);
    }

    fn told(&mut self, net: &Net, peer: Peer, event: &Event) {
        let book = &mut *self.0.borrow_mut();
        let member = book.members.entry(peer).or_default();
        match event {
            Event::Changed { by, joined, left, .. } => {
                member.committed = Some((*by, joined.clone(), left.clone()));
            }
            Event::Joined { .. } => {
                (member.rank_heard, member.committed) = (Some(net.now), None);
                (member.joined, member.welcomed) = (true, Some(net.now));
                // What came before it could not read (T1).
                member.fastest.clear();
            }
            Event::Returned { .. } => {
                (member.committed, member.welcomed) = (None, Some(net.now));
            }
            _ => {}
        }
    }

    fn sent(&mut self, net: &Net, from: Peer, message: &Bytes) {
        let device = &net.devices[from.0];
        if device.is_insider {
            return;
        }
        let book = &mut *self.0.borrow_mut();
        let kind = Witness::of(&device.room).kind(message);
        let member = book.members.entry(from).or_default();
        let people = device.room.roster().len();
        note(&mut member.sent, (net.now, message.len(), people), MINUTE, |(at, ..)| *at, net.now);
        let bytes: usize = member.sent.iter().map(|(_, len, _)| len).sum();
        // Welcomes grow with the room and its law.
        let people = member.sent.iter().map(|(.., people)| *people).max().unwrap_or_default().max(12);
        if kind == Some(Kind::Mls) {
            note(&mut member.sayings, net.now, MINUTE, |at| *at, net.now);
            book.most.sayings_a_minute = book.most.sayings_a_minute.max(member.sayings.len());
            if member.sayings.len() > SAYINGS_A_MINUTE {
                let what = format!("{from:?} said {} things to all in a minute", member.sayings.len());
                book.violations.push(what);
                member.sayings.clear();
            }
        }
        book.most.bytes_a_minute = book.most.bytes_a_minute.max(bytes);
        let law = Witness::of(&device.room).law_len().saturating_sub(LAW) * COMMITS_A_MINUTE;
        if bytes > BYTES_A_MINUTE / 12 * people + law {
            book.violations.push(format!("{from:?} sent {bytes} bytes in a minute, in a room of {people}"));
            member.sent.clear();
        }
        if kind == Some(Kind::Heartbeat) {
            note(&mut member.beats, net.now, HALF_A_MINUTE, |at| *at, net.now);
            book.most.beats_in_30_s = book.most.beats_in_30_s.max(member.beats.len());
            if member.beats.len() > BEATS_IN_30_S {
                book.violations.push(format!("{from:?} sent {} beats in 30 s", member.beats.len()));
                member.beats.clear();
            }
            if let Some(epoch) = device.room.epoch() {
                book.beats.insert(message.clone(), epoch.0);
            }
        }
    }

    fn comes(&mut self, net: &Net, to: Peer, from: Peer, sent: Instant, message: &Bytes) {
        let (device, sender) = (&net.devices[to.0], &net.devices[from.0]);
        if device.is_insider {
            return;
        }
        let book = &mut *self.0.borrow_mut();
        let by = net.id(from);
        let told = book.beats.get(message).copied();
        let member = book.members.entry(to).or_default();
        let took = net.now - sent;
        let (least, at) = member.fastest.entry(by).or_insert((took, net.now));
        // Clocks drift by a thousandth at most.
        *least = took.min(*least + (net.now - *at) / 1_000);
        *at = net.now;
        let made = sent + *least;
        let last = member.last.entry(by).or_insert(made);
        *last = made.max(*last);
        if Witness::of(&device.room).has_rank(by) {
            member.rank_heard = member.rank_heard.max(Some(sent));
        }
        // A keeper speaks of its own epoch; an insider's beats are not believed here.
        if let Some(epoch) = told
            && !sender.is_insider
            && device.room.keeper() == Some(by)
            && epoch > member.epoch
            && sent + OLD > net.now
        {
            member.told.get_or_insert((epoch, net.now));
        }
    }

    fn refused(&mut self, net: &Net, peer: Peer, error: &ControlError) {
        if self.0.borrow().is_traced && !net.devices[peer.0].is_insider {
            eprintln!("{:.2?} {peer:?} refuses: {error:?}", net.since_begin());
        }
    }

    fn sealed(&mut self, net: &Net, from: Peer) {
        let device = &net.devices[from.0];
        if device.disobeys() {
            return;
        }
        let book = &mut *self.0.borrow_mut();
        let Some(member) = book.members.get(&from) else { return };
        let now = net.now;
        for (id, since) in &member.out_since {
            let long = now.saturating_duration_since(*since);
            if long > A_SECOND + SLACK {
                book.violations.push(format!(
                    "S1: {from:?} seals {} ms after it knew {} to be out",
                    long.as_millis(),
                    short(*id)
                ));
            }
        }
        if let Some((epoch, at)) = member.told
            && epoch > member.epoch
            && now > at + LACKING + SLACK
        {
            let late = now - at;
            book.violations.push(format!("S3: {from:?} seals {late:?} after it was told of epoch {epoch}"));
        }
        if let Some(keeper) = member.keeper.filter(|keeper| *keeper != device.room.id())
            && member.roster.len() > 1
            && member.welcomed.is_none_or(|at| now > at + PROOF_HOLDS)
            && let Some(last) = member.last.get(&keeper)
            && now > *last + PROOF_HOLDS
        {
            let long = now - *last;
            let keeper = short(keeper);
            book.violations
                .push(format!("S2: {from:?} seals {long:?} after the last word of {keeper}, who keeps"));
        }
        let own = device.room.id();
        let is_host = device.room.host() == Some(own);
        if let Some(heard) = member.rank_heard
            && !is_host
            && now > heard + book.may_be_unattended(&device.room) + 2 * A_SECOND
        {
            let long = now - heard;
            book.violations.push(format!("S4: {from:?} seals {long:?} after the last word of rank"));
        }
    }

    fn opened(&mut self, net: &Net, to: Peer, from: MemberId, sealed: Instant) {
        let device = &net.devices[to.0];
        if device.is_insider || device.room.status() != Status::Present {
            return;
        }
        let book = &mut *self.0.borrow_mut();
        let witness = Witness::of(&device.room);
        if !witness.lets_speak(from) {
            let member = book.members.entry(to).or_default();
            let epoch = member.epochs.back().map(|at| net.now - *at);
            let known = member.restricted.get(&from).map(|at| net.now - *at);
            let there = member.roster.contains(&from);
            book.violations.push(format!(
                "A2: {to:?} hears {}, who is out, muted or a listener (sealed {:?} ago, epoch {epoch:?} old, known {known:?}, in the tree: {there}, admitted: {}, {:?})",
                short(from),
                net.now - sealed,
                witness.admits(from),
                (0..net.devices.len()).filter(|peer| net.id(Peer(*peer)) == from).collect::<Vec<_>>(),
            ));
        }
        if let Some(branch) = witness.branch()
            && book.published.contains(&(to, from, branch))
        {
            book.violations.push(format!("{to:?} hears {} under a key that was published", short(from)));
        }
    }

    fn fate(&mut self, net: &Net, from: Peer, to: Peer, message: &Bytes) -> crate::net::Fate {
        let book = self.0.borrow();
        let holds = book
            .relay
            .holds
            .iter()
            .filter(|(senders, receiver, ..)| *receiver == to && senders.contains(&from));
        for (_, _, kind, later) in holds {
            let is_it = kind.is_none_or(|kind| {
                // Fragments are of long messages: commits and Welcomes.
                Witness::of(&net.devices[from.0].room).kind(message).unwrap_or(Kind::Mls) == kind
            });
            if is_it {
                return later.map_or(crate::net::Fate::IsLost, crate::net::Fate::ComesLater);
            }
        }
        crate::net::Fate::Passes
    }
}

/// Notes something that happened at `now`, and forgets what happened more than `within` ago.
pub fn note<T>(list: &mut VecDeque<T>, item: T, within: Duration, at: impl Fn(&T) -> Instant, now: Instant) {
    while list.front().is_some_and(|front| at(front) + within <= now) {
        list.pop_front();
    }
    list.push_back(item);
}

/// The beginning of a fingerprint.
pub fn short(id: MemberId) -> String {
    id.to_string().chars().take(4).collect()
}

pub const A_SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HALF_A_MINUTE: Duration = Duration::from_secs(30);
/// S3.
pub const LACKING: Duration = Duration::from_secs(3);
/// A beat that is older says nothing (B4).
pub const OLD: Duration = Duration::from_secs(10);
/// How exact this looks: members are asked for the time a few times in a second.
pub const SLACK: Duration = Duration::from_millis(300);
/// Who was heard so lately is not removed.
pub const HEARD_LATELY: Duration = Duration::from_secs(12);
/// Epochs that a member enters in a minute, for each member that may commit: 18 in 30 s (C6).
pub const EPOCHS_A_MINUTE: usize = 40;
/// 18 in 30 s, and two takeovers (C6, K3).
pub const COMMITS_OF_ONE: usize = 20;
/// Of those of whom no rank is above the keeper's, with all others before them (K3).
pub const TAKEOVERS: usize = 6;
/// Of one member, whatever its rank (K3).
pub const TAKEOVERS_OF_ONE: usize = 2;
/// Four of one identity in 60 s by one keeper (K7); another keeper may add it as often.
pub const ADDS_OF_ONE: usize = 8;
/// What an honest member says in a minute at most, in bytes, in a room of twelve with a law of so
/// many bytes: [`COMMITS_A_MINUTE`] of 15 KiB each, with their Welcomes. The most seen is 460,800.
pub const BYTES_A_MINUTE: usize = 510 << 10;
pub const LAW: usize = 4 << 10;
/// Seventeen in 30 s (K7), each with the law in a Welcome.
pub const COMMITS_A_MINUTE: usize = 34;
/// Beats and words of its own accord, and what others may ask of it.
pub const SAYINGS_A_MINUTE: usize = 160;
/// Six of its own accord, twelve for Calls (K5), and one for each commit.
pub const BEATS_IN_30_S: usize = 40;
/// How often an honest member may lose its place in a minute.
pub const PLACES_LOST_A_MINUTE: usize = 12;
/// S2, and what a message may take.
pub const PROOF_HOLDS: Duration = Duration::from_millis(16_500);
/// Commits and bytes that wait (C5, C10).
pub const MAX_PENDING: usize = 16;
pub const MAX_HELD: usize = 262_144;
/// How long control takes in `SlowControl`, and a batch.
pub const LEAVE_HEARD: Duration = Duration::from_secs(8);
/// From an admission to the commit that adds, when keepers take turns at idling.
pub const ADDED_LATE: Duration = Duration::from_secs(15);
/// Thirty in 60 s at an open door (D4), and slack for what was admitted earlier.
pub const STRANGERS: usize = 34;
/// At a door (D5).
pub const MAX_WAITING: usize = 64;
