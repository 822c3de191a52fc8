//! The media plane: sealing, opening, key schedules, and everybody who attacks them.

mod archive;
mod attacks;
mod corpus;
mod early;
mod insiders;
mod interop;
mod kids;
mod nonces;
mod round_trip;
mod schedule;
mod stamps;
mod types;
