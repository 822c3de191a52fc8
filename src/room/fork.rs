//! Heartbeats: proof that the keeper lives, its word for a commit, or news of a branch that is not ours
//! (SPEC sections 7.6 and 7.7).
//!
//! ```text
//! heartbeat > genuine > here?  > proof of life
//!                       past?  > nothing
//!                       ahead? > merge what waits for it, or 3 s later come back
//!                       wins?  > stop sending, come back
//! ```

use std::time::{Duration, Instant};

use super::{
    core::Core,
    error::ControlError,
    lineage::{Claim, reclaims, successors},
    liveness::{Doubt, PROOF_HOLDS},
    returning::Returning,
    seat::{Outcome, Seat, carry_out},
    succession::SILENT_AFTER,
};
use crate::{
    group::{
        announcement::Announcement,
        chain,
        message::{Broken, Heartbeat},
        mls::{Failure, JoinKey},
        state::MAX_LEAP,
    },
    id::{Epoch, MemberId},
};

/// A branch, or a later epoch of our own, that we are not in and ought to be in.
pub(super) struct Rival {
    pub(super) keeper: MemberId,
    pub(super) door: JoinKey,
    pub(super) epoch: Epoch,
    pub(super) branch: [u8; 32],
    /// Whether its host is ours, as far as it says.
    pub(super) same_host: bool,
    /// When we ask to be let in, unless what we lack comes before.
    pub(super) ask_at: Instant,
    pub(super) heard_at: Instant,
    /// When what was heard was made, by our own clock.
    pub(super) proved: Instant,
}

impl Seat {
    /// Takes a heartbeat: the cheapest checks first, and nothing changes for one that is not genuine.
    pub(super) fn handle_heartbeat(
        &mut self,
        core: &mut Core,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let (by, state) = (heartbeat.keeper(), self.group.state());
        if let Some(order) = state.order(by).filter(|order| order.bans).copied() {
            if heartbeat.is_genuine(self.group.id()) {
                self.outlaws.show(core, order, now);
            }
            return Err(ControlError::NotTheKeeper);
        }
        if self.group.member(by).is_none() && !self.strangers.knows(by) {
            let known = self.group.roster().iter().map(|member| member.id);
            self.strangers.ask(core, self.group.id(), known, now);
            return Err(ControlError::NotTheKeeper);
        }
        let here = heartbeat.epoch == self.group.epoch() && heartbeat.branch == self.group.branch();
        if by == core.identity.id() || here && by != state.keeper {
            // Ours, come back or of another time, or by which a former keeper let others follow us.
            return Err(ControlError::Own);
        }
        if !heartbeat.is_genuine(self.group.id()) {
            return Err(ControlError::NotTheKeeper);
        }
        if here {
            return self.take_proof(core, heartbeat, now);
        }
        if self.lineage.contains(heartbeat) {
            return Err(ControlError::Stale);
        }
        let ahead = heartbeat.epoch > self.group.epoch();
        if by == state.keeper {
            // A branch that it kept once and has left is behind this term.
            if heartbeat.term < state.term {
                return Err(ControlError::Stale);
            }
            if !ahead && (heartbeat.epoch < self.group.epoch() || heartbeat.branch > self.group.branch()) {
                return Err(ControlError::OtherBranch);
            }
            self.liveness.note_heard(now);
            self.expect(heartbeat.epoch, heartbeat.branch);
        } else {
            if !self.lineage.is_fresh(by, heartbeat.at_ms, core.clock.unix(now)) {
                return Err(ControlError::Stale);
            }
            if core.times.is_old(by, heartbeat.at_ms, PROOF_HOLDS, now) {
                // Of a branch that may be gone by now.
                return Err(ControlError::Stale);
            }
            let silent = now.saturating_duration_since(self.heard_at()) >= SILENT_AFTER;
            let lives = if self.keeps() { !self.liveness.is_deserted(now) } else { !silent };
            let (founder, id) = (state.terms.founder, self.group.id());
            if !chain::is_genuine(&heartbeat.chain, founder, id, state.chain()) {
                return Err(ControlError::OtherBranch);
            }
            let claim = |keeper| Claim::of(keeper, state, &heartbeat.chain);
            if lives && !claim(by).beats(&claim(state.keeper)) {
                if ahead {
                    self.part(core, now);
                }
                return Err(ControlError::OtherBranch);
            }
        }
        let most = self.group.state().term.saturating_add(MAX_LEAP - 1);
        self.highest_term = self.highest_term.max(heartbeat.term.min(most));
        self.note_rival(core, heartbeat, ahead, now);
        Ok(self.try_pending(core, now))
    }

    fn take_proof(
        &mut self,
        core: &mut Core,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        self.door_key = Some(JoinKey(heartbeat.door_key));
        let made = core.times.hear(heartbeat.keeper(), heartbeat.at_ms, Duration::ZERO, now);
        let verdict = self.liveness.prove(heartbeat.at_ms, made, now).map_err(|_| ControlError::Stale)?;
        self.schedule.handle_elapsed(Duration::from_millis(heartbeat.elapsed_ms), now);
        carry_out(core, verdict);
        // The keeper has to hear that it is followed: from whoever would take over from it.
        let own = core.identity.id();
        let successors = successors(self.group.roster(), heartbeat.keeper());
        let place = successors.iter().position(|member| member.id == own);
        if place.is_some_and(|place| echoes(place, successors.len(), heartbeat.at_ms)) {
            let echo = Announcement::Echo { heard_ms: heartbeat.at_ms, at_ms: core.stamp_ms(now) };
            // One that is lost is followed by the next.
            let _ = self.announce(core, &echo);
        }
        Ok(Outcome::Stays)
    }

    /// Somebody went on from our epoch without us, and has to give way: but where we are is its own past, and by that it
    /// does not know us. A commit of ours makes two branches of it.
    fn part(&mut self, core: &mut Core, now: Instant) {
        let lately = self.parted_at.is_some_and(|at| now.saturating_duration_since(at) < PART_AGAIN);
        if !self.keeps() || lately {
            return;
        }
        self.parted_at = Some(now);
        let next = self.intended().with_keeper(core.identity.id(), self.highest_term);
        // What fails is tried again at the next heartbeat from there.
        let _ = self.commit(core, &[], Some(next), now);
        self.send_heartbeat(core, now);
    }

    /// Notes that the keeper counts this branch as that of a later epoch.
    fn expect(&mut self, epoch: Epoch, branch: [u8; 32]) {
        self.expected.retain(|(other, _)| *other != epoch);
        if self.expected.len() >= MAX_EXPECTED {
            self.expected.pop_front();
        }
        self.expected.push_back((epoch, branch));
    }

    /// Stops sending, because of what a genuine heartbeat says.
    fn note_rival(&mut self, core: &mut Core, heartbeat: &Heartbeat, ahead: bool, now: Instant) {
        let (keeper, state) = (heartbeat.keeper(), self.group.state());
        let claim = |keeper| Claim::of(keeper, state, &heartbeat.chain);
        let better = |rival: &Rival| claim(rival.keeper).beats(&claim(keeper));
        if self.rival.as_ref().is_some_and(|rival| rival.keeper != keeper && better(rival)) {
            return;
        }
        let patience = if ahead {
            BEHIND_FOR
        } else {
            // Not all at once.
            SPREAD * (self.group.own_leaf().0 % 64)
        };
        let same = self.rival.as_ref().filter(|rival| rival.keeper == keeper);
        let ask_at = same.map_or(now + patience, |rival| rival.ask_at);
        let proved = core.times.hear(keeper, heartbeat.at_ms, Duration::ZERO, now);
        self.rival = Some(Rival {
            keeper,
            door: JoinKey(heartbeat.door_key),
            epoch: heartbeat.epoch,
            branch: heartbeat.branch,
            same_host: heartbeat.chain == state.chain(),
            ask_at,
            heard_at: now,
            proved,
        });
        let verdict = self.liveness.doubt(if ahead { Doubt::Behind } else { Doubt::Fork });
        carry_out(core, verdict);
    }

    /// What is left of a rival in the epoch that has just begun.
    pub(super) fn review_rival(&mut self, now: Instant) -> Option<Doubt> {
        let rival = self.rival.as_mut()?;
        if self.lineage.was_in(rival.epoch, &rival.branch) {
            self.liveness.note_proof(rival.proved, now);
            self.rival = None;
            self.returning = None;
            return None;
        }
        if rival.epoch > self.group.epoch() {
            // We get on, if slowly.
            rival.ask_at = rival.ask_at.max(now + BEHIND_FOR);
            return Some(Doubt::Behind);
        }
        rival.ask_at = rival.ask_at.min(now);
        Some(Doubt::Fork)
    }

    /// Asks to be let into the branch that wins, or gives up on it when nothing is heard of it any more.
    pub(super) fn tend_rival(&mut self, core: &mut Core, now: Instant) -> Result<(), Failure> {
        let Some(rival) = &self.rival else { return Ok(()) };
        if now.saturating_duration_since(rival.heard_at) >= PROOF_HOLDS {
            self.rival = None;
            self.returning = None;
            let verdict = self.liveness.settle(now);
            carry_out(core, verdict);
            return Ok(());
        }
        if now < rival.ask_at {
            return Ok(());
        }
        if now.saturating_duration_since(rival.ask_at) >= IN_VAIN_AFTER && self.is_above(rival) {
            self.rival = None;
            self.returning = None;
            let verdict = self.liveness.settle(now);
            carry_out(core, verdict);
            self.take_over(core, now);
            return Ok(());
        }
        if self.returning.is_none() {
            self.returning = Some(Returning::new(core, self.group.id(), self.group.key_exchange(), now)?);
        }
        match &mut self.returning {
            Some(returning) => {
                let (id, orders) = (self.group.id(), self.group.state().orders());
                let here = |broken: &Broken| broken.epoch == self.group.epoch() && rival.epoch > broken.epoch;
                let broken = self.broken_commit.filter(here);
                returning.tend(core, rival, id, orders, broken, now)
            }
            None => Ok(()),
        }
    }

    /// Whether the keeping is ours rather than the rival's, by rank.
    fn is_above(&self, rival: &Rival) -> bool {
        let state = self.group.state();
        // Somebody to whom the room was handed over may have a rank that we do not know of.
        let ranked = rival.same_host || rival.keeper == state.keeper;
        let own = self.group.member_at(self.group.own_leaf()).filter(|_| ranked && !self.keeps());
        own.is_some_and(|own| reclaims(own.role, state.role(rival.keeper)))
    }

    pub(super) fn rival_timeout(&self) -> Option<Instant> {
        let rival = self.rival.as_ref()?;
        let again = self.returning.as_ref().map_or(rival.ask_at, Returning::poll_timeout);
        let ask = rival.ask_at.max(again);
        Some(ask.min(rival.heard_at + PROOF_HOLDS))
    }
}

/// How long what we lack may take to come by itself.
pub(super) const BEHIND_FOR: Duration = Duration::from_secs(3);
/// How long somebody of higher rank asks a keeper to let it return.
const IN_VAIN_AFTER: Duration = Duration::from_secs(10);
/// How long a commit to part from another branch is enough.
const PART_AGAIN: Duration = Duration::from_secs(10);
/// Who answers a heartbeat: the first successors, who may be gone for good, and others in turn, about eight at a time.
fn echoes(place: usize, of: usize, at_ms: u64) -> bool {
    let turns = of.div_ceil(8).max(1);
    let turn = usize::try_from(at_ms / 5_000 % turns as u64).unwrap_or(0);
    place < ALWAYS_ECHO || place % turns == turn
}

const ALWAYS_ECHO: usize = 3;
const SPREAD: Duration = Duration::from_millis(15);
/// Branches of later epochs that the keeper has vouched for.
const MAX_EXPECTED: usize = 64;
