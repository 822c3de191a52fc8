//! Identities: a person's long-term key and name, for all rooms (SPEC section 6.1).
//!
//! ```text
//! identity key > fingerprint = MemberId
//!      | signs (group, leaf key, name)
//! credential of one leaf in one room
//! ```

use std::{fmt, str::FromStr};

use super::{codec::Malformed, signing::SigningKey};
use crate::{
    NoRandomness, Seed,
    id::{IdentityKey, MemberId},
    keys::derive::sha256,
};

/// A person's or bot's long-term key with the name it shows.
///
/// Store the seed where the application keeps secrets; the same seed gives the same [`MemberId`] in
/// every room. The key signs credentials, and messages that have to hold in every branch of a room:
/// bans, heartbeats, refusals. It is never the key of a leaf in an MLS tree. Wiped on drop. SPEC
/// section 6.1.
pub struct Identity {
    id: MemberId,
    key: SigningKey,
    name: Name,
}

impl Identity {
    /// Makes a new identity with randomness of the operating system.
    ///
    /// # Errors
    /// [`NoRandomness`] if the operating system has none.
    pub fn generate(name: Name) -> Result<Self, NoRandomness> {
        Ok(Self::new(Seed::generate()?, name))
    }

    /// Makes the identity from a seed of 32 secret random bytes. The caller wipes its own copy of
    /// the seed.
    pub fn from_seed(mut seed: [u8; 32], name: Name) -> Self {
        Self::new(Seed::from_bytes(&mut seed), name)
    }

    pub(crate) fn new(seed: Seed, name: Name) -> Self {
        let key = SigningKey::from_seed(seed);
        Self { id: fingerprint(key.public()), key, name }
    }

    /// The fingerprint that others see in the roster.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// The name that others see in the roster.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// A copy of the identity, for a room. Copies are made only on purpose, so the type is not
    /// `Clone`.
    pub(crate) fn copy(&self) -> Self {
        Self::new(Seed::copied(self.seed().bytes()), self.name.clone())
    }

    /// The seed of the identity, for a store.
    pub(crate) fn seed(&self) -> &Seed {
        self.key.seed()
    }

    pub(crate) fn rename(&mut self, name: Name) {
        self.name = name;
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        self.key.public()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }
}

impl IdentityKey {
    /// The fingerprint that rosters show for this key.
    pub fn id(&self) -> MemberId {
        fingerprint(self.as_bytes())
    }
}

/// Shows neither key nor name: a log line must not reveal who was in a room.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A name to show: 1 to 64 bytes of UTF-8 without control or text-direction characters. It begins
/// and ends with a visible character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(String);

impl Name {
    /// Takes a name as a user typed it.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, longer than 64 bytes, or has a character that controls the
    /// display.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if name.chars().any(reshapes) {
            return Err(NameError::Control);
        }
        if name.starts_with(|c| is_invisible(c) || varies(c)) || name.ends_with(is_invisible) {
            return Err(NameError::Invisible);
        }
        Ok(Self(name.to_owned()))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        Self::new(text).map_err(|_| Malformed)
    }
}

/// Takes a name as [`Name::new`] does.
impl FromStr for Name {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character breaks lines, or turns the direction of what follows.
fn reshapes(c: char) -> bool {
    let turns =
        matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character is invisible on its own. Between others some of them join or part letters.
fn is_invisible(c: char) -> bool {
    let joins = matches!(c, '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}')
        || matches!(c, '\u{00AD}' | '\u{034F}' | '\u{1D173}'..='\u{1D17A}');
    let fills =
        matches!(c, '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180E}' | '\u{3164}')
            || matches!(c, '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{2800}' | '\u{E0000}'..='\u{E0FFF}');
    joins || fills || c.is_whitespace()
}

/// Whether a character says how the one before it is shown, so shows nothing where there is none.
fn varies(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}')
}

/// Why some text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// There is no text.
    Empty,
    /// It has more than 64 bytes of UTF-8.
    TooLong,
    /// It has a control character, or one that turns the direction of text: both reshape what a
    /// roster shows.
    Control,
    /// It begins or ends with a blank or an invisible character: two names could look the same.
    Invisible,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name must not be empty",
            Self::TooLong => "a name has at most 64 bytes",
            Self::Control => "a name must not have characters that control lines or the direction of text",
            Self::Invisible => "a name must begin and end with a visible character",
        })
    }
}

impl std::error::Error for NameError {}

/// Why a leaf's credential is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum CredentialError {
    /// It is not in the form of SPEC section 6.2.
    Malformed,
    /// The identity's signature over group, leaf key and name is not valid.
    Forged,
    /// The identity key is used as the leaf key.
    IdentityAsLeaf,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the credential is malformed",
            Self::Forged => "the identity did not sign for the leaf",
            Self::IdentityAsLeaf => "the identity key is the leaf key",
        })
    }
}

impl std::error::Error for CredentialError {}

/// `SHA-256("sottovoce 1 identity" || key)`.
pub(crate) fn fingerprint(key: &[u8; 32]) -> MemberId {
    MemberId::from_bytes(sha256(&[b"sottovoce 1 identity", key]))
}

pub(crate) const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong));
        assert_eq!(Name::new("a\nb"), Err(NameError::Control));
        assert_eq!(Name::new("a\u{202E}b"), Err(NameError::Control));
        assert!(Name::new(&"é".repeat(32)).is_ok());
        for c in "\u{200E}\u{200F}\u{061C}\u{2028}\u{2029}\u{85}".chars() {
            assert_eq!(Name::new(&format!("a{c}b")), Err(NameError::Control), "{c:?}");
        }
        for c in
            " \u{A0}\u{3000}\u{200B}\u{200D}\u{2060}\u{FEFF}\u{AD}\u{3164}\u{2800}\u{E0061}\u{206A}\u{1D173}"
                .chars()
        {
            for name in [format!("{c}"), format!("{c}a"), format!("a{c}")] {
                assert_eq!(Name::new(&name), Err(NameError::Invisible), "{name:?}");
            }
        }
        for c in "\u{FE00}\u{FE0F}".chars() {
            for name in [format!("{c}"), format!("{c}a"), format!("{c}{c}")] {
                assert_eq!(Name::new(&name), Err(NameError::Invisible), "{name:?}");
            }
        }
        assert!(Name::new("Ada \u{2764}\u{FE0F}").is_ok(), "a red heart");
        // Joined emoji, and a Persian word with its non-joiner.
        assert!(Name::new("👩\u{200D}🚀 Sally").is_ok() && Name::new("می\u{200C}خواهم").is_ok());
    }

    #[test]
    fn debug_names_nobody() {
        let identity = Identity::from_seed([7; 32], Name::new("Ada").unwrap());
        assert_eq!(format!("{identity:?}"), "Identity(..)");
    }
}
