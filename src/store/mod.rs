//! The data that an application keeps across restarts: its identity, and the rooms that it is in
//! (SPEC section 11).
//!
//! ```text
//! Identity, Membership > record: bytes under a name > Store > memory | sealed files | the application's own
//! ```
//!
//! A record never holds a media key, counter or MLS state. A crash or an old copy costs at most the
//! latest change: a member that resumes a room gets a new leaf and new keys, whatever was stored.

mod disk;
mod file;
mod memory;
mod record;
mod snapshot;

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod vectors;

use std::{fmt, io, str::FromStr};

use crate::{
    Seed,
    group::{
        Identity, Name,
        codec::{Malformed, Reader},
    },
    keys::secret::Secret,
    lane::RoomHandle,
    room::{Membership, Room},
};

pub use file::{FileStore, OpenStoreError, StoreKey};
pub use memory::MemoryStore;
pub use snapshot::Snapshot;

/// A storage for records. Implement the first four methods for a storage of your own. It must
/// encrypt the records, since an identity is a private key.
///
/// ```
/// use sottovoce::group::{Identity, Name};
/// use sottovoce::store::{MemoryStore, Store};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut store = MemoryStore::default();
/// let identity = match store.identity()? {
///     Some(identity) => identity,
///     None => {
///         let identity = Identity::generate(Name::new("Ada")?)?;
///         store.put_identity(&identity)?;
///         identity
///     }
/// };
/// // In a room: `store.keep(call.room())` on every event. After a restart, for each room:
/// for room in store.rooms()? {
///     if let Some(membership) = store.membership(room)? {
///         // Session::resume(transport, &identity, &membership)
///     }
/// }
/// # Ok(()) }
/// ```
pub trait Store {
    /// Writes a record, in place of one with the same name. Once this returns, the record survives
    /// a crash.
    ///
    /// # Errors
    /// After an error the record is either the old one or the new one.
    fn put(&mut self, name: &RecordName, content: &[u8]) -> Result<(), StoreError>;

    /// Reads a record; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and [`StoreError::RolledBack`] concern this record only.
    fn get(&mut self, name: &RecordName) -> Result<Option<Record>, StoreError>;

    /// Deletes a record, if there is one.
    ///
    /// # Errors
    /// After an error the record is either unchanged or gone.
    fn delete(&mut self, name: &RecordName) -> Result<(), StoreError>;

    /// The names of all records, damaged ones included.
    ///
    /// # Errors
    /// The errors of the storage.
    fn list(&mut self) -> Result<Vec<RecordName>, StoreError>;

    /// The identity that was stored.
    ///
    /// # Errors
    /// As for [`Store::get`].
    fn identity(&mut self) -> Result<Option<Identity>, StoreError> {
        let record = self.get(&RecordName::identity())?;
        record.map(|record| read_identity(record.bytes()).map_err(|_| StoreError::Damaged)).transpose()
    }

    /// Stores the identity, private key and name.
    ///
    /// # Errors
    /// As for [`Store::put`].
    fn put_identity(&mut self, identity: &Identity) -> Result<(), StoreError> {
        self.put(&RecordName::identity(), write_identity(identity).bytes())
    }

    /// The rooms that we are in, as far as the store knows.
    ///
    /// # Errors
    /// As for [`Store::list`].
    fn rooms(&mut self) -> Result<Vec<RoomHandle>, StoreError> {
        Ok(self.list()?.iter().filter_map(RecordName::handle).collect())
    }

    /// The data that [`Room::resume`] needs.
    ///
    /// # Errors
    /// As for [`Store::get`].
    fn membership(&mut self, room: RoomHandle) -> Result<Option<Membership>, StoreError> {
        let record = self.get(&RecordName::room(room))?;
        record
            .map(|record| Membership::from_bytes(record.bytes()).map_err(|_| StoreError::Damaged))
            .transpose()
    }

    /// Makes the store agree with the room: stores the membership if it has changed, and deletes it
    /// if the room is over for us. Call this on every event.
    ///
    /// # Errors
    /// As for [`Store::put`]. A record that was damaged is written anew.
    fn keep(&mut self, room: &Room) -> Result<(), StoreError> {
        self.write(&Snapshot::of(room))
    }

    /// Makes the store agree with the room as it was when the snapshot was taken. This does what
    /// [`keep`](Self::keep) does, but in a thread or task other than the room's.
    ///
    /// # Errors
    /// As for [`Store::keep`].
    fn write(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        snapshot.write_to(self)
    }
}

/// The name of a record: 1 to 64 printable ASCII characters without space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName(String);

impl RecordName {
    /// The longest name.
    pub const MAX_LEN: usize = 64;

    /// Takes a name. `identity` and `room/..` are the library's, all others the application's.
    ///
    /// # Errors
    /// [`InvalidRecordName`] if it is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, InvalidRecordName> {
        let allowed = name.bytes().all(|byte| byte.is_ascii_graphic());
        if !allowed || name.is_empty() || name.len() > Self::MAX_LEN {
            return Err(InvalidRecordName);
        }
        Ok(Self(name.to_owned()))
    }

    /// The record of the identity.
    pub fn identity() -> Self {
        Self("identity".to_owned())
    }

    /// The record of a room.
    pub fn room(handle: RoomHandle) -> Self {
        Self(format!("{ROOM}{}", hex(handle.as_bytes())))
    }

    /// The room whose record has this name, if it is one.
    pub fn handle(&self) -> Option<RoomHandle> {
        self.0.strip_prefix(ROOM).and_then(parse_hex).map(RoomHandle::from_bytes)
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RecordName {
    type Err = InvalidRecordName;

    fn from_str(name: &str) -> Result<Self, InvalidRecordName> {
        Self::new(name)
    }
}

/// Does not show the name, which may reveal in which room somebody is.
impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordName(..)")
    }
}

/// The text cannot be the name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRecordName;

impl fmt::Display for InvalidRecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record's name has 1 to 64 printable ASCII characters without space")
    }
}

impl std::error::Error for InvalidRecordName {}

/// The content of a record. Wiped on drop, never printed.
pub struct Record(Secret);

impl Record {
    /// Takes the content as a storage holds it; the bytes are wiped when this value is dropped.
    pub fn new(content: Vec<u8>) -> Self {
        Self(Secret::wrap(content))
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(..)")
    }
}

/// Why a record could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The record is missing, truncated or altered. Store it again or delete it.
    Damaged,
    /// The record is an outdated one that somebody put back. Store it again or delete it.
    RolledBack,
    /// The content has more than [`MAX_CONTENT`] bytes.
    TooLong,
    /// There are [`MAX_RECORDS`] records; delete some.
    Full,
    /// The store's key has sealed as many records as it safely can: make a new store.
    WornOut,
    /// The storage failed. Trying again may help.
    Io(io::ErrorKind),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the record is damaged",
            Self::RolledBack => "the record is an outdated copy",
            Self::TooLong => "the record is too long",
            Self::Full => "the store has the most records that it may have",
            Self::WornOut => "the key of the store has sealed as many records as it safely can",
            Self::Io(kind) => return write!(f, "the storage failed: {kind}"),
        })
    }
}

impl std::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// The longest content of a record.
pub const MAX_CONTENT: usize = record::MAX_FILE - 128;

/// The most records in a store.
pub const MAX_RECORDS: usize = 1024;

fn write_identity(identity: &Identity) -> Secret {
    let (seed, name) = (identity.seed().bytes(), identity.name().as_str().as_bytes());
    let length = u8::try_from(name.len()).expect("a name has at most 64 bytes");
    record::concatenated(&[&[IDENTITY_VERSION], seed, &[length], name])
}

fn read_identity(content: &[u8]) -> Result<Identity, Malformed> {
    let mut reader = Reader::new(content);
    if reader.u8()? != IDENTITY_VERSION {
        return Err(Malformed);
    }
    let seed = Seed::copied(reader.chunk()?);
    let name = Name::decode(reader.vec8(content.len())?)?;
    reader.finish()?;
    Ok(Identity::new(seed, name))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Strict: lower case, as [`hex`] writes it.
fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks() else { return None };
    let pairs: &[[u8; 2]; 16] = pairs.try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const ROOM: &str = "room/";
const IDENTITY_VERSION: u8 = 1;
