//! What every transport promises, and what each of them adds.

#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "moq")]
mod moq;
#[cfg(feature = "moq")]
mod moq_attacks;
#[cfg(feature = "quic")]
mod networks;
mod promises;
#[cfg(feature = "rtp")]
mod rtp;
#[cfg(feature = "webrtc")]
mod webrtc;
#[cfg(feature = "webrtc")]
mod webrtc_attacks;
