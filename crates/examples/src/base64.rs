//! Base64 (RFC 4648): a whole value for `data:` URIs, and the part of a value that shows inside a
//! longer text.

/// The 64 characters of RFC 4648 section 4.
pub const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The 64 characters of RFC 4648 section 5, for URLs and file names.
pub const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes `bytes` with padding.
pub fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(alphabet[sextet]) } else { '=' });
        }
    }
    text
}

/// The characters that `bytes` alone decide when they stand `before` (0, 1 or 2) bytes after a
/// multiple of three bytes in something longer that is encoded as a whole.
///
/// ```text
/// before = 1    ........ bbbbbbbb bbbbbbbb | bbbbbbbb ........ ........
///               ......|..bbbb|bbbbbb|bbbbbb|bbbbbb|bb....|......|......
///                              yes    yes    yes
/// ```
pub fn decided(bytes: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let first = (8 * before).div_ceil(6);
    let last = 8 * (before + bytes.len()) / 6;
    let mut whole = vec![0; before];
    whole.extend_from_slice(bytes);
    encode(&whole, alphabet).into_bytes().get(first..last).unwrap_or_default().to_vec()
}
