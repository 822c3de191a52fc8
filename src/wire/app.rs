//! What members write to each other (`spec/messages.md`, section 2).
//!
//! ```text
//! App { run, number, kind | body }                          to all
//! App { run, number, keys: HPKE { content key }, sealed }    sealed { audience | kind | body }
//! Again { branch, salt, sealed }                             sealed { run | number | kind | body }
//! ```

use zeroize::Zeroize;

use super::MAX_HPKE;
use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::Leaf,
    keys::{
        EpochSecret,
        aead::EnvelopeKey,
        derive::hkdf_sha256,
        secret::{DEEP, Secret, scrub_stack},
    },
};

/// An app message as it is said in MLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App {
    /// The run of the sender.
    pub(crate) run: Run,
    /// Counts the app messages of the run.
    pub(crate) number: u64,
    pub(crate) content: Content,
}

/// Names what one member sends from start to end.
pub(crate) type Run = [u8; 8];

/// What an app message says, or to whom it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// To all.
    Open(Note),
    /// To some.
    Sealed {
        /// The content key, sealed to each recipient.
        keys: Vec<SealedKey>,
        /// A [`ToSome`] under the content key.
        sealed: Vec<u8>,
    },
}

/// A kind and a body.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

/// What is sealed to some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToSome {
    pub(crate) audience: u8,
    pub(crate) note: Note,
}

/// The content key as HPKE seals it to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedKey {
    pub(crate) kem: Vec<u8>,
    pub(crate) key: [u8; 48],
}

impl App {
    pub(super) fn write(&self, out: Writer) -> Writer {
        let out = out.bytes(&self.run).u64(self.number);
        match &self.content {
            Content::Open(note) => note.write(out.u8(0)),
            Content::Sealed { keys, sealed } => {
                let out = out.u8(1).u8(keys.len() as u8);
                keys.iter().fold(out, |out, key| out.vec16(&key.kem).bytes(&key.key)).vec16(sealed)
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (run, number) = (reader.array()?, reader.u64()?);
        let content = if reader.flag()? {
            let count = usize::from(reader.u8()?);
            if count == 0 || count > MAX_RECIPIENTS {
                return Err(Malformed);
            }
            let keys = (0..count).map(|_| SealedKey::read(reader)).collect::<Result<_, _>>()?;
            Content::Sealed { keys, sealed: reader.vec16(MAX_TO_SOME)?.to_vec() }
        } else {
            Content::Open(Note::read(reader)?)
        };
        Ok(Self { run, number, content })
    }

    /// What binds a sealed content key to its place: room, branch, sender, recipient, number.
    pub(crate) fn aad(
        group_id: &[u8; 32],
        branch: &[u8; 32],
        from: Leaf,
        to: Leaf,
        run: &Run,
        number: u64,
    ) -> Vec<u8> {
        let out = Writer::new().bytes(b"sottovoce 2 app message").bytes(group_id).bytes(branch);
        out.u32(from.0).u32(to.0).bytes(run).u64(number).finish()
    }
}

impl Note {
    fn write(&self, out: Writer) -> Writer {
        out.u16(self.kind).vec16(&self.body)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { kind: reader.u16()?, body: reader.vec16(MAX_BODY)?.to_vec() })
    }
}

/// Shows no text.
impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Note(kind {}, {} bytes)", self.kind, self.body.len())
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

impl SealedKey {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { kem: reader.vec16(MAX_HPKE)?.to_vec(), key: reader.array()? })
    }
}

impl ToSome {
    /// Seals it under a content key, which is used for nothing else.
    pub(crate) fn seal(&self, content_key: &[u8; 32]) -> Vec<u8> {
        let mut text = self.note.write(Writer::new().u8(self.audience)).finish();
        let tag = EnvelopeKey::new(content_key).seal_in_place(&mut text);
        text.extend_from_slice(&tag);
        text
    }

    /// # Errors
    /// [`Malformed`] if it was sealed under another key, or is not in its form.
    pub(crate) fn open(content_key: &[u8; 32], sealed: &[u8]) -> Result<Self, Malformed> {
        let mut text = sealed.to_vec();
        let text = EnvelopeKey::new(content_key).open_in_place(&mut text).map_err(|_| Malformed)?;
        let mut reader = Reader::new(text);
        let to_some = Self { audience: reader.u8()?, note: Note::read(&mut reader)? };
        reader.finish()?;
        text.zeroize();
        Ok(to_some)
    }
}

/// An app message to all that was said in an earlier epoch, for those who were there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// The branch in which it was said first.
    pub(crate) branch: [u8; 32],
    salt: [u8; 32],
    sealed: Vec<u8>,
}

impl Again {
    /// Seals what was said for those who were there. `salt` is random, new each time.
    pub(crate) fn new(
        run: &Run,
        number: u64,
        note: &Note,
        branch: [u8; 32],
        key: &AgainKey,
        salt: [u8; 32],
    ) -> Self {
        let mut sealed = note.write(Writer::new().bytes(run).u64(number)).finish();
        let tag = key.of(&salt).seal_in_place(&mut sealed);
        sealed.extend_from_slice(&tag);
        Self { branch, salt, sealed }
    }

    /// # Errors
    /// [`Malformed`] if the key is another, or it is not in its form.
    pub(crate) fn open(&self, key: &AgainKey) -> Result<App, Malformed> {
        let mut text = self.sealed.clone();
        let text = key.of(&self.salt).open_in_place(&mut text).map_err(|_| Malformed)?;
        let mut reader = Reader::new(text);
        let (run, number) = (reader.array()?, reader.u64()?);
        let app = App { run, number, content: Content::Open(Note::read(&mut reader)?) };
        reader.finish()?;
        text.zeroize();
        Ok(app)
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.branch).bytes(&self.salt).vec16(&self.sealed)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (branch, salt) = (reader.array()?, reader.array()?);
        Ok(Self { branch, salt, sealed: reader.vec16(MAX_AGAIN)?.to_vec() })
    }
}

/// What is sealed to those who were in one epoch of one branch.
pub(crate) struct AgainKey(Secret);

impl AgainKey {
    pub(crate) fn derive(secret: &EpochSecret) -> Self {
        let key = |out: &mut [u8]| hkdf_sha256(&[], secret.0.bytes(), &[b"sottovoce 2 again key"], out);
        let key = Secret::filled(32, key);
        scrub_stack::<DEEP>();
        Self(key)
    }

    fn of(&self, salt: &[u8; 32]) -> EnvelopeKey {
        let mut bytes = [0; 32];
        hkdf_sha256(salt, self.0.bytes(), &[b"sottovoce 2 again"], &mut bytes);
        let key = EnvelopeKey::new(&bytes);
        bytes.zeroize();
        scrub_stack::<DEEP>();
        key
    }
}

/// The longest body.
pub(crate) const MAX_BODY: usize = 640;
/// As many as a room has host and moderators.
pub(crate) const MAX_RECIPIENTS: usize = 17;
/// Audience, kind, body with its length, tag.
const MAX_TO_SOME: usize = 1 + 2 + 2 + MAX_BODY + 16;
/// Run, number, kind, body with its length, tag.
const MAX_AGAIN: usize = 8 + 8 + 2 + 2 + MAX_BODY + 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{saying::Saying, signed::tests::is_strict};

    fn note(len: usize) -> Note {
        Note { kind: 0x8001, body: vec![7; len] }
    }

    fn again_key(byte: u8) -> AgainKey {
        AgainKey::derive(&EpochSecret::new(vec![byte; 32]).unwrap())
    }

    fn sealed(keys: usize, body: usize) -> Saying {
        let key = SealedKey { kem: vec![3; 32], key: [4; 48] };
        let sealed = ToSome { audience: 0, note: note(body) }.seal(&[5; 32]);
        let content = Content::Sealed { keys: vec![key; keys], sealed };
        Saying::App(App { run: [1; 8], number: 2, content })
    }

    #[test]
    fn app_messages_come_back_the_same_within_their_bounds() {
        let open = |len| Saying::App(App { run: [1; 8], number: 2, content: Content::Open(note(len)) });
        let again = |len| Saying::Again(Again::new(&[1; 8], 2, &note(len), [3; 32], &again_key(1), [4; 32]));
        for saying in [open(0), open(9), sealed(1, 9), sealed(17, 0), again(9)] {
            is_strict(&saying, &saying.encode(), Saying::decode);
        }
        for (saying, fits) in [
            (open(MAX_BODY), true),
            (open(MAX_BODY + 1), false),
            (sealed(0, 9), false),
            (sealed(17, MAX_BODY), true),
            (sealed(18, 9), false),
            (sealed(1, MAX_BODY + 1), false),
            (again(MAX_BODY), true),
            (again(MAX_BODY + 1), false),
        ] {
            assert_eq!(Saying::decode(&saying.encode()).is_ok(), fits);
        }
    }

    #[test]
    fn what_is_sealed_to_some_opens_under_its_content_key_alone() {
        let to_some = ToSome { audience: 2, note: note(9) };
        let sealed = to_some.seal(&[5; 32]);
        assert_eq!(ToSome::open(&[5; 32], &sealed), Ok(to_some));
        assert_eq!(ToSome::open(&[6; 32], &sealed), Err(Malformed));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(ToSome::open(&[5; 32], &altered), Err(Malformed));
        }
    }

    #[test]
    fn what_is_said_again_opens_with_the_key_of_its_branch_alone() {
        let again = Again::new(&[1; 8], 2, &note(9), [3; 32], &again_key(1), [4; 32]);
        let app = App { run: [1; 8], number: 2, content: Content::Open(note(9)) };
        assert_eq!(again.open(&again_key(1)), Ok(app));
        assert_eq!(again.open(&again_key(2)), Err(Malformed));
    }

    #[test]
    fn a_note_shows_no_text() {
        assert_eq!(format!("{:?}", note(9)), "Note(kind 32769, 9 bytes)");
    }
}
