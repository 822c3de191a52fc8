//! The one equation by which every Ed25519 signature is checked (RFC 8032 section 5.1.7, SPEC
//! section 2.3).
//!
//! ```text
//! key A  32 bytes   canonical, not of small order        signature  R 32 bytes  canonical, not of small order
//!                                                                   S 32 bytes  below L
//! encode([S]B - [SHA-512(R | A | message) mod L]A) = R, byte for byte: cofactorless
//! ```
//!
//! RFC 8032 allows two equations and leaves some encodings open, so that two of its implementations
//! can disagree on a signature that an attacker chose. Packets, credentials, statements, reports,
//! relay tokens and MLS messages all come here, so no two parts of a room can disagree.
//!
//! `ring` refuses S from L on, a key that is not on the curve, and an R that is not the encoding it
//! computes itself, which is canonical. [`verify`] refuses the rest before it calls `ring`.

use ring::signature::{ED25519, UnparsedPublicKey};

/// Checks a signature of `key` over `message`.
///
/// # Errors
/// [`BadSignature`] if the signature or the key breaks a rule of SPEC section 2.3.
pub(crate) fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
    let r = signature.first_chunk().ok_or(BadSignature)?;
    if !is_strong(key) || is_small(r) {
        return Err(BadSignature);
    }
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).map_err(|_| BadSignature)
}

/// The signature is not valid under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSignature;

/// Whether signatures under this key can mean anything: the key is canonical and has no small
/// order.
///
/// Under a key of small order anybody can make signatures that verify. A key that is not on the
/// curve passes here and verifies nothing.
pub(crate) fn is_strong(key: &[u8; 32]) -> bool {
    is_canonical(key) && !is_small(key)
}

/// Whether the y coordinate is below p = 2^255 - 19.
fn is_canonical(point: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = point;
    *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

/// Whether this is one of the fourteen encodings of a point of small order.
fn is_small(point: &[u8; 32]) -> bool {
    let mut y = *point;
    let [.., last] = &mut y;
    *last &= 0x7f;
    SMALL_ORDER.contains(&y)
}

/// The y coordinates of the eight points whose order divides 8, and the encodings equal to one
/// modulo p.
const SMALL_ORDER: [[u8; 32]; 7] = [
    hex(b"0000000000000000000000000000000000000000000000000000000000000000"),
    hex(b"0100000000000000000000000000000000000000000000000000000000000000"),
    hex(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    hex(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    hex(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex(b"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex(b"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

/// Reads hex at compile time; a wrong digit does not compile.
#[allow(clippy::indexing_slicing, clippy::panic, reason = "evaluated at compile time")]
const fn hex(text: &[u8; 64]) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => panic!("not a hex digit"),
        }
    }
    let mut out = [0; 32];
    let mut i = 0;
    while i < 32 {
        out[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::vectors::cases;

    #[test]
    fn every_edge_case_is_judged_as_the_second_implementation_judges_it() {
        let (mut accepted, mut loose) = (0, 0);
        for case in cases("ed25519.txt", "verify", CASES) {
            let (key, message, signature) =
                (case.array("key"), case.bytes("message"), case.array("signature"));
            let holds = case.number("holds") == 1;
            let name = case.text("name");
            assert_eq!(verify(&key, &message, &signature).is_ok(), holds, "{name}");
            accepted += usize::from(holds);
            // What `ring` alone says differs, or the checks before it would be for nothing.
            let ring = UnparsedPublicKey::new(&ED25519, &key).verify(&message, &signature).is_ok();
            assert!(ring || !holds, "{name}");
            loose += usize::from(ring && !holds);
        }
        assert!(accepted >= 3 && loose >= 3, "{accepted} hold, {loose} only for ring");
    }

    #[test]
    fn keys_that_are_not_canonical_or_have_small_order_are_weak() {
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = y;
                key[31] |= sign;
                assert!(!is_strong(&key), "{key:02x?}");
            }
        }
        for low in 0xed..=0xff {
            let mut key = [0xff; 32];
            key[0] = low;
            assert!(!is_strong(&key));
        }
        // p - 2 is the greatest canonical y of no small order.
        let mut key = [0xff; 32];
        key[0] = 0xeb;
        assert!(is_strong(&key));
    }

    const CASES: usize = 24;
}
