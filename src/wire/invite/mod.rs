//! What lets somebody knock: a link or a QR code (`spec/control.md`, section 14.13).
//!
//! ```text
//! sottovoce:<base64url>                       the link
//! https://host/path#sottovoce:<base64url>     the link behind a page; browsers do not send what follows the #
//! SOTTOVOCE:.<base41>                         the text of a QR code
//! ```

use std::{fmt, str::FromStr};

use super::envelope::LaneKey;
use crate::{
    base41, base64url,
    group::{
        codec::{Malformed, Reader, Writer},
        identity::fingerprint,
        key_exchange::KeyExchange,
    },
    id::{IdentityKey, MemberId, UnixTime},
    keys::{derive::sha256, secret::Secret},
    lane::{RelayName, RoomHandle},
    media::Sound,
};

/// A way into a room: hand it over where only the invited see it.
///
/// It carries the key of the control lane, so its holder can knock, and can see that control
/// messages pass, but hears nothing: that takes an admission. `to_string` gives the link,
/// [`Invite::to_https`] the link behind a page, [`Invite::to_qr`] the text of a QR code; each of
/// them parses. `Debug` shows none of it. `spec/control.md`, section 14.13.
pub struct Invite {
    pub(crate) lane: LaneKey,
    pub(crate) group_id: [u8; 32],
    pub(crate) host: IdentityKey,
    pub(crate) office: [u8; 32],
    pub(crate) no: u64,
    pub(crate) id: InviteId,
    pub(crate) key_exchange: KeyExchange,
    pub(crate) sound: Sound,
    pub(crate) expires: UnixTime,
    pub(crate) uses: u16,
    pub(crate) relays: Vec<RelayName>,
}

/// Tells the invites of a room apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(pub(crate) [u8; 16]);

/// 32 hex digits, which parse back. It is no secret: nobody knocks with it alone.
impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes 32 hex digits.
impl FromStr for InviteId {
    type Err = InviteIdError;

    fn from_str(text: &str) -> Result<Self, InviteIdError> {
        let mut digits = text.chars().map(|digit| digit.to_digit(16));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(InviteIdError);
            };
            *byte = (high << 4 | low) as u8;
        }
        if digits.next().is_some() { Err(InviteIdError) } else { Ok(Self(bytes)) }
    }
}

/// The text is not the 32 hex digits of an invite's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteIdError;

impl fmt::Display for InviteIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of an invite has 32 hex digits")
    }
}

impl std::error::Error for InviteIdError {}

impl Invite {
    /// The same invite, to knock with it again when an attempt fails. Copies of the key in it are
    /// made on purpose only, so the type is not `Clone`.
    pub fn copy(&self) -> Self {
        Self { lane: self.lane.copy(), relays: self.relays.clone(), ..*self }
    }

    /// The fingerprint of the host, to compare with one that came another way.
    pub fn host(&self) -> MemberId {
        fingerprint(self.host.as_bytes())
    }

    /// The relays that may be contacted for this room; nothing else ever is.
    pub fn relays(&self) -> &[RelayName] {
        &self.relays
    }

    /// What the relay calls the room.
    pub fn handle(&self) -> RoomHandle {
        RoomHandle::from_bytes(self.lane.handle())
    }

    /// When it stops letting people in.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// How the room agrees on its keys.
    pub fn key_exchange(&self) -> KeyExchange {
        self.key_exchange
    }

    /// What the room's packets hold. The room's terms say the same, or nobody comes in by this
    /// invite.
    pub fn sound(&self) -> Sound {
        self.sound
    }

    /// How many people it lets in; `None` is any number.
    pub fn uses(&self) -> Option<u16> {
        (self.uses > 0).then_some(self.uses)
    }

    /// The text for a QR code, in characters that a QR code packs two into 11 bits ("alphanumeric
    /// mode").
    ///
    /// With one relay named by host and port that is a code of version 10 at error correction M,
    /// which a phone reads off another's screen without effort; with two QUIC relays and their
    /// pins, version 13.
    pub fn to_qr(&self) -> String {
        format!("{}{QR_MARK}{}", SCHEME.to_ascii_uppercase(), base41::encode(self.encode().bytes()))
    }

    /// The link behind a page of the application, for chats that make only `https` links clickable.
    ///
    /// The invite is in the fragment, which browsers do not send to the server. Scripts of the page
    /// can read it all the same.
    ///
    /// # Errors
    /// [`InviteError::Page`] if `page` does not begin with `https://`, has a fragment of its own,
    /// or has characters other than printable ASCII; [`InviteError::TooLong`] if the link would be.
    pub fn to_https(&self, page: &str) -> Result<String, InviteError> {
        let is_https = page.get(..PAGE.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(PAGE));
        let is_plain = page.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_https || page.len() == PAGE.len() || !is_plain {
            return Err(InviteError::Page);
        }
        let link = format!("{page}#{self}");
        if link.len() > MAX_LINK { Err(InviteError::TooLong) } else { Ok(link) }
    }

    /// The bytes of an invite, the checksum last. They hold the lane key, so they are a secret.
    pub(crate) fn encode(&self) -> Secret {
        let sound = self.sound.id();
        let out = Writer::new()
            .u8(if sound.is_some() { VERSION_WITH_SOUND } else { VERSION })
            .bytes(self.lane.bytes())
            .bytes(&self.group_id)
            .bytes(self.host.as_bytes())
            .bytes(&self.office)
            .u64(self.no)
            .bytes(&self.id.0)
            .u16(self.key_exchange.id());
        let out = sound
            .into_iter()
            .fold(out, Writer::u8)
            .u64(self.expires.0)
            .u16(self.uses)
            .u8(self.relays.len() as u8);
        let out = self.relays.iter().fold(out, |out, relay| out.vec8(relay.as_str().as_bytes()));
        let content = out.finish_secret();
        let sum = checksum(content.bytes());
        Writer::new().bytes(content.bytes()).bytes(&sum).finish_secret()
    }

    /// Reads what follows the version, without the checksum.
    fn decode(content: &[u8]) -> Result<Self, InviteError> {
        let mut reader = Reader::new(content);
        let version = reader.u8()?;
        if ![VERSION, VERSION_WITH_SOUND].contains(&version) {
            return Err(InviteError::Version);
        }
        let lane = LaneKey::new(reader.chunk()?);
        let group_id = reader.array()?;
        let host = IdentityKey::from_bytes(reader.array()?);
        let office = reader.array()?;
        let no = reader.u64()?;
        let id = InviteId(reader.array()?);
        let key_exchange = KeyExchange::from_id(reader.u16()?).ok_or(InviteError::KeyExchange)?;
        let sound = match version {
            VERSION => Sound::Speech,
            _ => Sound::from_id(reader.u8()?).ok_or(InviteError::Sound)?,
        };
        let expires = UnixTime(reader.u64()?);
        let uses = reader.u16()?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAX_RELAYS {
            return Err(InviteError::Relays);
        }
        let mut relays: Vec<RelayName> = Vec::with_capacity(count);
        for _ in 0..count {
            let name =
                std::str::from_utf8(reader.vec8(RelayName::MAX_LEN)?).map_err(|_| InviteError::Relays)?;
            relays.push(RelayName::new(name).map_err(|_| InviteError::Relays)?);
        }
        reader.finish()?;
        Ok(Self { lane, group_id, host, office, no, id, key_exchange, sound, expires, uses, relays })
    }
}

/// The link: `sottovoce:` and base64url without padding.
impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", base64url::encode(self.encode().bytes()))
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(..)")
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    /// Takes a link, a link behind a page, or the text of a QR code. White space around it is
    /// ignored.
    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        if text.len() > MAX_LINK {
            return Err(InviteError::TooLong);
        }
        let is_page = text.get(..PAGE.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(PAGE));
        let link = if is_page { text.split_once('#').ok_or(InviteError::Scheme)?.1 } else { text };
        // Systems that hand a link over write its scheme as they like.
        let (scheme, text) = link.split_at_checked(SCHEME.len()).unwrap_or((link, ""));
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            let near = SCHEME.len() - 1..=SCHEME.len() + 1;
            let mistyped = near.filter_map(|at| link.get(at..)).any(|text| content(text).is_some());
            return Err(if mistyped { InviteError::Mistyped } else { InviteError::Scheme });
        }
        let content = content(text).ok_or(InviteError::Mistyped)?;
        Self::decode(content.bytes())
    }
}

/// The bytes in front of the checksum, if the text has its right form and the checksum is theirs.
fn content(text: &str) -> Option<Secret> {
    let bytes = match text.strip_prefix(QR_MARK) {
        Some(text) => base41::decode(text),
        None => base64url::decode(text),
    };
    let bytes = Secret::wrap(bytes?);
    let (content, sum) = bytes.bytes().split_last_chunk()?;
    (checksum(content) == *sum).then(|| Secret::filled(content.len(), |out| out.copy_from_slice(content)))
}

/// Tells a typing mistake from an invite of another version, and misses one mistake in 2^32.
fn checksum(content: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[b"sottovoce 2 invite checksum", content]);
    [a, b, c, d]
}

/// Why some text is not an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InviteError {
    /// The text does not begin with `sottovoce:`, and is no `https` link with that after the `#`.
    Scheme,
    /// The text has more than 2,048 characters.
    TooLong,
    /// Characters of the invite were changed, added or lost: ask for the link again.
    Mistyped,
    /// The invite was made by another version of the library.
    Version,
    /// The invite names no relay, too many, or one whose name is not allowed.
    Relays,
    /// The invite leads into a room whose MLS cipher suite is unknown here.
    KeyExchange,
    /// The invite leads into a room whose sound is unknown here: a newer version of the library
    /// made it.
    Sound,
    /// The invite was made without a part of it, or with something left over.
    Malformed,
    /// The page that the link should be behind is no `https` address, or has a fragment of its own.
    Page,
}

impl From<Malformed> for InviteError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for InviteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "an invite begins with sottovoce:",
            Self::TooLong => "an invite has at most 2048 characters",
            Self::Mistyped => "the invite was mistyped or cut off",
            Self::Version => "the invite was made by another version",
            Self::Relays => "the invite names no usable relay",
            Self::KeyExchange => "the invite is to a room with an unknown key exchange",
            Self::Sound => "the invite is to a room with a sound that is unknown here",
            Self::Malformed => "the invite is incomplete",
            Self::Page => "the page of an invite is an https address without a fragment",
        })
    }
}

impl std::error::Error for InviteError {}

const SCHEME: &str = "sottovoce:";
const PAGE: &str = "https://";
/// What follows the scheme in a QR code, and cannot in a link.
const QR_MARK: char = '.';
const VERSION: u8 = 2;
const VERSION_WITH_SOUND: u8 = 3;
/// Relays that a room may name.
pub(crate) const MAX_RELAYS: usize = 8;
const MAX_LINK: usize = 2048;

#[cfg(test)]
mod tests;
