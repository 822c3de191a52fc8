//! The buffers of a batch: one per packet, contiguous, the same for every contestant of the
//! process.

use sottovoce::media::{HEADROOM, TAILROOM};

use super::batch::WARM;

/// What a signed packet grows by: count byte, padding length, and 73 bytes of stamp and signature.
pub const TAIL: usize = 75;

/// Buffers of one size, filled anew before every batch.
pub struct Arena {
    bytes: Vec<u8>,
    stride: usize,
    random: u64,
}

impl Arena {
    /// Buffers for up to `count` timed packets of `size` bytes, and whatever sealing adds.
    pub fn new(size: usize, count: usize) -> Self {
        let stride = (HEADROOM + size + TAIL + TAILROOM).max(192).next_multiple_of(64);
        Self { bytes: vec![0; stride * (WARM + count)], stride, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// Writes a fresh packet of `len` bytes at [`HEADROOM`] into each of the buffers of a batch of
    /// `count`.
    ///
    /// The first byte is a TOC byte of code 0, the others are random. All bytes around
    /// them are written too, so that every buffer is equally warm.
    pub fn fill(&mut self, len: usize, count: usize) {
        let mut random = self.random;
        for buffer in self.batch(count) {
            for word in buffer.chunks_exact_mut(8) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                word.copy_from_slice(&random.to_le_bytes());
            }
            buffer[HEADROOM] = TOC;
            buffer[HEADROOM + len..].fill(0);
        }
        self.random = random;
    }

    /// The buffers of a batch of `count` timed packets.
    #[inline]
    pub fn batch(&mut self, count: usize) -> impl ExactSizeIterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(self.stride).take(WARM + count)
    }

    /// A random number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.random >> 33) as usize % bound
    }
}

/// Opus, CELT, narrowband, 2.5 ms, mono, one frame (code 0).
const TOC: u8 = 0x80;
