//! What one listener and its porter say to each other, under the chain of the two
//! (`spec/stage.md`, 6.6).

use super::{
    Sealed,
    knock::{Shown, key},
};
use crate::{
    group::{
        Name,
        codec::{Malformed, Reader, Writer},
    },
    id::IdentityKey,
    keys::{derive::sha256, secret::Secret},
    wire::answer::RefuseReason,
};

/// What a listener says. `count` grows with each, so that nothing counts twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) struct UpContent {
    pub(in crate::stage) count: u32,
    pub(in crate::stage) asked: Asked,
}

/// What a listener wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) enum Asked {
    /// Its hand is up, or down.
    Hand(bool),
    /// It goes.
    Leave,
    /// It lacks what is newer than this hall epoch.
    Keys(u64),
    /// A fresh key for its chain, sealed to this one-use key.
    Fresh(Vec<u8>),
    /// The page of the roster with this number.
    Page(u32),
    /// The programme.
    Programme,
}

/// What a porter says to one listener.
pub(in crate::stage) enum Down {
    /// What who lags is given: the chain of the cell at this hall step, and the epochs.
    Keys {
        step: u32,
        cell_key: Secret,
        shown: Shown,
    },
    Fresh(Sealed),
    Page(Page),
    /// It may come up: an invite as a link.
    Up(Secret),
    /// It is put out.
    Out(RefuseReason),
}

/// One cell of the roster, with what proves it: the hashes of all pages of this porter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) struct Page {
    pub(in crate::stage) number: u32,
    pub(in crate::stage) people: Vec<(u8, IdentityKey, Name)>,
    pub(in crate::stage) hashes: Vec<[u8; 32]>,
}

impl UpContent {
    pub(in crate::stage) fn encode(&self) -> Vec<u8> {
        let out = Writer::new().u32(self.count);
        match &self.asked {
            Asked::Hand(up) => out.u8(1).u8((*up).into()),
            Asked::Leave => out.u8(2),
            Asked::Keys(n) => out.u8(3).u64(*n),
            Asked::Fresh(key) => out.u8(4).vec16(key),
            Asked::Page(number) => out.u8(5).u32(*number),
            Asked::Programme => out.u8(6),
        }
        .finish()
    }

    pub(in crate::stage) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let count = reader.u32()?;
        let asked = match reader.u8()? {
            1 => Asked::Hand(reader.flag()?),
            2 => Asked::Leave,
            3 => Asked::Keys(reader.u64()?),
            4 => Asked::Fresh(reader.vec16(super::MAX_KEM)?.to_vec()),
            5 => Asked::Page(reader.u32()?),
            6 => Asked::Programme,
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(Self { count, asked })
    }
}

impl Down {
    pub(in crate::stage) fn encode(&self) -> Secret {
        let out = Writer::new();
        let out = match self {
            Self::Keys { step, cell_key, shown } => shown.write(out.u8(1).u32(*step).bytes(cell_key.bytes())),
            Self::Fresh(sealed) => sealed.write(out.u8(2)),
            Self::Page(page) => page.write(out.u8(3)),
            Self::Up(invite) => out.u8(4).vec16(invite.bytes()),
            Self::Out(reason) => out.u8(5).u8(reason.code()),
        };
        Secret::wrap(out.finish())
    }

    pub(in crate::stage) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let down = match reader.u8()? {
            1 => Self::Keys {
                step: reader.u32()?,
                cell_key: key(&mut reader)?,
                shown: Shown::read(&mut reader)?,
            },
            2 => Self::Fresh(Sealed::read(&mut reader)?),
            3 => Self::Page(Page::read(&mut reader)?),
            4 => {
                let invite = reader.vec16(2_048)?;
                Self::Up(Secret::filled(invite.len(), |out| out.copy_from_slice(invite)))
            }
            5 => Self::Out(RefuseReason::from_code(reader.u8()?)?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(down)
    }
}

impl Page {
    /// The hash by which the roster names a page.
    pub(in crate::stage) fn hash(&self) -> [u8; 32] {
        sha256(&[b"sottovoce 2 hall page", &self.content(Writer::new()).finish()])
    }

    /// The hash of a roster, which stands in the porter's beats.
    pub(in crate::stage) fn roster(hashes: &[[u8; 32]]) -> [u8; 32] {
        sha256(&[b"sottovoce 2 hall roster", hashes.as_flattened()])
    }

    fn write(&self, out: Writer) -> Writer {
        let count = u16::try_from(self.hashes.len()).unwrap_or(u16::MAX);
        self.hashes.iter().fold(self.content(out).u16(count), |out, hash| out.bytes(hash))
    }

    fn content(&self, out: Writer) -> Writer {
        let count = u8::try_from(self.people.len()).unwrap_or(u8::MAX);
        self.people.iter().fold(out.u32(self.number).u8(count), |out, (slot, key, name)| {
            out.u8(*slot).bytes(key.as_bytes()).vec8(name.as_str().as_bytes())
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (number, count) = (reader.u32()?, usize::from(reader.u8()?));
        if count > super::turn::MAX_SLOTS {
            return Err(Malformed);
        }
        let person = |_| {
            let (slot, key) = (reader.u8()?, IdentityKey::from_bytes(reader.array()?));
            Ok((slot, key, Name::decode(reader.vec8(64)?)?))
        };
        let people = (0..count).map(person).collect::<Result<Vec<_>, Malformed>>()?;
        let count = usize::from(reader.u16()?);
        if count > MAX_PAGES || !people.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Malformed);
        }
        let hashes = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { number, people, hashes })
    }
}

/// Cells of one porter.
pub(in crate::stage) const MAX_PAGES: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::wire::tests::is_strict;

    #[test]
    fn what_a_listener_asks_comes_back_the_same() {
        let asked = [
            Asked::Hand(true),
            Asked::Leave,
            Asked::Keys(7),
            Asked::Fresh(vec![1; 32]),
            Asked::Page(7),
            Asked::Programme,
        ];
        for asked in asked {
            let content = UpContent { count: 9, asked };
            is_strict(&content, &content.encode(), UpContent::decode);
        }
    }

    #[test]
    fn what_a_porter_says_is_read_strictly() {
        let name = Name::new("Ada").unwrap();
        let page = Page {
            number: 1,
            people: vec![(3, IdentityKey::from_bytes([1; 32]), name)],
            hashes: vec![[2; 32]],
        };
        let all = [
            Down::Keys { step: 4, cell_key: Secret::wrap(vec![6; 32]), shown: Shown::default() },
            Down::Fresh(Sealed { to: [1; 16], kem: vec![2; 32], sealed: vec![3; 60] }),
            Down::Page(page),
            Down::Up(Secret::wrap(b"sottovoce:abc".to_vec())),
            Down::Out(RefuseReason::Banned),
        ];
        for down in all {
            let bytes = down.encode();
            let again = Down::decode(bytes.bytes()).ok().unwrap();
            assert_eq!(again.encode().bytes(), bytes.bytes());
            assert!((0..bytes.bytes().len()).all(|cut| Down::decode(&bytes.bytes()[..cut]).is_err()));
        }
    }
}
