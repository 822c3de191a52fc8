//! One KeyPackage that is out, and the one-use key under which answers come back (SPEC section 7,
//! rules E1 to E3). Newcomers and returners use it alike.

use std::time::{Duration, Instant};

use super::{
    bounded::{OPENED, Rate},
    error::ControlError,
    outbox::Outbox,
};
use crate::{
    group::KeyExchange,
    mls::{Applicant, Failure, Purpose, Sealed, SealingSecret},
    wire::answer::{Answer, AnswerContent},
};

/// A KeyPackage that waits for a Welcome.
pub(super) struct Petition {
    pub(super) applicant: Applicant,
    /// The key to which answers are sealed. It lives as long as the KeyPackage.
    one_use: SealingSecret,
    pub(super) began: Instant,
    pub(super) sent: u32,
    /// Answers that were opened: whoever sees the reference can send some.
    answers: Rate<()>,
}

impl Petition {
    pub(super) fn new(
        out: &mut Outbox,
        group_id: &[u8; 32],
        key_exchange: KeyExchange,
        made_ms: u64,
        now: Instant,
    ) -> Result<Self, Failure> {
        let one_use = SealingSecret::derive(key_exchange, &out.rng.seed())?;
        let applicant = Applicant::new(&out.identity, group_id, key_exchange, made_ms, &mut out.rng)?;
        out.note_petition(made_ms);
        Ok(Self { applicant, one_use, began: now, sent: 0, answers: Rate::of(OPENED) })
    }

    pub(super) fn reference(&self) -> &[u8; 32] {
        self.applicant.reference()
    }

    pub(super) fn one_use_key(&self) -> Vec<u8> {
        self.one_use.public().as_bytes().to_vec()
    }

    /// Whether an answer names this petition, and is one more to be opened.
    ///
    /// # Errors
    /// [`ControlError::Flood`] if 512 were in the last second.
    pub(super) fn is_named_by(&mut self, answer: &Answer, now: Instant) -> Result<bool, ControlError> {
        if answer.reference != *self.reference() {
            return Ok(false);
        }
        if self.answers.take((), now) { Ok(true) } else { Err(ControlError::Flood) }
    }

    /// Opens an answer that names this petition.
    pub(super) fn open(
        &mut self,
        answer: &Answer,
        group_id: &[u8; 32],
        now: Instant,
    ) -> Result<Option<AnswerContent>, ControlError> {
        Ok(if self.is_named_by(answer, now)? { open_with(&self.one_use, answer, group_id) } else { None })
    }

    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.began + LIFE <= now
    }
}

/// Opens an answer that is sealed to this one-use key.
pub(super) fn open_with(
    one_use: &SealingSecret,
    answer: &Answer,
    group_id: &[u8; 32],
) -> Option<AnswerContent> {
    let aad = Answer::aad(group_id, &answer.reference);
    let sealed = Sealed { kem_output: answer.kem.clone(), sealed: answer.sealed.clone() };
    AnswerContent::decode(&one_use.open(Purpose::Answer, &sealed, &aad)?).ok()
}

/// How long one KeyPackage is out.
pub(super) const LIFE: Duration = Duration::from_secs(25);
