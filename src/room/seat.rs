//! A member's place in the room: the group and the keys that come of it (SPEC sections 7.3 to 7.8).
//!
//! What the keeper does is in `keeper`, whose commits count in `succession`, heartbeats and other branches in
//! `fork`, the way back in `returning`.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    asks::Asks,
    core::Core,
    door::Door,
    error::{CommandError, ControlError},
    event::{Ending, Event},
    fork::Rival,
    held::Held,
    keeper::Keeping,
    lineage::Lineage,
    liveness::{Liveness, Verdict},
    missing::Missing,
    outlaw::Outlaws,
    pending::Pending,
    reports::begin_speaking,
    returning::Returning,
    sharing::Wish,
    strangers::Strangers,
};
use crate::{
    group::{
        Role, Violation,
        announcement::{Announcement, Task},
        message::{Broken, Message},
        mls::{Draft, Failure, Group, Incoming, JoinKey, ProcessError, Summary},
        policy::{self, Action},
    },
    id::{Epoch, Leaf, MemberId},
    keys::{EpochStart, Schedule, Speaker},
};

/// A member of the room, the host included.
pub(super) struct Seat {
    pub(super) group: Group,
    pub(super) schedule: Schedule,
    pub(super) held: Held,
    /// With the keeper.
    pub(super) keeping: Option<Keeping>,
    /// With the host and moderators: what it takes to let people in.
    pub(super) door: Option<Box<Door>>,
    /// With moderators that have no door yet.
    pub(super) wish: Option<Wish>,
    pub(super) liveness: Liveness,
    pub(super) missing: Missing,
    pub(super) pending: Pending,
    /// What the keeper named somebody for, last in this epoch.
    pub(super) task: Option<Task>,
    /// Branches of later epochs that the keeper vouches for.
    pub(super) expected: VecDeque<(Epoch, [u8; 32])>,
    pub(super) lineage: Lineage,
    pub(super) rival: Option<Rival>,
    pub(super) returning: Option<Returning>,
    pub(super) asks: Asks,
    pub(super) strangers: Strangers,
    pub(super) outlaws: Outlaws,
    /// When we last told somebody who keeps the room.
    pub(super) vouched_at: Option<Instant>,
    pub(super) keeper: MemberId,
    /// The keeper's, for a petition.
    pub(super) door_key: Option<JoinKey>,
    /// The highest term that anybody has kept in.
    pub(super) highest_term: u64,
    /// The highest term that we have kept in, in whatever branch, and whether the present one has to be above it.
    kept_term: u64,
    pub(super) raises_term: bool,
    pub(super) entered_at: Instant,
    /// When we last made a commit only to part from another branch.
    pub(super) parted_at: Option<Instant>,
    /// Whom we made the host, in a branch that may have been lost.
    pub(super) handed: Option<MemberId>,
    /// Who took over from us last, and when.
    pub(super) yielded: Option<(MemberId, Instant)>,
    /// When we made the commit that this epoch began with, if we did: who speaks in it has followed us since.
    made_at: Option<Instant>,
    /// When we last noticed that we had slept.
    pub(super) awake_at: Instant,
    /// Whether we tried to take over in this epoch.
    pub(super) took_over: bool,
    /// When our leaf is to have new keys.
    pub(super) renew_at: Instant,
    /// The last commit that was signed and that we could not process.
    pub(super) broken_commit: Option<Broken>,
    /// What failed after a merge, where nothing can fail: the room cannot go on with it.
    pub(super) broken: Option<Failure>,
}

/// Whether the seat is still ours after a message.
pub(super) enum Outcome {
    Stays,
    Ends(Ending),
    /// Somebody else has our place, in our name: we come back.
    Lost,
}

impl Seat {
    /// Our place in a room that we have made or come into.
    pub(super) fn new(
        core: &mut Core,
        mut group: Group,
        held: Held,
        door: Option<Box<Door>>,
        proved: Instant,
        now: Instant,
    ) -> Result<Self, Failure> {
        let schedule = begin_epoch(core, &mut group, &[], now)?;
        let (keeper, own_leaf) = (group.state().keeper, group.own_leaf());
        let mut seat = Self {
            group,
            keeper,
            schedule,
            held,
            keeping: None,
            door,
            wish: None,
            liveness: Liveness::begin(proved, now),
            missing: Missing::begin(own_leaf, now),
            pending: Pending::default(),
            task: None,
            expected: VecDeque::new(),
            lineage: Lineage::default(),
            rival: None,
            returning: None,
            asks: Asks::default(),
            strangers: Strangers::default(),
            outlaws: Outlaws::default(),
            vouched_at: None,
            door_key: None,
            highest_term: 0,
            kept_term: 0,
            raises_term: false,
            entered_at: now,
            parted_at: None,
            handed: None,
            yielded: None,
            made_at: None,
            awake_at: now,
            took_over: false,
            renew_at: now,
            broken_commit: None,
            broken: None,
        };
        seat.plan_renewal(core, now);
        seat.settle_in(core, now)?;
        Ok(seat)
    }

    /// Goes on where an older seat in the same room was.
    pub(super) fn follows(&mut self, core: &mut Core, before: Seat, now: Instant) -> Result<(), Failure> {
        self.lineage = before.lineage;
        self.highest_term = before.highest_term;
        self.kept_term = before.kept_term;
        self.asks = before.asks;
        self.wish = before.wish;
        self.handed = before.handed;
        self.yielded = before.yielded;
        self.settle_in(core, now)
    }

    /// The door, if it is ours to open.
    pub(super) fn open_door(&mut self) -> Option<(&mut Door, &Group)> {
        let own = self.group.member_at(self.group.own_leaf())?.role;
        match &mut self.door {
            Some(door) if self.keeping.is_some() && own.may_admit() => Some((door, &self.group)),
            _ => None,
        }
    }

    pub(super) fn handle_mls(
        &mut self,
        core: &mut Core,
        message: Vec<u8>,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        if let Some(returning) = &mut self.returning {
            // Of the branch that we return to, perhaps. What is too much is missing there and comes back with
            // the next welcome.
            let _ = returning.hold(message.clone(), now);
        }
        match self.group.process(&message) {
            Ok(incoming) => {
                self.note_follower(core, now);
                match incoming {
                    Incoming::Application { from, bytes } => {
                        self.handle_announcement(core, from, &bytes, now)
                    }
                    Incoming::Commit { from, staged } => self.handle_commit(core, from, *staged, now),
                }
            }
            Err(ProcessError::Future(_)) => {
                self.held.keep(message, now).map_err(|_| ControlError::Overflow)?;
                Ok(Outcome::Stays)
            }
            Err(ProcessError::Violation(leaf, violation)) => {
                let by = leaf.and_then(|leaf| self.group.member_at(leaf)).map(|member| member.id);
                if let (Some(by), Violation::BrokenCommit) = (by, violation) {
                    self.broken_commit = Some(Broken { by, epoch: self.group.epoch() });
                }
                Err(self.report(core, leaf, violation))
            }
            Err(error) => Err(ControlError::of(error)),
        }
    }

    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Instant) -> Outcome {
        self.schedule.handle_timeout(now);
        if let Err(failure) = self.tend_rival(core, now) {
            self.broken = Some(failure);
        }
        if !self.is_alone() {
            let verdict = self.liveness.handle_timeout(now);
            carry_out(core, verdict);
        }
        if !self.keeps() {
            match self.try_pending(core, now) {
                Outcome::Stays => {}
                over => return over,
            }
            self.tend_succession(core, now);
        }
        self.tend_keeping(core, now);
        self.tend_renewal(core, now);
        self.tend_missing(core, now);
        for member in self.asks.ignored(now) {
            core.events.push_back(Event::Ignored { member });
        }
        Outcome::Stays
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let always = [self.schedule.poll_timeout(), self.rival_timeout(), self.asks.poll_timeout()];
        let part = if self.keeps() {
            [self.keeping_timeout(), None]
        } else {
            [self.pending_timeout(), self.takeover_at()]
        };
        let proof = if self.is_alone() { None } else { self.liveness.poll_timeout() };
        let renewal = self.rival.is_none().then_some(self.renew_at);
        always
            .into_iter()
            .chain(part)
            .chain([renewal, proof, Some(self.missing.poll_timeout())])
            .flatten()
            .min()
    }

    pub(super) fn poll_rekey(&mut self) -> Option<crate::keys::Rekey> {
        self.schedule.poll_rekey()
    }

    /// Tries again what was held for this epoch.
    pub(super) fn retry_held(&mut self, core: &mut Core, now: Instant) -> Outcome {
        // What is dropped here was counted when it came, or says nothing that can be acted on any more.
        for (came, message) in self.held.take() {
            if matches!(self.group.epoch_of(&message), Some(epoch) if epoch > self.group.epoch()) {
                // Not yet, and no younger for it.
                let _ = self.held.keep(message, came);
                continue;
            }
            match self.handle_mls(core, message, now) {
                Ok(Outcome::Stays) | Err(_) => {}
                Ok(over) => return over,
            }
        }
        Outcome::Stays
    }

    /// Does what our role permits: commits it as the keeper, asks the keeper otherwise.
    pub(super) fn act(&mut self, core: &mut Core, action: Action, now: Instant) -> Result<(), CommandError> {
        let own = core.identity.id();
        policy::check_right(action, own, &self.group.before()).map_err(CommandError::NotPermitted)?;
        // Remembered until it is done, by us or by whoever keeps the room then.
        match action {
            Action::Renew => self.renew_at = now + RENEW_AGAIN,
            action => self.asks.push(action, now),
        }
        if self.keeps() && self.rival.is_none() {
            let outcome = self.commit_action(core, action, now);
            if outcome.is_err() {
                self.asks.forget(action);
            }
            return outcome;
        }
        Ok(self.announce(core, &Announcement::Ask(action))?)
    }

    /// Says something to everybody in this epoch.
    pub(super) fn announce(&mut self, core: &mut Core, announcement: &Announcement) -> Result<(), Failure> {
        let message = self.group.seal(&announcement.encode())?;
        core.send(&Message::Mls(message));
        Ok(())
    }

    fn handle_announcement(
        &mut self,
        core: &mut Core,
        from: Leaf,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let announcement = Announcement::decode(bytes).map_err(|_| ControlError::Malformed)?;
        let member = self.group.member_at(from).ok_or(ControlError::Malformed)?;
        let (member, role) = (member.id, member.role);
        match announcement {
            Announcement::SpeakerKey(key) => {
                if let Err(violation) = self.handle_speaker_key(core, from, key, now) {
                    return Err(self.report(core, Some(from), violation));
                }
            }
            Announcement::Close if role == Role::Host => return Ok(Outcome::Ends(Ending::Closed)),
            Announcement::Close => return Err(self.report(core, Some(from), Violation::NoRight)),
            Announcement::Echo { heard_ms, at_ms } => self.handle_echo(core, member, heard_ms, at_ms, now),
            Announcement::Leave => self.handle_leave(core, member, now),
            Announcement::Ask(action) if self.keeps() => self.handle_ask(core, from, action, now)?,
            Announcement::Ask(_) => {}
            Announcement::Name(task) => return self.handle_task(core, from, task, now),
            Announcement::Missing(leaves) => self.handle_missing(core, &leaves, now),
            Announcement::WantDoor(key) => self.handle_want_door(core, member, key),
            Announcement::Door { to, kem_output, sealed } => {
                self.handle_door(core, from, to, &kem_output, &sealed, now)?;
            }
        }
        Ok(Outcome::Stays)
    }

    /// After a merge: new keys, our speaker key, and the news.
    pub(super) fn enter_epoch(&mut self, core: &mut Core, by: MemberId, summary: &Summary, now: Instant) {
        let removed: Vec<Leaf> = summary.removed.iter().map(|member| member.leaf).collect();
        let others = self.group.roster().iter().filter(|member| !member.is_self);
        if by == core.identity.id() && others.clone().all(|member| summary.added.contains(&member.id)) {
            // Nobody could follow us before.
            self.liveness.note_proof(now, now);
        }
        self.made_at = (by == core.identity.id()).then_some(now);
        summary.added.iter().for_each(|member| core.times.forget(*member));
        let next = match begin_epoch(core, &mut self.group, &removed, now) {
            Ok(next) => next,
            Err(failure) => {
                self.broken = Some(failure);
                return;
            }
        };
        let mut ended = std::mem::replace(&mut self.schedule, next);
        // Keys of the epoch before that nobody took yet still open its late packets.
        core.rekeys.extend(std::iter::from_fn(|| ended.poll_rekey()));
        if by == core.identity.id() {
            self.plan_renewal(core, now);
        }
        // Who came back neither came nor went.
        let left: Vec<MemberId> = summary.removed.iter().map(|member| member.id).collect();
        core.events.push_back(Event::Changed {
            epoch: self.group.epoch(),
            by,
            joined: summary.added.iter().copied().filter(|member| !left.contains(member)).collect(),
            left: left.iter().copied().filter(|member| !summary.added.contains(member)).collect(),
        });
        if let Err(failure) = self.settle_in(core, now) {
            self.broken = Some(failure);
        }
    }

    /// Takes up our part in the epoch that has begun.
    fn settle_in(&mut self, core: &mut Core, now: Instant) -> Result<(), Failure> {
        self.lineage.enter(self.group.epoch(), self.group.branch(), self.group.roster());
        core.times.retain(self.group.roster());
        self.pending.clear();
        self.task = None;
        self.took_over = false;
        self.entered_at = now;
        self.missing = Missing::begin(self.group.own_leaf(), now);
        let chain = self.group.state().chain();
        self.handed.take_if(|to| chain.iter().any(|hand_over| hand_over.to == *to));
        let epoch = self.group.epoch();
        self.expected.retain(|(other, _)| *other > epoch);
        self.highest_term = self.highest_term.max(self.group.state().term);
        let doubt = self.review_rival(now);
        let own = core.identity.id();
        let keeper = self.group.state().keeper;
        if self.keeper != keeper && keeper != own {
            self.liveness.change_keeper(core.times.last(keeper), now);
        }
        if self.is_alone() {
            // There is nobody who could be ahead of us.
            self.liveness.note_proof(now, now);
        }
        let verdict = self.liveness.enter(doubt, now);
        carry_out(core, verdict);
        if std::mem::replace(&mut self.keeper, keeper) != keeper {
            self.door_key = None;
            core.events.push_back(Event::Keeper { member: keeper });
        }
        match (&mut self.keeping, keeper == own) {
            (Some(keeping), true) => keeping.enter_epoch(),
            (None, true) => {
                let term = self.group.state().term;
                // Whoever has heard us in another branch must not take that for news of this one.
                self.raises_term = term > 0 && term <= self.kept_term;
                self.kept_term = self.kept_term.max(term);
                self.keeping = Some(Keeping::new(core, now)?);
                self.send_heartbeat(core, now);
            }
            (keeping, false) => *keeping = None,
        }
        self.tend_sharing(core)?;
        self.tend_outlaw(core, now);
        for action in self.asks.review(&self.group, now) {
            // What we asked for in vain we do, now that it is ours to do.
            if self.keeps() {
                let _ = self.commit_action(core, action, now);
            } else {
                self.announce(core, &Announcement::Ask(action))?;
            }
        }
        Ok(())
    }

    /// Renews our leaf now and then, so that what was once seen of our keys is of no use for long.
    fn tend_renewal(&mut self, core: &mut Core, now: Instant) {
        if now < self.renew_at || self.rival.is_some() {
            return;
        }
        self.renew_at = now + RENEW_AGAIN;
        let _ = if self.keeps() {
            self.renew_leaf(core, now)
        } else {
            self.announce(core, &Announcement::Ask(Action::Renew)).map_err(CommandError::from)
        };
    }

    /// Makes a commit that does nothing but renew our leaf, under the name that we have now.
    pub(super) fn renew_leaf(&mut self, core: &mut Core, now: Instant) -> Result<(), CommandError> {
        if self.keeping.as_ref().is_some_and(|keeping| keeping.naming.is_out()) {
            // Later: a commit of ours would come before the one that somebody makes.
            return Ok(());
        }
        let committed = {
            let draft = Draft { renews: Some(&core.identity), ..Draft::default() };
            self.group.commit(&draft)
        };
        self.after_commit(core, committed, now)
    }

    fn plan_renewal(&mut self, core: &mut Core, now: Instant) {
        let members = u32::try_from(self.group.roster().len()).unwrap_or(u32::MAX);
        let every = core.renew_every.max(COMMIT_APART * members);
        // Between half and one and a half of it: not all at once.
        let spread = u32::from_be_bytes(core.random()) % 1_000;
        self.renew_at = now + every / 2 + every / 1_000 * spread;
    }

    /// What kept us from sending in the branch that we were in is gone with it.
    pub(super) fn speak_again(&self, core: &mut Core) {
        if !self.liveness.doubts() {
            core.resume();
        }
    }

    pub(super) fn made_at(&self) -> Option<Instant> {
        self.made_at
    }

    /// Whether nobody but us is in the room.
    pub(super) fn is_alone(&self) -> bool {
        self.group.roster().len() == 1
    }

    /// What keeps the room from going on, if there is anything.
    pub(super) fn broken(&mut self) -> Option<Failure> {
        self.broken.take()
    }

    pub(super) fn report(&self, core: &mut Core, leaf: Option<Leaf>, violation: Violation) -> ControlError {
        let by = leaf.and_then(|leaf| self.group.member_at(leaf)).map(|member| member.id);
        core.events.push_back(Event::Violation { by, violation });
        ControlError::NotPermitted { by, violation }
    }
}

/// Takes the epoch's secret, starts its keys and announces our speaker key.
fn begin_epoch(
    core: &mut Core,
    group: &mut Group,
    removed: &[Leaf],
    now: Instant,
) -> Result<Schedule, Failure> {
    core.end_epoch(now);
    let secret = group.take_epoch_secret()?;
    let mut seed = core.random();
    let terms = &group.state().terms;
    let speakers: Vec<Speaker> = group
        .roster()
        .iter()
        .filter(|member| member.role.may_speak())
        .map(|member| Speaker { leaf: member.leaf, member: member.id })
        .collect();
    let start = EpochStart {
        secret,
        group_id: group.id(),
        epoch: group.epoch(),
        authenticator: group.authenticator(),
        suite: terms.suite,
        authenticity: terms.authenticity,
        packet_size: terms.packet_size,
        own_leaf: group.own_leaf(),
        speakers: &speakers,
        removed,
        seed,
    };
    let mut schedule = Schedule::start(start, now).map_err(Failure::of)?;
    group.roster().iter().filter(|member| member.muted).for_each(|member| schedule.mute(member.leaf));
    begin_speaking(core, group, &schedule, &mut seed, now)?;
    Ok(schedule)
}

pub(super) fn carry_out(core: &mut Core, verdict: Verdict) {
    match verdict {
        Verdict::Nothing => {}
        Verdict::Pause(reason) => core.pause(reason),
        Verdict::Resume => core.resume(),
    }
}

/// In a large room there are no more renewals than one in this time.
const COMMIT_APART: Duration = Duration::from_secs(6);
/// How long after asking for a turn we ask again.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
