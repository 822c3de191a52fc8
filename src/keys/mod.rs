//! From an epoch secret to the keys of packets (SPEC section 4).
//!
//! ```text
//! EpochSecret > base_key 0 > step secret 0 > KID table, frame keys     Rekey::Seal > Sealer
//!                    |  ratchet, every 10 s
//!               base_key 1 > step secret 1 > ...                       Rekey::Open > Opener
//! ```
//!
//! [`Schedule`] is the only thing here that knows time, and it is told. It makes every value on the
//! control thread, memory included, so that taking a new key costs the audio thread a pointer swap.

pub(crate) mod aead;
pub(crate) mod derive;
pub(crate) mod ed25519;
pub(crate) mod frame;
mod hmac256;
pub(crate) mod keyring;
pub(crate) mod kid;
pub(crate) mod rekey;
mod schedule;
pub(crate) mod secret;
pub(crate) mod speaker;
mod start;
mod suite;
#[cfg(test)]
pub(crate) mod vectors;

pub use rekey::{OpenRekey, Rekey, Retired, SealRekey};
pub use schedule::{STEP, Schedule};
pub use secret::{EpochSecret, SecretTooShort};
pub use start::{EpochStart, ScheduleError, Speaker};
pub use suite::Suite;
