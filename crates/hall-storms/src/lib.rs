//! Storms of halls: a stage room on virtual time, with a real listener for each of the audience,
//! and hostile parties of every kind, by a seed (`docs/STORMS.md`, section 8).
//!
//! ```text
//! World (stage-sim) <── Scenes: what liars, the relay and bad luck do, by the seed
//!       └─────────────> Judge: what must hold after every step
//! ```
#![cfg(feature = "stage")]

mod audience;
mod bans;
mod judge;
mod scenes;
mod storm;
mod trouble;

pub use self::{
    scenes::Scene,
    storm::{Plan, Report, storm},
};
