//! How a listener comes in, and how it goes to another porter (`spec/stage.md`, H8).
//!
//! ```text
//! Call ──> doors ──> Knock { one-use key } ──> Answer        the one-use key lives for two seconds
//! ```

use std::time::{Duration, Instant};

use rand::Rng;

use super::doorways::Doorways;
use crate::{
    Seed,
    group::Identity,
    mls::{Purpose, Sealed as Hpke, SealingKey, SealingSecret},
    random::Generator,
    stage::{
        porter::{answer_aad, knock_aad},
        wire::{AnswerContent, KnockContent, Message, Sealed, Ticket},
    },
    wire::invite::Invite,
};

/// One attempt to be let in by some porter.
pub(super) struct Joining {
    began: Instant,
    /// Nothing is asked before.
    from: Instant,
    call_at: Instant,
    knock_at: Option<Instant>,
    asked: Option<Asked>,
    made_ms: u64,
    /// The porter that we go away from, unless it is the only one.
    not: Option<[u8; 16]>,
}

/// A knock that is out.
pub(super) struct Asked {
    pub(super) porter: [u8; 16],
    one_use: SealingSecret,
    pub(super) at: Instant,
    /// Answers that we have tried to open.
    tried: u8,
}

impl Joining {
    /// Whoever moves does so at a random moment of `within`, so that not all ask at once.
    pub(super) fn new(not: Option<[u8; 16]>, within: Duration, rng: &mut Generator, now: Instant) -> Self {
        let wait = random_within(within, rng);
        Self {
            began: now,
            from: now + wait,
            call_at: now + wait,
            knock_at: None,
            asked: None,
            made_ms: 0,
            not,
        }
    }

    /// For how long we have tried.
    pub(super) fn since(&self) -> Instant {
        self.began
    }

    /// Calls for doors, or knocks at one, when it is time.
    pub(super) fn handle_timeout(
        &mut self,
        (identity, invite, ticket): (&Identity, &Invite, Option<&Ticket>),
        doors: &mut Doorways,
        reply_to: [u8; 16],
        (unix_ms, now): (u64, Instant),
        rng: &mut Generator,
    ) -> Option<Message> {
        // The key that an answer opens under lives no longer than what is sealed to it.
        if self.asked.as_ref().is_some_and(|asked| asked.at + ONE_USE <= now) {
            if let Some(known) = self.asked.take().and_then(|asked| doors.get_mut(&asked.porter)) {
                known.vain_until = Some(now + IN_VAIN);
            }
            self.knock_at = Some(now);
        }
        if self.knock_at.is_none()
            && self.asked.is_none()
            && self.from <= now
            && doors.iter().any(|door| door.refused.is_none())
        {
            // Others may be shown in this moment.
            self.knock_at = Some(now + GATHERING);
        }
        if self.knock_at.is_some_and(|at| at <= now) && self.asked.is_none() {
            self.knock_at = None;
            let knock = self.knock((identity, invite, ticket), doors, reply_to, (unix_ms, now), rng);
            if knock.is_some() {
                return knock;
            }
        }
        if self.call_at <= now && self.asked.is_none() && self.knock_at.is_none() {
            self.call_at = now + CALL_EVERY;
            return Some(Message::Call);
        }
        None
    }

    fn knock(
        &mut self,
        (identity, invite, ticket): (&Identity, &Invite, Option<&Ticket>),
        doors: &Doorways,
        reply_to: [u8; 16],
        (unix_ms, now): (u64, Instant),
        rng: &mut Generator,
    ) -> Option<Message> {
        let fit = |vain: bool| {
            let not = self.not;
            let fits = doors.iter().filter(move |known| {
                let in_vain = known.vain_until.is_some_and(|until| until > now) || Some(known.name) == not;
                known.refused.is_none() && (vain || !in_vain)
            });
            fits.collect::<Vec<_>>()
        };
        let mut fits = fit(false);
        if fits.is_empty() {
            fits = fit(true);
        }
        let at = usize::try_from(rng.next_u32()).unwrap_or(0) % fits.len().max(1);
        let door = fits.get(at)?;
        let one_use = SealingSecret::derive(invite.key_exchange, &rng.seed()).ok()?;
        self.made_ms = unix_ms.max(self.made_ms + 1);
        let content = KnockContent::sign(
            identity,
            self.made_ms,
            (invite.id, invite.expires, invite.uses),
            one_use.public().as_bytes().to_vec(),
            reply_to,
            ticket.cloned(),
            &door.name,
            &invite.group_id,
        );
        let to = SealingKey::from_bytes(invite.key_exchange, door.hpke())?;
        let aad = knock_aad(&invite.group_id, &door.name);
        let sealed = to.seal(Purpose::HallKnock, &content.encode(), &aad).ok()?;
        self.asked = Some(Asked { porter: door.name, one_use, at: now, tried: 0 });
        Some(Message::Knock(Sealed { to: door.name, kem: sealed.kem_output, sealed: sealed.sealed }))
    }

    /// What an answer says, and whose: it opens under the one-use key that is out.
    pub(super) fn hear(
        &mut self,
        answer: Sealed,
        group_id: &[u8; 32],
    ) -> Option<([u8; 16], Instant, AnswerContent)> {
        let asked = self.asked.as_mut().filter(|asked| asked.tried < MAX_TRIED)?;
        asked.tried += 1;
        let content = open_answer(&asked.one_use, answer, group_id)?;
        let (porter, at) = (asked.porter, asked.at);
        if !matches!(content, AnswerContent::Waiting) {
            self.asked = None;
            self.knock_at = None;
        }
        Some((porter, at, content))
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        match &self.asked {
            Some(asked) => asked.at + ONE_USE,
            None => self.knock_at.unwrap_or(self.call_at),
        }
    }
}

/// Opens what a porter sealed to a one-use key.
pub(super) fn open_answer(
    one_use: &SealingSecret,
    answer: Sealed,
    group_id: &[u8; 32],
) -> Option<AnswerContent> {
    let aad = answer_aad(group_id, &answer.to, one_use.public().as_bytes());
    let sealed = Hpke { kem_output: answer.kem, sealed: answer.sealed };
    let plain = crate::keys::secret::Secret::wrap(one_use.open(Purpose::HallAnswer, &sealed, &aad)?);
    AnswerContent::decode(plain.bytes()).ok()
}

/// A fresh one-use key.
pub(super) fn one_use(invite: &Invite, seed: &Seed) -> Option<SealingSecret> {
    SealingSecret::derive(invite.key_exchange, seed).ok()
}

pub(super) fn random_within(within: Duration, rng: &mut Generator) -> Duration {
    within.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX))
}

/// How long a one-use key lives.
pub(super) const ONE_USE: Duration = Duration::from_secs(2);
/// Answers to one knock that we try to open: a relay can make up any number.
const MAX_TRIED: u8 = 16;
const CALL_EVERY: Duration = Duration::from_secs(1);
const GATHERING: Duration = Duration::from_millis(40);
/// For how long others are asked before a porter that did not answer.
const IN_VAIN: Duration = Duration::from_secs(30);
