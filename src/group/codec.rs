//! Reading and writing the library's own structures: big-endian numbers, length prefixes with
//! bounds, nothing left over (SPEC section 2.2).

use zeroize::Zeroize;

use crate::keys::secret::Secret;

/// Takes bytes from the front of a message and refuses a message that is too short, too long or out
/// of bounds.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.chunk().copied()
    }

    /// The next `N` bytes in place: secrets are copied only into types that wipe them.
    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A u8 that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Bytes behind a u8 length, at most `max`.
    pub(crate) fn vec8(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.u8()?);
        self.bounded(len, max)
    }

    /// Bytes behind a u16 length, at most `max`.
    pub(crate) fn vec16(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.u16()?);
        self.bounded(len, max)
    }

    /// Bytes behind a u32 length, at most `max`.
    pub(crate) fn vec32(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        self.bounded(len, max)
    }

    /// All remaining bytes.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Checks that the message ends here.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn bounded(&mut self, len: usize, max: usize) -> Result<&'a [u8], Malformed> {
        if len > max { Err(Malformed) } else { self.bytes(len) }
    }
}

/// Appends to a message. Lengths are checked where the values are made, so writing cannot fail.
///
/// When a message grows and moves, its old place is wiped, since the message may hold a secret.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let mut wider = Vec::with_capacity(needed.next_power_of_two().max(LEAST));
            wider.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = wider;
        }
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// An optional value; something before it says whether it is present.
    pub(crate) fn optional<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self, value),
            None => self,
        }
    }

    pub(crate) fn vec8(self, bytes: &[u8]) -> Self {
        let len = u8::try_from(bytes.len()).expect("the value was bounded when it was made");
        self.u8(len).bytes(bytes)
    }

    pub(crate) fn vec16(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).expect("the value was bounded when it was made");
        self.u16(len).bytes(bytes)
    }

    pub(crate) fn vec32(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("the value was bounded when it was made");
        self.bytes(&len.to_be_bytes()).bytes(bytes)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// The message, if there is a secret in it.
    pub(crate) fn finish_secret(self) -> Secret {
        Secret::wrap(self.bytes)
    }
}

/// The capacity of a new message.
const LEAST: usize = 64;

/// A structure that is short, long, out of bounds, or has a value that SPEC does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = Writer::new().u8(7).u16(300).u64(1 << 40).vec8(b"ab").vec16(b"cde").vec32(b"f").finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u16(), Ok(300));
        assert_eq!(reader.u64(), Ok(1 << 40));
        assert_eq!(reader.vec8(2), Ok(&b"ab"[..]));
        assert_eq!(reader.vec16(3), Ok(&b"cde"[..]));
        assert_eq!(reader.vec32(1), Ok(&b"f"[..]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn bounds_and_leftovers_are_refused() {
        assert_eq!(Reader::new(&[3, 1, 2, 3]).vec8(2), Err(Malformed));
        assert_eq!(Reader::new(&[0xff; 4]).vec32(usize::MAX), Err(Malformed));
        assert_eq!(Reader::new(&[1]).u16(), Err(Malformed));
        assert_eq!(Reader::new(&[1]).finish(), Err(Malformed));
    }
}
