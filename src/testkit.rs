//! What tests of the room need and applications must not have: a hostile member's means, a look
//! behind a room, and switches that take single defences out. No part of the public interface.
//!
//! ```text
//! Room > Insider > envelopes that no honest member makes
//! Room > Witness > which law a member knows, whom it admits, in which branch it is
//! ```

/// The same of halls.
#[cfg(feature = "stage")]
pub use crate::{
    defence::LookedAt,
    stage::{Hearing, HeldTicket, ListenerClaim, ListenerInsider, Rank, StageClaim, StageInsider, Standing},
};
pub use crate::{
    defence::{Defence, without},
    room::insider::{Claim, Forced, ForcedAdd, ForcedLaw, Insider, Kind, Loot, Witness},
};
