//! What a member of the room can do who does not use this library: the derivations of RFC 9605 and
//! SPEC sections 4 and 5 once more, on `ring`'s HKDF, with every key in hand.
//!
//! It seals any bytes under anybody's key, which is what a hostile member can do and the library's
//! own sealer cannot. It is also the attacker who holds the epoch secret but no speaker key but his
//! own.

use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{Context, SHA256},
    hkdf, hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use sottovoce::{Leaf, Suite};

/// A member's own calculation of one epoch.
pub struct Insider {
    suite: Suite,
    context: [u8; 32],
    first_base_key: Vec<u8>,
    leaves: Vec<Leaf>,
}

/// What seals under one KID.
pub struct Keys {
    pub step: u32,
    pub kid: u64,
    pub key: Vec<u8>,
    pub salt: [u8; 12],
    pub content_key: [u8; 20],
}

impl Insider {
    pub fn new(
        suite: Suite,
        secret: &[u8],
        group_id: &[u8],
        epoch: u64,
        authenticator: &[u8],
        leaves: Vec<Leaf>,
    ) -> Self {
        let context = sha256(&[
            b"sottovoce 1 epoch",
            &(group_id.len() as u64).to_be_bytes(),
            group_id,
            &epoch.to_be_bytes(),
            &(authenticator.len() as u64).to_be_bytes(),
            authenticator,
        ]);
        let info: [&[u8]; 3] = [b"sottovoce 1 base", &context, &suite.id().to_be_bytes()];
        let first_base_key = expand(suite, secret, &info, nh(suite));
        Self { suite, context, first_base_key, leaves }
    }

    /// The base key of a step: the ratchet of RFC 9605 section 5.1.
    pub fn base_key(&self, step: u32) -> Vec<u8> {
        (0..step).fold(self.first_base_key.clone(), |base_key, _| {
            expand(self.suite, &base_key, &[b"SFrame 1.0 Ratchet"], nh(self.suite))
        })
    }

    /// The KIDs of a step, in the order of the leaves.
    pub fn kids(&self, step: u32) -> Vec<u64> {
        let kid_key = expand(self.suite, &self.base_key(step), &[b"sottovoce 1 kid"], 32);
        let kid_key = hmac::Key::new(hmac::HMAC_SHA256, &kid_key);
        let mut kids = Vec::new();
        for leaf in &self.leaves {
            let candidate = |attempt: u8| {
                let message = [leaf.0.to_be_bytes().as_slice(), &[attempt]].concat();
                let tag = hmac::sign(&kid_key, &message);
                let number = u32::from_be_bytes(tag.as_ref()[..4].try_into().unwrap());
                u64::from(0x8000_0000 | number & 0x7fff_fffc | step & 3)
            };
            kids.push((0..=255).map(candidate).find(|kid| !kids.contains(kid)).unwrap());
        }
        kids
    }

    /// The KID that a leaf has in a step.
    pub fn kid(&self, leaf: Leaf, step: u32) -> u64 {
        let index = self.leaves.iter().position(|of| *of == leaf).expect("the leaf speaks");
        self.kids(step)[index]
    }

    /// The keys of a leaf in a step.
    pub fn keys(&self, leaf: Leaf, step: u32) -> Keys {
        self.keys_of(self.kid(leaf, step), step)
    }

    /// The keys that any KID would have in a step.
    pub fn keys_of(&self, kid: u64, step: u32) -> Keys {
        let base_key = self.base_key(step);
        let suite = self.suite.id().to_be_bytes();
        let info: [&[u8]; 3] = [b"SFrame 1.0 Secret key ", &kid.to_be_bytes(), &suite];
        let key = expand(self.suite, &base_key, &info, nk(self.suite));
        let info: [&[u8]; 3] = [b"SFrame 1.0 Secret salt ", &kid.to_be_bytes(), &suite];
        let block = expand(self.suite, &base_key, &info, 32);
        let (salt, content_key) = (block[..12].try_into().unwrap(), block[12..].try_into().unwrap());
        Keys { step, kid, key, salt, content_key }
    }

    /// Signs what a packet of `leaf` says, with whatever speaker key the insider has, and returns
    /// the plaintext: `body` and the signature.
    pub fn signed(&self, seed: &[u8; 32], leaf: Leaf, keys: &Keys, counter: u64, body: &[u8]) -> Vec<u8> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        let speaker = sha256(&[
            b"sottovoce 1 speaker",
            &self.context,
            &leaf.0.to_be_bytes(),
            pair.public_key().as_ref(),
        ]);
        let content_key = hmac::Key::new(hmac::HMAC_SHA256, &keys.content_key);
        let content_salt = hmac::sign(&content_key, &counter.to_be_bytes());
        let message = [
            b"sottovoce 1 frame".as_slice(),
            &speaker,
            &keys.step.to_be_bytes(),
            &keys.kid.to_be_bytes(),
            &counter.to_be_bytes(),
            &sha256(&[&content_salt.as_ref()[..16], body]),
        ]
        .concat();
        [body, pair.sign(&message).as_ref()].concat()
    }
}

impl Keys {
    /// Seals any plaintext under a header in its shortest form.
    pub fn seal(&self, counter: u64, plaintext: &[u8]) -> Vec<u8> {
        self.seal_under(&header(self.kid, counter), counter, plaintext)
    }

    /// Seals any plaintext under any header.
    pub fn seal_under(&self, header: &[u8], counter: u64, plaintext: &[u8]) -> Vec<u8> {
        let mut text = plaintext.to_vec();
        let tag = self
            .aead()
            .seal_in_place_separate_tag(self.nonce(counter), Aad::from(header), &mut text)
            .unwrap();
        [header, &text, tag.as_ref()].concat()
    }

    /// Opens a frame, whatever it holds.
    pub fn open(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (_, counter, taken) = decode(frame)?;
        let (header, rest) = frame.split_at(taken);
        let mut text = rest.to_vec();
        let aad = Aad::from(header);
        Some(self.aead().open_in_place(self.nonce(counter), aad, &mut text).ok()?.to_vec())
    }

    fn aead(&self) -> LessSafeKey {
        let algorithm = if self.key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        LessSafeKey::new(UnboundKey::new(algorithm, &self.key).unwrap())
    }

    fn nonce(&self, counter: u64) -> Nonce {
        let number = u128::from_be_bytes([[0; 4].as_slice(), &self.salt].concat().try_into().unwrap());
        let nonce = (number ^ u128::from(counter)).to_be_bytes();
        Nonce::assume_unique_for_key(nonce[4..].try_into().unwrap())
    }
}

/// A header in its shortest form.
pub fn header(kid: u64, counter: u64) -> Vec<u8> {
    let mut out = vec![0];
    for (value, shift) in [(kid, 4), (counter, 0)] {
        if value < 8 {
            out[0] |= (value as u8) << shift;
        } else {
            let size = (64 - value.leading_zeros()).div_ceil(8);
            out[0] |= (8 | (size - 1) as u8) << shift;
            out.extend(&value.to_be_bytes()[8 - size as usize..]);
        }
    }
    out
}

/// KID, CTR and length of the header that a frame starts with, unless it is cut short or not the
/// shortest.
pub fn decode(frame: &[u8]) -> Option<(u64, u64, usize)> {
    let config = usize::from(*frame.first()?);
    let mut at = 1;
    let mut number = |nibble: usize| {
        if nibble < 8 {
            return Some(nibble as u64);
        }
        let bytes = frame.get(at..at + nibble - 7)?;
        at += bytes.len();
        Some(bytes.iter().fold(0, |value, byte| value * 256 + u64::from(*byte)))
    };
    let (kid, counter) = (number(config / 16)?, number(config % 16)?);
    (header(kid, counter) == frame[..at]).then_some((kid, counter, at))
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().unwrap()
}

/// HKDF-Expand(HKDF-Extract("", secret), info, len).
fn expand(suite: Suite, secret: &[u8], info: &[&[u8]], len: usize) -> Vec<u8> {
    let algorithm = match suite {
        Suite::Aes128Gcm => hkdf::HKDF_SHA256,
        Suite::Aes256Gcm => hkdf::HKDF_SHA512,
    };
    let mut out = vec![0; len];
    hkdf::Salt::new(algorithm, &[])
        .extract(secret)
        .expand(info, Length(len))
        .unwrap()
        .fill(&mut out)
        .unwrap();
    out
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn nk(suite: Suite) -> usize {
    match suite {
        Suite::Aes128Gcm => 16,
        Suite::Aes256Gcm => 32,
    }
}

fn nh(suite: Suite) -> usize {
    match suite {
        Suite::Aes128Gcm => 32,
        Suite::Aes256Gcm => 64,
    }
}
