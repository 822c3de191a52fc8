//! Calls that stay connected: relays that die, ways that are down, devices that sleep
//! (docs/CONNECTION.md).

mod executors;
mod people;
mod simulated;
mod sockets;
mod virtual_time;
mod way;
