//! What a stage room needs of its stage: what is said about the hall, and what the law says
//! (`spec/stage.md`, H1).

use std::time::Instant;

use super::{Room, phase::Phase};

pub(crate) use super::said::Said;
use crate::{
    Seed,
    group::{Identity, Member},
    id::IdentityKey,
    keys::secret::Secret,
    law::{GroupId, Office, Store},
    wire::{
        door::Door,
        envelope::LaneKey,
        saying::{Hidden, Saying},
        signed::Signed,
        statements::Statements,
    },
};

/// What a member that is present knows of its room.
pub(crate) struct Facts<'a> {
    pub(crate) store: &'a Store,
    pub(crate) identity: &'a Identity,
    pub(crate) lane: &'a LaneKey,
    /// The roster, as the application sees it.
    pub(crate) members: &'a [Member],
    pub(crate) unix_ms: u64,
    /// Our door, if we have rank and a badge: the seeds of answer key and HPKE key, and the door.
    pub(crate) door: Option<(&'a Seed, &'a Seed, Signed<Door>)>,
}

impl Room {
    /// What the hall goes by; `None` unless we are present.
    pub(crate) fn hall_facts(&self, now: Instant) -> Option<Facts<'_>> {
        let Phase::Present(memory, seat) = &self.phase else { return None };
        let door = memory.doors.as_ref().and_then(|doors| {
            let (answer, sealing) = doors.seeds();
            Some((answer, sealing, doors.door(&memory.store)?))
        });
        Some(Facts {
            store: &memory.store,
            identity: &self.out.identity,
            lane: &self.out.lane,
            members: &seat.members,
            unix_ms: self.out.clock.unix_ms(now),
            door,
        })
    }

    /// Says something about the hall to everybody on the stage; nothing unless we are present.
    pub(crate) fn say_in_hall(&mut self, said: Secret) {
        if let Phase::Present(_, seat) = &mut self.phase {
            let saying = Secret::wrap(Saying::Hall(Hidden(said.into())).encode());
            seat.say_bytes(&mut self.out, saying.bytes());
            self.end_if_faulty();
        }
    }

    /// What somebody else said about the hall.
    pub(crate) fn poll_hall(&mut self) -> Option<Said> {
        self.out.hall.pop()
    }
}

impl Facts<'_> {
    /// The last hand-overs, without their rest, for holders of an older invite.
    pub(crate) fn chain(&self) -> Option<Statements> {
        let chain: Vec<_> = self.store.law().chain().collect();
        let last = chain.iter().skip(chain.len().saturating_sub(crate::wire::message::MAX_CHAIN));
        let tables = last
            .filter_map(|id| self.store.known().get(id))
            .filter_map(|table| Some(table.without_rest()?.statement().encode()))
            .collect::<Vec<_>>();
        if tables.is_empty() { None } else { Statements::new(tables).ok() }
    }
}

/// Follows hand-overs without their rest from a host and office to those that they lead to.
pub(crate) fn follow(
    chain: &mut Vec<(IdentityKey, Office)>,
    anchor: (IdentityKey, Office),
    tables: &Statements,
    group_id: &GroupId,
) {
    super::chain::follow(chain, anchor, tables, group_id);
}
