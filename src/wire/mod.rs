//! Every byte on the control lane (`spec/control.md`).
//!
//! ```text
//! envelope { Message }              a heartbeat, a knock, an answer, a show, a chain, MLS, a Welcome
//! envelope { Mls { Saying } }       a saying is authenticated by MLS as from one leaf
//! Message or Saying { Signed<T> }   nothing follows from a Signed<T> until `verify` makes it a Genuine<T>
//! Message { kem, sealed }           sealed by HPKE to a door key or a one-use key; `aad` is here, HPKE is in `mls`
//! ```
//!
//! The types here hold a form, check it strictly, and check signatures. They keep no state, except
//! for [`inbox`], which puts the fragments of messages together.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod door;
pub(crate) mod envelope;
pub(crate) mod heartbeat;
pub(crate) mod inbox;
pub(crate) mod invite;
pub(crate) mod knock;
pub(crate) mod leave;
pub(crate) mod message;
mod parts;
pub(crate) mod saying;
pub(crate) mod show;
pub(crate) mod signed;
pub(crate) mod statements;
#[cfg(test)]
mod vectors;

/// The longest encapsulated key or public key of HPKE: ML-KEM-768 with X25519 has 1,120 and 1,216
/// bytes.
pub(crate) const MAX_HPKE: usize = 2048;
/// The longest KeyPackage: one has about 400 bytes, in hybrid rooms about 2,800.
pub(crate) const MAX_KEY_PACKAGE: usize = 8192;
