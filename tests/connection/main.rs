//! Calls that stay connected: relays that die, ways that are down, devices that sleep
//! (docs/CONNECTION.md).

mod people;
mod sockets;
mod way;
