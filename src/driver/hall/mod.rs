//! The hall of a stage room over transports (`spec/stage.md`, H17 and H18).
//!
//! ```text
//! stage:    Session ── Room ──────> its transport, as without a hall
//!              └────── Stage, media ─> Lanes ─┬─> hall: beats, sealed packets
//! listener: Audience ─ Listener, Opener <─ Lanes ├─> foyer, doors, own lane of the porter
//!                                                └─> cells, lanes of single listeners
//! ```
//!
//! Whoever has a room has a stage room by [`Session::with_hall`](super::Session::with_hall);
//! whoever listens has an [`Audience`]. Both wait by waking, and spawn nothing.

mod audience;
mod lanes;
mod onstage;
mod pipe;
mod silence;

pub use audience::{Audience, AudienceNext};
pub(super) use onstage::Hall;
pub use onstage::LetUpError;
pub use silence::Silence;
