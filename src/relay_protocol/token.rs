//! Join tokens: a relay lets in whom an application's backend has given one (SPEC section 8.2.7).
//!
//! ```text
//! backend: Issuer > Token > app > hello > relay, which has the IssuerKey
//!                 > Revocation ---------> relay: whoever came with that token is cut off
//! ```
//!
//! A token names a room's handle and a random serial, never an account. Which serial went to whom
//! the backend may remember; the relay cannot know.

use std::{error::Error, fmt, str::FromStr};

use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroize;

use crate::{
    hex::{self, Hex},
    keys::{ed25519, secret::Secret},
    lane::{Part, RoomHandle},
};

/// What a backend mints tokens with. Its seed is wiped on drop.
///
/// ```
/// use sottovoce::{relay::token::Issuer, transport::RoomHandle};
/// let issuer = Issuer::from_seed([7; 32]);
/// let room = RoomHandle::from_bytes([1; 16]);
/// // A serial is 16 fresh random bytes; the expiry is in seconds since 1970.
/// let token = issuer.mint(room, [9; 16], 1_900_000_000);
/// assert!(issuer.key().verify(&token, room, 1_899_999_999));
/// assert!(!issuer.key().verify(&token, room, 1_900_000_000));
/// ```
pub struct Issuer {
    seed: Secret,
    key: IssuerKey,
}

impl Issuer {
    /// Makes an issuer of 32 secret random bytes.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let kept = Secret::filled(seed.len(), |out| out.copy_from_slice(&seed));
        seed.zeroize();
        let mut public = [0; 32];
        public.copy_from_slice(pair(&kept).public_key().as_ref());
        Self { seed: kept, key: IssuerKey(public) }
    }

    /// What a relay needs to know the issuer's tokens by.
    pub fn key(&self) -> IssuerKey {
        self.key
    }

    /// A token for the room of `handle` that lets in before `expiry`, in seconds since 1970-01-01
    /// UTC.
    ///
    /// `serial` is 16 fresh random bytes. It is what the relay sees and what a revocation names, so
    /// it must not be derived from an account.
    pub fn mint(&self, handle: RoomHandle, serial: [u8; 16], expiry: u64) -> Token {
        self.mint_for(handle, Part::Both, serial, expiry)
    }

    /// [`mint`](Self::mint) for a part in the room. In a stage room the audience is given
    /// [`Part::Hears`] for the lane of the hall (`spec/stage.md`, H18).
    pub fn mint_for(&self, handle: RoomHandle, part: Part, serial: [u8; 16], expiry: u64) -> Token {
        let part = part.byte();
        let signature = self.sign(&join_message(handle, &serial, expiry, part));
        Token { claims: Claims { serial, expiry, signature }, part }
    }

    /// Takes a token back, by its serial and its expiry.
    pub fn revoke(&self, serial: [u8; 16], expiry: u64) -> Revocation {
        let signature = self.sign(&revoke_message(&serial, expiry));
        Revocation(Claims { serial, expiry, signature })
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(pair(&self.seed).sign(message).as_ref());
        signature
    }
}

/// Whose tokens a relay takes: an Ed25519 public key. As text it is 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerKey([u8; 32]);

impl IssuerKey {
    /// Takes a public key.
    pub const fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Whether `token` lets into the room of `handle` at `now`, in seconds since 1970-01-01 UTC.
    pub fn verify(&self, token: &Token, handle: RoomHandle, now: u64) -> bool {
        self.part_of(token, handle, now).is_some()
    }

    /// For which part `token` lets into the room of `handle` at `now`; `None` if it does not.
    pub fn part_of(&self, token: &Token, handle: RoomHandle, now: u64) -> Option<Part> {
        let Claims { serial, expiry, signature } = &token.claims;
        // The token says for which part it is, so that a bogus one costs one check and no more.
        let part = Part::from_byte(token.part).filter(|_| now < *expiry)?;
        self.signed(&join_message(handle, serial, *expiry, token.part), signature).then_some(part)
    }

    /// Whether the issuer takes that token back.
    pub(crate) fn verify_revocation(&self, revocation: &Revocation) -> bool {
        let Claims { serial, expiry, signature } = &revocation.0;
        self.signed(&revoke_message(serial, *expiry), signature)
    }

    fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        ed25519::verify(&self.0, message, signature).is_ok()
    }
}

impl FromStr for IssuerKey {
    type Err = InvalidIssuerKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text.chars()).map(Self).ok_or(InvalidIssuerKey)
    }
}

impl fmt::Display for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidIssuerKey;

impl fmt::Display for InvalidIssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key of an issuer is 64 hex digits")
    }
}

impl Error for InvalidIssuerKey {}

/// Lets one holder, or as many as share it, into one room at a relay. Whoever has the bytes can use
/// them, so `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    claims: Claims,
    /// As it came: whether it is a part is for the relay to say.
    part: u8,
}

/// Makes a relay cut off whoever came with a token, and let nobody in with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Revocation(Claims);

/// What both have on the wire; a token has its part before the signature.
#[derive(Clone, PartialEq, Eq)]
struct Claims {
    serial: [u8; 16],
    expiry: u64,
    signature: [u8; 64],
}

impl Token {
    /// Takes the bytes that a backend has handed out. Whether they are worth anything is for the
    /// relay to say.
    pub fn from_bytes(bytes: [u8; TOKEN_LEN]) -> Self {
        let mut claims = [0; ORDER_LEN];
        let (mut part, (before, after)) = ([0], claims.split_at_mut(PART_AT));
        let (head, tail) = bytes.split_at(PART_AT);
        let (its_part, signature) = tail.split_at(part.len());
        before.copy_from_slice(head);
        part.copy_from_slice(its_part);
        after.copy_from_slice(signature);
        let [part] = part;
        Self { claims: Claims::from_bytes(&claims), part }
    }

    /// The bytes to hand out: serial, expiry, part, signature.
    pub fn to_bytes(&self) -> [u8; TOKEN_LEN] {
        let claims = self.claims.to_bytes();
        let (before, after) = claims.split_at(PART_AT);
        let mut bytes = [0; TOKEN_LEN];
        let (head, tail) = bytes.split_at_mut(PART_AT);
        let (part, signature) = tail.split_at_mut(1);
        head.copy_from_slice(before);
        part.fill(self.part);
        signature.copy_from_slice(after);
        bytes
    }

    pub(crate) fn serial(&self) -> Serial {
        Serial(self.claims.serial)
    }
}

impl Revocation {
    /// Takes bytes as they are on the wire.
    pub fn from_bytes(bytes: [u8; ORDER_LEN]) -> Self {
        Self(Claims::from_bytes(&bytes))
    }

    /// The bytes on the wire: serial, expiry, signature.
    pub fn to_bytes(&self) -> [u8; ORDER_LEN] {
        self.0.to_bytes()
    }

    pub(crate) fn serial(&self) -> Serial {
        Serial(self.0.serial)
    }

    pub(crate) fn expiry(&self) -> u64 {
        self.0.expiry
    }
}

impl Claims {
    fn from_bytes(bytes: &[u8; ORDER_LEN]) -> Self {
        let (mut serial, mut expiry, mut signature) = ([0; 16], [0; 8], [0; 64]);
        let (head, tail) = bytes.split_at(24);
        let (first, second) = head.split_at(16);
        serial.copy_from_slice(first);
        expiry.copy_from_slice(second);
        signature.copy_from_slice(tail);
        Self { serial, expiry: u64::from_be_bytes(expiry), signature }
    }

    fn to_bytes(&self) -> [u8; ORDER_LEN] {
        let mut bytes = [0; ORDER_LEN];
        let (head, tail) = bytes.split_at_mut(24);
        let (first, second) = head.split_at_mut(16);
        first.copy_from_slice(&self.serial);
        second.copy_from_slice(&self.expiry.to_be_bytes());
        tail.copy_from_slice(&self.signature);
        bytes
    }
}

/// What a relay remembers of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Serial(pub(crate) [u8; 16]);

/// Bytes of a revocation.
pub const ORDER_LEN: usize = 16 + 8 + 64;
/// Where a token has its part.
const PART_AT: usize = 16 + 8;
/// Bytes of a token.
pub const TOKEN_LEN: usize = ORDER_LEN + 1;

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.key)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revocation(..)")
    }
}

fn join_message(handle: RoomHandle, serial: &[u8; 16], expiry: u64, part: u8) -> Vec<u8> {
    [&b"sottovoce 1 join"[..], handle.as_bytes(), serial, &expiry.to_be_bytes(), &[part]].concat()
}

fn revoke_message(serial: &[u8; 16], expiry: u64) -> Vec<u8> {
    [&b"sottovoce 1 revoke"[..], serial, &expiry.to_be_bytes()].concat()
}

fn pair(seed: &Secret) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.bytes()).expect("every 32 bytes are a seed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);

    #[test]
    fn a_token_is_for_one_room_of_one_issuer_until_it_expires() {
        let [issuer, other] = [[1; 32], [2; 32]].map(Issuer::from_seed);
        let token = issuer.mint(ROOM, [3; 16], 1_000);
        assert!(issuer.key().verify(&token, ROOM, 999));
        assert!(!issuer.key().verify(&token, ROOM, 1_000));
        assert!(!issuer.key().verify(&token, RoomHandle::from_bytes([2; 16]), 999));
        assert!(!other.key().verify(&token, ROOM, 999));
    }

    #[test]
    fn a_token_tells_the_stage_from_the_audience() {
        let issuer = Issuer::from_seed([1; 32]);
        for part in [Part::Both, Part::Hears, Part::Says] {
            let token = issuer.mint_for(ROOM, part, [3; 16], 1_000);
            assert_eq!(issuer.key().part_of(&token, ROOM, 999), Some(part));
            assert_eq!(issuer.key().part_of(&token, ROOM, 1_000), None);
            assert_eq!(issuer.key().part_of(&token, RoomHandle::from_bytes([2; 16]), 999), None);
        }
    }

    #[test]
    fn no_bit_of_a_token_or_a_revocation_can_be_changed() {
        let issuer = Issuer::from_seed([1; 32]);
        let revocation = issuer.revoke([3; 16], 1_000).to_bytes();
        assert!(issuer.key().verify_revocation(&Revocation::from_bytes(revocation)));
        for part in [Part::Both, Part::Hears, Part::Says] {
            let token = issuer.mint_for(ROOM, part, [3; 16], 1_000).to_bytes();
            for bit in 0..8 * TOKEN_LEN {
                let mut flipped = token;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(issuer.key().part_of(&Token::from_bytes(flipped), ROOM, 0), None, "{bit}");
            }
        }
        for bit in 0..8 * ORDER_LEN {
            let mut flipped = revocation;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = Revocation::from_bytes(flipped);
            assert!(!issuer.key().verify_revocation(&flipped), "{bit}");
        }
        let token = issuer.mint(ROOM, [3; 16], 1_000);
        let claims = Revocation(token.claims.clone());
        assert!(!issuer.key().verify_revocation(&claims), "each has its own label");
        let claims = Revocation::from_bytes(revocation).0;
        assert!(!issuer.key().verify(&Token { claims, part: 0 }, ROOM, 0));
    }

    #[test]
    fn a_token_has_the_bytes_of_the_specification() {
        let token = Issuer::from_seed([1; 32]).mint(ROOM, [3; 16], 0x0102_0304_0506_0708);
        let bytes = token.to_bytes();
        assert_eq!(bytes[..25], [&[3; 16][..], &[1, 2, 3, 4, 5, 6, 7, 8, 0]].concat());
        assert!(Token::from_bytes(bytes) == token);
        // The same token again: RFC 8032 leaves nothing to chance. The key is the one that its seed
        // has.
        assert_eq!(
            Issuer::from_seed([1; 32]).key().to_string(),
            "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
        );
    }

    #[test]
    fn the_key_of_an_issuer_is_64_hex_digits_and_debug_shows_no_secret() {
        let issuer = Issuer::from_seed([1; 32]);
        let key = issuer.key();
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "ab", &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(wrong.parse::<IssuerKey>(), Err(InvalidIssuerKey), "{wrong}");
        }
        assert_eq!(format!("{issuer:?}"), format!("Issuer({key})"));
        assert_eq!(format!("{:?}", issuer.mint(ROOM, [3; 16], 1)), "Token(..)");
        assert_eq!(format!("{:?}", issuer.revoke([3; 16], 1)), "Revocation(..)");
    }
}
