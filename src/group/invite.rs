//! What lets somebody knock: a link or a QR code (SPEC section 6.3).

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use super::{
    codec::{Malformed, Reader, Writer},
    envelope::LaneKey,
    key_exchange::KeyExchange,
    mls::{JOIN_KEY_LEN, JoinKey},
};
use crate::{
    base41, base64url,
    id::MemberId,
    transport::{RelayName, RoomHandle},
};

/// A way into a room: hand it over where only the invited see it.
///
/// It carries the key of the control lane, so whoever holds it can knock, and can see that control
/// messages pass, but hears nothing: that takes an admission. `to_string` gives the link,
/// [`Invite::to_qr`] the text of a QR code; either parses. `Debug` shows none of it. SPEC section 6.3.
pub struct Invite {
    pub(crate) id: InviteId,
    pub(crate) lane: LaneKey,
    pub(crate) join_key: JoinKey,
    pub(crate) group_id: [u8; 16],
    pub(crate) key_exchange: KeyExchange,
    pub(crate) host: MemberId,
    pub(crate) relays: Vec<RelayName>,
    pub(crate) expires: UnixTime,
    pub(crate) uses: u16,
}

/// Tells the invites of a room apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(pub(crate) [u8; 16]);

/// Seconds since 1970-01-01 UTC, by the clock of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    pub(crate) fn after(self, elapsed: Duration) -> Self {
        Self(self.0.saturating_add(elapsed.as_secs()))
    }
}

/// The time by the system's clock; 0 before 1970.
impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl Invite {
    /// The fingerprint of the host, to compare with one that came another way.
    pub fn host(&self) -> MemberId {
        self.host
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

    /// How many people it lets in; `None` is any number.
    pub fn uses(&self) -> Option<u16> {
        (self.uses > 0).then_some(self.uses)
    }

    /// The text for a QR code, in characters that a QR code packs two into 11 bits ("alphanumeric mode").
    ///
    /// With one relay named by host and port that is a code of version 9 at error correction M, as far as a phone reads it
    /// off another's screen without effort; with two QUIC relays and their pins, version 13.
    pub fn to_qr(&self) -> String {
        format!("{}{QR_MARK}{}", SCHEME.to_ascii_uppercase(), base41::encode(&self.encode()))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let out = Writer::new()
            .u8(VERSION)
            .bytes(&self.id.0)
            .bytes(self.lane.bytes())
            .bytes(&self.join_key.0)
            .bytes(&self.group_id)
            .u16(self.key_exchange.id())
            .bytes(self.host.as_bytes())
            .u64(self.expires.0)
            .u16(self.uses)
            .u8(self.relays.len() as u8);
        self.relays.iter().fold(out, |out, relay| out.vec8(relay.as_str().as_bytes())).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, InviteError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(InviteError::Version);
        }
        let id = InviteId(reader.array()?);
        let lane = LaneKey::new(&reader.array()?);
        let join_key = JoinKey(reader.array::<JOIN_KEY_LEN>()?);
        let group_id = reader.array()?;
        let key_exchange = KeyExchange::from_id(reader.u16()?).ok_or(InviteError::KeyExchange)?;
        let host = MemberId::from_bytes(reader.array()?);
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
        Ok(Self { id, lane, join_key, group_id, key_exchange, host, relays, expires, uses })
    }
}

/// The link: `sottovoce:` and base64url without padding.
impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", base64url::encode(&self.encode()))
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(..)")
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    /// Takes a link or the text of a QR code.
    fn from_str(link: &str) -> Result<Self, InviteError> {
        if link.len() > MAX_LINK {
            return Err(InviteError::TooLong);
        }
        // Systems that hand a link over write its scheme as they like.
        let (scheme, text) = link.split_at_checked(SCHEME.len()).ok_or(InviteError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(InviteError::Scheme);
        }
        let bytes = match text.strip_prefix(QR_MARK) {
            Some(text) => base41::decode(text),
            None => base64url::decode(text),
        };
        Self::decode(&bytes.ok_or(InviteError::Encoding)?)
    }
}

/// Why some text is not an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InviteError {
    /// It does not begin with `sottovoce:`.
    Scheme,
    /// It has more than 2,048 characters.
    TooLong,
    /// It has characters that its form does not have, or was cut off.
    Encoding,
    /// It was made by another version of the library.
    Version,
    /// It names no relay, too many, or one whose name is not allowed.
    Relays,
    /// It leads into a room whose MLS cipher suite is unknown here.
    KeyExchange,
    /// Something is missing or left over.
    Malformed,
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
            Self::Encoding => "the invite is damaged or was cut off",
            Self::Version => "the invite was made by another version",
            Self::Relays => "the invite names no usable relay",
            Self::KeyExchange => "the invite is to a room with an unknown key exchange",
            Self::Malformed => "the invite is incomplete",
        })
    }
}

impl std::error::Error for InviteError {}

const SCHEME: &str = "sottovoce:";
/// What follows the scheme in a QR code, and cannot in a link.
const QR_MARK: char = '.';
const VERSION: u8 = 1;
/// Relays that a room may name.
pub(crate) const MAX_RELAYS: usize = 8;
const MAX_LINK: usize = 2048;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invite(relays: &[&str], uses: u16) -> Invite {
        Invite {
            id: InviteId([1; 16]),
            lane: LaneKey::new(&[2; 32]),
            join_key: JoinKey([3; 32]),
            group_id: [4; 16],
            key_exchange: KeyExchange::MlKem768X25519,
            host: MemberId::from_bytes([5; 32]),
            relays: relays.iter().map(|name| RelayName::new(name).unwrap()).collect(),
            expires: UnixTime(1_800_000_000),
            uses,
        }
    }

    #[test]
    fn a_link_comes_back_the_same() {
        let link = invite(&["relay.example:443", "[::1]:4000"], 3).to_string();
        assert!(link.starts_with("sottovoce:"));
        let back: Invite = link.parse().unwrap();
        assert_eq!(back.to_string(), link);
        assert_eq!(back.relays()[1].as_str(), "[::1]:4000");
        assert_eq!(back.uses(), Some(3));
        assert_eq!(back.key_exchange(), KeyExchange::MlKem768X25519);
        assert_eq!(back.host(), MemberId::from_bytes([5; 32]));
        assert_eq!(invite(&["r"], 0).uses(), None);
    }

    #[test]
    fn a_link_with_eight_long_relays_fits() {
        let name = "r".repeat(RelayName::MAX_LEN);
        let invite = invite(&[name.as_str(); 8], 0);
        for text in [invite.to_string(), invite.to_qr()] {
            assert!(text.len() <= MAX_LINK, "{}", text.len());
            assert!(text.parse::<Invite>().is_ok());
        }
    }

    #[test]
    fn a_qr_code_is_of_a_version_that_phones_read_with_ease() {
        let pinned = format!("quic:203.0.113.7:4434#{}", "x".repeat(43));
        // How many characters of its alphanumeric mode a code holds at error correction M (ISO/IEC 18004 table 7).
        let (version_9, version_10, version_11, version_13) = (262, 311, 366, 483);
        for (relays, holds) in [
            (&["relay.example:443"][..], version_9),
            (&[&pinned], version_11),
            (&["relay.example:443", "relay.example.org:443"], version_10),
            (&[&pinned, &pinned], version_13),
        ] {
            let invite = invite(relays, 1);
            let qr = invite.to_qr();
            assert!(qr.len() <= holds, "{} relays: {}", relays.len(), qr.len());
            assert!(qr.bytes().all(|c| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".contains(&c)));
            let back: Invite = qr.parse().unwrap();
            assert_eq!((back.to_string(), back.to_qr()), (invite.to_string(), qr));
        }
    }

    #[test]
    fn a_scheme_is_taken_in_any_case_and_the_forms_are_not_mixed() {
        let invite = invite(&["relay.example:443"], 3);
        for text in [invite.to_string(), invite.to_qr()] {
            let (scheme, rest) = text.split_at(SCHEME.len());
            for scheme in [scheme.to_ascii_lowercase(), scheme.to_ascii_uppercase(), "Sottovoce:".into()] {
                assert_eq!(format!("{scheme}{rest}").parse::<Invite>().unwrap().to_qr(), invite.to_qr());
            }
        }
        let error = |text: &str| text.parse::<Invite>().unwrap_err();
        assert_eq!(error(&invite.to_qr().replacen('.', "", 1)), InviteError::Encoding);
        assert_eq!(error(&invite.to_string().replacen(':', ":.", 1)), InviteError::Encoding);
        assert_eq!(error("SOTTOVOCE:."), InviteError::Malformed);
        assert_eq!(error("sottovocé:."), InviteError::Scheme);
    }

    #[test]
    fn every_cut_and_damage_is_a_typed_error() {
        let whole = invite(&["relay.example:443"], 3);
        for link in [whole.to_string(), whole.to_qr()] {
            for len in 0..link.len() {
                assert!(link[..len].parse::<Invite>().is_err(), "cut to {len}");
            }
        }
        let error = |link: &str| link.parse::<Invite>().unwrap_err();
        assert_eq!(error("https://example.org"), InviteError::Scheme);
        assert_eq!(error("sottovoce:AA=="), InviteError::Encoding);
        assert_eq!(error("sottovoce:Ag"), InviteError::Version);
        assert_eq!(error("sottovoce:AR"), InviteError::Encoding);
        assert_eq!(error(&format!("sottovoce:{}", "A".repeat(2048))), InviteError::TooLong);
        let none = invite(&[], 0).to_string();
        assert_eq!(error(&none), InviteError::Relays);
        let nine = invite(&["r"; 9], 0).to_string();
        assert_eq!(error(&nine), InviteError::Relays);
    }

    #[test]
    fn an_unknown_key_exchange_is_refused() {
        let bytes = invite(&["r"], 0).encode();
        let at = bytes.windows(2).position(|id| id == 0x004F_u16.to_be_bytes()).unwrap();
        for id in [0x0000_u16, 0x0002, 0x0003, 0x004E, 0x0050, 0x4F00, 0xFFFF] {
            let mut bytes = bytes.clone();
            bytes[at..at + 2].copy_from_slice(&id.to_be_bytes());
            let link = format!("{SCHEME}{}", base64url::encode(&bytes));
            assert_eq!(link.parse::<Invite>().unwrap_err(), InviteError::KeyExchange, "{id:#06x}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", invite(&["r"], 0)), "Invite(..)");
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "\\PC{0,200}") {
            let _ = format!("sottovoce:{text}").parse::<Invite>();
            let _ = format!("sottovoce:.{text}").parse::<Invite>();
            let _ = text.parse::<Invite>();
        }

        #[test]
        fn both_forms_of_any_invite_say_the_same(
            fields in any::<([u8; 16], [u8; 32], [u8; 32], [u8; 16], [u8; 32], u64, u16)>(),
            relays in prop::collection::vec("[!-~]{1,128}", 1..=8),
        ) {
            let (id, lane, join_key, group_id, host, expires, uses) = fields;
            let invite = Invite {
                id: InviteId(id),
                lane: LaneKey::new(&lane),
                join_key: JoinKey(join_key),
                group_id,
                key_exchange: KeyExchange::X25519,
                host: MemberId::from_bytes(host),
                relays: relays.iter().map(|name| RelayName::new(name).unwrap()).collect(),
                expires: UnixTime(expires),
                uses,
            };
            for text in [invite.to_string(), invite.to_qr()] {
                prop_assert_eq!(text.parse::<Invite>().unwrap().encode(), invite.encode());
            }
        }
    }
}
