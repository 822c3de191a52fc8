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
    group::Role,
    room::{Event, Status},
    testkit::{Kind, Witness},
};

use crate::net::{Net, Peer, Watcher};

/// What is known of one honest member from outside.
#[derive(Default)]
struct Member {
    known: Option<[u8; 32]>,
    branch: Option<[u8; 32]>,
    epoch: u64,
    keeper: Option<MemberId>,
    roster: Vec<MemberId>,
    /// Since when somebody in the tree is out by the law that the member knows.
    out_since: BTreeMap<MemberId, Instant>,
    /// When the newest word of each was made.
    heard: HashMap<MemberId, Instant>,
    /// The greatest time that a leaf of each said.
    made_ms: HashMap<MemberId, u64>,
    /// The times that the leaves of its tree say.
    tree_ms: HashMap<MemberId, u64>,
    /// Bans that it knew once.
    banned: BTreeSet<MemberId>,
    /// An epoch of its keeper that it was told of, and when.
    told: Option<(u64, Instant)>,
    /// The last change of epoch was a commit, by whom.
    committed: Option<(MemberId, Vec<MemberId>, Vec<MemberId>)>,
    /// The newest message of somebody of rank that came, by when it was sent; or when its user was there.
    rank_heard: Option<Instant>,
    commits: VecDeque<(Instant, MemberId)>,
    takeovers: VecDeque<(Instant, MemberId)>,
    epochs: VecDeque<Instant>,
    added: VecDeque<(Instant, MemberId)>,
    places_lost: VecDeque<Instant>,
    sent: VecDeque<(Instant, usize)>,
    beats: VecDeque<Instant>,
    waiting: usize,
    status: Option<Status>,
    /// It has just come in, by a door.
    joined: bool,
    /// When it entered by a Welcome.
    welcomed: Option<Instant>,
    /// When the newest message of each that came was sent.
    last: HashMap<MemberId, Instant>,
    law: Option<[u8; 32]>,
    /// Since when the law that it knows lets somebody in the tree not be heard.
    restricted: HashMap<MemberId, Instant>,
    strangers: VecDeque<Instant>,
    overfull: bool,
}

/// The most of what was counted, for the figures of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    pub epochs_a_minute: usize,
    pub commits_of_one: usize,
    pub takeovers_a_minute: usize,
    pub bytes_a_minute: usize,
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
    members: HashMap<Peer, Member>,
    beats: HashMap<Bytes, u64>,
}

/// What the relay does for insiders.
#[derive(Default)]
pub struct Relay {
    /// From whom to whom what kind of message comes so much later; without a time never.
    pub holds: Vec<(Vec<Peer>, Peer, Option<Kind>, Option<Duration>)>,
}

/// A watcher that writes into a book.
pub struct Guard(pub Rc<RefCell<Book>>);

impl Watcher for Guard {
    fn called(&mut self, net: &Net, peer: Peer) {
        if !net.devices[peer.0].is_insider {
            self.0.borrow_mut().look(net, peer);
        }
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
            }
            Event::Returned { .. } => (member.committed, member.welcomed) = (None, Some(net.now)),
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
        note(&mut member.sent, (net.now, message.len()), MINUTE, |(at, _)| *at, net.now);
        let bytes: usize = member.sent.iter().map(|(_, len)| len).sum();
        book.most.bytes_a_minute = book.most.bytes_a_minute.max(bytes);
        if bytes > BYTES_A_MINUTE {
            book.violations.push(format!("{from:?} sent {bytes} bytes in a minute"));
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
        let last = member.last.entry(by).or_insert(sent);
        *last = sent.max(*last);
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

    fn sealed(&mut self, net: &Net, from: Peer) {
        let device = &net.devices[from.0];
        if device.is_insider {
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
            && now > heard + book.unattended + 2 * A_SECOND
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

impl Book {
    /// Looks at an honest member after its room was called.
    fn look(&mut self, net: &Net, peer: Peer) {
        let device = &net.devices[peer.0];
        let (room, now) = (&device.room, net.now);
        let witness = Witness::of(room);
        let mut said: Vec<String> = Vec::new();
        let mut member = self.members.remove(&peer).unwrap_or_default();
        let waiting = room.waiting().count();
        if waiting > MAX_WAITING && waiting > member.waiting {
            said.push(format!("D5: {waiting} wait at the door of {peer:?}"));
        }
        member.waiting = waiting;
        let status = room.status();
        if member.status == Some(Status::Present) && status == Status::Returning {
            note(&mut member.places_lost, now, MINUTE, |at| *at, now);
            let most = &mut self.most.places_lost_a_minute;
            *most = (*most).max(member.places_lost.len());
            if member.places_lost.len() > PLACES_LOST_A_MINUTE {
                said.push(format!("{peer:?} lost its place {} times in a minute", member.places_lost.len()));
                member.places_lost.clear();
            }
        }
        member.status = Some(status);
        let (commits, bytes) = witness.waits();
        let overfull = commits > MAX_PENDING || bytes > MAX_HELD;
        if overfull && !member.overfull {
            said.push(format!("C5, C10: {commits} commits and {bytes} bytes wait"));
        }
        member.overfull = overfull;
        let (known, branch) = (witness.known_law(), witness.branch());
        let news = known != member.known || branch != member.branch;
        if news && branch.is_some() {
            if branch != member.branch {
                self.look_at_tree(net, peer, &witness, &mut member, &mut said);
            }
            self.look_at_law(net, &witness, &mut member, room, &mut said);
            (member.known, member.branch) = (known, branch);
        }
        if branch.is_none() {
            member.out_since.clear();
            (member.branch, member.keeper, member.told) = (None, None, None);
            member.roster.clear();
        }
        for id in &member.roster {
            if let Some(heard) = witness.heard(*id) {
                member.heard.insert(*id, heard);
            }
        }
        self.members.insert(peer, member);
        self.violations.extend(said.into_iter().map(|what| format!("{peer:?}: {what}")));
    }

    /// An epoch has begun.
    fn look_at_tree(
        &mut self,
        net: &Net,
        peer: Peer,
        witness: &Witness<'_>,
        member: &mut Member,
        said: &mut Vec<String>,
    ) {
        let (room, now) = (&net.devices[peer.0].room, net.now);
        let roster: Vec<MemberId> = room.hears().collect();
        let out = witness.not_admitted_by_the_epoch();
        if !out.is_empty() {
            said.push(format!("C3: the tree has {}, whom its law does not admit", short(out[0])));
        }
        if !witness.agrees_with_its_context() {
            said.push("C2: the context names another law than that of the epoch".to_owned());
        }
        if let Some((id, role)) = witness.wrong_roles().first() {
            said.push(format!("A1: {} is shown as {role:?} against the law", short(*id)));
        }
        for shown in room.roster() {
            let rank = matches!(shown.role, Role::Host | Role::Moderator);
            if rank && !self.ranked.contains(&shown.id) {
                said.push(format!(
                    "{} is shown as {:?}, and no host made it so",
                    short(shown.id),
                    shown.role
                ));
            }
        }
        let keeper = room.keeper();
        let epoch = room.epoch().map_or(0, |epoch| epoch.0);
        note(&mut member.epochs, now, MINUTE, |at| *at, now);
        self.most.epochs_a_minute = self.most.epochs_a_minute.max(member.epochs.len());
        if member.epochs.len() > EPOCHS_A_MINUTE * (1 + self.insiders) {
            said.push(format!("{} epochs in a minute", member.epochs.len()));
            member.epochs.clear();
        }
        let came: Vec<MemberId> = match member.committed.take() {
            Some((by, joined, left)) if member.branch.is_some() => {
                self.look_at_commit(net, witness, member, (by, &joined, &left), &roster, keeper, said);
                joined
            }
            _ => {
                let out = witness.not_admitted();
                if !out.is_empty() {
                    said.push(format!(
                        "R4: it enters a tree with {}, whom it knows to be out",
                        short(out[0])
                    ));
                }
                let banned = roster.iter().find(|id| self.banned_by_host.contains(id));
                if let (true, Some(banned)) = (std::mem::take(&mut member.joined), banned) {
                    said.push(format!(
                        "E7: it is let in beside {}, whom the host has banned",
                        short(*banned)
                    ));
                }
                roster.clone()
            }
        };
        member.law = witness.epoch_law();
        if member.told.is_some_and(|(told, _)| told <= epoch) || keeper != member.keeper {
            member.told = None;
        }
        member.tree_ms.clear();
        for id in &roster {
            if let Some(made) = witness.made_ms(*id) {
                member.tree_ms.insert(*id, made);
                let before = member.made_ms.entry(*id).or_default();
                *before = made.max(*before);
            }
        }
        member.out_since.retain(|id, _| roster.contains(id));
        for id in witness.not_admitted().into_iter().filter(|id| came.contains(id)) {
            member.out_since.entry(id).or_insert(now.checked_sub(A_SECOND).unwrap_or(now));
        }
        (member.epoch, member.keeper, member.roster) = (epoch, keeper, roster);
    }

    /// A commit was merged.
    #[allow(clippy::too_many_arguments, reason = "a commit, before and after")]
    fn look_at_commit(
        &mut self,
        net: &Net,
        witness: &Witness<'_>,
        member: &mut Member,
        (by, joined, left): (MemberId, &[MemberId], &[MemberId]),
        roster: &[MemberId],
        keeper: Option<MemberId>,
        said: &mut Vec<String>,
    ) {
        let now = net.now;
        note(&mut member.commits, (now, by), HALF_A_MINUTE, |(at, _)| *at, now);
        let of_one = member.commits.iter().filter(|(_, other)| *other == by).count();
        self.most.commits_of_one = self.most.commits_of_one.max(of_one);
        if of_one > COMMITS_OF_ONE {
            said.push(format!("C6: {of_one} commits of {} in 30 s", short(by)));
            member.commits.clear();
        }
        let renews = joined.is_empty() && left.is_empty() && witness.epoch_law() == member.law;
        if Some(by) != member.keeper && Some(by) != keeper {
            if !renews {
                said.push(format!("C6: {} commits and does not keep", short(by)));
            }
            // The keeper merges a renewal first.
            let behind = net.devices.iter().enumerate().find(|(peer, device)| {
                Some(device.room.id()) == keeper
                    && !device.is_insider
                    && !net.is_off(Peer(*peer))
                    && Witness::of(&device.room).branch() == member.branch
            });
            if behind.is_some() {
                said.push(format!("C7: a renewal of {} counts before the keeper says so", short(by)));
            }
        }
        for _ in joined.iter().filter(|id| net.devices.iter().all(|device| device.room.id() != **id)) {
            note(&mut member.strangers, now, MINUTE, |at| *at, now);
        }
        if member.strangers.len() > STRANGERS {
            said.push(format!("D4: {} strangers came in within a minute", member.strangers.len()));
            member.strangers.clear();
        }
        if keeper != member.keeper {
            self.look_at_takeover(net, witness, member, by, said);
        }
        let honest = |id: &MemberId| {
            let found = (0..net.devices.len()).find(|peer| net.id(Peer(*peer)) == *id);
            found.map(Peer).filter(|peer| !net.devices[peer.0].is_insider)
        };
        for id in left.iter().filter(|id| !roster.contains(id)) {
            let Some(peer) = honest(id) else { continue };
            let heard = member.heard.get(id).is_some_and(|heard| *heard + HEARD_LATELY > now);
            let there = Witness::of(&net.devices[peer.0].room).branch() == member.branch
                && !net.is_off(peer)
                && !net.is_asleep(peer);
            if heard && there && witness.admits(*id) && !self.left.contains_key(id) {
                said.push(format!("C5: {} is gone, who was admitted and heard", short(*id)));
            }
        }
        for id in roster {
            let (Some(made), Some(before)) = (witness.made_ms(*id), member.made_ms.get(id)) else { continue };
            let is_new = member.tree_ms.get(id) != Some(&made);
            if is_new && made <= *before {
                said.push(format!("C4: a KeyPackage of {} is used a second time", short(*id)));
            }
            if self.left.get(id).is_some_and(|left| made <= *left) && joined.contains(id) {
                said.push(format!("C4: {} is back, who left", short(*id)));
            }
        }
        for id in roster.iter().filter(|id| {
            witness
                .made_ms(**id)
                .is_some_and(|made| member.made_ms.get(*id).is_none_or(|before| made > *before))
        }) {
            note(&mut member.added, (now, *id), MINUTE, |(at, _)| *at, now);
            let of_one = member.added.iter().filter(|(_, other)| other == id).count();
            self.most.adds_of_one_a_minute = self.most.adds_of_one_a_minute.max(of_one);
            if of_one > ADDS_OF_ONE {
                said.push(format!("K7: {} was added {of_one} times in a minute", short(*id)));
                member.added.clear();
            }
        }
    }

    /// Another member keeps, by a commit.
    fn look_at_takeover(
        &mut self,
        net: &Net,
        witness: &Witness<'_>,
        member: &mut Member,
        by: MemberId,
        said: &mut Vec<String>,
    ) {
        let now = net.now;
        note(&mut member.takeovers, (now, by), MINUTE, |(at, _)| *at, now);
        self.most.takeovers_a_minute = self.most.takeovers_a_minute.max(member.takeovers.len());
        let of_one = member.takeovers.iter().filter(|(_, other)| *other == by).count();
        if member.takeovers.len() > TAKEOVERS || of_one > TAKEOVERS_OF_ONE {
            said.push(format!("K3: {} takeovers in a minute, {of_one} of one", member.takeovers.len()));
            member.takeovers.clear();
        }
        let Some(before) = member.keeper else { return };
        let Some(peer) = (0..net.devices.len()).map(Peer).find(|peer| net.id(*peer) == before) else {
            return;
        };
        let device = &net.devices[peer.0];
        let commits = member.commits.iter().filter(|(_, other)| *other == before).count();
        let keeps = device.room.keeper() == Some(before)
            && Witness::of(&device.room).branch() == member.branch
            && !net.is_off(peer)
            && !device.is_insider;
        let heard = member.heard.get(&before).is_some_and(|heard| *heard + 5 * A_SECOND > now);
        let outranks = witness.has_rank(by) && !witness.has_rank(before)
            || net.devices.iter().any(|device| device.room.host() == Some(by));
        let idle = member.out_since.values().any(|since| *since + A_SECOND <= now);
        if keeps
            && heard
            && !outranks
            && !idle
            && commits < COMMITS_OF_ONE / 2
            && witness.admits(before)
            && !witness.asks_elsewhere()
            && !self.left.contains_key(&before)
        {
            said.push(format!("K3: {} takes over from {}, who is heard", short(by), short(before)));
        }
    }

    /// The law that the member knows, or its tree, is another.
    fn look_at_law(
        &mut self,
        net: &Net,
        witness: &Witness<'_>,
        member: &mut Member,
        room: &sottovoce::room::Room,
        said: &mut Vec<String>,
    ) {
        let now = net.now;
        let out = witness.not_admitted();
        member.out_since.retain(|id, _| out.contains(id));
        for id in &out {
            member.out_since.entry(*id).or_insert(now);
            if !self.put_out.contains(id) && !self.left.contains_key(id) {
                said.push(format!("{} is out, and nobody of rank put it out", short(*id)));
            }
        }
        for id in &member.roster {
            if witness.lets_speak(*id) {
                member.restricted.remove(id);
            } else {
                member.restricted.entry(*id).or_insert(now);
            }
        }
        let banned = |id: &MemberId| room.is_banned(*id) || !witness.admits(*id);
        for id in &self.banned_by_host {
            if banned(id) {
                member.banned.insert(*id);
            } else if member.banned.contains(id) {
                said.push(format!("a ban of {} by the host is forgotten", short(*id)));
                member.banned.remove(id);
            }
        }
        for ranked in witness.ranked() {
            if !self.ranked.contains(&ranked) {
                said.push(format!("{} has rank, and no host gave it", short(ranked)));
            }
        }
    }

    /// A device came back with nothing but what it had stored.
    pub fn note_restart(&mut self, peer: Peer, now: Instant) {
        let member = self.members.entry(peer).or_default();
        let banned = std::mem::take(&mut member.banned);
        *member = Member { rank_heard: Some(now), banned, ..Member::default() };
    }
}

/// Notes something that happened at `now`, and forgets what happened more than `within` ago.
fn note<T>(list: &mut VecDeque<T>, item: T, within: Duration, at: impl Fn(&T) -> Instant, now: Instant) {
    while list.front().is_some_and(|front| at(front) + within <= now) {
        list.pop_front();
    }
    list.push_back(item);
}

/// The beginning of a fingerprint.
pub fn short(id: MemberId) -> String {
    id.to_string().chars().take(4).collect()
}

const A_SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HALF_A_MINUTE: Duration = Duration::from_secs(30);
/// S3.
const LACKING: Duration = Duration::from_secs(3);
/// A beat that is older says nothing (B4).
const OLD: Duration = Duration::from_secs(10);
/// How exact this looks: members are asked for the time a few times in a second.
const SLACK: Duration = Duration::from_millis(300);
/// Who was heard so lately is not removed.
const HEARD_LATELY: Duration = Duration::from_secs(12);
/// Epochs that a member enters in a minute, for each member that may commit: 18 in 30 s (C6).
pub const EPOCHS_A_MINUTE: usize = 40;
/// 18 in 30 s, and two takeovers (C6, K3).
pub const COMMITS_OF_ONE: usize = 20;
/// Six in 60 s, and those by which rank comes back.
pub const TAKEOVERS: usize = 8;
pub const TAKEOVERS_OF_ONE: usize = 3;
/// Four of one identity in 60 s by one keeper (K7); another keeper may add it as often.
pub const ADDS_OF_ONE: usize = 8;
/// What an honest member says in a minute at most, in bytes.
pub const BYTES_A_MINUTE: usize = 768 << 10;
/// Six of its own accord, twelve for Calls (K5), and one for each commit.
pub const BEATS_IN_30_S: usize = 40;
/// How often an honest member may lose its place in a minute.
pub const PLACES_LOST_A_MINUTE: usize = 12;
/// S2, and what a message may take.
const PROOF_HOLDS: Duration = Duration::from_millis(16_500);
/// Commits and bytes that wait (C5, C10).
const MAX_PENDING: usize = 16;
const MAX_HELD: usize = 262_144;
/// Thirty in 60 s at an open door (D4), and slack for what was admitted earlier.
const STRANGERS: usize = 34;
/// At a door (D5).
const MAX_WAITING: usize = 64;
