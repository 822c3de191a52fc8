//! How a moderator comes by what it takes to let people in, so that a room goes on admitting when its host is gone
//! (SPEC section 7.9).
//!
//! ```text
//! moderator ── WantDoor(key) ──> host ── Door(sealed to key) ──> moderator
//! ```

use std::{collections::BTreeMap, time::Instant};

use super::{core::Core, door::Door, error::ControlError, membership::DoorKeys, seat::Seat};
use crate::{
    group::{
        Violation,
        announcement::Announcement,
        codec::{Reader, Writer},
        mls::{Failure, JoinKey, JoinSecret, Purpose, door_aad},
    },
    id::{Leaf, MemberId},
    keys::secret::Secret,
};

/// Keys for handing the door on.
pub(super) struct Wish {
    /// What it is to be sealed to for us.
    secret: JoinSecret,
    /// What it is sealed to for others.
    others: BTreeMap<MemberId, [u8; 32]>,
}

impl Wish {
    fn new(core: &mut Core) -> Result<Self, Failure> {
        let ikm = Secret::wrap(core.random::<32>().to_vec());
        Ok(Self { secret: JoinSecret::derive(&ikm)?, others: BTreeMap::new() })
    }
}

impl Seat {
    /// Says in each epoch that we lack the door, and drops it with the rank that goes with it.
    pub(super) fn tend_sharing(&mut self, core: &mut Core) -> Result<(), Failure> {
        let own = self.group.member_at(self.group.own_leaf());
        if !own.is_some_and(|own| own.role.may_admit()) {
            self.door = None;
            self.wish = None;
            return Ok(());
        }
        let wish = match &mut self.wish {
            Some(wish) => wish,
            none => none.insert(Wish::new(core)?),
        };
        let roster = self.group.roster();
        wish.others
            .retain(|member, _| roster.iter().any(|other| other.id == *member && other.role.may_admit()));
        if self.door.is_none() && roster.len() > 1 {
            let key = wish.secret.public().0;
            self.announce(core, &Announcement::WantDoor(key))?;
        }
        Ok(())
    }

    /// A moderator wants the door: whoever keeps the room has it, or anybody who has it for a keeper that has not.
    pub(super) fn handle_want_door(&mut self, core: &mut Core, member: MemberId, key: [u8; 32]) {
        let ranked = self.group.member(member).is_some_and(|member| member.role.may_admit());
        let answers = self.keeps() || self.group.state().keeper == member;
        let Some(wish) = self.wish.as_mut().filter(|_| ranked) else { return };
        wish.others.insert(member, key);
        if answers {
            // Who does not get it asks again in the next epoch.
            let _ = self.share_with(core, member, key);
        }
    }

    /// Gives the door to all moderators anew, when there is another invite.
    pub(super) fn share(&mut self, core: &mut Core) {
        let others: Vec<_> = self.wish.iter().flat_map(|wish| wish.others.clone()).collect();
        for (member, key) in others {
            let _ = self.share_with(core, member, key);
        }
    }

    pub(super) fn handle_door(
        &mut self,
        core: &mut Core,
        from: Leaf,
        to: Leaf,
        kem_output: &[u8],
        sealed: &[u8],
        now: Instant,
    ) -> Result<(), ControlError> {
        let own = core.identity.id();
        let sender = self.group.member_at(from).ok_or(ControlError::Malformed)?;
        if !sender.role.may_admit() {
            return Err(self.report(core, Some(from), Violation::NoRight));
        }
        let Some(wish) = &self.wish else { return Ok(()) };
        // Who lets people in itself knows better whom it has let in.
        if to != self.group.own_leaf() || self.door.is_some() && self.keeps() {
            return Ok(());
        }
        let aad = door_aad(self.group.id(), sender.id, own);
        let keys = wish.secret.open(Purpose::Door, kem_output, sealed, &aad).map(Secret::wrap);
        let keys = keys.ok_or(ControlError::Undecryptable)?;
        let mut reader = Reader::new(keys.bytes());
        let keys = DoorKeys::read(&mut reader).map_err(|_| ControlError::Malformed)?;
        let door =
            Door::from_keys(keys, now, core.clock.unix(now)).map_err(|Failure(_)| ControlError::Malformed)?;
        self.door = Some(Box::new(door));
        Ok(())
    }

    fn share_with(&mut self, core: &mut Core, member: MemberId, key: [u8; 32]) -> Result<(), Failure> {
        let (Some(door), Some(to)) = (&self.door, self.group.member(member).map(|member| member.leaf)) else {
            return Ok(());
        };
        let keys = Secret::wrap(door.keys().write(Writer::new()).finish());
        let aad = door_aad(self.group.id(), core.identity.id(), member);
        let sealed = JoinKey(key).seal(Purpose::Door, keys.bytes(), &aad)?;
        let announcement = Announcement::Door { to, kem_output: sealed.kem_output, sealed: sealed.sealed };
        self.announce(core, &announcement)
    }
}
