//! Bytes as lower-case hex digits, and back.

use std::fmt;

/// Shows bytes as two hex digits each.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// For `Debug`: a type's name and the first four bytes of what is in it.
pub(crate) fn short(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}({}..)", Hex(bytes.get(..4).unwrap_or(bytes)))
}

/// Reads exactly two hex digits, of either case, for each of `N` bytes.
pub(crate) fn decode<const N: usize>(text: impl IntoIterator<Item = char>) -> Option<[u8; N]> {
    let mut digits = text.into_iter().map(|c| c.to_digit(16));
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = (high << 4 | low) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_nothing_else_is_hex() {
        assert_eq!(Hex(&[0, 0xa5, 0xff]).to_string(), "00a5ff");
        assert_eq!(decode("00a5FF".chars()), Some([0, 0xa5, 0xff]));
        for wrong in ["", "00", "00a5f", "00a5ff0", "00a5ff00", "00a5fg", "+0a5ff", "00 a5ff"] {
            assert_eq!(decode::<3>(wrong.chars()), None, "{wrong}");
        }
    }
}
