//! Content with a signature, before and after the signature was checked (`spec/control.md`, section
//! 14.2).
//!
//! ```text
//! content | signature [64]        signed: label | group_id [32] | content | bound
//! ```
//!
//! `bound` is what the signature covers and the message says elsewhere, for example the door keys
//! of a heartbeat. Labels begin with `s`: MLS signs structures that begin with the length of a
//! label of RFC 9420, which is below 64, so no signature by a leaf key is good for both.

use crate::defence;
use crate::group::codec::{Malformed, Reader, Writer};
use crate::keys::ed25519::{self, BadSignature};

/// What can be signed on the control lane.
pub(crate) trait Content: Sized {
    /// Says in front of the signed bytes which type they are.
    const LABEL: &'static [u8];

    /// Appends the content.
    fn write(&self, out: Writer) -> Writer;
    /// Reads what [`Content::write`] wrote, strictly.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Content in the right form, whose signature nobody has checked. `verify` of each type checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed<T> {
    content: T,
    signature: [u8; 64],
}

impl<T: Content> Signed<T> {
    /// Signs `content` by `sign`, bound to a room and to `bound`.
    pub(super) fn new(
        content: T,
        group_id: &[u8; 32],
        bound: &[u8],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let signature = sign(&signed_bytes(&content, group_id, bound));
        Self { content, signature }
    }

    /// Checks that the holder of `key` signed the content in this room and with this `bound`.
    pub(super) fn check(
        self,
        key: &[u8; 32],
        group_id: &[u8; 32],
        bound: &[u8],
    ) -> Result<Genuine<T>, BadSignature> {
        let checked = ed25519::verify(key, &signed_bytes(&self.content, group_id, bound), &self.signature);
        if defence::checks(T::LABEL) {
            checked?;
        }
        Ok(Genuine(self))
    }

    /// The content that the sender claims. It serves to find the key to verify with; nothing else
    /// may follow from it.
    pub(crate) fn claimed(&self) -> &T {
        &self.content
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.write(Writer::new()).finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let signed = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(signed)
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        self.content.write(out).bytes(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { content: T::read(reader)?, signature: reader.array()? })
    }
}

/// Content whose signature was checked: only the `verify` of its type makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Genuine<T>(Signed<T>);

impl<T> Genuine<T> {
    /// What the signer says.
    pub(crate) fn content(&self) -> &T {
        &self.0.content
    }

    /// What the signer says, without the proof.
    pub(crate) fn into_content(self) -> T {
        self.0.content
    }

    /// The content with its signature, to show it to others.
    pub(crate) fn into_signed(self) -> Signed<T> {
        self.0
    }
}

fn signed_bytes<T: Content>(content: &T, group_id: &[u8; 32], bound: &[u8]) -> Vec<u8> {
    content.write(Writer::new().bytes(T::LABEL).bytes(group_id)).bytes(bound).finish()
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::group::{Identity, Name};

    pub(in crate::wire) const ROOM: [u8; 32] = [0x47; 32];

    pub(in crate::wire) fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32], Name::new("somebody").unwrap())
    }

    /// Checks that a form comes back the same, that every truncation and a byte too many are
    /// refused.
    pub(in crate::wire) fn is_strict<T: Debug + PartialEq>(
        value: &T,
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) {
        assert_eq!(decode(bytes).as_ref(), Ok(value));
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), Err(Malformed), "cut to {len}");
        }
        assert_eq!(decode(&[bytes, &[0]].concat()), Err(Malformed), "one byte too many");
    }

    /// Checks that `verify` takes a signed content, and refuses it after any bit of it has changed.
    pub(in crate::wire) fn covers_every_bit<T: Content + Clone + Debug + PartialEq, G>(
        signed: &Signed<T>,
        verify: impl Fn(Signed<T>) -> Result<G, BadSignature>,
    ) {
        assert!(verify(signed.clone()).is_ok(), "the honest content is refused");
        is_strict(signed, &signed.encode(), Signed::decode);
        for bit in 0..signed.encode().len() * 8 {
            let mut bytes = signed.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(altered) = Signed::decode(&bytes) {
                assert!(verify(altered).is_err(), "bit {bit} is not covered");
            }
        }
    }
}
