//! One sealed record, and the index of all (SPEC section 11.1). Bytes in, bytes out.
//!
//! ```text
//! | version u8 | nonce 12 | AES-256-GCM { name <8> | number u64 | content <32> | zeros } | tag 16 |   1 KiB to 2 MiB
//! ```

use std::collections::BTreeMap;

use zeroize::Zeroize;

use super::{MAX_CONTENT, MAX_RECORDS, RecordName, hex, parse_hex};
use crate::{
    group::codec::{Malformed, Reader, Writer},
    keys::{
        aead::RecordKey,
        derive::{Mac, hkdf_sha256},
        secret::{DEEP, Secret, scrub_stack},
    },
};

/// The cipher that seals the records of one store and hides their names.
pub(super) struct Keys {
    sealing: RecordKey,
    naming: Mac,
}

/// The content of an opened file.
pub(super) struct Opened {
    /// `None` for the index.
    pub(super) name: Option<RecordName>,
    pub(super) number: u64,
    text: Secret,
    content: std::ops::Range<usize>,
}

/// The records of a store, each with the number with which it was written.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Index {
    /// The number of the latest write.
    pub(super) counter: u64,
    pub(super) records: BTreeMap<RecordName, u64>,
}

/// The name of a file, which reveals nothing about the content without the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FileName([u8; 16]);

impl Keys {
    pub(super) fn new(store_key: &Secret) -> Self {
        let derive = |label: &[u8]| {
            Secret::filled(32, |out| {
                hkdf_sha256(&[], store_key.bytes(), &[b"sottovoce 1 store ", label], out)
            })
        };
        let (sealing, naming) = (derive(b"seal"), derive(b"name"));
        let mut key = [0; 32];
        key.copy_from_slice(sealing.bytes());
        let keys = Self { sealing: RecordKey::new(&key), naming: Mac::new(naming.bytes()) };
        key.zeroize();
        scrub_stack::<DEEP>();
        keys
    }

    /// The file name of a record; `None` stands for the index.
    pub(super) fn file(&self, name: Option<&RecordName>) -> FileName {
        FileName(self.naming.tag(text_of(name).as_bytes()))
    }

    /// The whole file of a record. The content is bounded by [`MAX_CONTENT`].
    pub(super) fn seal(
        &self,
        nonce: [u8; 12],
        name: Option<&RecordName>,
        number: u64,
        content: &[u8],
    ) -> Vec<u8> {
        let file = self.file(name);
        let name = text_of(name);
        let used = 1 + name.len() + 8 + 4 + content.len();
        let size = (used + OVERHEAD).next_power_of_two().max(MIN_FILE);
        // Sealed in place: no copy of the content stays behind.
        let length = content.len() as u32;
        let head = [name.len() as u8];
        let parts: [&[u8]; 5] =
            [&head, name.as_bytes(), &number.to_be_bytes(), &length.to_be_bytes(), content];
        let mut sealed = Vec::with_capacity(size);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        parts.iter().for_each(|part| sealed.extend_from_slice(part));
        sealed.resize(size - TAG, 0);
        let text = sealed.get_mut(OVERHEAD - TAG..).unwrap_or_default();
        let tag = self.sealing.seal_in_place(nonce, &file.associated(), text);
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens a file that was found under this name.
    pub(super) fn open(&self, file: FileName, sealed: Vec<u8>) -> Result<Opened, Unreadable> {
        let mut text = Secret::wrap(sealed);
        let whole = text.bytes_mut();
        if !(MIN_FILE..=MAX_FILE).contains(&whole.len()) || !whole.len().is_power_of_two() {
            return Err(Unreadable);
        }
        let ([VERSION, ..], nonce_and_text) = whole.split_at_mut(1) else { return Err(Unreadable) };
        let (nonce, sealed) = nonce_and_text.split_first_chunk_mut::<12>().ok_or(Unreadable)?;
        self.sealing.open_in_place(*nonce, &file.associated(), sealed).map_err(|_| Unreadable)?;
        let end = text.bytes().len() - TAG;
        let mut reader = Reader::new(text.bytes().get(OVERHEAD - TAG..end).unwrap_or_default());
        let name = match reader.vec8(RecordName::MAX_LEN)? {
            [] => None,
            name => Some(std::str::from_utf8(name).map_err(|_| Unreadable)?),
        };
        let name = name.map(|name| RecordName::new(name).map_err(|_| Unreadable)).transpose()?;
        let number = reader.u64()?;
        let length = reader.vec32(MAX_CONTENT)?.len();
        let zeros = reader.rest();
        if zeros.iter().any(|zero| *zero != 0) || self.file(name.as_ref()) != file || number > MAX_COUNTER {
            return Err(Unreadable);
        }
        let content_end = end - zeros.len();
        Ok(Opened { name, number, text, content: content_end - length..content_end })
    }
}

impl Opened {
    pub(super) fn content(&self) -> &[u8] {
        self.text.bytes().get(self.content.clone()).unwrap_or_default()
    }

    pub(super) fn into_content(self) -> Secret {
        let content = self.content();
        Secret::filled(content.len(), |out| out.copy_from_slice(content))
    }
}

impl Index {
    pub(super) fn encode(&self) -> Vec<u8> {
        let out = Writer::new().u16(self.records.len() as u16);
        let one = |out: Writer, (name, number): (&RecordName, &u64)| {
            out.vec8(name.as_str().as_bytes()).u64(*number)
        };
        self.records.iter().fold(out, one).finish()
    }

    pub(super) fn decode(opened: &Opened) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(opened.content());
        let count = usize::from(reader.u16()?);
        if count > MAX_RECORDS || opened.name.is_some() {
            return Err(Unreadable);
        }
        let mut index = Self { counter: opened.number, records: BTreeMap::new() };
        for _ in 0..count {
            let name = std::str::from_utf8(reader.vec8(RecordName::MAX_LEN)?).map_err(|_| Unreadable)?;
            let (name, number) = (RecordName::new(name).map_err(|_| Unreadable)?, reader.u64()?);
            let in_order = index.records.last_key_value().is_none_or(|(last, _)| *last < name);
            if !in_order || number > index.counter {
                return Err(Unreadable);
            }
            index.records.insert(name, number);
        }
        reader.finish()?;
        Ok(index)
    }
}

impl FileName {
    pub(super) fn text(self) -> String {
        hex(&self.0)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    fn associated(self) -> [u8; 35] {
        let mut out = [0; 35];
        let parts: [&[u8]; 3] = [b"sottovoce 1 record", &[VERSION], &self.0];
        out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(out, byte)| *out = *byte);
        out
    }
}

/// The file is truncated, altered, from another key or another file, or breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self
    }
}

/// One secret of several parts, without a copy that is left behind.
pub(super) fn concatenated(parts: &[&[u8]]) -> Secret {
    Secret::filled(parts.iter().map(|part| part.len()).sum(), |out| {
        out.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(out, byte)| *out = *byte);
    })
}

fn text_of(name: Option<&RecordName>) -> &str {
    name.map_or("", RecordName::as_str)
}

const VERSION: u8 = 1;
const TAG: usize = 16;
/// Version, nonce, tag.
const OVERHEAD: usize = 1 + 12 + TAG;
const MIN_FILE: usize = 1024;
pub(super) const MAX_FILE: usize = 2 * 1024 * 1024;
/// How often a key may seal with random nonces.
pub(super) const MAX_COUNTER: u64 = u32::MAX as u64;
