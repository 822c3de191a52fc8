//! A stage room on virtual time: real [`Room`](sottovoce::room::Room)s and
//! [`Stage`](sottovoce::stage::Stage)s, a real [`Listener`](sottovoce::stage::Listener) with a real
//! [`Opener`](sottovoce::Opener) for everybody in the audience, and a network with delay and loss.
//!
//! ```text
//! World ── heap of events ──> stage members, listeners       Lines: delay, loss, order
//!   └── packets of a speaker every 20 ms ──> those who are watched, and some of the others
//! ```
#![cfg(feature = "stage")]

mod audience;
mod clock;
mod line;
mod onstage;
mod packets;
mod report;
mod world;

pub use self::{
    audience::{Ear, Watch},
    clock::Cpu,
    line::{Line, Network},
    onstage::Member,
    report::{Report, percentile},
    world::{Node, Reached, Setup, Tape, Withholds, World, identity, seal},
};
