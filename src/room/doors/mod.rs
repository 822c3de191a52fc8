//! The door of somebody of rank: opens knocks, asks the application, answers (SPEC section 7, rules
//! D1 to D9). Every moderator has one; the keeper adds whom any of them admits.

mod answers;
pub(super) mod badges;
mod places;
mod waiting;

use std::time::{Duration, Instant};

use self::badges::has_spare_words;
use super::{
    bounded::{OF_STRANGERS, OPENED, Rate, Recent},
    error::{CommandError, ControlError},
    event::{Event, KnockId},
    options::Admission,
    outbox::Outbox,
};
use crate::{
    Seed,
    defence::{Defence, holds},
    group::{KeyExchange, Name, signing::SigningKey},
    id::{IdentityKey, MemberId, UnixTime},
    law::{self, InviteState, Law, Role, Store, Tag},
    mls::{self, Candidate, Failure, Occupant, Purpose, Sealed, SealingSecret},
    wire::{
        answer::RefuseReason,
        door::{Badge, Door},
        knock::{Knock, KnockContent},
        signed::{Genuine, Signed},
    },
};

/// What one member of rank keeps of its door.
pub(super) struct Doors {
    key_exchange: KeyExchange,
    /// Its seed is kept durably, so that newcomers who know the door find it again after a restart.
    answer: SigningKey,
    sealing_ikm: Seed,
    sealing: SealingSecret,
    badge: Option<Genuine<Badge>>,
    pub(super) admission: Admission,
    waiting: Vec<Waiting>,
    next: u64,
    answered: Recent<[u8; 32], 4_096>,
    opened: Rate<()>,
    /// Knocks that were answered with Waiting or Refused.
    answers: Rate<()>,
    opened_in: Rate<()>,
    told_refused: Rate<()>,
    /// Admissions by invites, counted here: (tag, uses).
    used: Vec<(Tag, u16)>,
}

/// A person who knocked and has no answer yet.
struct Waiting {
    id: KnockId,
    guest: Admitted,
    since: Instant,
    knocked_at: Instant,
    /// When it was told last that somebody is asked.
    said_at: Instant,
}

/// The invite that a knock came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) tag: Tag,
    pub(super) uses: u16,
    pub(super) role: Role,
}

/// Somebody who may come in, and what answers go to.
pub(super) struct Admitted {
    pub(super) candidate: Candidate,
    pub(super) key_package: Vec<u8>,
    pub(super) one_use: Vec<u8>,
    pub(super) reference: [u8; 32],
    pub(super) invite: Used,
}

impl Doors {
    pub(super) fn new(
        out: &mut Outbox,
        key_exchange: KeyExchange,
        admission: Admission,
    ) -> Result<Self, Failure> {
        let (answer, sealing) = (out.rng.seed(), out.rng.seed());
        Self::from_seeds(key_exchange, answer, sealing, admission)
    }

    pub(super) fn from_seeds(
        key_exchange: KeyExchange,
        answer: Seed,
        sealing_ikm: Seed,
        admission: Admission,
    ) -> Result<Self, Failure> {
        Ok(Self {
            key_exchange,
            answer: SigningKey::from_seed(answer),
            sealing: SealingSecret::derive(key_exchange, &sealing_ikm)?,
            sealing_ikm,
            badge: None,
            admission,
            waiting: Vec::new(),
            next: 0,
            answered: Recent::default(),
            opened: Rate::of(OPENED),
            answers: Rate::of(OF_STRANGERS),
            opened_in: Rate::new(30, Duration::from_secs(60)),
            told_refused: Rate::new(8, Duration::from_secs(10)),
            used: Vec::new(),
        })
    }

    pub(super) fn seeds(&self) -> (&Seed, &Seed) {
        (self.answer.seed(), &self.sealing_ikm)
    }

    pub(super) fn answer_key(&self) -> [u8; 32] {
        *self.answer.public()
    }

    /// The door, to be passed on by heartbeats; `None` until a host has signed its badge for this
    /// office.
    pub(super) fn door(&self, store: &Store) -> Option<Signed<Door>> {
        let badge = self.badge.as_ref().filter(|badge| badge.content().office == store.law().office().0)?;
        let hpke = self.sealing.public().as_bytes().to_vec();
        Some(Signed::door(badge.clone(), hpke, &self.answer, &store.known().group_id().0))
    }

    /// Whether the host should sign a badge for this door: the one at hand is of another table.
    pub(super) fn wants_badge(&self, law: &Law) -> bool {
        let badge = self.badge.as_ref().map(Genuine::content);
        let no = law.table_no().unwrap_or(0);
        !badge.is_some_and(|badge| badge.office == law.office().0 && badge.no >= no)
    }

    pub(super) fn set_badge(&mut self, badge: Genuine<Badge>) {
        self.badge = Some(badge);
    }

    /// Takes a knock, with the leaves of the tree. A person who comes in at once is returned.
    pub(super) fn handle_knock(
        &mut self,
        out: &mut Outbox,
        store: &Store,
        tree: &[Occupant],
        knock: &Knock,
        now: Instant,
    ) -> Result<Option<Admitted>, ControlError> {
        if !knock.is_at(self.answer.public()) {
            return Ok(None);
        }
        if self.answered.contains(&knock.reference) {
            return Err(ControlError::Repeated);
        }
        if !self.opened.take((), now) {
            return Err(ControlError::Flood);
        }
        let group_id = store.known().group_id().0;
        let aad = Knock::aad(&group_id, self.answer.public(), &knock.reference);
        let sealed = Sealed { kem_output: knock.kem.clone(), sealed: knock.sealed.clone() };
        let plain = self.sealing.open(Purpose::Knock, &sealed, &aad);
        let plain = plain.ok_or(ControlError::Undecryptable)?;
        let content = KnockContent::decode(&plain).map_err(|_| ControlError::Malformed)?;
        if let Some(waiting) =
            self.waiting.iter_mut().find(|waiting| waiting.guest.reference == knock.reference)
        {
            // Nothing but the sealed content tells the person's knock from noise with the same
            // reference.
            if waiting.guest.key_package != content.key_package {
                return Err(ControlError::Malformed);
            }
            waiting.knocked_at = now;
            if waiting.said_at + WAITING_AGAIN > now {
                return Err(ControlError::Repeated);
            }
            if !self.answers.take((), now) {
                return Err(ControlError::Flood);
            }
            waiting.said_at = now;
            let (one_use, reference) = (waiting.guest.one_use.clone(), knock.reference);
            self.say_waiting(out, store, &one_use, reference);
            return Ok(None);
        }
        let unix = out.clock.unix(now);
        let candidate = match Candidate::vet(&content.key_package, &group_id, self.key_exchange) {
            Ok(candidate) => candidate,
            Err(violation) => {
                if violation == mls::Violation::Lifetime && self.answers.take((), now) {
                    // Its clock is months off. It is told, or it would wait for ever.
                    self.refuse_with(out, store, &content.one_use, knock.reference, RefuseReason::Clock);
                    self.tell_refused(out, None, RefuseReason::Clock, now);
                }
                return Err(ControlError::KeyPackage(violation.into()));
            }
        };
        if candidate.reference != knock.reference {
            return Err(ControlError::Malformed);
        }
        if places::is_taken_by(tree, &candidate) {
            self.let_go(out, candidate.id);
            return Err(ControlError::Repeated);
        }
        let invite = self.check(store, &content, &candidate, unix);
        let invite = match invite
            .and_then(|invite| places::check(tree, &candidate, self.key_exchange).map(|()| invite))
        {
            Ok(invite) => invite,
            Err(reason) => {
                if !self.answers.take((), now) {
                    return Err(ControlError::Flood);
                }
                self.tell_refused(out, Some(&candidate), reason, now);
                self.refuse_with(out, store, &content.one_use, knock.reference, reason);
                return Ok(None);
            }
        };
        let KnockContent { key_package, one_use, .. } = content;
        let guest = Admitted { candidate, key_package, one_use, reference: knock.reference, invite };
        Ok(self.decide(out, store, guest, now))
    }

    fn tell_refused(
        &mut self,
        out: &mut Outbox,
        candidate: Option<&Candidate>,
        reason: RefuseReason,
        now: Instant,
    ) {
        if self.told_refused.take((), now) {
            let (member, name) = candidate.map(|candidate| (candidate.id, candidate.name.clone())).unzip();
            out.tell(Event::KnockRefused { member, name, reason });
        }
    }

    /// Whether a knock may be answered with yes, and under which invite.
    fn check(
        &self,
        store: &Store,
        content: &KnockContent,
        candidate: &Candidate,
        unix: UnixTime,
    ) -> Result<Used, RefuseReason> {
        let (law, terms) = (store.law(), store.known().terms());
        let position = law.standing_of(&law.tag(&candidate.key));
        if position.banned && law.rank_of(&candidate.key) == law::Rank::None {
            return Err(RefuseReason::Banned);
        }
        if !super::freshness::is_timely_for_door(candidate.made_ms, unix.0.saturating_mul(1_000)) {
            return Err(RefuseReason::Clock);
        }
        if unix >= content.expires {
            return Err(RefuseReason::Expired);
        }
        let tag = terms.invite_tag(&content.invite.0, content.expires.0, content.uses);
        let role = match law.invite(&tag) {
            Some(InviteState::Live(role)) => role,
            // Of a single use, `out` says that somebody came in by it.
            Some(InviteState::Revoked) if content.uses == 1 => return Err(RefuseReason::UsedUp),
            Some(InviteState::Revoked) | None => return Err(RefuseReason::Revoked),
        };
        let admitted = law.admits(&candidate.key);
        if law.is_locked() && !admitted {
            return Err(RefuseReason::Locked);
        }
        let used = self.used.iter().find(|(other, _)| *other == tag).map_or(0, |(_, used)| *used);
        if content.uses != 0 && used >= content.uses && !admitted {
            return Err(RefuseReason::UsedUp);
        }
        Ok(Used { tag, uses: content.uses, role })
    }

    /// Lets somebody in at once, or has it wait.
    fn decide(&mut self, out: &mut Outbox, store: &Store, guest: Admitted, now: Instant) -> Option<Admitted> {
        let (law, candidate, invite) = (store.law(), &guest.candidate, guest.invite);
        let position = law.standing_of(&law.tag(&candidate.key));
        let admitted = law.admits(&candidate.key);
        // Only a user lets a person in again that a Word put out.
        let was_put_out = position.role == Role::Out && law.has_role_word(&law.tag(&candidate.key));
        let opens = self.admission == Admission::Open
            && !was_put_out
            && has_spare_words(law, out)
            && (self.opened_in.take((), now) || !holds(Defence::DoorPace));
        if admitted || opens {
            self.let_go(out, candidate.id);
            self.answered.note(guest.reference);
            return Some(guest);
        }
        if !self.answers.take((), now) {
            return None;
        }
        self.say_waiting(out, store, &guest.one_use, guest.reference);
        let mut before = self.waiting.iter_mut();
        if let Some(waiting) = before.find(|waiting| waiting.guest.candidate.id == candidate.id) {
            if candidate.made_ms > waiting.guest.candidate.made_ms {
                (waiting.guest, waiting.knocked_at, waiting.said_at) = (guest, now, now);
            }
            return None;
        }
        let of_invite = self.waiting.iter().filter(|waiting| waiting.guest.invite.tag == invite.tag).count();
        let most = if invite.uses == 0 { MAX_OF_INVITE } else { MAX_OF_INVITE.min(invite.uses.into()) };
        if holds(Defence::DoorBound) && (of_invite >= most || self.waiting.len() >= MAX_WAITING) {
            self.crowd_out(out, invite.tag, of_invite >= most);
        }
        let id = KnockId(self.next);
        self.next += 1;
        out.tell(Event::Knocked { knock: id, member: candidate.id, name: candidate.name.clone() });
        self.waiting.push(Waiting { id, guest, since: now, knocked_at: now, said_at: now });
        None
    }

    /// The identity that would be admitted, and the invite.
    pub(super) fn asks(&self, id: KnockId) -> Result<(IdentityKey, Used), CommandError> {
        let waiting = self.waiting.iter().find(|waiting| waiting.id == id);
        waiting
            .map(|waiting| (waiting.guest.candidate.key, waiting.guest.invite))
            .ok_or(CommandError::UnknownKnock)
    }

    /// The application lets somebody in.
    pub(super) fn admit(&mut self, id: KnockId) -> Result<Admitted, CommandError> {
        let guest = self.take(id)?.guest;
        self.answered.note(guest.reference);
        Ok(guest)
    }

    /// The application refuses somebody.
    pub(super) fn refuse(
        &mut self,
        out: &mut Outbox,
        store: &Store,
        id: KnockId,
    ) -> Result<(), CommandError> {
        let guest = self.take(id)?.guest;
        self.refuse_with(out, store, &guest.one_use, guest.reference, RefuseReason::Declined);
        Ok(())
    }

    fn take(&mut self, id: KnockId) -> Result<Waiting, CommandError> {
        let place = self.waiting.iter().position(|waiting| waiting.id == id);
        place.map(|place| self.waiting.remove(place)).ok_or(CommandError::UnknownKnock)
    }

    /// Somebody came in, or another door answered: the person does not wait here any more.
    pub(super) fn forget(&mut self, member: MemberId) -> Option<KnockId> {
        let place = self.waiting.iter().position(|waiting| waiting.guest.candidate.id == member)?;
        Some(self.waiting.remove(place).id)
    }

    /// Everybody who waits, in the order of coming.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (KnockId, MemberId, &Name)> {
        let waiting = self.waiting.iter().map(|waiting| (waiting.id, &waiting.guest.candidate));
        waiting.map(|(id, guest)| (id, guest.id, &guest.name))
    }

    /// The identity key of a person who waits.
    pub(super) fn key_of_person(&self, member: MemberId) -> Option<IdentityKey> {
        self.waiting.iter().map(|waiting| waiting.guest.candidate.key).find(|key| key.id() == member)
    }

    /// Counts an admission.
    pub(super) fn count_use(&mut self, tag: Tag) {
        if let Some((_, used)) = self.used.iter_mut().find(|(other, _)| *other == tag) {
            *used = used.saturating_add(1);
        } else if self.used.len() < MAX_COUNTED {
            self.used.push((tag, 1));
        }
    }

    /// How many came in by an invite through this door.
    pub(super) fn uses(&self, tag: &Tag) -> u16 {
        self.used.iter().find(|(other, _)| other == tag).map_or(0, |(_, used)| *used)
    }

    pub(super) fn counted(&self) -> &[(Tag, u16)] {
        &self.used
    }

    pub(super) fn restore_counts(&mut self, counts: Vec<(Tag, u16)>) {
        self.used = counts;
    }
}

const MAX_WAITING: usize = 64;
const MAX_OF_INVITE: usize = 32;
const MAX_COUNTED: usize = 256;
/// A person who waits is told so no more often.
const WAITING_AGAIN: Duration = Duration::from_secs(1);
