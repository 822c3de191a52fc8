//! Randomness: the seed that an application brings, and a generator that forgets (SPEC section 9).
//!
//! ```text
//! key n ── HMAC-SHA-256 ──> key n+1, then output      key n is overwritten before the output is handed out
//! ```
//!
//! A generator that kept its key would let somebody who seizes a device compute everything that was
//! ever drawn: path secrets, KeyPackage keys, speaker keys. This one erases its key with each draw
//! ("fast key erasure"), so its memory leads to later draws only, and to those no longer once fresh
//! entropy was stirred in.

use std::{convert::Infallible, fmt};

use rand::{CryptoRng, TryCryptoRng, TryRng};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

use crate::keys::{
    derive::Mac,
    secret::{DEEP, Secret, scrub_stack},
};

/// Bytes of a seed, of a key and of one block of output.
const LEN: usize = 32;

/// 32 secret random bytes, used once: what a room draws everything else from.
///
/// Neither `Copy` nor `Clone`, never printed, and wiped on drop.
///
/// ```
/// use sottovoce::Seed;
///
/// let seed = Seed::generate()?;
/// # drop(seed);
/// # Ok::<(), sottovoce::NoRandomness>(())
/// ```
pub struct Seed(Secret);

impl Seed {
    /// Draws a seed from the operating system.
    ///
    /// # Errors
    /// [`NoRandomness`] if the operating system has none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut filled = Ok(());
        let seed = Secret::filled(LEN, |out| filled = SystemRandom::new().fill(out));
        filled.map_err(|_| NoRandomness)?;
        Ok(Self(seed))
    }

    /// Takes 32 secret random bytes and wipes the place that they came from.
    pub fn from_bytes(bytes: &mut [u8; LEN]) -> Self {
        let seed = Secret::filled(LEN, |out| out.copy_from_slice(bytes));
        bytes.zeroize();
        Self(seed)
    }

    /// Takes the next 32 bytes of a source of randomness, written in place.
    pub(crate) fn drawn(from: &mut impl CryptoRng) -> Self {
        Self(Secret::filled(LEN, |out| from.fill_bytes(out)))
    }

    /// Copies 32 secret bytes that stay where they are: a part of what was stored.
    pub(crate) fn copied(bytes: &[u8; LEN]) -> Self {
        Self(Secret::filled(LEN, |out| out.copy_from_slice(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8; LEN] {
        self.0.bytes().first_chunk().expect("every seed is made of 32 bytes")
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The operating system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system has no randomness")
    }
}

impl std::error::Error for NoRandomness {}

/// A generator of random bytes that erases its key with each draw. Wiped on drop.
///
/// It holds 32 bytes and no output that was not drawn: what one call leaves of its last block is
/// never kept.
pub(crate) struct Generator {
    key: Secret,
}

impl Generator {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { key: seed.0 }
    }

    /// Fills `out`, and replaces the key before that.
    pub(crate) fn draw(&mut self, out: &mut [u8]) {
        self.advance(out);
        scrub_stack::<DEEP>();
    }

    /// Mixes more entropy in: whoever knew the state before does not know it after, unless they
    /// knew `entropy`.
    pub(crate) fn stir(&mut self, entropy: &[u8]) {
        self.mix(entropy);
        scrub_stack::<DEEP>();
    }

    /// The next array of random bytes that are no secret: whatever is one is a [`Seed`].
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.draw(&mut out);
        out
    }

    /// The next 32 bytes, for a key or for something that draws by itself.
    pub(crate) fn seed(&mut self) -> Seed {
        Seed::drawn(self)
    }

    #[inline(never)]
    fn advance(&mut self, out: &mut [u8]) {
        let present = Mac::new(self.key.bytes());
        self.replace(present.tag(b"sottovoce 1 key"));
        for (number, block) in (0u64..).zip(out.chunks_mut(LEN)) {
            let mut text = *b"sottovoce 1 draw........";
            if let Some(place) = text.last_chunk_mut() {
                *place = number.to_be_bytes();
            }
            let mut bytes: [u8; LEN] = present.tag(&text);
            block.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            bytes.zeroize();
        }
    }

    #[inline(never)]
    fn mix(&mut self, entropy: &[u8]) {
        let entropy: [u8; LEN] = Mac::new(self.key.bytes()).tag(entropy);
        self.replace(Mac::new(&entropy).tag(b"sottovoce 1 stir"));
    }

    fn replace(&mut self, mut next: [u8; LEN]) {
        self.key.bytes_mut().copy_from_slice(&next);
        next.zeroize();
    }
}

impl TryRng for Generator {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(self.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(self.array()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.draw(out);
        Ok(())
    }
}

impl TryCryptoRng for Generator {}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator(..)")
    }
}

#[cfg(test)]
mod tests;
