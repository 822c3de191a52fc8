//! Who comes in to hear, and why not (`spec/stage.md`, H8 and H9).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Desk;
use crate::{
    defence::{Defence, holds},
    keys::secret::Secret,
    law::{InviteState, Law, Rank, Tag},
    mls::{Purpose, SealingSecret},
    stage::{
        error::AudienceError,
        wire::{AnswerContent, KnockContent, Sealed, Ticket},
    },
    wire::answer::RefuseReason,
};

/// What a porter remembers of knocks.
#[derive(Default)]
pub(super) struct Doors {
    /// When knocks were opened, in this second.
    second: Option<Instant>,
    opened: u32,
    /// The newest knock of who does not sit here: tag and time by its clock, and when it came.
    last: BTreeMap<Tag, (u64, Instant)>,
    used: BTreeMap<Tag, u16>,
}

/// What becomes of a knock.
pub(super) enum Verdict {
    Admitted(Ticket),
    Refused(RefuseReason),
}

impl Doors {
    /// Opens a knock and checks whose it is.
    pub(super) fn open(
        &mut self,
        sealed: &Sealed,
        door: &SealingSecret,
        group_id: &[u8; 32],
        now: Instant,
    ) -> Result<KnockContent, AudienceError> {
        let fresh = self.second.is_none_or(|second| now.saturating_duration_since(second) >= SECOND);
        if fresh {
            (self.second, self.opened) = (Some(now), 0);
        }
        if self.opened >= MAX_OPENED {
            return Err(AudienceError::Flood);
        }
        self.opened += 1;
        let content = crate::mls::Sealed { kem_output: sealed.kem.clone(), sealed: sealed.sealed.clone() };
        let plain = door.open(Purpose::HallKnock, &content, &knock_aad(group_id, &sealed.to));
        let plain = plain.ok_or(AudienceError::Undecryptable)?;
        let knock = KnockContent::decode(&plain).map_err(|_| AudienceError::Malformed)?;
        knock.verify(&sealed.to, group_id).map_err(|_| AudienceError::Signature)?;
        Ok(knock)
    }

    /// Nothing that somebody else repeats counts twice: each knock is later than the one before.
    pub(super) fn screen(
        &self,
        knock: &KnockContent,
        tag: &Tag,
        seated: Option<u64>,
    ) -> Result<(), AudienceError> {
        let before = self.last.get(tag).map(|(made_ms, _)| *made_ms).max(seated);
        if before.is_some_and(|before| knock.made_ms <= before) && holds(Defence::HallKnock) {
            Err(AudienceError::Repeated)
        } else {
            Ok(())
        }
    }

    /// Whether the law and the invite, or a ticket, let somebody in.
    pub(super) fn judge(
        &mut self,
        knock: &KnockContent,
        tag: &Tag,
        seated: bool,
        desk: &Desk,
        now: Instant,
    ) -> Verdict {
        self.note(tag, knock.made_ms, now);
        match self.reason(knock, tag, seated, desk, now) {
            Some(reason) => Verdict::Refused(reason),
            None => Verdict::Admitted(self.ticket(knock, tag, desk, now)),
        }
    }

    fn reason(
        &self,
        knock: &KnockContent,
        tag: &Tag,
        seated: bool,
        desk: &Desk,
        now: Instant,
    ) -> Option<RefuseReason> {
        let (law, unix_ms) = (desk.law(), desk.unix_ms(now));
        if let Some(reason) = put_out(law, tag).filter(|_| holds(Defence::HallBan)) {
            return Some(reason);
        }
        if desk.on_stage.contains(&knock.key.id()) {
            return Some(RefuseReason::Present);
        }
        let early = unix_ms.saturating_sub(BEHIND_MS);
        if !(early..=unix_ms.saturating_add(AHEAD_MS)).contains(&knock.made_ms) {
            return Some(RefuseReason::Clock);
        }
        if seated || law.admits_tag(tag) || self.holds(knock, tag, desk) {
            return None;
        }
        if unix_ms / 1_000 >= knock.expires.0 {
            return Some(RefuseReason::Expired);
        }
        let invite = invite_tag(knock, desk);
        match law.invite(&invite) {
            Some(InviteState::Live(_)) => {}
            Some(InviteState::Revoked) if knock.uses == 1 => return Some(RefuseReason::UsedUp),
            Some(InviteState::Revoked) | None => return Some(RefuseReason::Revoked),
        }
        if law.is_locked() {
            return Some(RefuseReason::Locked);
        }
        let used = self.used.get(&invite).copied().unwrap_or(0);
        (knock.uses != 0 && used >= knock.uses).then_some(RefuseReason::UsedUp)
    }

    /// Whether a ticket of somebody who has rank still lets its holder in.
    fn holds(&self, knock: &KnockContent, tag: &Tag, desk: &Desk) -> bool {
        knock.ticket.as_ref().is_some_and(|ticket| {
            if !holds(Defence::HallTicket) {
                return true;
            }
            let term = desk.law().term_of(&ticket.issuer).map(|term| term.0);
            ticket.about == *tag
                && term == Some(ticket.term)
                && ticket.verify(&desk.known.group_id().0).is_ok()
        })
    }

    fn ticket(&self, knock: &KnockContent, tag: &Tag, desk: &Desk, now: Instant) -> Ticket {
        if self.holds(knock, tag, desk)
            && let Some(ticket) = &knock.ticket
        {
            return ticket.clone();
        }
        let own = crate::id::IdentityKey::from_bytes(*desk.identity.public());
        let term = desk.law().term_of(&own).map_or([0; 16], |term| term.0);
        Ticket::sign(&desk.identity, term, *tag, desk.unix_ms(now), &desk.known.group_id().0)
    }

    /// Counts somebody who came in by an invite with uses.
    pub(super) fn count(&mut self, knock: &KnockContent, tag: &Tag, desk: &Desk) {
        let by_invite = knock.uses != 0 && !desk.law().admits_tag(tag) && !self.holds(knock, tag, desk);
        if by_invite && self.used.len() < MAX_INVITES {
            let used = self.used.entry(invite_tag(knock, desk)).or_default();
            *used = used.saturating_add(1);
        }
    }

    fn note(&mut self, tag: &Tag, made_ms: u64, now: Instant) {
        if self.last.len() >= MAX_REMEMBERED {
            self.last.retain(|_, (_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        }
        if self.last.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.last.iter().min_by_key(|(_, (_, at))| *at).map(|(tag, _)| *tag)
        {
            self.last.remove(&oldest);
        }
        self.last.insert(*tag, (made_ms, now));
    }
}

/// Why the law has somebody out, if it has: a Ban, or a word that took it out.
pub(in crate::stage) fn put_out(law: &Law, tag: &Tag) -> Option<RefuseReason> {
    if law.is_over() {
        return Some(RefuseReason::Declined);
    }
    if law.rank_of_tag(tag) != Rank::None {
        return None;
    }
    let position = law.standing_of(tag);
    if position.banned {
        return Some(RefuseReason::Banned);
    }
    (law.has_role_word(tag) && !position.is_admitted()).then_some(RefuseReason::Declined)
}

/// Who of a room is of rank, the host first: the order in which porters lead.
pub(in crate::stage) fn order(law: &Law, key: &crate::id::IdentityKey) -> (bool, Tag) {
    (law.rank_of(key) != Rank::Host, law.tag(key))
}

fn invite_tag(knock: &KnockContent, desk: &Desk) -> Tag {
    desk.known.terms().invite_tag(&knock.invite.0, knock.expires.0, knock.uses)
}

pub(super) fn refused(reason: RefuseReason) -> AnswerContent {
    AnswerContent::Refused(reason)
}

/// A second place for a secret, on purpose.
pub(in crate::stage) fn copy(secret: &Secret) -> Secret {
    Secret::filled(secret.bytes().len(), |out| out.copy_from_slice(secret.bytes()))
}

/// What a knock is bound to.
pub(in crate::stage) fn knock_aad(group_id: &[u8; 32], door: &[u8; 16]) -> Vec<u8> {
    [&b"sottovoce 2 hall knock"[..], group_id, door].concat()
}

/// What an answer is bound to.
pub(in crate::stage) fn answer_aad(group_id: &[u8; 32], lane: &[u8; 16], one_use: &[u8]) -> Vec<u8> {
    [&b"sottovoce 2 hall answer"[..], group_id, lane, one_use].concat()
}

const SECOND: Duration = Duration::from_secs(1);
/// Knocks that a porter opens in a second.
const MAX_OPENED: u32 = 400;
const BEHIND_MS: u64 = 600_000;
const AHEAD_MS: u64 = 60_000;
const MAX_INVITES: usize = 1_024;
const MAX_REMEMBERED: usize = 16_384;
/// For as long as the clock of a knock would let it be repeated.
const REMEMBERED: Duration = Duration::from_secs(660);
