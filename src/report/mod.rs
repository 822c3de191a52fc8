//! Reports: what somebody said, provable to a moderator and to nobody else, while nobody stores
//! anything (SPEC section 12).
//!
//! ```text
//! Opener > Opened > Recorder > play          audio thread: the last minute, in memory only
//!                      v
//!                   Excerpt > Room::report > sealed file > moderator > ModerationSecret::open > Report
//!                             announcements,                           who, when, how long, each gap,
//!                             credential                               packets to decode
//! ```
//!
//! A report holds the packets of one speaker as they were signed, and what binds the speaker's key
//! to an identity. No key of the room is in it, so it opens nothing else.
//!
//! ```
//! # #[cfg(feature = "room")] {
//! use std::time::SystemTime;
//!
//! use sottovoce::report::{ModerationSecret, Rejected};
//!
//! // The moderators' key pair; the application ships `key`, for `Session::report`.
//! let secret = ModerationSecret::from_seed(rand::random())?;
//! let key = secret.key();
//! // A file that arrived now either proves who spoke, or is rejected with a reason.
//! let rejected = secret.open(b"not a report", SystemTime::now().into(), &[]).err();
//! assert_eq!(rejected, Some(Rejected::NotAReport));
//! # drop(key);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # For whoever runs moderation
//!
//! 1. Make a key pair: 32 random bytes are a [`ModerationSecret`]. Keep it off any server, with
//!    more than one pair of eyes; whoever has it reads every report made to it, and nothing else.
//! 2. Ship the [`ModerationKey`] in the application. Reports come by any channel: they are sealed.
//! 3. **Write down when each report arrived**, by a clock that is right, before anything else is
//!    done with it. A report proves who spoke only to whoever had it in time: half an hour after a
//!    speaker's epoch ends the key that signed is published, and from then on anybody can make such
//!    a report ([`Rejected::Expired`]).
//! 4. Open it with that time. Either there is a [`Report`], and then that device signed every
//!    packet in it, or there is a [`Rejected`] that says why not. There is nothing between the two.
//! 5. Look at [`Report::gaps`] before judging: packets can be lost, and a reporter can leave some
//!    out, but neither goes unseen. What was said before the first and after the last packet is not
//!    in it.
//! 6. With two reports of one moment, [`Report::compare`] them: honest ones agree, and a speaker
//!    who told two people two things is named by its own signatures.
//! 7. Delete what is decided. Nothing here stores anything.
//!
//! What a report shows is that a *device* with that identity's key sent that sound. It may have
//! played a recording or a made-up voice. And it shows nothing of who else was there.
//!
//! `examples/verify_report.rs` does all of this on the command line.

#[cfg(all(test, feature = "room"))]
mod attacks;
#[cfg(feature = "room")]
mod compare;
#[cfg(feature = "room")]
mod file;
#[cfg(feature = "room")]
mod gaps;
#[cfg(all(test, feature = "room"))]
mod heard;
#[cfg(feature = "room")]
mod moderation;
mod recorder;
#[cfg(all(test, feature = "room"))]
mod vectors;
#[cfg(feature = "room")]
mod verify;

#[cfg(feature = "room")]
pub(crate) use self::file::{Draft, Part, Taken};
#[cfg(feature = "room")]
pub(crate) use self::recorder::FIRSTS;
pub use self::recorder::{Buffer, Excerpt, ExcerptError, GaveWay, NotKept, Retention};
#[cfg(feature = "room")]
pub use self::{
    compare::{Comparison, Equivocation},
    file::MAX_FILE,
    gaps::Gap,
    moderation::{ModerationKey, ModerationSecret, PublishedKey},
    verify::{Place, Rejected, Report, ReportedPacket},
};
