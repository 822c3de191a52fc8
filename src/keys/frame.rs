//! The secret of a step and the keys of its packets (RFC 9605 sections 4.4.2 and 5.1, SPEC section
//! 4.3).

use zeroize::Zeroize;

use super::{
    aead,
    derive::{Mac, Prk},
    secret::{DEEP, Secret, scrub_stack},
    suite::{NONCE_LEN, Suite, TAG_LEN},
};
use crate::id::{Counter, KeyId};

/// `sframe_secret` of RFC 9605 for one step: HKDF-Extract("", base_key).
///
/// It gives every frame key of the step, and the base key of the next step, but never an earlier
/// one.
pub(crate) struct StepSecret {
    suite: Suite,
    prk: Prk,
}

impl StepSecret {
    pub(crate) fn new(suite: Suite, base_key: &Secret) -> Self {
        Self { suite, prk: Prk::extract(suite, &[], base_key.bytes()) }
    }

    /// The base key of the next step (RFC 9605 section 5.1).
    pub(crate) fn ratchet(&self) -> Secret {
        self.prk.expand_secret(&[b"SFrame 1.0 Ratchet"], self.suite.hash_len())
    }

    /// The key that makes this step's pseudonyms.
    pub(crate) fn kid_mac(&self) -> Mac {
        Mac::new(self.prk.expand_secret(&[b"sottovoce 1 kid"], 32).bytes())
    }

    /// The key, nonce salt and content key of one KID. The caller scrubs the stack.
    #[inline(never)]
    pub(crate) fn frame_key(&self, kid: KeyId) -> FrameKey {
        let kid_bytes = kid.0.to_be_bytes();
        let suite = self.suite.id().to_be_bytes();
        // One HKDF block holds the salt (RFC 9605) and, behind it, bytes that nobody else uses.
        let mut block = [0; NONCE_LEN + 20];
        self.prk.expand(&[b"SFrame 1.0 Secret salt ", &kid_bytes, &suite], &mut block);
        let (head, tail) = block.split_at(NONCE_LEN);
        let salt = head.iter().fold(0, |salt, byte| salt << 8 | u128::from(*byte));
        let mut content_key = [0; 20];
        content_key.copy_from_slice(tail);

        let mut key = [0; 32];
        let (used, _) = key.split_at_mut(self.suite.key_len());
        self.prk.expand(&[b"SFrame 1.0 Secret key ", &kid_bytes, &suite], used);
        FrameKey { aead: aead::Key::new(self.suite, used), salt, content_key }
    }

    /// A name for the key of `kid` that reveals nothing about the key. The sealer remembers used
    /// keys by these names.
    pub(crate) fn key_name(&self, kid: KeyId) -> [u8; 16] {
        let mut name = [0; 16];
        self.prk.expand(&[b"sottovoce 1 name", &kid.0.to_be_bytes()], &mut name);
        name
    }
}

/// The keys that seal or open the packets of one KID.
pub(crate) struct FrameKey {
    aead: aead::Key,
    /// Nn bytes, as a number.
    salt: u128,
    content_key: [u8; 20],
}

impl FrameKey {
    /// Encrypts in place under `counter`, which the caller uses once (RFC 9605 section 4.4.3).
    #[inline]
    pub(crate) fn seal(&self, counter: Counter, header: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        self.aead.seal(self.nonce(counter), header, text)
    }

    /// Decrypts in place (RFC 9605 section 4.4.4).
    #[inline]
    pub(crate) fn open(
        &self,
        counter: Counter,
        header: &[u8],
        text: &mut [u8],
        tag: [u8; TAG_LEN],
    ) -> Result<(), aead::Forged> {
        self.aead.open(self.nonce(counter), header, text, tag)
    }

    /// The salt for the content hash of the packet with this counter (SPEC section 5.3).
    pub(crate) fn content_salt(&self, counter: Counter) -> [u8; 16] {
        Mac::new(&self.content_key).tag(&counter.0.to_be_bytes())
    }

    /// The salt, exclusive-ored with the counter as a big-endian number of Nn bytes.
    #[inline]
    fn nonce(&self, counter: Counter) -> [u8; NONCE_LEN] {
        let nonce = self.salt ^ u128::from(counter.0);
        let [_, _, _, _, nonce @ ..] = nonce.to_be_bytes();
        nonce
    }
}

impl Drop for FrameKey {
    fn drop(&mut self) {
        self.salt.zeroize();
        self.content_key.zeroize();
    }
}

/// The base key of step 0 (SPEC section 4.2).
pub(crate) fn first_base_key(suite: Suite, epoch_secret: &Secret, context: &[u8; 32]) -> Secret {
    let prk = Prk::extract(suite, &[], epoch_secret.bytes());
    let base =
        prk.expand_secret(&[b"sottovoce 1 base", context, &suite.id().to_be_bytes()], suite.hash_len());
    drop(prk);
    scrub_stack::<DEEP>();
    base
}
