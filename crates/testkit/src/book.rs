//! How an honest member is looked at: its tree, its law, the commits that it merged.
#![allow(dead_code, reason = "each program uses its own part")]

use std::time::Instant;

use sottovoce::{MemberId, group::Role, room::Status, testkit::Witness};

use crate::{
    guard::{
        A_SECOND, ADDED_LATE, ADDS_OF_ONE, Book, COMMITS_OF_ONE, EPOCHS_A_MINUTE, HALF_A_MINUTE,
        HEARD_LATELY, LEAVE_HEARD, MAX_HELD, MAX_PENDING, MAX_WAITING, MINUTE, Member, PLACES_LOST_A_MINUTE,
        SLACK, STRANGERS, TAKEOVERS, TAKEOVERS_OF_ONE, note, short,
    },
    net::{Net, Peer},
};

impl Book {
    /// A guest says that it leaves.
    pub(crate) fn note_left(&mut self, id: MemberId, now: Instant) {
        self.left.insert(id, u64::MAX / 2);
        self.left_at.insert(id, now);
    }

    /// Looks at an honest member after its room was called.
    pub fn look(&mut self, net: &Net, peer: Peer) {
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
        // In large rooms this would cost more than the rooms do.
        if member.roster.len() <= FEW || member.looked_at.is_none_or(|at| at + SLACK / 3 <= now) {
            member.looked_at = Some(now);
            let heard = member.roster.iter().filter_map(|id| Some((*id, witness.heard(*id)?)));
            member.heard.extend(heard);
        }
        member.asked_in_vain = witness.asked_in_vain(now);
        if self.is_traced {
            member.keeper_story = witness.keeper_story(now);
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
        if self.is_traced {
            let of = |ids: &[MemberId]| ids.iter().map(|id| short(*id)).collect::<Vec<_>>().join(" ");
            let (by, joined, left) = member.committed.clone().unwrap_or((room.id(), vec![], vec![]));
            eprintln!(
                "{:.2?} {peer:?} {} is in {epoch} by {}, came {}, went {}, kept by {}",
                net.since_begin(),
                short(room.id()),
                if member.committed.is_some() { short(by) } else { "a Welcome".to_owned() },
                of(&joined),
                of(&left),
                keeper.map_or_else(String::new, short),
            );
        }
        note(&mut member.epochs, now, MINUTE, |at| *at, now);
        self.most.epochs_a_minute = self.most.epochs_a_minute.max(member.epochs.len());
        if member.epochs.len() > EPOCHS_A_MINUTE * (1 + self.insiders) {
            said.push(format!("{} epochs in a minute", member.epochs.len()));
            member.epochs.clear();
        }
        let came: Vec<MemberId> = match member.committed.take() {
            Some((by, joined, left)) if member.branch.is_some() => {
                self.look_at_commit(net, peer, witness, member, (by, &joined, &left), &roster, keeper, said);
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
        peer: Peer,
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
        for id in joined.iter().filter(|id| net.devices.iter().all(|device| device.room.id() != **id)) {
            // Each door lets in so many; a keeper that lets its turn go by adds them later.
            let door = witness.said_by(*id);
            note(&mut member.strangers, (now, door), MINUTE - ADDED_LATE, |(at, _)| *at, now);
            let of_one = member.strangers.iter().filter(|(_, other)| *other == door).count();
            if of_one > STRANGERS {
                said.push(format!("D4: {of_one} strangers came in by one door within a minute"));
                member.strangers.clear();
            }
        }
        if keeper != member.keeper {
            self.look_at_takeover(net, peer, witness, member, by, said);
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
            if is_new && *id != by {
                // Its device may be another, with another clock (T1).
                member.fastest.remove(id);
            }
            // A committer's own leaf is renewed, and comes by no KeyPackage.
            if is_new && made <= *before && *id != by {
                said.push(format!("C4: a KeyPackage of {} is used a second time", short(*id)));
            }
            // Until its Leave has come, a keeper may add who knocked before it (C4).
            let heard = self.left_at.get(id).is_none_or(|at| *at + LEAVE_HEARD < now);
            if heard && self.left.get(id).is_some_and(|left| made <= *left) && joined.contains(id) {
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
    #[allow(clippy::too_many_arguments, reason = "a commit, before and after")]
    fn look_at_takeover(
        &mut self,
        net: &Net,
        peer: Peer,
        witness: &Witness<'_>,
        member: &mut Member,
        by: MemberId,
        said: &mut Vec<String>,
    ) {
        let now = net.now;
        note(&mut member.takeovers, (now, by), MINUTE, |(at, _)| *at, now);
        self.most.takeovers_a_minute = self.most.takeovers_a_minute.max(member.takeovers.len());
        let of_one = member.takeovers.iter().filter(|(_, other)| *other == by).count();
        let above = member.keeper.is_none_or(|before| witness.is_above(by, before));
        // Its own waits for nobody else's (K4).
        let counts = !above && by != net.id(peer);
        if member.takeovers.len() > TAKEOVERS && counts || of_one > TAKEOVERS_OF_ONE {
            said.push(format!("K3: {} takeovers in a minute, {of_one} of one", member.takeovers.len()));
            member.takeovers.clear();
        }
        let Some(before) = member.keeper else { return };
        let Some(keeper) = (0..net.devices.len()).map(Peer).find(|peer| net.id(*peer) == before) else {
            return;
        };
        let device = &net.devices[keeper.0];
        let commits = member.commits.iter().filter(|(_, other)| *other == before).count();
        let keeps = device.room.keeper() == Some(before)
            && Witness::of(&device.room).branch() == member.branch
            && !net.is_off(keeper)
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
            && !member.asked_in_vain
            && !self.left.contains_key(&before)
        {
            said.push(format!("K3: {} takes over from {}, who is heard", short(by), short(before)));
            if self.is_traced {
                eprintln!("{:.2?} a moment ago: {}", net.since_begin(), member.keeper_story);
            }
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

/// In rooms of so many it is looked every time when each was heard last.
const FEW: usize = 32;
