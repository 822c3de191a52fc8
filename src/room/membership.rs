//! The data about a room that survives a restart: its members and statements, but no keys (SPEC
//! section 7.10).

use std::{fmt, sync::Arc};

use super::{
    doors::Doors,
    freshness::Freshness,
    memory::{Made, Memory},
    options::Admission,
    outbox::Outbox,
};
use crate::{
    Seed,
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
    },
    id::{IdentityKey, UnixTime},
    keys::secret::Secret,
    lane::RelayName,
    law::{Store, Tag, Terms},
    wire::{
        envelope::{LaneKey, MAX_MESSAGE},
        invite::{InviteId, MAX_RELAYS},
    },
};

/// A room that we are in, to be stored and given to [`Room::resume`](super::Room::resume) after a
/// restart.
///
/// It holds what it takes to find the room and to be believed there: the key of the control lane,
/// the terms, the statements that are law, the people seen; and with a host or moderator the keys
/// of its door. It holds no media key, no counter, no key of MLS: whoever finds it hears nothing.
/// Keep it as you keep an invite, and store it anew when the room changes. Wiped on drop.
pub struct Membership(Secret);

/// A [`Membership`], taken apart.
pub(super) struct Record {
    pub(super) lane: LaneKey,
    pub(super) relays: Vec<RelayName>,
    pub(super) admission: Admission,
    pub(super) stamped: (u64, u64),
    pub(super) memory: Memory,
}

/// The bytes of a membership: its stamp, what the clock said then, and the rest.
struct Parts<'a> {
    before: &'a [u8],
    stamp_ms: u64,
    clock_ms: u64,
    after: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (before, rest) = bytes.split_at_checked(STAMP_AT)?;
        let (stamp, rest) = rest.split_first_chunk()?;
        let (clock, after) = rest.split_first_chunk()?;
        Some(Self {
            before,
            stamp_ms: u64::from_be_bytes(*stamp),
            clock_ms: u64::from_be_bytes(*clock),
            after,
        })
    }
}

impl Membership {
    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Takes stored bytes back.
    ///
    /// # Errors
    /// [`MembershipError`] if they are not the bytes of a membership.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MembershipError> {
        let membership = Self(Secret::filled(bytes.len(), |out| out.copy_from_slice(bytes)));
        membership.parse().map_err(|Malformed| MembershipError)?;
        Ok(membership)
    }

    /// The relays that the room allows, best first: a transport to one of them, or to two, is what
    /// [`Session::resume`](crate::driver::Session::resume) needs.
    pub fn relays(&self) -> Vec<RelayName> {
        // Its bytes were read when it was made.
        self.parse().map(|(_, record)| record.relays).unwrap_or_default()
    }

    /// Whether a store that holds `stored` need not be written: only the stamp differs, which says
    /// the same lead over the clock and is at most ten minutes old (SPEC section 7, rule T2).
    pub(crate) fn is_kept_by(&self, stored: &[u8]) -> bool {
        let (Some(own), Some(old)) = (Parts::of(self.0.bytes()), Parts::of(stored)) else { return false };
        let lead = |parts: &Parts<'_>| i128::from(parts.stamp_ms) - i128::from(parts.clock_ms);
        (own.before, own.after) == (old.before, old.after)
            && (old.clock_ms..old.clock_ms.saturating_add(STAMP_HOLDS_MS)).contains(&own.clock_ms)
            && lead(&own).abs_diff(lead(&old)) <= LEAD_APART_MS
    }

    pub(super) fn new(out: &Outbox, memory: &Memory) -> Self {
        let bytes = Writer::new()
            .u8(VERSION)
            .bytes(out.identity.public())
            .bytes(out.lane.bytes())
            .u8(u8::from(out.admission == Admission::Open))
            .u64(out.stamped().0)
            .u64(out.stamped().1)
            .u8(out.relays.len() as u8);
        let bytes = out.relays.iter().fold(bytes, |bytes, relay| bytes.vec8(relay.as_str().as_bytes()));
        let bytes = bytes.vec16(&memory.store.known().terms().encode()).vec32(&memory.store.encode());
        let bytes = memory.freshness.write(bytes).u16(memory.people().len() as u16);
        let bytes = memory.people().iter().fold(bytes, |bytes, key| bytes.bytes(key.as_bytes()));
        let bytes = bytes.u16(memory.invites.len() as u16);
        let bytes = memory.invites.iter().fold(bytes, |bytes, made| {
            bytes.bytes(&made.id.0).u64(made.expires.0).u16(made.uses).bytes(&made.tag.0)
        });
        let bytes =
            bytes.u8(memory.doors.is_some().into()).optional(memory.doors.as_ref(), |bytes, doors| {
                let (answer, sealing) = doors.seeds();
                let bytes =
                    bytes.bytes(answer.bytes()).bytes(sealing.bytes()).u16(doors.counted().len() as u16);
                doors.counted().iter().fold(bytes, |bytes, (tag, used)| bytes.bytes(&tag.0).u16(*used))
            });
        Self(bytes.finish_secret())
    }

    /// Takes it apart for its owner.
    pub(super) fn read(&self, identity: &Identity) -> Result<Record, Malformed> {
        let (own, record) = self.parse()?;
        if own.as_bytes() == identity.public() { Ok(record) } else { Err(Malformed) }
    }

    fn parse(&self) -> Result<(IdentityKey, Record), Malformed> {
        let mut reader = Reader::new(self.0.bytes());
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let own = IdentityKey::from_bytes(reader.array()?);
        let lane = LaneKey::new(reader.chunk()?);
        let admission = if reader.flag()? { Admission::Open } else { Admission::Ask };
        let stamped = (reader.u64()?, reader.u64()?);
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAX_RELAYS {
            return Err(Malformed);
        }
        let relay = |reader: &mut Reader<'_>| {
            let name = std::str::from_utf8(reader.vec8(RelayName::MAX_LEN)?).map_err(|_| Malformed)?;
            RelayName::new(name).map_err(|_| Malformed)
        };
        let relays = (0..count).map(|_| relay(&mut reader)).collect::<Result<_, _>>()?;
        let terms = Arc::new(Terms::decode(reader.vec16(MAX_TERMS)?)?);
        let store = Store::decode(reader.vec32(MAX_MESSAGE)?, terms.clone())?;
        let mut memory = Memory::new(store);
        memory.freshness = Freshness::read(&mut reader)?;
        for _ in 0..reader.u16()? {
            memory.note_person(IdentityKey::from_bytes(reader.array()?));
        }
        for _ in 0..reader.u16()? {
            memory.invites.push(Made {
                id: InviteId(reader.array()?),
                expires: UnixTime(reader.u64()?),
                uses: reader.u16()?,
                tag: Tag(reader.array()?),
            });
        }
        if reader.flag()? {
            let (answer, sealing) = (Seed::copied(reader.chunk()?), Seed::copied(reader.chunk()?));
            let mut doors =
                Doors::from_seeds(terms.key_exchange, answer, sealing, admission).map_err(|_| Malformed)?;
            let count = reader.u16()?;
            let counts = (0..count).map(|_| Ok((Tag(reader.array()?), reader.u16()?)));
            doors.restore_counts(counts.collect::<Result<_, Malformed>>()?);
            memory.doors = Some(doors);
        }
        reader.finish()?;
        Ok((own, Record { lane, relays, admission, stamped, memory }))
    }
}

/// Says nothing of what is in it.
impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Membership(..)")
    }
}

/// The bytes are not those of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipError;

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are not the bytes of a membership")
    }
}

impl std::error::Error for MembershipError {}

/// Behind version, identity key, lane key and admission.
const STAMP_AT: usize = 1 + 32 + 32 + 1;
/// A stored stamp that is older is stored anew.
const STAMP_HOLDS_MS: u64 = 600_000;
/// Stamps lead the clock by a little more after many in one millisecond. A restart takes longer.
const LEAD_APART_MS: u128 = 100;
const VERSION: u8 = 3;
const MAX_TERMS: usize = 512;
