//! A model of the room's second edition (`spec/law.md`, `spec/room.md`) with insiders who lie.
//!
//! ```text
//! rules     every rule as a switch          law, acts    the law and what honest people sign
//! room      who and what there is           hearing, commits, keeping, coming    what an honest member does
//! insider   what a hostile member does      checks       what must be so: M1 to M13
//! run       one seed: trouble, then healing exhaustive   every short sequence
//! laws      the law alone: P1 to P8         search       many seeds, and each rule removed
//! ```
//!
//! The README says what was looked at, what was found, and what is not in it.
#![allow(clippy::needless_range_loop, reason = "people are numbers, in many arrays at once")]

pub mod acts;
mod branches;
mod checks;
mod coming;
mod commits;
pub mod exhaustive;
pub mod found;
mod healed;
mod hearing;
pub mod insider;
mod keeping;
mod lane;
pub mod law;
pub mod laws;
mod menu;
pub mod random;
mod relay;
pub mod room;
pub mod rules;
mod run;
pub mod scenes;
pub mod search;
mod start;
mod strategies;

pub use room::Room;
pub use rules::{Rule, Rules};
pub use run::{run, run_with};
