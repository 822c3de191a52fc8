//! Stage rooms: up to 64 people on a stage, and an audience of ten thousand that hears them, end to
//! end encrypted (`spec/stage.md`).
//!
//! ```text
//! stage: a Room ── secret of a hall epoch, by MLS ──> porters ── one message a cell ──> listeners
//!    └───────── packets sealed under the hall's keys, one ciphertext for everybody ─────────┘
//! ```
//!
//! Whoever is on the stage has a [`Stage`] beside its [`Room`](crate::room::Room); whoever listens
//! has a [`Listener`]. Both are state machines: bytes and time in, bytes, keys and events out.

#[cfg(test)]
mod attacks;
mod card;
mod chain;
mod envelope;
mod epoch;
mod error;
mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod lane;
mod listener;
#[cfg(any(test, fuzzing))]
mod little;
mod onstage;
mod porter;
mod tuner;
#[cfg(test)]
mod vectors;
mod wire;

pub use self::{
    error::{AudienceError, HallError},
    event::{HallSpeaker, ListenerEvent, Over, StageEvent},
    lane::HallLane,
    listener::Listener,
    onstage::Stage,
};
