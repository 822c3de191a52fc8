//! What entering an epoch does, in order (SPEC section 7, rule C9).
//!
//! 1. The tree and its keeper are read; the law of the epoch joins what is known.
//! 2. Leaves are noted, so that no KeyPackage counts twice.
//! 3. Liveness, presence and turns take note; nothing that pauses sending starts anew.
//! 4. The epoch's secret is taken once; the media keys of step 0 go to the sealer and the opener.
//! 5. Members that the known law restricts beyond the epoch's law are not heard.
//! 6. The application is told what changed.
//! 7. The keeper's part is taken up or laid down; what waited is tried again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    authors::{handed_over_by, is_banned, issuer_of, locked_by, role_by},
    event::{Ending, Event},
    held::Held,
    keeper::Keeper,
    liveness::Liveness,
    memory::Memory,
    outbox::Outbox,
    place::Place,
    presence::Presence,
    seat::{Due, Outcome, Seat},
    showing::Showing,
    speakers::{announcing::begin_speaking, missing::Missing},
    turns::{Ahead, Turns, outranks_keeper},
    view::role_of,
    words::{ANSWERS_WITHIN, MAX_ANSWERS},
};
use crate::{
    defence::{Defence, holds},
    group::Role,
    id::{IdentityKey, Leaf, MemberId},
    law::{LiveSet, Rank, Tag},
    media::{EpochStart, Schedule, Speaker},
    mls::{Failure, Group, SealingSecret, Staged},
    report::FIRSTS,
};

/// How a member comes to be present.
pub(super) struct Arrival {
    pub(super) group: Group,
    pub(super) epoch_law: LiveSet,
    pub(super) held: Held,
    /// When the word that let us in was made.
    pub(super) proof: Instant,
    /// Since when somebody of rank counts as heard.
    pub(super) rank_heard: Instant,
}

impl Seat {
    /// Takes a place in a tree, as its founder or by a Welcome.
    pub(super) fn arrive(
        out: &mut Outbox,
        memory: &mut Memory,
        arrival: Arrival,
        now: Instant,
    ) -> Result<Self, Failure> {
        let Arrival { mut group, epoch_law, held, proof, rank_heard } = arrival;
        let schedule = begin_epoch(out, memory, &mut group, &epoch_law, &[], now)?;
        let first_epoch = group.epoch();
        let mut seat = Self {
            missing: Missing::begin(group.own_leaf(), now),
            group,
            schedule,
            epoch_law,
            members: Vec::new(),
            keeper_id: None,
            keeper_door: None,
            liveness: Liveness::begin(proof, rank_heard),
            turns: Turns::new(now),
            presence: Presence::default(),
            keeper: None,
            returning: None,
            showing: Showing::default(),
            rivals: Default::default(),
            beat: now,
            doors_heard: Default::default(),
            pending: Vec::new(),
            stated: Default::default(),
            held,
            renew_at: now,
            returns: super::bounded::Rate::new(1, RETURN_APART),
            shows: super::bounded::Rate::new(1, SHOW_APART),
            opened: super::bounded::Rate::of(super::bounded::OPENED),
            strangers: super::bounded::Rate::of(super::bounded::OF_STRANGERS),
            shown_before: Default::default(),
            turned_away: super::bounded::Rate::new(1, TURNED_AWAY_APART),
            badges: super::bounded::Rate::new(4, BADGES_WITHIN),
            asked: Vec::new(),
            broken: None,
            fault: None,
            doubted_ms: None,
            due: Due { keeping: true, silence: true, clocks: false },
            told_alone: false,
            told_unattended: false,
            door_said_at: None,
            entered_at: now,
            first_epoch,
            stepped: super::bounded::Rate::new(1, STEPPED_APART),
            in_vain_until: None,
            left_out: 0,
            learns_until: None,
            answered_at: now,
            unsaid: Vec::new(),
            renewals: super::bounded::Rate::new(1, RENEWAL_APART),
            renewed: Default::default(),
            accused: super::bounded::Rate::new(1, ACCUSED_FOR),
            accused_of: Default::default(),
            words: super::bounded::Rate::new(MAX_ANSWERS, ANSWERS_WITHIN),
            connection: Default::default(),
        };
        let everybody: Vec<MemberId> = seat.group.roster().iter().map(|member| member.id).collect();
        let was_stored = std::mem::take(&mut memory.was_stored);
        if was_stored {
            memory.pace.begin_slowly(out.id(), now);
        }
        seat.learns_until = (was_stored && everybody.len() > 1).then_some(now + LEARNS_FOR);
        seat.plan_renewal(out, now);
        seat.settle(out, memory, &everybody, now)?;
        Ok(seat)
    }

    /// Merges a commit of another member.
    pub(super) fn merge(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        staged: Staged,
        law: LiveSet,
        now: Instant,
    ) -> Outcome {
        let by = self.group.occupant_at(staged.by).map(|member| member.id);
        let ours = out.id();
        let replaced = staged.adds.iter().find(|added| added.id == ours).map(|added| added.made_ms);
        let summary = match self.group.merge(staged) {
            Ok(summary) => summary,
            Err(failure) => {
                self.fault = Some(failure);
                return Outcome::Stays;
            }
        };
        if summary.removed_self {
            let _ = memory.store.merge(Vec::new(), &law);
            memory.note_law();
            return self.lose_place(out, memory, &law, replaced, by);
        }
        let removed: Vec<Leaf> = summary.removed.iter().map(|member| member.leaf).collect();
        let left: Vec<MemberId> = summary.removed.iter().map(|member| member.id).collect();
        let added: Vec<MemberId> = summary.added.iter().map(|member| member.id).collect();
        self.enter_epoch(out, memory, by.unwrap_or(ours), law, &removed, &left, &added, now);
        Outcome::Stays
    }

    /// Our leaf is gone from the tree.
    fn lose_place(
        &mut self,
        out: &Outbox,
        memory: &Memory,
        law: &LiveSet,
        replaced: Option<u64>,
        by: Option<MemberId>,
    ) -> Outcome {
        let own = self.group.roster().iter().find(|member| member.is_self).map(|member| member.key);
        let admitted = own.is_some_and(|own| law.law().admits(&own) && memory.store.law().admits(&own));
        if !admitted {
            let banned = own.is_some_and(|own| is_banned(memory.store.law(), &own));
            let issuer = own.and_then(|own| issuer_of(memory.store.law(), &own)).or(by);
            return Outcome::Ends(Ending::Removed { by: issuer, banned });
        }
        let returning = self.returning.take();
        // A keeper may use any KeyPackage that we ever sent it: that is ours, and no other device.
        if let Some(made_ms) = replaced
            && !out.petitions.contains(&made_ms)
        {
            return Outcome::Ends(Ending::TakenOver);
        }
        Outcome::Lost(returning.map(Box::new))
    }

    #[allow(clippy::too_many_arguments, reason = "what a merged commit did")]
    pub(super) fn enter_epoch(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        by: MemberId,
        law: LiveSet,
        removed: &[Leaf],
        left: &[MemberId],
        added: &[MemberId],
        now: Instant,
    ) {
        let before = std::mem::replace(&mut self.epoch_law, law);
        for member in added {
            out.skew.forget(*member);
        }
        match begin_epoch(out, memory, &mut self.group, &self.epoch_law, removed, now) {
            Ok(next) => {
                let mut ended = std::mem::replace(&mut self.schedule, next);
                // Keys of the epoch before that nobody took yet still open its late packets.
                out.rekey(std::iter::from_fn(|| ended.poll_rekey()));
            }
            Err(failure) => {
                self.fault = Some(failure);
                return;
            }
        }
        let joined = added.iter().copied().filter(|member| !left.contains(member)).collect();
        let gone = left.iter().copied().filter(|member| !added.contains(member)).collect();
        out.tell(Event::Changed { epoch: self.group.epoch(), by, joined, left: gone });
        self.tell_changes(out, &before, added);
        let keeper = self.keeper_of_context();
        // A renewal counts as the keeper's.
        let counts_for = if self.keeper_id == keeper { keeper.unwrap_or(by) } else { by };
        memory.pace.note(counts_for, self.keeper_id != keeper, now);
        if self.keeper_id != keeper {
            self.turns = Turns::new(now);
        }
        if let Err(failure) = self.settle(out, memory, added, now) {
            self.fault = Some(failure);
        }
        self.note_added(out, memory, added, now);
    }

    /// Takes up our part in the epoch that has begun.
    fn settle(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        added: &[MemberId],
        now: Instant,
    ) -> Result<(), Failure> {
        memory.past.note((self.group.epoch().0, self.group.branch()));
        for member in self.group.roster() {
            memory.freshness.note_leaf(member.id, member.made_ms);
        }
        let keys: Vec<IdentityKey> = self.group.roster().iter().map(|member| member.key).collect();
        keys.into_iter().for_each(|key| memory.note_person(key));
        memory.store.epoch_ended();
        let _ = memory.store.merge(Vec::new(), &self.epoch_law);
        memory.note_law();
        self.pending.clear();
        self.entered_at = now;
        out.skew.retain(self.group.roster());
        self.read_members();
        let own = self.members.iter().find(|member| member.is_self);
        out.set_heard(own.is_some_and(|own| own.role.may_speak() && !own.muted));
        self.presence.enter(self.group.roster(), added, now);
        let keeper = self.keeper_of_context();
        let changed = std::mem::replace(&mut self.keeper_id, keeper) != keeper;
        let keeper_word = match keeper {
            Some(keeper) if changed && keeper != out.id() && holds(Defence::ProofOfNext) => {
                Some(out.skew.last(keeper).unwrap_or_else(|| now.checked_sub(PROOF_OLD).unwrap_or(now)))
            }
            _ => None,
        };
        // A member that enters by a Welcome has a message of its signer, and no other.
        let keeper_word = if added.contains(&out.id()) { None } else { keeper_word };
        self.liveness.enter(self.group.epoch().0, changed, keeper_word);
        self.review_law(memory, added, now);
        if self.group.roster().len() == 1 {
            self.liveness.prove(now);
        }
        match (&mut self.keeper, keeper == Some(out.id())) {
            (None, true) => {
                let door = SealingSecret::derive(self.group.key_exchange(), &out.rng.seed())?;
                // Members count what we committed before as well (C6).
                let made = memory.pace.commits_of(out.id());
                self.keeper = Some(Keeper::new(door, made.filter(|at| *at < now), now));
                if self.returning.take().is_some() {
                    self.outlive_petitions(out, now);
                }
            }
            (Some(_), true) => {}
            (_, false) => self.keeper = None,
        }
        if changed {
            self.find_keeper(out, memory, keeper, now);
            self.beat = now;
            self.keeper_door = None;
            self.door_said_at = None;
        }
        self.missing = Missing::begin(self.group.own_leaf(), now);
        self.showing.enter();
        let law = self.epoch_law.clone();
        self.asked.retain(|(_, id, _)| law.get(id).is_none());
        self.take_up_door(out, memory)?;
        (self.due.keeping, self.due.silence) = (true, true);
        self.enter_messages(out, memory, added, now);
        Ok(())
    }

    /// The member whose tag the group context names as the keeper, if it has a leaf.
    fn keeper_of_context(&self) -> Option<MemberId> {
        let law = self.epoch_law.law();
        let keeper = Tag(self.group.context().keeper);
        self.group.roster().iter().find(|member| law.tag(&member.key) == keeper).map(|member| member.id)
    }

    /// Holds the tree against the law that we know: the one or the other is new. `added` holds who
    /// came in with it.
    pub(super) fn review_law(&mut self, memory: &Memory, added: &[MemberId], now: Instant) {
        let known = memory.store.law();
        self.liveness.review(self.group.roster(), |member| known.admits(&member.key), added, now);
        let view = self.view(memory, now);
        let above = view.own().is_some_and(|own| outranks_keeper(own, &view));
        let ahead = Ahead::of(&view);
        self.turns.note_above(above, now);
        self.turns.note_table(self.epoch_law.law().table_id(), known.table_id(), now);
        self.turns.note_order(ahead);
        self.restrict(memory, None);
    }

    /// Silences for us whoever the law that we know puts out or mutes (rule L29: it acts at once),
    /// of all, or if it is that `leaf`.
    pub(super) fn restrict(&mut self, memory: &Memory, leaf: Option<Leaf>) {
        if !holds(Defence::Restrict) {
            return;
        }
        let law = memory.store.law();
        for member in self.group.roster().iter().filter(|member| leaf.is_none_or(|leaf| member.leaf == leaf))
        {
            let (role, muted) = role_of(law, &member.key);
            if muted || !law.admits(&member.key) || !role.may_speak() {
                self.schedule.mute(member.leaf);
            }
        }
    }

    /// Tells the application which roles and mutes are others than before.
    fn tell_changes(&self, out: &mut Outbox, before: &LiveSet, added: &[MemberId]) {
        let (then, law) = (before.law(), self.epoch_law.law());
        if then.host() != law.host() {
            out.tell(Event::HostChanged { host: law.host().id(), by: handed_over_by(&self.epoch_law) });
        }
        if then.is_locked() != law.is_locked() {
            out.tell(Event::Locked { locked: law.is_locked(), by: locked_by(&self.epoch_law) });
        }
        for member in self.group.roster().iter().filter(|member| !added.contains(&member.id)) {
            let (role_before, muted_before) = role_of(then, &member.key);
            let (role, muted) = role_of(law, &member.key);
            let by = || role_by(then, &self.epoch_law, &member.key);
            if role != role_before {
                out.tell(Event::RoleChanged { member: member.id, role, by: by() });
            }
            if muted != muted_before {
                out.tell(Event::Muted { member: member.id, muted, by: by() });
            }
        }
    }

    /// Our own rank decides whether we have a door.
    pub(super) fn take_up_door(&mut self, out: &mut Outbox, memory: &mut Memory) -> Result<(), Failure> {
        let rank = memory.store.law().rank_of(&IdentityKey::from_bytes(*out.identity.public()));
        if rank == Rank::None {
            memory.doors = None;
        } else if memory.doors.is_none() {
            let doors = super::doors::Doors::new(out, self.group.key_exchange(), out.admission)?;
            memory.doors = Some(doors);
        }
        Ok(())
    }
}

/// Takes the epoch's secret, starts its keys and announces our speaker key.
fn begin_epoch(
    out: &mut Outbox,
    memory: &Memory,
    group: &mut Group,
    law: &LiveSet,
    removed: &[Leaf],
    now: Instant,
) -> Result<Schedule, Failure> {
    out.end_epoch(now);
    let secret = group.take_epoch_secret()?;
    out.messages.begin_epoch(group.epoch(), group.branch(), &secret, now);
    let seed = out.rng.seed();
    let terms = memory.store.known().terms();
    let roles: Vec<(Leaf, MemberId, Role, bool)> = group
        .roster()
        .iter()
        .map(|member| {
            let (role, muted) = role_of(law.law(), &member.key);
            (member.leaf, member.id, role, muted)
        })
        .collect();
    let speakers: Vec<Speaker> = roles
        .iter()
        .filter(|(_, _, role, _)| role.may_speak())
        .map(|(leaf, member, _, _)| Speaker { leaf: *leaf, member: *member })
        .collect();
    let start = EpochStart {
        secret,
        group_id: group.group_id(),
        epoch: group.epoch(),
        authenticator: group.authenticator(),
        suite: terms.suite,
        authenticity: terms.authenticity,
        packet_size: terms.packet_size,
        own_leaf: group.own_leaf(),
        speakers: &speakers,
        removed,
        seed: seed.bytes(),
    };
    let mut schedule = Schedule::start(start, now).map_err(Failure::of)?;
    if speakers.len() > FIRSTS {
        schedule.keep_first(&firsts(group, &speakers, memory, law));
    }
    roles.iter().filter(|(_, _, _, muted)| *muted).for_each(|(leaf, ..)| schedule.mute(*leaf));
    begin_speaking(out, group, terms, &schedule, seed, now)?;
    Ok(schedule)
}

/// The speakers who have a place of their own in what we keep for reports: people of rank, then
/// those whom the table admits, then those whom we have seen the longest (SPEC section 12.1).
fn firsts(group: &Group, speakers: &[Speaker], memory: &Memory, law: &LiveSet) -> Vec<Leaf> {
    let seen: BTreeMap<_, _> = memory.people().iter().enumerate().map(|(at, key)| (key.id(), at)).collect();
    let mut order: Vec<_> = speakers
        .iter()
        .filter_map(|speaker| group.occupant_at(speaker.leaf))
        .map(|member| {
            let since = seen.get(&member.id).copied().unwrap_or(usize::MAX);
            (Place::of(law.law(), &member.key).seniority(), since, member.leaf)
        })
        .collect();
    order.sort();
    order.into_iter().map(|(.., leaf)| leaf).take(FIRSTS).collect()
}

/// A keeper of which no word is known has a word that is too old to send on.
const PROOF_OLD: Duration = Duration::from_secs(15);
/// A heartbeat moves our step clock, by a minute at most, once in this time (SPEC section 4.2).
const STEPPED_APART: Duration = Duration::from_secs(4);
/// One renewal of each member in this time.
const RENEWAL_APART: Duration = Duration::from_secs(30);
/// A moderator gets four badges in this time.
const BADGES_WITHIN: Duration = Duration::from_secs(60);
/// After a restart nothing is signed for so long, unless somebody shows earlier that nothing is
/// lacking (U1).
const LEARNS_FOR: Duration = Duration::from_secs(3);
const RETURN_APART: Duration = Duration::from_secs(2);
/// Somebody who is out is told why no more often.
const TURNED_AWAY_APART: Duration = Duration::from_secs(60);
const SHOW_APART: Duration = Duration::from_secs(10);
/// A member whose renewal others could not process renews nothing while the keys of a leaf live.
const ACCUSED_FOR: Duration = Duration::from_secs(600);
