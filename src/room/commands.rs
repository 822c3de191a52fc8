//! What the application tells a room to do.

use std::time::Instant;

use super::{
    Phase, Room,
    core::Core,
    door::Door,
    error::CommandError,
    event::{Ending, KnockId},
    lineage::successors,
    options::InviteOptions,
    returning::petition,
    seat::Seat,
};
use crate::{
    group::{
        Invite, Name, Role, Violation,
        announcement::Announcement,
        chain::{Certificate, HandOver},
        message::Plea,
        mls::Group,
        order::Order,
        policy::Action,
        state::Full,
    },
    id::MemberId,
};

impl Room {
    /// Makes an invite. Its text, by `to_string`, is the link to hand over.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`], [`CommandError::TooManyInvites`].
    pub fn invite(&mut self, options: InviteOptions, now: Instant) -> Result<Invite, CommandError> {
        let (core, door, group) = self.door()?;
        let invite = door.invite(core, group, options, now)?;
        if let Phase::Present(seat) = &mut self.phase {
            seat.share(&mut self.core);
        }
        Ok(invite)
    }

    /// Lets somebody in with the room's default role, by the next commit.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`], [`CommandError::UnknownKnock`].
    pub fn admit(&mut self, knock: KnockId, now: Instant) -> Result<(), CommandError> {
        let (core, door, group) = self.door()?;
        door.admit(core, group, knock, None, now)
    }

    /// Lets somebody in with a role of its own: speaker, listener or recorder.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), and [`CommandError::Role`] for another role.
    pub fn admit_as(&mut self, knock: KnockId, role: Role, now: Instant) -> Result<(), CommandError> {
        if !Role::Moderator.outranks(role) {
            return Err(CommandError::Role);
        }
        let (core, door, group) = self.door()?;
        door.admit(core, group, knock, Some(role), now)
    }

    /// Answers a knock with no.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn refuse(&mut self, knock: KnockId) -> Result<(), CommandError> {
        let (core, door, group) = self.door()?;
        door.refuse(core, group, knock)
    }

    /// Gives a member another role. Who does not keep the room asks the keeper to do it.
    ///
    /// # Errors
    /// [`CommandError::NotPermitted`] says what our role does not permit.
    pub fn set_role(&mut self, member: MemberId, role: Role, now: Instant) -> Result<(), CommandError> {
        self.act(Action::Assign(member, role), now)
    }

    /// Silences a member for everybody, or ends that: what it seals is opened by nobody, whatever its role.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub fn set_muted(&mut self, member: MemberId, muted: bool, now: Instant) -> Result<(), CommandError> {
        self.act(Action::Mute(member, muted), now)
    }

    /// Removes a member, who hears nothing that is sealed from then on and may knock again.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub fn remove(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        self.act(Action::Remove(member), now)
    }

    /// Removes an identity and keeps it out, whether it is in the room or not, in whatever branch of the room.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role), and [`CommandError::Full`].
    pub fn ban(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        self.order(member, true, now)
    }

    /// Lets a banned identity knock again.
    ///
    /// # Errors
    /// As [`ban`](Self::ban).
    pub fn unban(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        self.order(member, false, now)
    }

    /// Shows ourselves under another name. Fingerprint, role and rights stay.
    ///
    /// # Errors
    /// [`CommandError::NotInRoom`].
    pub fn rename(&mut self, name: Name, now: Instant) -> Result<(), CommandError> {
        if matches!(self.phase, Phase::Over) {
            return Err(CommandError::NotInRoom);
        }
        self.core.identity.rename(name);
        match &mut self.phase {
            // Whoever comes in or back does so under the new name.
            Phase::Waiting(_) | Phase::Returning(_) => Ok(()),
            Phase::Present(_) | Phase::Over => self.act(Action::Renew, now),
        }
    }

    /// Makes another member the host. We stay, as a moderator.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`], [`CommandError::NotPermitted`] for somebody who is not here,
    /// [`CommandError::Full`] after eight times.
    pub fn hand_over(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        let Phase::Present(seat) = &mut self.phase else { return Err(CommandError::NotInRoom) };
        let own = self.core.identity.id();
        if seat.group.state().host() != own || !seat.keeps() {
            return Err(CommandError::HostOnly);
        }
        if member == own {
            return Ok(());
        }
        let outcome = seat.hand_over(&mut self.core, member, now);
        self.end_if_broken();
        outcome
    }

    /// Leaves. Keys are gone at once; the others see it when the keeper has committed it.
    ///
    /// A host that leaves makes the first moderator the host.
    ///
    /// # Errors
    /// [`CommandError::HostStays`] for the host while others are there and no moderator is,
    /// [`CommandError::NotInRoom`] when it is over.
    pub fn leave(&mut self) -> Result<(), CommandError> {
        match &mut self.phase {
            Phase::Waiting(_) | Phase::Returning(_) => {}
            Phase::Present(seat) => seat.leave(&mut self.core)?,
            Phase::Over => return Err(CommandError::NotInRoom),
        }
        self.end(Ending::Left);
        Ok(())
    }

    /// Ends the room for everybody.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`].
    pub fn close(&mut self) -> Result<(), CommandError> {
        match &mut self.phase {
            Phase::Present(seat) if seat.group.state().host() == self.core.identity.id() => {
                seat.announce(&mut self.core, &Announcement::Close)?;
                self.end(Ending::Closed);
                Ok(())
            }
            Phase::Present(_) => Err(CommandError::HostOnly),
            Phase::Waiting(_) | Phase::Returning(_) | Phase::Over => Err(CommandError::NotInRoom),
        }
    }

    fn door(&mut self) -> Result<(&mut Core, &mut Door, &Group), CommandError> {
        let Phase::Present(seat) = &mut self.phase else { return Err(CommandError::NotInRoom) };
        let (door, group) = seat.open_door().ok_or(CommandError::HostOnly)?;
        Ok((&mut self.core, door, group))
    }

    fn order(&mut self, target: MemberId, bans: bool, now: Instant) -> Result<(), CommandError> {
        let Phase::Present(seat) = &self.phase else { return Err(CommandError::NotInRoom) };
        let state = seat.group.state();
        if state.is_banned(target) == bans {
            return Ok(());
        }
        let known = state.order(target).map_or(0, |order| order.serial);
        let serial = self.core.clock.unix(now).0.max(known.saturating_add(1));
        let order = Order::new(&self.core.identity, seat.group.id(), target, serial, bans);
        self.act(Action::Order(order), now)
    }

    fn act(&mut self, action: Action, now: Instant) -> Result<(), CommandError> {
        let Phase::Present(seat) = &mut self.phase else { return Err(CommandError::NotInRoom) };
        let outcome = seat.act(&mut self.core, action, now);
        self.end_if_broken();
        outcome
    }
}

impl Seat {
    /// Makes somebody else the host. A host says so once: two hand-overs of one host would be two rooms.
    pub(super) fn hand_over(
        &mut self,
        core: &mut Core,
        to: MemberId,
        now: Instant,
    ) -> Result<(), CommandError> {
        if self.handed.is_some_and(|before| before != to) {
            return Err(CommandError::NotPermitted(Violation::HandOver));
        }
        let own = core.identity.id();
        let id = self.group.id();
        let hand_over = HandOver::new(&core.identity, id, to);
        let certificate = Certificate::new(&core.identity, id, own);
        let next = self.intended().with_host(hand_over, Some(certificate));
        // The keeping goes along: a host that has to take it could cross with what we commit next.
        let next = next.map_err(|Full| CommandError::Full)?.with_keeper(to, self.highest_term);
        self.commit(core, &[], Some(next), now)?;
        self.handed = Some(to);
        Ok(())
    }

    /// Makes sure that the room goes on without us, then says that we leave.
    fn leave(&mut self, core: &mut Core) -> Result<(), CommandError> {
        // Of what we do here nothing of ours outlives the call, so any moment will do.
        let now = self.entered_at;
        let own = core.identity.id();
        let state = self.group.state();
        let first = successors(self.group.roster(), own);
        let first = first.iter().find(|member| !self.group.leaving().contains(&member.id));
        let Some(next) = first.map(|member| (member.id, member.role)) else {
            // Nobody is left behind.
            return Ok(());
        };
        let host = state.host() == own;
        if host && (next.1 != Role::Moderator || !self.keeps()) {
            return Err(CommandError::HostStays);
        }
        // Said first: whoever follows us knows it before our last commit, and removes us.
        self.announce(core, &Announcement::Leave)?;
        if self.keeps() && self.rival.is_none() {
            if host {
                return self.hand_over(core, next.0, now);
            }
            let state = self.intended().with_keeper(next.0, self.highest_term);
            return self.commit(core, &[], Some(state), now);
        }
        if let Some(door) = self.door_key {
            // What is said in an epoch that is over reaches nobody: the keeper gets it in this way as well.
            let plea = Plea::leave(&core.identity, self.group.id(), &door.0);
            let reference = core.random();
            petition(core, &door, self.group.id(), reference, &plea)?;
        }
        Ok(())
    }
}
