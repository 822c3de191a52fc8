//! The reference relay, and what a relay and its operator can see.

#[cfg(all(feature = "room", feature = "codec"))]
mod audit;
#[cfg(all(feature = "room", feature = "codec", feature = "quic", feature = "rtpengine"))]
mod audit_adapters;
#[cfg(feature = "quic")]
mod floods;
mod operators;
#[cfg(feature = "quic")]
mod quic;
mod rules;
