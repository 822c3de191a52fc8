//! The media plane: Opus packets in, sealed packets out, and back (SPEC sections 3 and 5).
//!
//! ```text
//! buffer  [ headroom | opus .......... | room for padding, stamp, signature, tag ]
//! seal      [header | opus, grown to the one size (stamp, signature in its padding) | tag]
//! open      header > KID > replay screen > tag > signature > opus > only now: record the counter
//! ```
//!
//! [`Sealer`] and [`Opener`] belong to the audio thread: no lock, no allocation, no clock.
//! [`Schedule`] makes their keys on the control thread, memory included, so that taking a new key
//! costs the audio thread a pointer swap. It is told the time.

mod early;
mod error;
#[cfg(feature = "stage")]
pub(crate) mod hall;
pub(crate) mod header;
pub(crate) mod keyring;
mod open;
pub(crate) mod opus;
mod profile;
pub(crate) mod rekey;
pub(crate) mod replay;
mod schedule;
mod seal;
pub(crate) mod stamp;
mod start;
mod stats;
#[cfg(test)]
mod vectors;

pub use early::Early;
pub use error::OpenError;
pub use open::{Opened, Opener, Proof};
pub use opus::{MalformedOpus, OpusPacket};
pub use profile::{Authenticity, PacketSize, PacketSizeError, SilenceReason};
pub use rekey::{OpenRekey, Rekey, Retired, SealRekey};
pub use schedule::{STEP, Schedule};
pub use seal::{HEADROOM, Reused, SealError, Sealer, TAILROOM};
pub use stamp::{Level, Loss, Notes, Stamp, capacity};
pub use start::{EpochStart, ScheduleError, Speaker};
pub use stats::{OpenStats, SpeakerStats};
