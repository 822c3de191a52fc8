//! Rooms: their story, their succession, their attackers, on virtual time and a seeded network.

mod apart;
mod attacks;
mod clocks;
mod connection;
mod diagnose;
mod driver;
mod errors;
mod insiders;
mod invite_corpus;
mod key_exchange;
mod messages;
mod people;
mod simulation;
mod sounds;
mod storms;
mod story;
mod succession;

use sottovoce_testkit::alloc::Counting;

/// It counts by thread: `simulation` weighs what a room holds.
#[global_allocator]
static ALLOCATOR: Counting = Counting;
