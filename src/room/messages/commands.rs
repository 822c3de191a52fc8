//! The commands of the application: to send a message, to raise and lower hands.

use std::time::Instant;

use super::{Audience, MessageKind, SendError};
use crate::{
    id::MemberId,
    room::{Room, error::CommandError},
};

impl Room {
    /// Sends a message to others in the room, and returns its number, counted from 1 on.
    ///
    /// Every member may send, muted ones too: at most 20 messages in 10 s. A message reaches the
    /// members that are connected now; others and newcomers do not get it later. Others get
    /// [`Event::Message`], this member does not.
    ///
    /// [`Event::Message`]: crate::room::Event::Message
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_message(
        &mut self,
        audience: Audience,
        kind: MessageKind,
        body: &[u8],
        now: Instant,
    ) -> Result<u64, SendError> {
        let now = self.at(now);
        if !kind.fits(body) || kind == MessageKind::HAND_RAISED || kind == MessageKind::HAND_LOWERED {
            return Err(SendError::Body);
        }
        let (out, memory, seat) = self.present()?;
        let number = seat.send_app(out, memory, audience, kind, body, now)?;
        self.end_if_faulty();
        Ok(number)
    }

    /// The members whose hands are up, in the order in which they went up. The order is the same
    /// for all members that saw the same hands go up.
    pub fn hands(&self) -> Vec<MemberId> {
        self.seat().map_or_else(Vec::new, |_| self.out.messages.hands.in_order())
    }

    /// Raises our hand. It stays up until it is lowered, we leave, or we get a role that is heard.
    ///
    /// # Errors
    /// See [`SendError`]; a hand that is up already is no error.
    pub fn raise_hand(&mut self, now: Instant) -> Result<(), SendError> {
        let now = self.at(now);
        let (out, memory, seat) = self.present()?;
        seat.raise_own(out, memory, now)?;
        self.end_if_faulty();
        Ok(())
    }

    /// Lowers our own hand, or, with rank, that of another.
    ///
    /// # Errors
    /// See [`SendError`]; a hand that is down already is no error.
    pub fn lower_hand(&mut self, of: MemberId, now: Instant) -> Result<(), SendError> {
        let now = self.at(now);
        let (out, memory, seat) = self.present()?;
        seat.lower(out, memory, of, now)?;
        self.end_if_faulty();
        Ok(())
    }
}

impl From<CommandError> for SendError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Returning => Self::Returning,
            _ => Self::NotInRoom,
        }
    }
}
