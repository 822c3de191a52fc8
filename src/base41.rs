//! Bytes in the characters that a QR code holds most of (SPEC section 6.3): Base45 (RFC 9285) with
//! base 41.
//!
//! A QR code packs two of 45 characters into 11 bits. Three digits of base 41 are enough for two
//! bytes, as three of base 45 are, and the four characters that are spared are those that URLs give
//! a meaning of their own: space, `%`, `+` and `/`.

/// The text of these bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(2) * 3);
    for chunk in bytes.chunks(2) {
        let mut value = chunk.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
        for _ in 0..=chunk.len() {
            out.push(ALPHABET.get(value % BASE).copied().map_or('?', char::from));
            value /= BASE;
        }
    }
    out
}

/// Strict: no other characters, no lower case, no value that has too many bits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 3 * 2 + 1);
    for chunk in text.as_bytes().chunks(3) {
        let mut value = 0;
        for character in chunk.iter().rev() {
            value = value * BASE + ALPHABET.iter().position(|known| known == character)?;
        }
        match chunk.len() {
            3 => out.extend(u16::try_from(value).ok()?.to_be_bytes()),
            2 => out.push(u8::try_from(value).ok()?),
            _ => return None,
        }
    }
    Some(out)
}

const BASE: usize = 41;
const ALPHABET: &[u8; BASE] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$*-.:";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_back_from_base_41(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = encode(&bytes);
            prop_assert!(text.bytes().all(|c| ALPHABET.contains(&c)));
            prop_assert_eq!(text.len(), bytes.len() / 2 * 3 + bytes.len() % 2 * 2);
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn there_is_one_text_for_any_bytes(text in "[0-9A-Z$*.:-]{0,40}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }

    #[test]
    fn values_with_too_many_bits_and_other_characters_are_refused() {
        // 65,535 = 17 + 40 * 41 + 38 * 41^2 is the last value of three digits, 255 = 9 + 6 * 41 the
        // last of two.
        assert_eq!(encode(&[0xff, 0xff]), "H:-");
        assert_eq!(decode("I:-"), None);
        assert_eq!(decode("96"), Some(vec![0xff]));
        assert_eq!(decode("A6"), None);
        for bad in ["0", "0000", "abc", "00 ", "00%", "00+", "00/", "0é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
