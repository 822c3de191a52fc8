//! An app message as the application sees it (`spec/messages.md`).

use std::{error::Error, fmt, time::Duration};

use crate::{group::Role, id::MemberId, media::SilenceReason, mls::Failure, wire::app::Note};

/// A message from one member to others: chat, a reaction, a caption, or a kind of the application's
/// own.
///
/// MLS has authenticated that `from` sent it, in this room and epoch, and nobody can replay it.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct AppMessage {
    /// The member that wrote it.
    pub from: MemberId,
    /// The audience that the sender chose.
    pub audience: Audience,
    /// Its kind: text, reaction, caption, or one of the application's.
    pub kind: MessageKind,
    /// Its bytes: at most 640.
    pub body: Vec<u8>,
    /// The number of the message among all messages of its sender, to any audience, from 1 on.
    pub number: u64,
    /// How many earlier messages of the sender did not arrive here. Some may have been for others.
    pub missed: u64,
}

impl AppMessage {
    /// The text of a text, a reaction or a caption, as its sender wrote it: with line breaks and
    /// characters that change the direction of writing, if it has any.
    pub fn text(&self) -> Option<&str> {
        let is_text = [MessageKind::TEXT, MessageKind::REACTION, MessageKind::CAPTION].contains(&self.kind);
        std::str::from_utf8(&self.body).ok().filter(|_| is_text)
    }
}

/// Shows the length of the body, but not its content.
impl fmt::Debug for AppMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, audience, kind, body, number, missed } = self;
        f.debug_struct("AppMessage")
            .field("from", from)
            .field("audience", audience)
            .field("kind", kind)
            .field("bytes", &body.len())
            .field("number", number)
            .field("missed", missed)
            .finish()
    }
}

/// The members for whom a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Audience {
    /// Everybody in the room.
    All,
    /// Everybody who has this role, at most 17 members. Nobody else can read the message.
    /// [`Role::Moderator`] is the host and the moderators.
    Role(Role),
    /// One member. Nobody else can read the message.
    Member(MemberId),
}

/// The kind of a message: one that is registered for all applications, or an application's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKind(u16);

impl MessageKind {
    /// A text to read.
    pub const TEXT: Self = Self(1);
    /// A reaction: one sign, such as an emoji.
    pub const REACTION: Self = Self(2);
    /// A message that a member wrote.
    pub const CAPTION: Self = Self(3);
    pub(super) const HAND_RAISED: Self = Self(4);
    pub(super) const HAND_LOWERED: Self = Self(5);

    /// The kind that an application calls `number`, from 0 to 0x7fff; `None` above.
    pub const fn app(number: u16) -> Option<Self> {
        if number < FIRST_OF_APPS { Some(Self(FIRST_OF_APPS | number)) } else { None }
    }

    /// The number that the application gave it; `None` for a registered kind.
    pub const fn number(self) -> Option<u16> {
        if self.0 < FIRST_OF_APPS { None } else { Some(self.0 & !FIRST_OF_APPS) }
    }

    /// The kind with this number on the wire, if it means something.
    pub(crate) fn of_wire(kind: u16) -> Option<Self> {
        (1..=5).contains(&kind).then_some(Self(kind)).or((kind >= FIRST_OF_APPS).then_some(Self(kind)))
    }

    pub(crate) const fn wire(self) -> u16 {
        self.0
    }

    /// Whether a body has the form of this kind; hands have theirs elsewhere.
    pub(super) fn fits(self, body: &[u8]) -> bool {
        match self {
            Self::TEXT | Self::REACTION | Self::CAPTION => {
                !body.is_empty() && std::str::from_utf8(body).is_ok()
            }
            _ => true,
        }
    }
}

impl fmt::Debug for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TEXT => f.write_str("text"),
            Self::REACTION => f.write_str("reaction"),
            Self::CAPTION => f.write_str("caption"),
            Self::HAND_RAISED => f.write_str("hand raised"),
            Self::HAND_LOWERED => f.write_str("hand lowered"),
            Self(kind) => write!(f, "app {}", kind & !FIRST_OF_APPS),
        }
    }
}

impl Audience {
    /// The byte of `spec/messages.md`, section 2.
    pub(super) const fn to_some(self) -> u8 {
        match self {
            Self::All | Self::Member(_) => 0,
            Self::Role(Role::Host) => 1,
            Self::Role(Role::Moderator) => 2,
            Self::Role(Role::Speaker) => 3,
            Self::Role(Role::Listener) => 4,
            Self::Role(Role::Recorder) => 5,
        }
    }

    /// The audience that the byte means to `reader`.
    pub(super) const fn of_byte(byte: u8, reader: MemberId) -> Option<Self> {
        Some(match byte {
            0 => Self::Member(reader),
            1 => Self::Role(Role::Host),
            2 => Self::Role(Role::Moderator),
            3 => Self::Role(Role::Speaker),
            4 => Self::Role(Role::Listener),
            5 => Self::Role(Role::Recorder),
            _ => return None,
        })
    }

    /// Whether a member with this role is in the audience.
    pub(super) fn includes(self, member: MemberId, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Role(Role::Moderator) => role.may_admit(),
            Self::Role(meant) => role == meant,
            Self::Member(meant) => member == meant,
        }
    }
}

/// Why a message was not sent, not even in part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// We are not in the room: not yet, or no longer.
    NotInRoom,
    /// We lost our place and are returning: try again when we are back.
    Returning,
    /// Sending is stopped at the moment, for messages as for audio: somebody who is out of the room
    /// could hear us, or nobody hears us.
    Silent(SilenceReason),
    /// The body is longer than 640 bytes, or is not in the form of its kind: a text is UTF-8 and
    /// not empty.
    Body,
    /// No other member is in the audience.
    Nobody,
    /// More than 17 members have this role: write to everybody.
    TooMany,
    /// We have sent 20 messages in the last 10 s: try again after this time.
    TooOften(Duration),
    /// Only the host and moderators lower another's hand.
    NoRank,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInRoom => f.write_str("we are not in the room"),
            Self::Returning => f.write_str("we are on the way back into the room"),
            Self::Silent(reason) => write!(f, "nothing may be sent: {reason}"),
            Self::Body => f.write_str("the message is too long, or not in the form of its kind"),
            Self::Nobody => f.write_str("no other member is in the audience"),
            Self::TooMany => f.write_str("more than 17 members have this role"),
            Self::TooOften(wait) => write!(f, "too many messages: wait {} ms", wait.as_millis()),
            Self::NoRank => f.write_str("only the host and moderators may do this"),
            Self::Mls(what) => write!(f, "MLS failed: {what}"),
        }
    }
}

impl Error for SendError {}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self::Mls(failure.0)
    }
}

impl AppMessage {
    pub(super) fn new(
        from: MemberId,
        audience: Audience,
        kind: MessageKind,
        mut note: Note,
        number: u64,
        missed: u64,
    ) -> Self {
        Self { from, audience, kind, body: std::mem::take(&mut note.body), number, missed }
    }
}

const FIRST_OF_APPS: u16 = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_apps_begin_at_8000_and_others_are_registered() {
        assert_eq!(MessageKind::app(0).map(MessageKind::wire), Some(0x8000));
        assert_eq!(MessageKind::app(0x7fff).map(MessageKind::wire), Some(0xffff));
        assert_eq!(MessageKind::app(0x8000), None);
        let known: Vec<u16> =
            (0..=u16::MAX).filter(|kind| MessageKind::of_wire(*kind).is_some()).take(6).collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 0x8000]);
        assert_eq!(MessageKind::app(7).and_then(MessageKind::number), Some(7));
        assert_eq!(MessageKind::TEXT.number(), None);
    }

    #[test]
    fn texts_are_utf_8_and_not_empty() {
        for (body, fits) in [(&b"hello"[..], true), (b"", false), (b"\xff", false)] {
            assert_eq!(MessageKind::TEXT.fits(body), fits);
        }
        assert!(MessageKind::app(0).is_some_and(|kind| kind.fits(b"\xff")));
    }

    #[test]
    fn debug_shows_nothing_of_a_body() {
        let message = AppMessage {
            from: MemberId::from_bytes([7; 32]),
            audience: Audience::All,
            kind: MessageKind::TEXT,
            body: b"hello".to_vec(),
            number: 2,
            missed: 0,
        };
        let shown = format!("{message:?}");
        assert!(shown.contains("kind: text, bytes: 5, number: 2"), "{shown}");
        assert!(!shown.contains("hello") && !shown.contains("104"), "{shown}");
    }
}
