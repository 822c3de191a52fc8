//! What lets somebody knock: a link or a QR code (`spec/wire.md`, W10).
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
        invite::{InviteId, UnixTime},
        key_exchange::KeyExchange,
    },
    id::{IdentityKey, MemberId},
    keys::{derive::sha256, secret::Secret},
    transport::{RelayName, RoomHandle},
};

/// A way into a room: hand it over where only the invited see it.
///
/// It carries the key of the control lane, so its holder can knock, and can see that control messages pass,
/// but hears nothing: that takes an admission. `to_string` gives the link, [`Invite::to_https`] the link
/// behind a page, [`Invite::to_qr`] the text of a QR code; each of them parses. `Debug` shows none of it.
/// `spec/wire.md`, W10.
pub struct Invite {
    pub(crate) lane: LaneKey,
    pub(crate) group_id: [u8; 32],
    pub(crate) host: IdentityKey,
    pub(crate) office: [u8; 32],
    pub(crate) no: u64,
    pub(crate) id: InviteId,
    pub(crate) key_exchange: KeyExchange,
    pub(crate) expires: UnixTime,
    pub(crate) uses: u16,
    pub(crate) relays: Vec<RelayName>,
}

impl Invite {
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

    /// How many people it lets in; `None` is any number.
    pub fn uses(&self) -> Option<u16> {
        (self.uses > 0).then_some(self.uses)
    }

    /// The text for a QR code, in characters that a QR code packs two into 11 bits ("alphanumeric mode").
    ///
    /// With one relay named by host and port that is a code of version 10 at error correction M, which a
    /// phone reads off another's screen without effort; with two QUIC relays and their pins, version 13.
    pub fn to_qr(&self) -> String {
        format!("{}{QR_MARK}{}", SCHEME.to_ascii_uppercase(), base41::encode(self.encode().bytes()))
    }

    /// The link behind a page of the application, for chats that make only `https` links clickable.
    ///
    /// The invite is in the fragment, which browsers do not send to the server. Scripts of the page can
    /// read it all the same.
    ///
    /// # Errors
    /// [`InviteError::Page`] if `page` does not begin with `https://`, has a fragment of its own, or has
    /// characters other than printable ASCII; [`InviteError::TooLong`] if the link would be.
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
        let out = Writer::new()
            .u8(VERSION)
            .bytes(self.lane.bytes())
            .bytes(&self.group_id)
            .bytes(self.host.as_bytes())
            .bytes(&self.office)
            .u64(self.no)
            .bytes(&self.id.0)
            .u16(self.key_exchange.id())
            .u64(self.expires.0)
            .u16(self.uses)
            .u8(self.relays.len() as u8);
        let out = self.relays.iter().fold(out, |out, relay| out.vec8(relay.as_str().as_bytes()));
        let content = Secret::wrap(out.finish());
        let checksum = checksum(content.bytes());
        Secret::wrap([content.bytes(), &checksum].concat())
    }

    /// Reads what follows the version, without the checksum.
    fn decode(content: &[u8]) -> Result<Self, InviteError> {
        let mut reader = Reader::new(content);
        if reader.u8()? != VERSION {
            return Err(InviteError::Version);
        }
        let lane = LaneKey::new(&reader.array()?);
        let group_id = reader.array()?;
        let host = IdentityKey::from_bytes(reader.array()?);
        let office = reader.array()?;
        let no = reader.u64()?;
        let id = InviteId(reader.array()?);
        let key_exchange = KeyExchange::from_id(reader.u16()?).ok_or(InviteError::KeyExchange)?;
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
        Ok(Self { lane, group_id, host, office, no, id, key_exchange, expires, uses, relays })
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

    /// Takes a link, a link behind a page, or the text of a QR code. White space around it is ignored.
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
/// Relays that a room may name.
pub(crate) const MAX_RELAYS: usize = 8;
const MAX_LINK: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite(relays: &[&str], uses: u16) -> Invite {
        Invite {
            lane: LaneKey::new(&[2; 32]),
            group_id: [4; 32],
            host: IdentityKey::from_bytes([5; 32]),
            office: [6; 32],
            no: 1_800_000_000_000,
            id: InviteId([1; 16]),
            key_exchange: KeyExchange::MlKem768X25519,
            expires: UnixTime(1_800_000_000),
            uses,
            relays: relays.iter().map(|name| RelayName::new(name).unwrap()).collect(),
        }
    }

    /// The link of these bytes in front of the checksum, whatever they say.
    fn link(content: &[u8]) -> String {
        format!("{SCHEME}{}", base64url::encode(&[content, &checksum(content)].concat()))
    }

    fn error(text: &str) -> InviteError {
        text.parse::<Invite>().unwrap_err()
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
        assert_eq!(back.host(), fingerprint(&[5; 32]));
        assert_eq!(back.expires(), UnixTime(1_800_000_000));
        assert_eq!(invite(&["r"], 0).uses(), None);
    }

    #[test]
    fn white_space_around_a_link_is_ignored() {
        let invite = invite(&["relay.example:443"], 3);
        for link in [invite.to_string(), invite.to_qr(), invite.to_https("https://a.example/").unwrap()] {
            for text in [format!("{link}\n"), format!(" \t{link}\r\n\n"), format!("\u{a0}{link} ")] {
                assert_eq!(text.parse::<Invite>().unwrap().to_string(), invite.to_string());
            }
        }
    }

    #[test]
    fn every_mistake_of_one_character_is_told_as_mistyped() {
        let invite = invite(&["relay.example:443"], 3);
        for link in [invite.to_string(), invite.to_qr()] {
            let other = |c: char| match c {
                'A'..='Y' | 'a'..='y' | '0'..='8' => char::from(c as u8 + 1),
                _ => 'A',
            };
            let characters: Vec<char> = link.chars().collect();
            for at in 0..characters.len() {
                let changed = |new: &[char]| {
                    [&characters[..at], new, &characters[at + 1..]].concat().iter().collect::<String>()
                };
                let c = characters[at];
                let mut mistakes =
                    vec![vec![], vec![other(c)], vec!['!'], vec!['é'], vec![c, '0'], vec![' ', c], vec!['-']];
                // Case is no mistake in the scheme, and elsewhere it is one where there are two cases.
                if at >= SCHEME.len() && c.is_ascii_alphabetic() {
                    mistakes.push(vec![char::from(c as u8 ^ 0x20)]);
                }
                for new in mistakes {
                    let text = changed(&new);
                    // White space in front is ignored.
                    if text != link && text.trim() != link {
                        assert_eq!(error(&text), InviteError::Mistyped, "{text}");
                    }
                }
                if at > 0 && at != SCHEME.len() && characters[at - 1] != c {
                    let mut swapped = characters.clone();
                    swapped.swap(at - 1, at);
                    let swapped: String = swapped.into_iter().collect();
                    assert_eq!(error(&swapped), InviteError::Mistyped, "{swapped}");
                }
            }
        }
    }

    #[test]
    fn every_cut_is_told_as_mistyped() {
        let whole = invite(&["relay.example:443"], 3);
        for link in [whole.to_string(), whole.to_qr()] {
            for len in SCHEME.len()..link.len() {
                assert_eq!(error(&link[..len]), InviteError::Mistyped, "cut to {len}");
            }
            for len in 0..SCHEME.len() {
                assert_eq!(error(&link[..len]), InviteError::Scheme, "cut to {len}");
            }
        }
    }

    #[test]
    fn a_link_behind_a_page_is_taken_and_a_page_that_is_none_is_refused() {
        let invite = invite(&["relay.example:443"], 3);
        let link = invite.to_https("https://talk.example/join?l=en").unwrap();
        assert!(link.starts_with("https://talk.example/join?l=en#sottovoce:"));
        let qr = format!("HTTPS://talk.example#{}", invite.to_qr());
        for text in [&link, &qr] {
            assert_eq!(text.parse::<Invite>().unwrap().to_string(), invite.to_string());
        }
        for page in
            ["", "https://", "http://a.example/", "sottovoce:", "https://a#b", "https://a b", "https://é"]
        {
            assert_eq!(invite.to_https(page), Err(InviteError::Page), "{page:?}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_LINK));
        assert_eq!(invite.to_https(&long), Err(InviteError::TooLong));
        assert_eq!(error("https://talk.example/join"), InviteError::Scheme);
        assert_eq!(error("https://talk.example/join#"), InviteError::Scheme);
        assert_eq!(error(&link.replacen("https", "http", 1)), InviteError::Scheme);
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
        let (version_10, version_11, version_13) = (311, 366, 483);
        for (relays, holds) in [
            (&["relay.example:443"][..], version_10),
            (&[&pinned], version_11),
            (&["relay.example:443", "relay.example.org:443"], version_11),
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
        assert_eq!(error(&invite.to_qr().replacen('.', "", 1)), InviteError::Mistyped);
        assert_eq!(error(&invite.to_string().replacen(':', ":.", 1)), InviteError::Mistyped);
        assert_eq!(error("SOTTOVOCE:."), InviteError::Mistyped);
        assert_eq!(error("sottovocé:."), InviteError::Scheme);
        assert_eq!(error("https://example.org"), InviteError::Scheme);
        assert_eq!(error(""), InviteError::Scheme);
    }

    #[test]
    fn a_whole_invite_with_wrong_content_says_which_part_is_wrong() {
        let whole = invite(&["relay.example:443"], 3).encode();
        let (content, _) = whole.bytes().split_last_chunk::<4>().unwrap();
        let with = |at: usize, value: &[u8]| {
            let mut content = content.to_vec();
            content[at..at + value.len()].copy_from_slice(value);
            error(&link(&content))
        };
        for version in [0, 1, 3, 255] {
            assert_eq!(with(0, &[version]), InviteError::Version);
        }
        let key_exchange = 1 + 4 * 32 + 8 + 16;
        for id in [0x0000_u16, 0x0002, 0x0003, 0x004E, 0x0050, 0x4F00, 0xFFFF] {
            assert_eq!(with(key_exchange, &id.to_be_bytes()), InviteError::KeyExchange, "{id:#06x}");
        }
        let relays = key_exchange + 2 + 8 + 2;
        assert_eq!(with(relays, &[0]), InviteError::Relays);
        assert_eq!(with(relays, &[9]), InviteError::Relays);
        assert_eq!(with(relays, &[2]), InviteError::Malformed);
        assert_eq!(with(relays + 2, b" "), InviteError::Relays);
        for len in 1..content.len() {
            assert_eq!(error(&link(&content[..len])), InviteError::Malformed, "cut to {len}");
        }
        assert_eq!(error(&link(&[content, &[0]].concat())), InviteError::Malformed);
        assert_eq!(error(&link(&[])), InviteError::Malformed);
        assert_eq!(error(&format!("sottovoce:{}", "A".repeat(2048))), InviteError::TooLong);
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", invite(&["r"], 0)), "Invite(..)");
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "\\PC{0,200}") {
            for text in [format!("sottovoce:{text}"), format!("sottovoce:.{text}"), format!("https://{text}")] {
                let _ = text.parse::<Invite>();
            }
            let _ = text.parse::<Invite>();
        }

        #[test]
        fn random_content_with_its_checksum_never_panics(content in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = link(&[&[VERSION][..], &content].concat()).parse::<Invite>();
        }

        #[test]
        fn both_forms_of_any_invite_say_the_same(
            fields in any::<([u8; 32], [u8; 32], [u8; 32], [u8; 32], u64, [u8; 16], u64, u16)>(),
            relays in prop::collection::vec("[!-~]{1,128}", 1..=8),
        ) {
            let (lane, group_id, host, office, no, id, expires, uses) = fields;
            let invite = Invite {
                lane: LaneKey::new(&lane),
                group_id,
                host: IdentityKey::from_bytes(host),
                office,
                no,
                id: InviteId(id),
                key_exchange: KeyExchange::X25519,
                expires: UnixTime(expires),
                uses,
                relays: relays.iter().map(|name| RelayName::new(name).unwrap()).collect(),
            };
            for text in [invite.to_string(), invite.to_qr()] {
                let (back, whole) = (text.parse::<Invite>().unwrap().encode(), invite.encode());
                prop_assert_eq!(back.bytes(), whole.bytes());
            }
        }
    }
}
