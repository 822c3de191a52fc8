//! What nobody can beat: `ring`'s own AES-GCM, Ed25519 and SHA-256, called directly.

use std::hint::black_box;

use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey},
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use sottovoce::media::HEADROOM;

use super::{
    arena::Arena,
    batch::time,
    contest::{Batch, Contestant, Lane},
};

/// AES-GCM in place, under an expanded key: a nonce from a counter, 7 bytes of header as associated
/// data.
///
/// ```text
/// buffer  [ 9 free | header 7 | text | tag 16 ]
/// ```
pub struct AesGcm {
    name: &'static str,
    against: &'static [&'static str],
    key: LessSafeKey,
    size: usize,
    counter: u64,
}

impl AesGcm {
    pub const BASE: &'static str = "ring AES-128-GCM";
    pub const BASE_256: &'static str = "ring AES-256-GCM";

    pub fn base(size: usize) -> Self {
        Self::new(Self::BASE, &[Self::BASE], &AES_128_GCM, size)
    }

    pub fn base_256(size: usize) -> Self {
        Self::new(Self::BASE_256, &[Self::BASE], &AES_256_GCM, size)
    }

    fn new(
        name: &'static str,
        against: &'static [&'static str],
        algorithm: &'static Algorithm,
        size: usize,
    ) -> Self {
        let key =
            UnboundKey::new(algorithm, &[0x6b; 32][..algorithm.key_len()]).expect("the key has its length");
        Self { name, against, key: LessSafeKey::new(key), size, counter: 0 }
    }
}

impl Contestant for AesGcm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn against(&self) -> &'static [&'static str] {
        self.against
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        arena.fill(self.size, count);
        let (key, end) = (&self.key, HEADROOM + self.size);
        let mut counter = self.counter;
        let seal = time(arena.batch(count), |buffer| {
            let (aad, rest) = buffer.split_at_mut(HEADROOM);
            let (text, rest) = rest.split_at_mut(end - HEADROOM);
            let sealed = key.seal_in_place_separate_tag(nonce(counter), Aad::from(&aad[HEADER]), text);
            counter += 1;
            sealed.is_ok_and(|tag| {
                rest[..TAG].copy_from_slice(tag.as_ref());
                true
            })
        });
        let mut counter = self.counter;
        let open = time(arena.batch(count), |buffer| {
            let (aad, rest) = buffer.split_at_mut(HEADROOM);
            let sealed = &mut rest[..end - HEADROOM + TAG];
            let opened = key.open_in_place(nonce(counter), Aad::from(&aad[HEADER]), sealed);
            counter += 1;
            black_box(opened).is_ok()
        });
        self.counter = counter;
        Batch { seal: Some(seal), open: Some(open) }
    }
}

#[inline]
fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Where the header stands in the headroom.
const HEADER: std::ops::Range<usize> = HEADROOM - 7..HEADROOM;
const TAG: usize = 16;

/// Ed25519: signing in the column of sealing, verifying in that of opening, over 101 bytes.
pub struct Ed25519 {
    pair: Ed25519KeyPair,
}

impl Ed25519 {
    pub const NAME: &'static str = "ring Ed25519";

    pub fn new() -> Self {
        Self { pair: Ed25519KeyPair::from_seed_unchecked(&[0xed; 32]).expect("a seed has 32 bytes") }
    }
}

impl Contestant for Ed25519 {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn against(&self) -> &'static [&'static str] {
        &[AesGcm::BASE]
    }

    fn lane(&self) -> Lane {
        Lane::Slow
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        let count = count.min(SLOW);
        arena.fill(1, count);
        let pair = &self.pair;
        let seal = time(arena.batch(count), |buffer| {
            let (message, rest) = buffer.split_at_mut(MESSAGE);
            rest[..SIGNATURE].copy_from_slice(pair.sign(message).as_ref());
            true
        });
        let public = pair.public_key().as_ref();
        let open = time(arena.batch(count), |buffer| {
            let (message, rest) = buffer.split_at(MESSAGE);
            UnparsedPublicKey::new(&ED25519, public).verify(message, &rest[..SIGNATURE]).is_ok()
        });
        Batch { seal: Some(seal), open: Some(open) }
    }
}

/// Timed packets of a batch where one takes tens of microseconds.
pub const SLOW: usize = 32;

const MESSAGE: usize = 101;
const SIGNATURE: usize = 64;

/// SHA-256 over what a signed packet hashes: the salt and all of the packet but the signature.
pub struct Sha256 {
    len: usize,
}

impl Sha256 {
    pub const NAME: &'static str = "SHA-256";

    /// For an Opus packet of `opus` bytes: 16 of salt, 2 of padding header, 9 of stamp.
    pub fn new(opus: usize) -> Self {
        Self { len: opus + 27 }
    }
}

impl Contestant for Sha256 {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn against(&self) -> &'static [&'static str] {
        &[AesGcm::BASE]
    }

    fn lane(&self) -> Lane {
        Lane::Slow
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        let len = self.len;
        let mut side = || {
            arena.fill(len, count);
            time(arena.batch(count), |buffer| {
                black_box(digest::digest(&digest::SHA256, &buffer[..len]));
                true
            })
        };
        Batch { seal: Some(side()), open: Some(side()) }
    }
}
