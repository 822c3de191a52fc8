//! The voice endpoint, from microphone to loudspeaker.

mod corpus;
mod devices;
mod endpoint;
mod listening;
mod members;
mod network;
#[cfg(feature = "processing")]
mod processing;
mod protection;
mod sounds;
mod traffic;
