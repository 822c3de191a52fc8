//! HMAC-SHA-256 (RFC 2104) from the two states that its key leaves behind: two hash blocks for a
//! short message.
//!
//! The audio thread derives a sender's key with two of these, so they are spared what a general
//! HMAC does for each message: copying whole contexts, buffering, wiping buffers one by one. What
//! this leaves on the stack is gone when the derivation's caller scrubs it
//! ([`scrub_stack`](super::secret::scrub_stack)). The compression function is the `sha2` crate's;
//! the tests hold this to the `hmac` crate and to RFC 9605's values.

use sha2::block_api::compress256;
use zeroize::ZeroizeOnDrop;

/// A key of HMAC-SHA-256, as the states after its inner and its outer block. Wiped on drop.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Key {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Key {
    /// Takes a key of at most 64 bytes; what is beyond them is not used, and no caller has more.
    pub(crate) fn new(key: &[u8]) -> Self {
        debug_assert!(key.len() <= BLOCK, "longer keys are hashed first, which this does not do");
        let state = |pad: u8| {
            let mut block = [[pad; BLOCK]];
            block.as_flattened_mut().iter_mut().zip(key).for_each(|(to, key)| *to ^= *key);
            let mut state = START;
            compress256(&mut state, &block);
            state
        };
        Self { inner: state(0x36), outer: state(0x5c) }
    }

    /// The tag of the concatenated parts.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let inner = bytes(finish(self.inner, parts));
        bytes(finish(self.outer, &[&inner]))
    }
}

/// Hashes the parts on from a state that has taken one block, and the padding of SHA-256 (RFC 6234
/// section 4.1).
fn finish(state: [u32; 8], parts: &[&[u8]]) -> [u32; 8] {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length < BLOCK - 8 { finish_short(state, parts, length) } else { finish_long(state, parts) }
}

/// Text, mark and length in one block.
#[inline]
fn finish_short(mut state: [u32; 8], parts: &[&[u8]], length: usize) -> [u32; 8] {
    let mut block = [[0; BLOCK]];
    let [text] = &mut block;
    let mut at = 0;
    for part in parts {
        if let Some(to) = text.get_mut(at..at + part.len()) {
            to.copy_from_slice(part);
        }
        at += part.len();
    }
    if let Some(mark) = text.get_mut(length) {
        *mark = 0x80;
    }
    if let Some(last) = text.last_chunk_mut() {
        *last = ((BLOCK + length) as u64 * 8).to_be_bytes();
    }
    compress256(&mut state, &block);
    state
}

fn finish_long(mut state: [u32; 8], parts: &[&[u8]]) -> [u32; 8] {
    let (mut block, mut filled, mut length) = ([[0; BLOCK]], 0, BLOCK as u64);
    for mut part in parts.iter().copied() {
        length += part.len() as u64;
        while !part.is_empty() {
            let [room] = &mut block;
            let taken = part.len().min(BLOCK - filled);
            let (now, later) = part.split_at(taken);
            if let Some(to) = room.get_mut(filled..filled + taken) {
                to.copy_from_slice(now);
            }
            (part, filled) = (later, filled + taken);
            if filled == BLOCK {
                compress256(&mut state, &block);
                (block, filled) = ([[0; BLOCK]], 0);
            }
        }
    }
    let end = |block: &mut [[u8; BLOCK]; 1]| {
        if let Some(last) = block.as_flattened_mut().last_chunk_mut() {
            *last = (length * 8).to_be_bytes();
        }
    };
    if let Some(mark) = block.as_flattened_mut().get_mut(filled) {
        *mark = 0x80;
    }
    if filled >= BLOCK - 8 {
        compress256(&mut state, &block);
        block = [[0; BLOCK]];
    }
    end(&mut block);
    compress256(&mut state, &block);
    state
}

fn bytes(state: [u32; 8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.as_chunks_mut().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    out
}

const BLOCK: usize = 64;

/// The initial state of SHA-256 (RFC 6234 section 6.1).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_hmac_crate(key in prop::collection::vec(any::<u8>(), 0..=64), message in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let mut theirs = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            theirs.update(&message);
            let (first, second) = message.split_at(cut.min(message.len()));
            let ours = Key::new(&key).tag(&[first, &[], second]);
            let theirs: [u8; 32] = theirs.finalize().into_bytes().into();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn every_length_around_a_block_agrees() {
        for length in 0..200 {
            let message = vec![0xa5; length];
            let mut theirs = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
            theirs.update(&message);
            assert_eq!(
                Key::new(b"key").tag(&[&message]).as_slice(),
                theirs.finalize().into_bytes().as_slice()
            );
        }
    }
}
