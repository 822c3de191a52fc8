//! The parts of the examples that decide what they print.

#[cfg(feature = "voice")]
mod recordings;
#[cfg(all(feature = "room", feature = "voice"))]
mod room;
mod talk;
