//! App messages: members write to each other (`spec/messages.md`).
//!
//! ```text
//! app > send_message > Sending: rate, number, seal > Saying::App > hear_app: order, rate, open > Event::Message
//!                                    └ next epoch: Saying::Again        └ hands > Event::Hand
//! ```
//!
//! The `lane` is in the outbox: a run outlives the loss of a place. What a seat does is in
//! `sending` and `hearing`.

mod commands;
mod hands;
mod hearing;
pub(super) mod lane;
mod message;
mod sending;

pub use self::message::{AppMessage, Audience, MessageKind, SendError};
