//! What is said: an Opus packet of silence with a number in it, which no codec has to make.

/// A packet of 20 ms (RFC 6716, SILK wideband, code 0) that is told from others by `number`.
pub fn opus(number: u64) -> Vec<u8> {
    let mut packet = vec![9 << 3];
    packet.extend_from_slice(&number.to_be_bytes());
    packet.resize(60, 0x5a);
    packet
}
