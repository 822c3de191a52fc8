//! Why nobody hears us, and why we hear nothing.

use std::time::Instant;

use super::{MediaHandle, Session};
use crate::{
    room::{Deaf, Traffic, Unheard},
    transport::LocalTransport,
};

impl<T: LocalTransport> Session<T> {
    /// Counts of packets in the last two to four seconds.
    pub fn traffic(&self) -> Traffic {
        self.media.parts.lately.told(self.now())
    }

    /// Why nobody hears us, the most telling reason first. The list is empty if others should hear
    /// us.
    pub fn why_unheard(&self) -> Vec<Unheard> {
        self.room.why_unheard(&self.traffic(), self.now())
    }

    /// Why we hear nothing, the most telling reason first. The list is empty if we hear somebody.
    pub fn why_deaf(&self) -> Vec<Deaf> {
        self.room.why_deaf(&self.traffic(), self.now())
    }
}

impl MediaHandle {
    /// Counts of packets in the last two to four seconds, for
    /// [`Room::why_unheard`](crate::room::Room::why_unheard) and
    /// [`Room::why_deaf`](crate::room::Room::why_deaf).
    pub fn traffic(&self, now: Instant) -> Traffic {
        self.parts.lately.told(now)
    }
}
