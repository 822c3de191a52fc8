//! Reads a capture of a relay's traffic, or its log, and looks for what is not sealed.

pub mod capture;
pub mod layers;
pub mod random;
pub mod report;
pub mod tcp;
pub mod websocket;
