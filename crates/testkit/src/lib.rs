//! What the tests, the benchmarks and the fuzz targets share.
//!
//! | | |
//! | --- | --- |
//! | [`stage`] | members of the media plane, without MLS, on virtual time |
//! | [`net`] | rooms on virtual time, joined by a relay with seeded faults |
//! | [`storm`], [`deaf`] | seeded runs of such a network |
//! | [`gang`], [`calm`] | storms with insiders, and their end |
//! | [`scenes`], [`schemes`], [`devices`] | what insiders and devices do |
//! | [`book`], [`guard`] | what is known of each room after each step, and what must hold of it |
//! | [`mod@line`], [`table`] | voice endpoints; a room whose members report |
//! | `quic`, `rtpengine`, `janus`, `moq` | real relays on this machine |
//! | [`reported`], [`stored`], [`invited`], [`voiced`] | fuzz targets, with those of [`stage::targets`] |

use std::path::{Path, PathBuf};

pub use sottovoce_measure::alloc;

#[cfg(feature = "room")]
pub mod book;
#[cfg(feature = "room")]
pub mod calm;
#[cfg(feature = "room")]
pub mod deaf;
#[cfg(feature = "room")]
pub mod devices;
#[cfg(feature = "room")]
pub mod gang;
#[cfg(feature = "room")]
pub mod guard;
#[cfg(feature = "room")]
pub mod invited;
#[cfg(feature = "janus")]
pub mod janus;
#[cfg(feature = "voice")]
pub mod line;
#[cfg(feature = "moq")]
pub mod moq;
pub mod namespace;
#[cfg(feature = "room")]
pub mod net;
#[cfg(feature = "janus")]
pub mod operator;
#[cfg(feature = "quic")]
pub mod quic;
#[cfg(feature = "quic")]
pub mod raw_quic;
#[cfg(feature = "room")]
pub mod reported;
#[cfg(feature = "rtpengine")]
pub mod rtpengine;
#[cfg(feature = "room")]
pub mod scenes;
#[cfg(feature = "room")]
pub mod schemes;
pub mod stage;
#[cfg(feature = "room")]
pub mod stored;
#[cfg(feature = "room")]
pub mod storm;
#[cfg(all(feature = "room", feature = "codec"))]
pub mod table;
#[cfg(feature = "voice")]
pub mod voiced;
pub mod watched;

/// A file of the checkout, by its path from the root.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
