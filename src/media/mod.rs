//! The media plane: Opus packets in, sealed packets out, and back (SPEC sections 3 and 5).
//!
//! ```text
//! buffer  [ headroom | opus .......... | room for padding, stamp, signature, tag ]
//! seal      [header | opus, grown to the one size (stamp, signature in its padding) | tag]
//! open      header > KID > replay screen > tag > signature > opus > only now: record the counter
//! ```
//!
//! [`Sealer`] and [`Opener`] belong to the audio thread: they use no lock, allocation or clock.
//! [`Schedule`] makes their keys on the control thread, and allocates memory for them there, so
//! that taking a new key costs the audio thread a pointer swap. The caller gives [`Schedule`] the
//! time.
//!
//! An application with an MLS group of its own needs no more than this:
//!
//! ```
//! use std::time::Instant;
//!
//! use sottovoce::{
//!     Authenticity, Epoch, EpochSecret, EpochStart, Leaf, MemberId, Opener, PacketSize, Rekey, Schedule,
//!     Sealer, Speaker, Stamp, Suite,
//!     media::{HEADROOM, TAILROOM},
//! };
//!
//! let speakers = [0, 1].map(|n| Speaker { leaf: Leaf(n), member: MemberId::from_bytes([n as u8; 32]) });
//! let schedule = |own_leaf, seed| -> Result<Schedule, Box<dyn std::error::Error>> {
//!     let start = EpochStart {
//!         secret: EpochSecret::new(vec![7; 32])?, // exported by the group
//!         group_id: b"room",
//!         epoch: Epoch(1),
//!         authenticator: &[9; 32], // MLS's epoch authenticator
//!         suite: Suite::default(),
//!         authenticity: Authenticity::Signed,
//!         packet_size: PacketSize::default(),
//!         own_leaf,
//!         speakers: &speakers,
//!         removed: &[],
//!         seed, // fresh and secret
//!     };
//!     Ok(Schedule::start(start, Instant::now())?)
//! };
//! let (mut ada, mut ben) = (schedule(Leaf(0), &[1; 32])?, schedule(Leaf(1), &[2; 32])?);
//! // Each member tells the others its speaker key, in an MLS message.
//! ben.handle_speaker(Leaf(0), ada.speaker_key().ok_or("no speaker")?)?;
//!
//! let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
//! while let Some(rekey) = ada.poll_rekey() {
//!     if let Rekey::Seal(rekey) = rekey {
//!         sealer.install(rekey)?;
//!     }
//! }
//! while let Some(rekey) = ben.poll_rekey() {
//!     if let Rekey::Open(rekey) = rekey {
//!         opener.install(rekey);
//!     }
//! }
//!
//! // An Opus packet in a buffer with room around it, sealed in place.
//! let opus = [0xfc, 0xff, 0xfe];
//! let mut buffer = [0; HEADROOM + 240 + TAILROOM];
//! buffer[HEADROOM..HEADROOM + opus.len()].copy_from_slice(&opus);
//! let sealed = sealer.seal(&mut buffer, opus.len(), Stamp::default())?;
//! let opened = opener.open(sealed)?;
//! assert_eq!(opened.member, speakers[0].member);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod early;
mod error;
#[cfg(feature = "stage")]
pub(crate) mod hall;
pub(crate) mod header;
pub(crate) mod keyring;
mod open;
pub(crate) mod opus;
mod profile;
pub(crate) mod rekey;
pub(crate) mod replay;
mod schedule;
mod seal;
mod sound;
pub(crate) mod stamp;
mod start;
mod stats;
#[cfg(test)]
mod vectors;

pub use early::Early;
pub use error::OpenError;
pub use open::{Opened, Opener, Proof};
pub use opus::{MalformedOpus, OpusPacket};
pub use profile::{Authenticity, PacketSize, PacketSizeError, SilenceReason};
pub use rekey::{OpenRekey, Rekey, Retired, SealRekey};
pub use schedule::{STEP, Schedule};
pub use seal::{HEADROOM, Reused, SealError, Sealer, TAILROOM};
pub use sound::Sound;
pub use stamp::{Level, Loss, Notes, Stamp, capacity};
pub use start::{EpochStart, ScheduleError, Speaker};
pub use stats::{OpenStats, SpeakerStats};
