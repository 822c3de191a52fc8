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
//! [`driver::hall`](crate::driver::hall) connects them: a session with a hall on the stage, an
//! [`Listening`](crate::driver::hall::Listening) for a listener.
//!
//! ```
//! use std::time::{Instant, SystemTime};
//!
//! use sottovoce::{
//!     Seed,
//!     group::{Identity, Name, Role},
//!     room::{InviteOptions, Room, RoomOptions, UnixTime},
//!     stage::{HallLane, Listener, Stage},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (now, unix) = (Instant::now(), UnixTime::from(SystemTime::now()));
//! let seed = |byte| Seed::from_bytes(&mut [byte; 32]); // 32 random bytes in an application
//! let ada = Identity::from_seed([1; 32], Name::new("Ada")?);
//! let options = RoomOptions::new(Name::new("Evening hall")?, ["relay.example:4433".parse()?]);
//! let mut room = Room::create(ada, options, seed(2), now, unix)?;
//! let mut stage = Stage::new(&mut room, seed(3), now)?;
//!
//! let mut audience = InviteOptions::default();
//! audience.role = Some(Role::Listener);
//! let link = room.invite(audience, now)?;
//! room.handle_timeout(now);
//! stage.follow(&mut room, now);
//! assert!(stage.porter().is_some(), "the host serves listeners");
//! let bob = Identity::from_seed([4; 32], Name::new("Bob")?);
//! let mut listener = Listener::join(bob, link, seed(5), now, unix)?;
//! listener.handle_timeout(now);
//! let (lane, call) = listener.poll_transmit().expect("it asks for a door");
//! assert_eq!(lane, HallLane::Doors);
//! stage.handle_control(&call, now)?;
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod attacks_of_rank;
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
    event::{HallSpeaker, ListenerEvent, Over},
    lane::HallLane,
    listener::Listener,
    onstage::Stage,
};
#[cfg(feature = "testkit")]
#[doc(hidden)]
pub use self::{
    listener::insider::{Hearing, HeldTicket, ListenerClaim, ListenerInsider},
    onstage::insider::{Rank, StageClaim, StageInsider, Standing},
};
pub use crate::room::audience::StageEvent;
