//! The hall of a stage room over transports (`spec/stage.md`, H17 and H18).
//!
//! ```text
//! stage:    Session ── Room ──────> its transport, as without a hall
//!              └────── Stage, media ─> Lanes ─┬─> hall: beats, sealed packets
//! listener: Listening ─ Listener, Opener ─ Lanes ├─> foyer, doors, own lane of the porter
//!                                                └─> cells, lanes of single listeners
//! ```
//!
//! Whoever has a room has a stage room by [`Session::with_hall`](super::Session::with_hall);
//! whoever listens has a [`Listening`]. Both wait by waking, and spawn nothing.

mod lanes;
mod listening;
mod onstage;
mod pipe;
mod silence;

pub use listening::{Listening, ListeningNext};
pub(super) use onstage::Hall;
pub use onstage::LetUpError;
pub use silence::Silence;
