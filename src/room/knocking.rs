//! Whether anybody answers a newcomer (SPEC section 7, rule E11).

use std::time::{Duration, Instant};

use super::event::Event;
use crate::wire::answer::RefuseReason;

/// Where a newcomer stands, between its first knock and the moment when it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Knocking {
    /// For less than ten seconds nobody has answered.
    Asking,
    /// No door has been shown to us for ten seconds: nobody who may admit us is there, or the relay
    /// does not pass the room's heartbeats on.
    NoDoor,
    /// We knock at a door, and it has not answered for ten seconds.
    NoAnswer,
    /// Somebody was asked, and decides.
    Decides,
    /// All doors that we know have refused us; another may still come.
    Refused(RefuseReason),
}

/// How long a newcomer has stood where it stands.
pub(super) struct Patience {
    stands: Knocking,
    since: Instant,
    told: bool,
}

impl Patience {
    pub(super) const fn begin(now: Instant) -> Self {
        Self { stands: Knocking::NoDoor, since: now, told: false }
    }

    /// Takes note of where the newcomer stands now. What comes back is to be told: nobody has
    /// answered for as long as a newcomer waits without a word.
    pub(super) fn note(&mut self, stands: Knocking, now: Instant) -> Option<Event> {
        if self.stands != stands {
            *self = Self { stands, since: now, told: false };
        }
        let event = match self.at(now) {
            Knocking::NoDoor => Event::NoDoor,
            Knocking::NoAnswer => Event::NoAnswer,
            Knocking::Asking | Knocking::Decides | Knocking::Refused(_) => return None,
        };
        (!std::mem::replace(&mut self.told, true)).then_some(event)
    }

    /// Where the newcomer stands: it asks until it has waited for long enough.
    pub(super) fn at(&self, now: Instant) -> Knocking {
        match self.stands {
            Knocking::NoDoor | Knocking::NoAnswer if now < self.since + UNANSWERED => Knocking::Asking,
            stands => stands,
        }
    }
}

/// A newcomer whom nobody has answered for so long is told so.
const UNANSWERED: Duration = Duration::from_secs(10);
