//! What the keeper does for the room: puts commits in order, names who makes them, proves that it lives, and lets
//! those come back who lost the thread (SPEC sections 7.5 to 7.7).
//!
//! ```text
//! asks, leaves, orders > work ── small ───────────> own commit
//!                          └─── removals ── Name > somebody's commit ── matches ── Heartbeat > all merge
//!                                    └ 300 ms: the next-nearest, then the keeper itself
//! petitions > returns ── 250 ms ──> own commit, Welcome
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    core::Core,
    door::{Admitted, BATCH},
    error::{CommandError, ControlError},
    event::Event,
    liveness::HEARTBEAT,
    naming::Naming,
    seat::{Seat, carry_out},
};
use crate::{
    group::{
        Role, Violation,
        chain::Certificate,
        identity::fingerprint,
        message::{Beat, Heartbeat, Knock, Message, Petition, Plea, RefuseReason, Refused, leave_content},
        mls::{Candidate, CommitError, Committed, Draft, Failure, JoinSecret, Purpose, petition_aad},
        policy::{self, Action},
        signing,
        state::{Full, RoomState},
    },
    id::{Leaf, MemberId},
    keys::secret::Secret,
};

/// What a member has while it is the keeper.
pub(super) struct Keeping {
    heartbeat_at: Instant,
    /// Our newest heartbeats, by the time that they say, and when they were sent.
    beats: VecDeque<(u64, Instant)>,
    /// What petitions are sealed to: new with each tenure, so that old petitions mean nothing to a new keeper.
    door: JoinSecret,
    /// Members that are replaced by themselves with the next commit.
    pub(super) returns: Vec<Candidate>,
    batch_at: Option<Instant>,
    /// References of petitions that were answered, the oldest first.
    answered: VecDeque<[u8; 32]>,
    budget: Budget,
    pub(super) naming: Naming,
    /// When what others left undone is to be looked for.
    tidy_at: Option<Instant>,
}

impl Keeping {
    pub(super) fn new(core: &mut Core, now: Instant) -> Result<Self, Failure> {
        let ikm = Secret::wrap(core.random::<32>().to_vec());
        Ok(Self {
            heartbeat_at: now,
            beats: VecDeque::new(),
            door: JoinSecret::derive(&ikm)?,
            returns: Vec::new(),
            batch_at: None,
            answered: VecDeque::new(),
            budget: Budget::new(PETITIONS_PER_SECOND, now),
            naming: Naming::default(),
            tidy_at: Some(now),
        })
    }

    fn poll_timeout(&self) -> Instant {
        let others = [self.tidy_at, self.naming.poll_timeout()];
        others.into_iter().flatten().fold(self.heartbeat_at, Instant::min)
    }

    /// A commit took effect: what was ordered is done, or has to be ordered anew.
    pub(super) fn enter_epoch(&mut self) {
        self.naming.enter_epoch();
    }

    fn note_answered(&mut self, reference: [u8; 32]) {
        if self.answered.len() == MAX_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(reference);
    }

    fn knows(&self, reference: &[u8; 32]) -> bool {
        self.returns.iter().any(|candidate| candidate.reference == *reference)
            || self.answered.contains(reference)
    }

    /// Puts somebody on the list of those to be replaced by themselves, in place of an older wish of it.
    pub(super) fn let_return(&mut self, candidate: Candidate, now: Instant) {
        if let Some(waiting) = self.returns.iter_mut().find(|other| other.member == candidate.member) {
            let old = std::mem::replace(waiting, candidate);
            return self.note_answered(old.reference);
        }
        self.returns.push(candidate);
        self.batch_at.get_or_insert(now + BATCH);
    }
}

impl Seat {
    /// Whether we put the commits in order.
    pub(super) fn keeps(&self) -> bool {
        self.keeping.is_some()
    }

    /// What is due for the keeper.
    pub(super) fn tend_keeping(&mut self, core: &mut Core, now: Instant) {
        let Some(keeping) = &mut self.keeping else { return };
        if keeping.heartbeat_at <= now {
            self.send_heartbeat(core, now);
        }
        self.tend_naming(core, now);
        self.tidy(core, now);
        if self.batch_timeout().is_some_and(|at| at <= now) {
            // Whoever cannot be added was answered so; there is nothing else in this commit.
            let _ = self.commit(core, &[], None, now);
        }
    }

    pub(super) fn keeping_timeout(&self) -> Option<Instant> {
        let keeping = self.keeping.as_ref()?;
        [Some(keeping.poll_timeout()), self.batch_timeout()].into_iter().flatten().min()
    }

    /// When those who come in or back are added. Nobody is while our own place is in doubt.
    fn batch_timeout(&self) -> Option<Instant> {
        let keeping = self.keeping.as_ref().filter(|_| self.rival.is_none())?;
        let door = self.door.as_ref().and_then(|door| door.poll_timeout());
        let due = [keeping.batch_at, door].into_iter().flatten().min()?;
        // An Echo of an epoch that is over cannot be read: with joins all the time none would ever be.
        let beat = keeping.beats.back().filter(|_| self.group.roster().len() > 1);
        let answered_by = beat.and_then(|(_, sent)| self.liveness.waits_for_answer(*sent));
        Some(answered_by.map_or(due, |until| due.max(until)))
    }

    /// Somebody follows us, or so an authentic message of this epoch says: it is later than our commit.
    ///
    /// A keeper that nobody follows stops sending. A relay that cuts it off could keep it talking to somebody whom the
    /// others have banned since.
    pub(super) fn note_follower(&mut self, core: &mut Core, now: Instant) {
        if let (Some(made_at), true) = (self.made_at(), self.keeps()) {
            let verdict = self.liveness.follow(made_at, now);
            carry_out(core, verdict);
        }
    }

    /// Somebody heard the heartbeat that said `heard_ms`, at `at_ms` by its own clock.
    pub(super) fn handle_echo(
        &mut self,
        core: &mut Core,
        by: MemberId,
        heard_ms: u64,
        at_ms: u64,
        now: Instant,
    ) {
        core.times.hear(by, at_ms, Duration::ZERO, now);
        let Some(keeping) = &self.keeping else { return };
        let sent = keeping.beats.iter().find(|(said, _)| *said == heard_ms).map(|(_, sent)| *sent);
        if let Some(sent) = sent {
            let verdict = self.liveness.follow(sent, now);
            carry_out(core, verdict);
        }
    }

    /// Carries out an action that was checked, the signature of an order as well, unless it is ours.
    pub(super) fn commit_action(
        &mut self,
        core: &mut Core,
        action: Action,
        now: Instant,
    ) -> Result<(), CommandError> {
        let own = core.identity.id();
        if action == Action::Renew {
            return self.note_renewal(core, own, now);
        }
        if let Action::Order(order) = action {
            self.group.believe(order);
        }
        let Some(keeping) = &self.keeping else { return Err(CommandError::HostOnly) };
        let (present, state) = (self.group.state(), self.intended());
        let leaf = |member: MemberId| self.group.member(member).map(|member| member.leaf);
        let (next, remove) = match action {
            Action::Renew => return Ok(()),
            Action::Assign(member, role) => {
                let certifies = role == Role::Moderator;
                let certificate =
                    certifies.then(|| Certificate::new(&core.identity, self.group.id(), member));
                (state.with_role(member, role, certificate), None)
            }
            Action::Remove(member) => (Ok(self.state_without(state, member)), leaf(member)),
            Action::Order(order) => {
                let remove = if order.bans { leaf(order.target) } else { None };
                (state.with_order(order), remove)
            }
            Action::Mute(member, muted) => (state.with_muted(member, muted), None),
        };
        let next = next.map_err(|Full| CommandError::Full)?;
        let removes_more = remove.is_some_and(|leaf| !keeping.naming.removes().contains(&leaf));
        if next == *state && !removes_more {
            return Ok(());
        }
        let mut removes = keeping.naming.removes().to_vec();
        removes.extend(remove.filter(|_| removes_more));
        let next = (next != *present).then_some(next);
        if let (Action::Order(order), Some(door)) = (action, &mut self.door)
            && order.bans
        {
            door.turn_away(core, &self.group, order.target);
        }
        self.commit_or_name(core, removes, next, now)
    }

    /// The state that is to be: what somebody was named for included.
    pub(super) fn intended(&self) -> &RoomState {
        let named = self.keeping.as_ref().and_then(|keeping| keeping.naming.state());
        named.unwrap_or(self.group.state())
    }

    /// What the state is without somebody who is gone, as far as our rank goes.
    fn state_without(&self, state: &RoomState, member: MemberId) -> RoomState {
        let own = self.group.member_at(self.group.own_leaf()).map(|own| own.role);
        let ranked = own.is_some_and(|own| own.outranks(state.role(member)));
        if ranked { state.without(member) } else { state.clone() }
    }

    /// Takes a knock, if it is ours to answer.
    pub(super) fn handle_knock(
        &mut self,
        core: &mut Core,
        knock: &Knock,
        now: Instant,
    ) -> Result<(), ControlError> {
        let Some((door, group)) = self.open_door() else { return Ok(()) };
        if let Some(candidate) = door.handle_knock(core, group, knock, now)?
            && let Some(keeping) = &mut self.keeping
        {
            keeping.let_return(candidate, now);
        }
        Ok(())
    }

    /// Takes a petition: the cheapest checks first, and nothing is kept of one that fails.
    pub(super) fn handle_petition(
        &mut self,
        core: &mut Core,
        petition: &Petition,
        now: Instant,
    ) -> Result<(), ControlError> {
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        if keeping.knows(&petition.reference) {
            return Err(ControlError::Repeated);
        }
        keeping.budget.spend(now)?;
        let door_key = keeping.door.public().0;
        let aad = petition_aad(self.group.id(), &door_key, &petition.reference);
        let plea = keeping.door.open(Purpose::Petition, &petition.kem_output, &petition.sealed, &aad);
        let plea = plea.ok_or(ControlError::Undecryptable)?;
        match Plea::decode(&plea).map_err(|_| ControlError::Malformed)? {
            Plea::Leave { identity_key, signature } => {
                let member = fingerprint(&identity_key);
                let content = leave_content(self.group.id(), &door_key);
                // Most are gone by their announcement before this is looked at.
                if self.group.member(member).is_none()
                    || signing::verify(&identity_key, &content, &signature).is_err()
                {
                    return Err(ControlError::NotAMember);
                }
                keeping.note_answered(petition.reference);
                self.handle_leave(core, member, now);
                Ok(())
            }
            Plea::Return { key_package, orders, broken } => {
                let unix = core.clock.unix(now);
                let (id, exchange) = (self.group.id(), self.group.key_exchange());
                let candidate =
                    Candidate::vet(&key_package, id, exchange, unix).map_err(ControlError::KeyPackage)?;
                if candidate.reference != petition.reference {
                    return Err(ControlError::Malformed);
                }
                let member = candidate.member;
                let refusal = if self.group.state().is_banned(member) {
                    Some(RefuseReason::Banned)
                } else if self.group.member(member).is_none() {
                    Some(RefuseReason::Unknown)
                } else {
                    None
                };
                if let Some(reason) = refusal {
                    keeping.note_answered(petition.reference);
                    self.refuse(core, petition.reference, reason);
                    return Ok(());
                }
                if let Some(broken) = broken.filter(|broken| keeping.naming.distrust(broken, now)) {
                    core.events.push_back(Event::Accused { member: broken.by, by: member });
                }
                keeping.let_return(candidate, now);
                self.adopt(core, &orders, now);
                Ok(())
            }
        }
    }

    /// Somebody said that it leaves.
    pub(super) fn handle_leave(&mut self, core: &mut Core, member: MemberId, now: Instant) {
        self.group.note_leaving(member);
        // A host is gone when it has made another the host.
        if self.keeps() && self.group.state().host() != member {
            // What fails now is tried again with the next commit.
            let _ = self.commit_action(core, Action::Remove(member), now);
        }
    }

    /// Answers somebody who cannot come in.
    pub(super) fn refuse(&mut self, core: &mut Core, reference: [u8; 32], reason: RefuseReason) {
        let certificate = self.group.state().certificate(core.identity.id()).copied();
        let refused = Refused::new(&core.identity, self.group.id(), reference, reason, certificate);
        core.send(&Message::Refused(refused));
    }

    /// Takes the bans of another branch over into ours.
    fn adopt(&mut self, core: &mut Core, orders: &[crate::group::order::Order], now: Instant) {
        let before = self.group.before();
        let mut forged = 0;
        let adopted: Vec<_> = orders
            .iter()
            .filter(|order| before.state.order(order.target).is_none_or(|known| known.serial < order.serial))
            .take_while(|order| {
                forged += usize::from(policy::check_order(order, &before).is_err());
                forged <= MAX_FORGED
            })
            .filter(|order| policy::check_order(order, &before).is_ok())
            .copied()
            .collect();
        for order in adopted {
            let _ = self.commit_action(core, Action::Order(order), now);
        }
    }

    /// Makes one commit of removals, a new state, and whoever is to come in or back and waits for the next commit.
    pub(super) fn commit(
        &mut self,
        core: &mut Core,
        removes: &[Leaf],
        state: Option<RoomState>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let Some(keeping) = &mut self.keeping else { return Err(CommandError::HostOnly) };
        if self.rival.is_some() {
            return Err(CommandError::Returning);
        }
        keeping.batch_at = None;
        // What somebody was named for is not lost by it.
        let (mut removes, mut state) = (removes.to_vec(), state);
        if let Some(task) = keeping.naming.take() {
            let here = |leaf: &Leaf| self.group.member_at(*leaf).is_some() && !removes.contains(leaf);
            let more: Vec<Leaf> = task.removes.into_iter().filter(here).collect();
            removes.extend(more);
            state = state.or(task.state);
        }
        let returns: Vec<Candidate> = std::mem::take(&mut keeping.returns);
        let mut batch: Vec<Admitted> = match &mut self.door {
            Some(door) if self.group.state().role(core.identity.id()).may_admit() => door.take_batch(now),
            _ => Vec::new(),
        };
        batch.extend(returns.into_iter().map(|candidate| Admitted { candidate, role: None }));
        match self.commit_once(core, &batch, &removes, state.clone(), now) {
            Ok(()) => Ok(()),
            Err(error) if batch.is_empty() => Err(error),
            Err(_) => {
                // Somebody's KeyPackage spoils the commit: it must not keep a ban or the others waiting.
                if !removes.is_empty() || state.is_some() {
                    self.commit_once(core, &[], &removes, state, now)?;
                }
                for admitted in batch {
                    let reference = admitted.candidate.reference;
                    if self.commit_once(core, &[admitted], &[], None, now).is_err() {
                        self.refuse(core, reference, RefuseReason::Declined);
                        self.note_answered(reference);
                    }
                }
                Ok(())
            }
        }
    }

    fn commit_once(
        &mut self,
        core: &mut Core,
        batch: &[Admitted],
        removes: &[Leaf],
        state: Option<RoomState>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let mut next = state.unwrap_or_else(|| self.group.state().clone());
        let comes_in = |admitted: &&Admitted| !next.is_banned(admitted.candidate.member);
        let batch: Vec<&Admitted> = batch.iter().filter(comes_in).collect();
        let mut removes = removes.to_vec();
        for admitted in &batch {
            let member = admitted.candidate.member;
            if let Some(role) = admitted.role {
                next = next.with_role(member, role, None).map_err(|Full| CommandError::Full)?;
            }
            removes.extend(
                self.group.member(member).map(|member| member.leaf).filter(|leaf| !removes.contains(leaf)),
            );
        }
        let next = (next != *self.group.state()).then_some(next);
        if batch.is_empty() && removes.is_empty() && next.is_none() {
            return Ok(());
        }
        let candidates: Vec<_> = batch.iter().map(|admitted| &admitted.candidate).collect();
        self.commit_draft(
            core,
            &Draft { adds: &candidates, removes: &removes, state: next.as_ref(), renews: None },
            now,
        )?;
        batch.iter().for_each(|admitted| self.note_answered(admitted.candidate.reference));
        Ok(())
    }

    /// Makes a commit of our own, merges it and says so.
    pub(super) fn commit_draft(
        &mut self,
        core: &mut Core,
        draft: &Draft<'_>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let committed = self.group.commit(draft);
        self.after_commit(core, committed, now)
    }

    /// Says what we committed, and enters the epoch.
    pub(super) fn after_commit(
        &mut self,
        core: &mut Core,
        committed: Result<Committed, CommitError>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let committed = committed.map_err(|error| match error {
            CommitError::Violation(violation) => CommandError::NotPermitted(violation),
            CommitError::Mls(failure) => failure.into(),
        })?;
        core.send(&Message::Mls(committed.commit));
        if let Some(welcome) = committed.welcome {
            core.send(&Message::Welcome(welcome));
        }
        let own = core.identity.id();
        self.enter_epoch(core, own, &committed.summary, now);
        Ok(())
    }

    pub(super) fn send_heartbeat(&mut self, core: &mut Core, now: Instant) {
        let Some(keeping) = &mut self.keeping else { return };
        keeping.heartbeat_at = now + HEARTBEAT;
        if self.rival.is_some() {
            return;
        }
        let elapsed = u64::try_from(self.schedule.elapsed(now).as_millis()).unwrap_or(u64::MAX);
        let at_ms = core.stamp_ms(now);
        if keeping.beats.len() >= MAX_BEATS {
            keeping.beats.pop_front();
        }
        keeping.beats.push_back((at_ms, now));
        let beat = Beat {
            term: self.group.state().term,
            epoch: self.group.epoch(),
            branch: self.group.branch(),
            elapsed_ms: elapsed,
            at_ms,
            door_key: keeping.door.public().0,
            chain: self.group.state().chain().to_vec(),
        };
        core.send(&Message::Heartbeat(Heartbeat::new(&core.identity, self.group.id(), beat)));
    }

    /// Commits what everybody knows and nobody has committed: members that said they leave, and a term that is not
    /// above all that we kept before.
    fn tidy(&mut self, core: &mut Core, now: Instant) {
        let Some(keeping) = &mut self.keeping else { return };
        keeping.tidy_at = None;
        if keeping.naming.is_out() || self.rival.is_some() {
            return;
        }
        if std::mem::take(&mut self.raises_term) {
            let next = self.intended().with_keeper(core.identity.id(), self.highest_term);
            let _ = self.commit(core, &[], Some(next), now);
        }
        let host = self.group.state().host();
        let own = core.identity.id();
        if let Some(to) = self.handed.filter(|to| host == own && self.group.member(*to).is_some()) {
            // The branch in which we did so was lost.
            let _ = self.hand_over(core, to, now);
            return;
        }
        let leaving = self.group.leaving().iter().copied().find(|member| ![own, host].contains(member));
        if let Some(member) = leaving {
            let _ = self.commit_action(core, Action::Remove(member), now);
        }
    }

    fn note_answered(&mut self, reference: [u8; 32]) {
        if let Some(door) = &mut self.door {
            door.note_answered(reference);
        }
        if let Some(keeping) = &mut self.keeping {
            keeping.note_answered(reference);
        }
    }

    /// Takes what a member asks the keeper for.
    pub(super) fn handle_ask(
        &mut self,
        core: &mut Core,
        from: Leaf,
        action: Action,
        now: Instant,
    ) -> Result<(), ControlError> {
        let asker = self.group.member_at(from).map(|member| member.id).ok_or(ControlError::Malformed)?;
        let checked: Result<(), Violation> = policy::check_action(action, asker, &self.group.before());
        if let Err(violation) = checked {
            return Err(self.report(core, Some(from), violation));
        }
        let _ = match action {
            Action::Renew => self.note_renewal(core, asker, now),
            action => self.commit_action(core, action, now),
        };
        Ok(())
    }
}

/// How many may still be decrypted in this second.
pub(super) struct Budget {
    each: u32,
    left: u32,
    refilled: Instant,
}

impl Budget {
    pub(super) fn new(each: u32, now: Instant) -> Self {
        Self { each, left: each, refilled: now }
    }

    pub(super) fn spend(&mut self, now: Instant) -> Result<(), ControlError> {
        if now.saturating_duration_since(self.refilled) >= Duration::from_secs(1) {
            *self = Self::new(self.each, now);
        }
        self.left = self.left.checked_sub(1).ok_or(ControlError::Flood)?;
        Ok(())
    }
}

/// Heartbeats that may still be answered: those within the time that one proves something.
const MAX_BEATS: usize = 16;
/// Petitions that are decrypted in a second; others are repeated by their senders.
const PETITIONS_PER_SECOND: u32 = 64;
/// Answers that are remembered.
const MAX_ANSWERED: usize = 4_096;
/// Orders in one petition that do not hold, before the rest is not looked at.
const MAX_FORGED: usize = 4;
