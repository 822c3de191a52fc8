//! The keeper's side of coming in: invites, knocks, and who is let in with the next commit (SPEC section 6.4).

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    core::Core,
    error::{CommandError, ControlError},
    event::{Event, KnockId},
    keeper::Budget,
    membership::DoorKeys,
    options::{Admission, InviteOptions},
};
use crate::{
    group::{
        Invite, InviteId, Role,
        invite::UnixTime,
        message::{Knock, Message, RefuseReason, Refused},
        mls::{Candidate, Failure, Group, JoinSecret, Purpose, knock_aad},
        policy::MAX_MEMBERS,
    },
    id::MemberId,
    keys::secret::Secret,
};

/// Who may knock, who waits, and who is about to come in.
pub(super) struct Door {
    secret: JoinSecret,
    admission: Admission,
    invites: BTreeMap<InviteId, Terms>,
    waiting: Vec<Waiting>,
    admitted: Vec<Admitted>,
    /// When the admitted are added: a little after the first, so that a crowd is one commit.
    batch_at: Option<Instant>,
    /// References of knocks that were answered, oldest first, so that a repeat is not answered again.
    answered: VecDeque<[u8; 32]>,
    next_id: u64,
    budget: Budget,
    /// When the door became ours.
    since: UnixTime,
}

struct Terms {
    expires: UnixTime,
    /// How many more it lets in; `None` is any number.
    uses: Option<u16>,
}

struct Waiting {
    id: KnockId,
    invite: InviteId,
    candidate: Candidate,
}

/// Somebody who will be added by the next commit.
pub(super) struct Admitted {
    pub(super) candidate: Candidate,
    pub(super) role: Option<Role>,
}

impl Door {
    pub(super) fn new(secret: JoinSecret, admission: Admission, now: Instant, unix: UnixTime) -> Self {
        Self {
            secret,
            admission,
            invites: BTreeMap::new(),
            waiting: Vec::new(),
            admitted: Vec::new(),
            batch_at: None,
            answered: VecDeque::new(),
            next_id: 0,
            budget: Budget::new(KNOCKS_PER_SECOND, now),
            since: unix,
        }
    }

    /// The door as somebody else had it.
    pub(super) fn from_keys(keys: DoorKeys, now: Instant, unix: UnixTime) -> Result<Self, Failure> {
        let mut door = Self::new(JoinSecret::derive(&keys.ikm)?, keys.admission, now, unix);
        door.invites =
            keys.invites.into_iter().map(|(id, expires, uses)| (id, Terms { expires, uses })).collect();
        Ok(door)
    }

    /// What it takes to let people in, for a store or another moderator.
    pub(super) fn keys(&self) -> DoorKeys {
        let ikm = self.secret.ikm();
        DoorKeys {
            ikm: Secret::filled(ikm.len(), |out| out.copy_from_slice(ikm)),
            admission: self.admission,
            invites: self.invites.iter().map(|(id, terms)| (*id, terms.expires, terms.uses)).collect(),
        }
    }

    pub(super) fn invite(
        &mut self,
        core: &mut Core,
        group: &Group,
        options: InviteOptions,
        now: Instant,
    ) -> Result<Invite, CommandError> {
        let unix = core.clock.unix(now);
        self.invites.retain(|_, terms| unix < terms.expires);
        if self.invites.len() >= MAX_INVITES {
            return Err(CommandError::TooManyInvites);
        }
        let id = InviteId(core.random());
        let uses = options.uses.map(u16::from);
        let expires = unix.after(options.lasts);
        self.invites.insert(id, Terms { expires, uses });
        Ok(Invite {
            id,
            lane: core.lane.copy(),
            join_key: self.secret.public(),
            group_id: group.id().try_into().map_err(|_| CommandError::NotInRoom)?,
            key_exchange: group.key_exchange(),
            host: group.state().host(),
            relays: core.relays.clone(),
            expires,
            uses: uses.unwrap_or(0),
        })
    }

    /// Takes a knock: the cheapest checks first, and nothing is kept of one that fails. A member that is here
    /// already and starts again comes out.
    pub(super) fn handle_knock(
        &mut self,
        core: &mut Core,
        group: &Group,
        knock: &Knock,
        now: Instant,
    ) -> Result<Option<Candidate>, ControlError> {
        if self.knows(&knock.reference) {
            return Err(ControlError::Repeated);
        }
        let invite = InviteId(knock.invite);
        let terms = self.invites.get(&invite).ok_or(ControlError::UnknownInvite)?;
        let (expires, used_up) = (terms.expires, terms.uses == Some(0));
        self.budget.spend(now)?;
        let unix = core.clock.unix(now);
        let aad = knock_aad(group.id(), &knock.invite, &knock.reference);
        let key_package = self.secret.open(Purpose::Knock, &knock.kem_output, &knock.sealed, &aad);
        let key_package = key_package.ok_or(ControlError::Undecryptable)?;
        let candidate = Candidate::vet(&key_package, group.id(), group.key_exchange(), unix)
            .map_err(ControlError::KeyPackage)?;
        if candidate.reference != knock.reference {
            return Err(ControlError::Malformed);
        }
        let member = candidate.member;
        let refusal = if group.state().is_banned(member) {
            Some(RefuseReason::Banned)
        } else if unix >= expires {
            Some(RefuseReason::Expired)
        } else if used_up {
            Some(RefuseReason::UsedUp)
        } else if group.member(member).is_some() {
            // An old knock, played again, must not put out who is here: those who came before us knock with what
            // was made after we came, by our clock.
            let since = group.made(member).unwrap_or(self.since);
            if candidate.made > since && candidate.made.0.abs_diff(unix.0) <= RECENT {
                return Ok(Some(candidate));
            }
            Some(RefuseReason::Present)
        } else if group.roster().len() + self.admitted.len() >= MAX_MEMBERS {
            Some(RefuseReason::Full)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.answer(core, group, knock.reference, reason);
            return Ok(None);
        }
        self.let_wait(core, group, invite, candidate, now).map(|()| None)
    }

    /// Admits somebody who waits.
    pub(super) fn admit(
        &mut self,
        core: &mut Core,
        group: &Group,
        knock: KnockId,
        role: Option<Role>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let waiting = self.take(knock)?;
        self.enlist(core, group, waiting.invite, Admitted { candidate: waiting.candidate, role }, now);
        Ok(())
    }

    pub(super) fn refuse(
        &mut self,
        core: &mut Core,
        group: &Group,
        knock: KnockId,
    ) -> Result<(), CommandError> {
        let waiting = self.take(knock)?;
        self.answer(core, group, waiting.candidate.reference, RefuseReason::Declined);
        Ok(())
    }

    /// Turns away whoever waits or is about to come in under this identity.
    pub(super) fn turn_away(&mut self, core: &mut Core, group: &Group, member: MemberId) {
        let waiting = self.waiting.extract_if(.., |waiting| waiting.candidate.member == member);
        let mut references: Vec<_> = waiting.map(|waiting| waiting.candidate.reference).collect();
        let admitted = self.admitted.extract_if(.., |admitted| admitted.candidate.member == member);
        references.extend(admitted.map(|admitted| admitted.candidate.reference));
        for reference in references {
            self.answer(core, group, reference, RefuseReason::Banned);
        }
    }

    /// Those to be added now, at most as many as one commit adds.
    pub(super) fn take_batch(&mut self, now: Instant) -> Vec<Admitted> {
        let rest = self.admitted.split_off(self.admitted.len().min(MAX_BATCH));
        let batch = std::mem::replace(&mut self.admitted, rest);
        self.batch_at = (!self.admitted.is_empty()).then_some(now);
        batch
    }

    /// Says that a knock was answered, by a welcome or a refusal.
    pub(super) fn note_answered(&mut self, reference: [u8; 32]) {
        if self.answered.len() == MAX_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(reference);
    }

    pub(super) fn answer(
        &mut self,
        core: &mut Core,
        group: &Group,
        reference: [u8; 32],
        reason: RefuseReason,
    ) {
        let certificate = group.state().certificate(core.identity.id()).copied();
        let refused = Refused::new(&core.identity, group.id(), reference, reason, certificate);
        core.send(&Message::Refused(refused));
        self.note_answered(reference);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.batch_at
    }

    fn let_wait(
        &mut self,
        core: &mut Core,
        group: &Group,
        invite: InviteId,
        candidate: Candidate,
        now: Instant,
    ) -> Result<(), ControlError> {
        let member = candidate.member;
        // Somebody who starts again knocks with a new KeyPackage, and cannot use the old one any more.
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.candidate.member == member) {
            let old = std::mem::replace(&mut waiting.candidate, candidate);
            self.note_answered(old.reference);
            return Ok(());
        }
        if let Some(admitted) = self.admitted.iter_mut().find(|admitted| admitted.candidate.member == member)
        {
            let old = std::mem::replace(&mut admitted.candidate, candidate);
            self.note_answered(old.reference);
            return Ok(());
        }
        if self.admission == Admission::Open {
            self.enlist(core, group, invite, Admitted { candidate, role: None }, now);
            return Ok(());
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(ControlError::Flood);
        }
        let id = KnockId(self.next_id);
        self.next_id += 1;
        core.events.push_back(Event::Knocked { knock: id, member, name: candidate.name.clone() });
        self.waiting.push(Waiting { id, invite, candidate });
        Ok(())
    }

    /// Puts somebody on the list of the next commit, if the invite has a use left.
    fn enlist(&mut self, core: &mut Core, group: &Group, invite: InviteId, admitted: Admitted, now: Instant) {
        // An invite that expired while its knock waited lets in whom the host still admits.
        if let Some(uses) = self.invites.get_mut(&invite).and_then(|terms| terms.uses.as_mut()) {
            match uses.checked_sub(1) {
                Some(left) => *uses = left,
                None => return self.answer(core, group, admitted.candidate.reference, RefuseReason::UsedUp),
            }
        }
        self.admitted.push(admitted);
        self.batch_at.get_or_insert(now + BATCH);
    }

    fn take(&mut self, knock: KnockId) -> Result<Waiting, CommandError> {
        let at =
            self.waiting.iter().position(|waiting| waiting.id == knock).ok_or(CommandError::UnknownKnock)?;
        Ok(self.waiting.remove(at))
    }

    fn knows(&self, reference: &[u8; 32]) -> bool {
        self.waiting.iter().any(|waiting| waiting.candidate.reference == *reference)
            || self.admitted.iter().any(|admitted| admitted.candidate.reference == *reference)
            || self.answered.contains(reference)
    }
}

/// How long the first of a batch waits for others.
pub(super) const BATCH: Duration = Duration::from_millis(250);
/// Members that one commit adds: the cost of a batch is quadratic.
const MAX_BATCH: usize = 128;
/// Knocks that wait for the host.
const MAX_WAITING: usize = 64;
/// Knocks that are decrypted in a second; others are repeated by their senders.
const KNOCKS_PER_SECOND: u32 = 64;
/// Answers that are remembered.
const MAX_ANSWERED: usize = 4096;
/// Invites that have not expired.
pub(super) const MAX_INVITES: usize = 256;
/// Seconds for which a knock of somebody who is here already is one of now.
const RECENT: u64 = 300;
