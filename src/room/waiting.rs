//! The joiner's side of coming in: knock until there is an answer (SPEC section 6.4).

use std::time::{Duration, Instant};

use super::{core::Core, error::ControlError, held::Held};
use crate::{
    group::{
        Invite,
        message::{Knock, Message, Refused},
        mls::{Applicant, Because, Expected, Failure, Group, JoinError, Purpose, knock_aad},
    },
    id::MemberId,
};

/// Somebody who knocked and has no answer yet.
pub(super) struct Waiting {
    applicant: Applicant,
    invite: Invite,
    knock_at: Instant,
    /// How often this KeyPackage is still sent.
    left: u32,
    /// Messages of the room that came before our welcome.
    held: Held,
}

impl Waiting {
    pub(super) fn new(applicant: Applicant, invite: Invite, now: Instant) -> Self {
        Self { applicant, invite, knock_at: now, left: SAME_KEY_PACKAGE, held: Held::default() }
    }

    /// Knocks again if it is time to.
    ///
    /// The KeyPackage is for half a minute the same, its seal and its envelope are not. Then it is another: a welcome
    /// may be lost, and none is repeated.
    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Instant) -> Result<(), Failure> {
        if now < self.knock_at {
            return Ok(());
        }
        self.knock_at = now + KNOCK_AGAIN;
        if self.left == 0 {
            self.applicant = core.apply(&self.invite.group_id, self.invite.key_exchange, now)?;
            self.left = SAME_KEY_PACKAGE;
        }
        self.left -= 1;
        let reference = *self.applicant.reference();
        let aad = knock_aad(&self.invite.group_id, &self.invite.id.0, &reference);
        let sealed = self.invite.join_key.seal(Purpose::Knock, self.applicant.key_package(), &aad)?;
        core.send(&Message::Knock(Knock {
            invite: self.invite.id.0,
            reference,
            kem_output: sealed.kem_output,
            sealed: sealed.sealed,
        }));
        Ok(())
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.knock_at
    }

    #[cfg(test)]
    pub(super) fn key_package(&self) -> &[u8] {
        self.applicant.key_package()
    }

    /// Whether the host refused this very knock.
    pub(super) fn is_refused_by(&self, refused: &Refused) -> Result<bool, ControlError> {
        if refused.reference != *self.applicant.reference() {
            return Ok(false);
        }
        if !refused.is_from(self.invite.host, &self.invite.group_id) {
            return Err(ControlError::NotTheHost);
        }
        Ok(true)
    }

    pub(super) fn hold(&mut self, message: Vec<u8>, now: Instant) -> Result<(), ControlError> {
        self.held.keep(message, now).map_err(|_| ControlError::Overflow)
    }

    /// Checks a welcome. If it holds, the room is entered with what was held for it.
    pub(super) fn enter(
        self: Box<Self>,
        own: MemberId,
        welcome: &[u8],
    ) -> Result<Entered, (Box<Self>, JoinError)> {
        let because = Because::Invite(self.invite.host);
        let expected = Expected { group_id: &self.invite.group_id, own, because };
        let entry = match self.applicant.check(welcome, &expected) {
            Ok(entry) => entry,
            Err(error) => return Err((self, error)),
        };
        let Self { applicant, held, invite, .. } = *self;
        Ok(Entered { group: applicant.enter(entry), held, invite })
    }
}

/// A group that was entered, or the fault that kept us out.
pub(super) struct Entered {
    pub(super) group: Result<Group, Failure>,
    pub(super) held: Held,
    pub(super) invite: Invite,
}

/// How long a knock waits for its answer before it is repeated: the host may come later than we do.
const KNOCK_AGAIN: Duration = Duration::from_secs(2);
/// How often one KeyPackage is sent.
const SAME_KEY_PACKAGE: u32 = 15;
