//! The commands of the application: to send a message, to raise and lower hands.

use std::time::Instant;

use super::{Audience, MessageKind, SendError};
use crate::{
    id::MemberId,
    room::{Room, error::CommandError},
};

impl Room {
    /// Writes to others in the room, and says the number of the message, which counts from 1 on.
    ///
    /// Every member may, muted ones too; 20 in 10 s. It reaches whoever is here now; newcomers and
    /// whoever is away do not get it later. Others are told by [`Event::Message`], we are not.
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

    /// Whose hands are up, in the order of asking: the same for everybody who saw the same go up.
    pub fn hands(&self) -> Vec<MemberId> {
        self.seat().map_or_else(Vec::new, |_| self.out.messages.hands.in_order())
    }

    /// Raises our hand. It stays up until it is lowered, we leave, or we get a role that is heard.
    ///
    /// # Errors
    /// See [`SendError`]; none if it is up already.
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
    /// See [`SendError`]; none if it is down already.
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
