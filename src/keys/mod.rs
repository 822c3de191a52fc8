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
//!
//! ```
//! use sottovoce::keys::{EpochSecret, Suite};
//!
//! // What an MLS group of your own exports for an epoch; too short is an error. It is wiped on drop.
//! let secret = EpochSecret::new(vec![7; 32])?;
//! assert!(EpochSecret::new(vec![7; 8]).is_err());
//! assert_eq!(Suite::from_id(Suite::Aes128Gcm.id()), Some(Suite::Aes128Gcm));
//! # drop(secret);
//! # Ok::<(), sottovoce::keys::SecretTooShort>(())
//! ```

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
