//! From an epoch secret to the keys of packets (SPEC section 4).
//!
//! ```text
//! EpochSecret > base_key 0 > step secret 0 > KID table, frame keys
//!                    |  ratchet, every 10 s
//!               base_key 1 > step secret 1 > ...
//! ```
//!
//! These are derivations and ciphers alone. [`Schedule`](crate::Schedule) calls them as time
//! passes, and gives the keys to [`Sealer`](crate::Sealer) and [`Opener`](crate::Opener).

pub(crate) mod aead;
pub(crate) mod derive;
pub(crate) mod ed25519;
pub(crate) mod frame;
mod hmac256;
pub(crate) mod kid;
pub(crate) mod secret;
pub(crate) mod speaker;
pub(crate) mod suite;
#[cfg(test)]
pub(crate) mod vectors;

pub use secret::{EpochSecret, SecretTooShort};
pub use suite::Suite;
