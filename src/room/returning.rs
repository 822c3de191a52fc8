//! Coming back: a member that lost the thread of its room asks the keeper for its place again, and nobody is asked
//! for it (SPEC section 7.7).
//!
//! ```text
//! seat with a rival ──┐
//! memory of a room ───┴─ heartbeat > Petition, every 2 s > Welcome > seat
//! ```

use std::time::{Duration, Instant};

use super::{
    core::Core,
    door::Door,
    error::ControlError,
    fork::Rival,
    held::Held,
    lineage::{Claim, Lineage},
    liveness::PROOF_HOLDS,
    membership::Memory,
    outlaw::Outlaws,
    strangers::Strangers,
};
use crate::group::{
    chain,
    message::{Broken, Heartbeat, Message, Petition, Plea, Refused},
    mls::{Applicant, Because, Entry, Expected, Failure, Group, JoinError, JoinKey, Purpose, petition_aad},
    order::Order,
    state::RoomState,
    vouch::Vouch,
};
use crate::{group::KeyExchange, id::MemberId};

/// A KeyPackage on its way to a keeper.
pub(super) struct Returning {
    applicant: Applicant,
    /// When the KeyPackage was made: a welcome that answers it is later.
    made_at: Instant,
    again_at: Instant,
    /// How often this KeyPackage is still sent.
    left: u32,
    /// Messages of the room that came before our welcome.
    held: Held,
}

impl Returning {
    pub(super) fn new(
        core: &mut Core,
        group_id: &[u8],
        key_exchange: KeyExchange,
        now: Instant,
    ) -> Result<Self, Failure> {
        let applicant = core.apply(group_id, key_exchange, now)?;
        Ok(Self { applicant, made_at: now, again_at: now, left: SAME_KEY_PACKAGE, held: Held::default() })
    }

    /// Asks again if it is time to. Its seal and its envelope are new each time. The KeyPackage is for a while the
    /// same, so that we are not let in twice, and then another, since a welcome may be lost and none is repeated.
    pub(super) fn tend(
        &mut self,
        core: &mut Core,
        to: &Rival,
        group_id: &[u8],
        orders: &[Order],
        broken: Option<Broken>,
        now: Instant,
    ) -> Result<(), Failure> {
        if now < self.again_at {
            return Ok(());
        }
        self.again_at = now + ASK_AGAIN;
        if self.left == 0 {
            let key_exchange = self.applicant.key_exchange();
            (self.applicant, self.left) = (core.apply(group_id, key_exchange, now)?, SAME_KEY_PACKAGE);
            self.made_at = now;
        }
        self.left -= 1;
        let key_package = self.applicant.key_package().to_vec();
        let plea = Plea::Return { key_package, orders: orders.to_vec(), broken };
        petition(core, &to.door, group_id, *self.applicant.reference(), &plea)
    }

    #[cfg(test)]
    pub(super) fn reference(&self) -> &[u8; 32] {
        self.applicant.reference()
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.again_at
    }

    /// When the keeper that lets us in is known to have been there, by our own clock.
    pub(super) fn proved(&self, by: &Rival) -> Instant {
        self.made_at.max(by.proved)
    }

    pub(super) fn hold(&mut self, message: Vec<u8>, now: Instant) -> Result<(), ControlError> {
        self.held.keep(message, now).map_err(|_| ControlError::Overflow)
    }

    /// Whether the keeper that we asked refused this very petition.
    pub(super) fn is_refused_by(
        &self,
        refused: &Refused,
        keeper: MemberId,
        group_id: &[u8],
    ) -> Result<bool, ControlError> {
        if refused.reference != *self.applicant.reference() {
            return Ok(false);
        }
        if refused.is_from(keeper, group_id) { Ok(true) } else { Err(ControlError::NotTheKeeper) }
    }

    /// Checks a welcome against what we know of the room.
    pub(super) fn check(
        &self,
        welcome: &[u8],
        own: MemberId,
        group_id: &[u8],
        state: &RoomState,
        keeper: MemberId,
    ) -> Result<Entry, JoinError> {
        let because = Because::Before { state, keeper };
        self.applicant.check(welcome, &Expected { group_id, own, because })
    }

    /// Enters the room that was checked, with what was held for it.
    pub(super) fn enter(self, entry: Entry) -> Result<(Group, Held), Failure> {
        Ok((self.applicant.enter(entry)?, self.held))
    }
}

/// Seals a plea to a keeper and sends it.
pub(super) fn petition(
    core: &mut Core,
    door: &JoinKey,
    group_id: &[u8],
    reference: [u8; 32],
    plea: &Plea,
) -> Result<(), Failure> {
    let aad = petition_aad(group_id, &door.0, &reference);
    let sealed = door.seal(Purpose::Petition, &plea.encode(), &aad)?;
    core.send(&Message::Petition(Petition {
        reference,
        kem_output: sealed.kem_output,
        sealed: sealed.sealed,
    }));
    Ok(())
}

/// Somebody who was in the room and has nothing of it but the memory.
pub(super) struct Absent {
    pub(super) memory: Memory,
    pub(super) door: Option<Box<Door>>,
    pub(super) rival: Option<Rival>,
    pub(super) returning: Option<Returning>,
    lineage: Lineage,
    strangers: Strangers,
    outlaws: Outlaws,
}

impl Absent {
    pub(super) fn new(memory: Memory, door: Option<Box<Door>>) -> Self {
        Self {
            memory,
            door,
            rival: None,
            returning: None,
            lineage: Lineage::default(),
            strangers: Strangers::default(),
            outlaws: Outlaws::default(),
        }
    }

    /// Listens for whoever keeps the room now; of two keepers the one whose branch wins.
    pub(super) fn handle_heartbeat(
        &mut self,
        core: &mut Core,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Result<(), ControlError> {
        let keeper = heartbeat.keeper();
        if keeper == core.identity.id() {
            return Err(ControlError::Own);
        }
        if let Some(order) = self.memory.state.order(keeper).filter(|order| order.bans).copied() {
            if heartbeat.is_genuine(&self.memory.group_id) {
                self.outlaws.show(core, order, now);
            }
            return Err(ControlError::NotTheKeeper);
        }
        if !self.memory.knows(keeper) && !self.strangers.knows(keeper) {
            self.strangers.ask(core, &self.memory.group_id, self.memory.members(), now);
            return Err(ControlError::NotTheKeeper);
        }
        if !heartbeat.is_genuine(&self.memory.group_id) {
            return Err(ControlError::NotTheKeeper);
        }
        if !self.lineage.is_fresh(keeper, heartbeat.at_ms, core.clock.unix(now)) {
            return Err(ControlError::Stale);
        }
        if core.times.is_old(keeper, heartbeat.at_ms, PROOF_HOLDS, now) {
            return Err(ControlError::Stale);
        }
        let state = &self.memory.state;
        let (founder, id) = (state.terms.founder, &self.memory.group_id);
        if !chain::is_genuine(&heartbeat.chain, founder, id, state.chain()) {
            return Err(ControlError::OtherBranch);
        }
        let claim = |keeper| Claim::of(keeper, state, &heartbeat.chain);
        self.memory.highest_term = self.memory.highest_term.max(heartbeat.term);
        let loses = |rival: &Rival| {
            let silent = now.saturating_duration_since(rival.heard_at) >= PROOF_HOLDS;
            rival.keeper != keeper && !silent && claim(rival.keeper).beats(&claim(keeper))
        };
        if self.rival.as_ref().is_some_and(loses) {
            return Err(ControlError::OtherBranch);
        }
        self.rival = Some(Rival {
            keeper,
            door: JoinKey(heartbeat.door_key),
            epoch: heartbeat.epoch,
            branch: heartbeat.branch,
            same_host: heartbeat.chain == state.chain(),
            ask_at: now,
            heard_at: now,
            proved: core.times.hear(keeper, heartbeat.at_ms, Duration::ZERO, now),
        });
        self.handle_timeout(core, now).map_err(|Failure(_)| ControlError::Undecryptable)
    }

    /// Somebody whom we know says who keeps the room now.
    pub(super) fn handle_vouch(
        &mut self,
        core: &Core,
        vouch: &Vouch,
        now: Instant,
    ) -> Result<(), ControlError> {
        if !self.memory.knows(vouch.by()) || self.memory.state.is_banned(vouch.by()) {
            return Err(ControlError::NotAMember);
        }
        self.strangers.hear(core, &mut self.lineage, &self.memory.group_id, vouch, now)
    }

    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Instant) -> Result<(), Failure> {
        let silent = |rival: &mut Rival| now.saturating_duration_since(rival.heard_at) >= PROOF_HOLDS;
        self.rival.take_if(silent);
        let Some(rival) = &self.rival else { return Ok(()) };
        if self.returning.is_none() {
            let (id, exchange) = (&self.memory.group_id, self.memory.key_exchange);
            self.returning = Some(Returning::new(core, id, exchange, now)?);
        }
        match &mut self.returning {
            Some(returning) => {
                returning.tend(core, rival, &self.memory.group_id, self.memory.state.orders(), None, now)
            }
            None => Ok(()),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.rival.as_ref()?;
        self.returning.as_ref().map(Returning::poll_timeout)
    }

    pub(super) fn hold(&mut self, message: Vec<u8>, now: Instant) -> Result<(), ControlError> {
        self.returning.as_mut().map_or(Ok(()), |returning| returning.hold(message, now))
    }
}

/// How long a petition waits for its answer before it is repeated.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How often one KeyPackage is sent.
const SAME_KEY_PACKAGE: u32 = 4;
