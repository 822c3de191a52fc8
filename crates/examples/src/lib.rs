//! What examples share, and the parts of them that tests look at.

pub mod base64;
pub mod html;
pub mod resample;
#[cfg(all(feature = "room", feature = "codec"))]
pub mod room;
pub mod search;
pub mod talk;
#[cfg(all(feature = "room", feature = "voice"))]
pub mod verify_report;
#[cfg(feature = "voice")]
pub mod wav;
