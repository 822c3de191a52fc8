//! Reports to a moderator.

mod corpus;
#[cfg(feature = "voice")]
mod moderator;
mod progress;
