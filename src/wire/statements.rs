//! Statements of the law as they travel: opaque here, each in its own length (`spec/control.md`,
//! section 14.3).

use crate::group::codec::{Malformed, Reader, Writer};

/// A bounded list of encoded statements. `law` decodes each of them and checks its signature.
///
/// ```text
/// count u16 | each: statement <32>
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statements(Vec<Vec<u8>>);

impl Statements {
    /// Takes encoded statements.
    ///
    /// # Errors
    /// [`Malformed`] for more than 32,768 of them, or one that is shorter than a signature or above
    /// 256 KiB.
    pub(crate) fn new(entries: Vec<Vec<u8>>) -> Result<Self, Malformed> {
        let fit = entries.iter().all(|entry| SIZES.contains(&entry.len()));
        if fit && entries.len() <= MAX_STATEMENTS { Ok(Self(entries)) } else { Err(Malformed) }
    }

    /// The encoded statements, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The length of [`Statements::write`].
    #[cfg(test)]
    pub(crate) fn encoded_len(&self) -> usize {
        2 + self.0.iter().map(|entry| 4 + entry.len()).sum::<usize>()
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        let out = out.u16(self.0.len() as u16);
        self.0.iter().fold(out, |out, entry| out.vec32(entry))
    }

    /// Reads at most `max` statements. Each is at least as long as a signature, so the list never
    /// takes much more memory than the message did.
    pub(super) fn read(reader: &mut Reader<'_>, max: usize) -> Result<Self, Malformed> {
        let count = usize::from(reader.u16()?);
        if count > max.min(MAX_STATEMENTS) {
            return Err(Malformed);
        }
        let entries: Result<_, _> =
            (0..count).map(|_| reader.vec32(MAX_STATEMENT).map(<[u8]>::to_vec)).collect();
        Self::new(entries?)
    }
}

/// Statements in one message: more than the 17 issuers of a law can have.
pub(crate) const MAX_STATEMENTS: usize = 32_768;
/// The longest statement: a table with its rest has at most 112 kB.
const MAX_STATEMENT: usize = 256 * 1024;
const SIZES: std::ops::RangeInclusive<usize> = 64..=MAX_STATEMENT;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::wire) fn statements(count: u8) -> Statements {
        Statements::new((0..count).map(|n| vec![n; 64 + usize::from(n)]).collect()).unwrap()
    }

    fn read(bytes: &[u8], max: usize) -> Result<Statements, Malformed> {
        let mut reader = Reader::new(bytes);
        let statements = Statements::read(&mut reader, max)?;
        reader.finish()?;
        Ok(statements)
    }

    #[test]
    fn statements_come_back_the_same_and_every_truncation_is_refused() {
        for count in [0, 1, 3] {
            let statements = statements(count);
            let bytes = statements.write(Writer::new()).finish();
            assert_eq!(bytes.len(), statements.encoded_len());
            crate::wire::signed::tests::is_strict(&statements, &bytes, |bytes| read(bytes, 3));
        }
    }

    #[test]
    fn too_many_too_short_and_too_long_statements_are_refused() {
        let bytes = statements(4).write(Writer::new()).finish();
        assert_eq!(read(&bytes, 3), Err(Malformed));
        for (len, fits) in
            [(0, false), (63, false), (64, true), (MAX_STATEMENT, true), (MAX_STATEMENT + 1, false)]
        {
            let bytes = Writer::new().u16(1).vec32(&vec![7; len]).finish();
            assert_eq!(read(&bytes, 1).is_ok(), fits, "{len}");
            assert_eq!(Statements::new(vec![vec![7; len]]).is_ok(), fits, "{len}");
        }
        assert_eq!(Statements::new(vec![vec![7; 64]; MAX_STATEMENTS + 1]), Err(Malformed));
        assert_eq!(read(&[0xff; 2], usize::MAX), Err(Malformed));
    }
}
