//! End-to-end encrypted group audio over any relay, even a hostile one.
//!
//! ```text
//! PCM > opus > constant size > signature > SFrame seal > transport > relay > transport > SFrame open > signature > PCM
//! control bytes > envelope > MLS commit > policy > merge > epoch secret > key schedule > Rekey > Sealer, Opener
//! ```
//!
//! The crate has three planes, which pass each other nothing but values:
//!
//! - **Room** ([`room`], [`group`]): decides who is in a room, with an MLS group (RFC 9420). It
//!   takes bytes and times and gives bytes and events; it has no clock, socket or task.
//! - **Media** ([`media`], [`keys`]): [`Sealer`] and [`Opener`], which the audio thread owns. They
//!   take no lock, allocate nothing and read no clock. Keys arrive as values ([`Rekey`]).
//! - **Edges** ([`transport`], [`relay`], [`driver`], [`store`]): a small trait for any relay, the
//!   loop that ties the planes together, and storage.
//!
//! `SPEC.md` has every byte and derivation; `SECURITY.md` says what the crate protects against and
//! what not. The [`manual`] explains page by page what an application does. The smallest
//! application:
#![cfg_attr(feature = "room", doc = concat!("```\n", include_str!("../examples/hello.rs"), "```"))]
// On docs.rs each item says which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::indexing_slicing,
        clippy::dbg_macro,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

#[macro_use]
mod trace;

#[cfg(feature = "room")]
mod base41;
#[cfg(any(feature = "room", feature = "quic", feature = "janus"))]
mod base64url;
#[cfg(feature = "codec")]
pub mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "room")]
mod defence;
#[cfg(feature = "room")]
pub mod driver;
#[cfg(feature = "room")]
pub mod group;
mod hex;
pub mod id;
pub mod keys;
#[cfg(feature = "transport")]
mod lane;
#[cfg(feature = "room")]
pub(crate) mod law;
#[cfg(all(doc, feature = "room"))]
pub mod manual;
pub mod media;
#[cfg(feature = "room")]
mod mls;
#[cfg(feature = "room")]
mod random;
#[cfg(feature = "net")]
pub mod relay;
#[cfg(feature = "net")]
mod relay_protocol;
pub mod report;
#[cfg(feature = "room")]
pub mod room;
#[cfg(feature = "serde")]
mod serial;
#[cfg(feature = "stage")]
pub mod stage;
#[cfg(feature = "room")]
pub mod store;
#[cfg(all(feature = "room", feature = "testkit"))]
#[doc(hidden)]
pub mod testkit;
#[cfg(feature = "transport")]
pub mod transport;
#[cfg(feature = "voice")]
pub mod voice;
#[cfg(feature = "room")]
pub(crate) mod wire;

pub use id::{CaptureTime, Counter, Epoch, IdentityKey, KeyId, Leaf, MemberId, Step};
pub use keys::{EpochSecret, Suite};
pub use media::{
    Authenticity, EpochStart, OpenError, Opened, Opener, PacketSize, Rekey, Schedule, SealError, Sealer,
    SilenceReason, Speaker, Stamp,
};
#[cfg(feature = "room")]
pub use random::{NoRandomness, Seed};

#[cfg(all(doctest, feature = "room"))]
#[doc = include_str!("../README.md")]
pub struct ReadmeDoctests;

#[cfg(all(doctest, feature = "voice"))]
#[doc = include_str!("../docs/VOICE.md")]
pub struct VoiceDoctests;
