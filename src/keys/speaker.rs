//! Speaker keys: the key that signs a speaker's packets for one epoch (SPEC section 5.3).
//!
//! Signatures are checked by [`ed25519`](super::ed25519).

use std::hint::black_box;

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{
    derive::sha256,
    secret::{DEEP, scrub_stack},
};
use crate::id::{Counter, Epoch, KeyId, Leaf, Step};

/// The private half of a speaker key and what its signatures are bound to. Lives one epoch.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) public: [u8; 32],
    pub(crate) context: [u8; 32],
}

impl Signer {
    /// Makes the key from 32 random bytes, which the caller wipes.
    pub(crate) fn new(
        seed: &[u8; 32],
        group_id: &[u8],
        epoch: Epoch,
        authenticator: &[u8],
        leaf: Leaf,
    ) -> Self {
        let pair = pair(seed);
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let context = speaker_context(group_id, epoch, authenticator, leaf, &public);
        scrub_stack::<DEEP>();
        Self { pair, public, context }
    }

    /// The same for a place whose context is known already (`spec/stage.md`, H13).
    #[cfg(feature = "stage")]
    pub(crate) fn in_context(seed: &[u8; 32], context: &[u8; 32], leaf: Leaf) -> Self {
        let pair = pair(seed);
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        scrub_stack::<DEEP>();
        Self { pair, public, context: speaker_context_of(context, leaf.0, &public) }
    }

    pub(crate) fn sign(&self, message: &[u8; FRAME_MESSAGE]) -> [u8; SIGNATURE] {
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

/// `ring` does not wipe its key pairs, so the pair of a public seed takes the place of this one.
impl Drop for Signer {
    fn drop(&mut self) {
        self.pair = pair(&[0; 32]);
        black_box(&self.pair);
        scrub_stack::<DEEP>();
    }
}

/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE: usize = 64;

/// The context of a speaker key's signatures: the room, the epoch of a branch, the leaf and the
/// key.
pub(crate) fn speaker_context(
    group_id: &[u8],
    epoch: Epoch,
    authenticator: &[u8],
    leaf: Leaf,
    public: &[u8; 32],
) -> [u8; 32] {
    speaker_context_of(&epoch_context(group_id, epoch, authenticator), leaf.0, public)
}

/// The same, from the context of the epoch.
pub(crate) fn speaker_context_of(epoch_context: &[u8; 32], leaf: u32, public: &[u8; 32]) -> [u8; 32] {
    sha256(&[b"sottovoce 1 speaker", epoch_context, &leaf.to_be_bytes(), public])
}

/// The public half of the speaker key with this seed.
#[cfg(feature = "room")]
pub(crate) fn public_of(seed: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    public.copy_from_slice(pair(seed).public_key().as_ref());
    public
}

/// One epoch of one branch of one room, in 32 bytes (SPEC section 4.1).
pub(crate) fn epoch_context(group_id: &[u8], epoch: Epoch, authenticator: &[u8]) -> [u8; 32] {
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    sha256(&[
        b"sottovoce 1 epoch",
        &length(group_id),
        group_id,
        &epoch.0.to_be_bytes(),
        &length(authenticator),
        authenticator,
    ])
}

/// The bytes that are signed for one packet.
pub(crate) fn frame_message(
    context: &[u8; 32],
    step: Step,
    kid: KeyId,
    counter: Counter,
    content: &[u8; 32],
) -> [u8; FRAME_MESSAGE] {
    let mut message = [0; FRAME_MESSAGE];
    let parts: [&[u8]; 6] = [
        b"sottovoce 1 frame",
        context,
        &step.0.to_be_bytes(),
        &kid.0.to_be_bytes(),
        &counter.0.to_be_bytes(),
        content,
    ];
    message.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    message
}

/// Label 17, context 32, step 4, KID 8, CTR 8, content hash 32.
pub(crate) const FRAME_MESSAGE: usize = 101;

fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed")
}
