//! What every transport promises, and what each of them adds.

#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "janus")]
mod janus;
#[cfg(feature = "janus")]
mod janus_attacks;
#[cfg(feature = "room")]
mod lost;
#[cfg(feature = "moq")]
mod moq;
#[cfg(feature = "moq")]
mod moq_parts;
#[cfg(all(feature = "moq", feature = "stage"))]
mod moq_stage;
#[cfg(feature = "quic")]
mod networks;
mod places;
mod promises;
#[cfg(all(feature = "quic", feature = "stage"))]
mod quic_stage;
#[cfg(feature = "rtpengine")]
mod rtpengine;
#[cfg(feature = "room")]
mod sessions;
mod waiting;
