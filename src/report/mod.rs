//! Reports prove to a moderator, and to nobody else, what a member's device sent, although nobody
//! stores anything (SPEC section 12).
//!
//! ```text
//! Opener > Opened > Recorder > play          audio thread: the last minute, in memory only
//!                      v
//!                   Excerpt > Room::report > sealed file > moderator > ModerationSecret::open > Report
//!                             announcements,                           who, when, how long, each gap,
//!                             credential                               packets to decode
//! ```
//!
//! A report holds the packets of one speaker as they were signed, and the signatures that bind the
//! speaker's key to an identity. It holds no key of the room, so it opens nothing else.
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
//! # For the people who run moderation
//!
//! 1. Make a key pair: 32 random bytes are a [`ModerationSecret`]. Keep it off any server, and let
//!    no single person use it alone; a thief of the key can read every report made to it, and
//!    nothing else.
//! 2. Ship the [`ModerationKey`] in the application. Reports may come over any channel, since they
//!    are sealed.
//! 3. **Write down when each report arrived**, by a clock that is right, before you do anything
//!    else with it. A report proves who spoke only if you received it in time: half an hour after a
//!    speaker's epoch ends, the key that signed the packets is published, and from then on anybody
//!    can make such a report ([`Rejected::Expired`]).
//! 4. Open it with that time. The result is either a [`Report`], and then that device signed every
//!    packet in it, or a [`Rejected`] that says why the file proves nothing.
//! 5. Look at [`Report::gaps`] before judging: packets can be lost, and a reporter can leave some
//!    out; both show as gaps. The report does not show what was said before its first packet or
//!    after its last one.
//! 6. If you have two reports of the same moment, [`Report::compare`] them: honest reports agree,
//!    and a speaker that sent two people different packets is exposed by its own signatures.
//! 7. Delete reports that you have decided about. This library stores nothing.
//!
//! A report shows that a *device* with that identity's key sent that sound. The device may have
//! played a recording or a synthetic voice. And a report does not show who else was in the room.
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
    verify::{Place, Progress, Rejected, Report, ReportedPacket},
};
