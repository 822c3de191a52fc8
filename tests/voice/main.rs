//! The voice endpoint, from microphone to loudspeaker.

mod corpus;
mod devices;
mod endpoint;
mod listening;
mod members;
mod network;
mod protection;
mod traffic;
