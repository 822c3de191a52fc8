//! The commands of the application to a room. Each command that gives or takes a right becomes a
//! statement that our identity signs and everybody is shown. A restriction acts at once; the keeper
//! then commits the change to the tree.

use std::time::Instant;

use super::{
    Room,
    error::CommandError,
    event::{Ending, KnockId},
    making::Work,
    memory::Memory,
    options::{Admission, InviteOptions},
    outbox::{Outbox, own_key},
    phase::Phase,
    seat::{Outcome, Seat},
};
use crate::{
    group::{Name, Role},
    id::{MemberId, UnixTime},
    law::{self, Act, Rank, Tag},
    wire::{
        invite::{Invite, InviteId},
        leave::Leave,
        saying::Saying,
        signed::Signed,
    },
};

/// An invite to this room, and how far it is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct InviteState {
    /// Names the invite.
    pub id: InviteId,
    /// How many people we have admitted with it.
    pub used: u16,
    /// How many people it lets in; 0 is any number.
    pub uses: u16,
    /// When it expires.
    pub expires: UnixTime,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl Room {
    /// Makes an invite. Its text, by `to_string`, is the link to hand over.
    ///
    /// # Errors
    /// [`CommandError::NoRank`], [`CommandError::TooManyInvites`].
    pub fn invite(&mut self, options: InviteOptions, now: Instant) -> Result<Invite, CommandError> {
        let now = self.at(now);
        let (out, memory, seat) = self.present()?;
        let law = memory.store.law();
        let own = own_key(out);
        if law.rank_of(&own) == Rank::None {
            return Err(CommandError::NoRank);
        }
        if memory.invites.len() >= MAX_INVITES {
            let unix = out.clock.unix(now);
            memory.invites.retain(|invite| invite.expires > unix);
            if memory.invites.len() >= MAX_INVITES {
                return Err(CommandError::TooManyInvites);
            }
        }
        let id = InviteId(out.random());
        let expires = out.clock.unix(now).after(options.lasts);
        let uses = options.uses.map_or(0, std::num::NonZeroU16::get);
        let terms = memory.store.known().terms().clone();
        let invite = Invite {
            lane: out.lane.copy(),
            group_id: terms.group_id().0,
            host: *law.host(),
            office: law.office().0,
            no: law.table_no().unwrap_or(0),
            id,
            key_exchange: terms.key_exchange,
            sound: terms.sound,
            expires,
            uses,
            relays: out.relays.clone(),
        };
        let tag = terms.invite_tag(&id.0, expires.0, uses);
        let role = options.role.map_or_else(|| terms.default_role.into(), law_role);
        let outcome = seat.act(out, memory, Act::MakeInvite { invite: tag, role }, now)?;
        memory.invites.push(super::memory::Made { id, expires, uses, tag });
        self.settle_command(outcome, now);
        Ok(invite)
    }

    /// Every invite that we made and that has not expired.
    pub fn invites(&self) -> Vec<InviteState> {
        let Some(memory) = self.memory() else { return Vec::new() };
        let unix = self.out.clock.unix(self.now);
        let state = |made: &super::memory::Made| InviteState {
            id: made.id,
            used: memory.doors.as_ref().map_or(0, |doors| doors.uses(&made.tag)),
            uses: made.uses,
            expires: made.expires,
            revoked: memory.store.law().invite(&made.tag) == Some(law::InviteState::Revoked),
        };
        memory.invites.iter().filter(|made| made.expires > unix).map(state).collect()
    }

    /// Ends an invite of ours: no member admits anybody with it from now on.
    ///
    /// # Errors
    /// [`CommandError::UnknownInvite`], [`CommandError::NoRank`].
    pub fn revoke_invite(&mut self, id: InviteId, now: Instant) -> Result<(), CommandError> {
        let (_, memory, _) = self.present()?;
        let made = memory.invites.iter().find(|made| made.id == id);
        let tag = made.map(|made| made.tag).ok_or(CommandError::UnknownInvite)?;
        self.act(Act::RevokeInvite { invite: tag }, now)
    }

    /// Locks or unlocks the room: while it is locked, no member admits new people.
    ///
    /// # Errors
    /// [`CommandError::NoRank`].
    pub fn set_locked(&mut self, locked: bool, now: Instant) -> Result<(), CommandError> {
        self.act(if locked { Act::Lock } else { Act::Unlock }, now)
    }

    /// Sets how this member answers knocks from now on. Every member with rank decides that for
    /// itself.
    ///
    /// # Errors
    /// [`CommandError::NotInRoom`].
    pub fn set_admission(&mut self, admission: Admission) -> Result<(), CommandError> {
        let (out, memory, _) = self.present()?;
        out.admission = admission;
        if let Some(doors) = &mut memory.doors {
            doors.admission = admission;
        }
        Ok(())
    }

    /// Admits the person behind a knock, with the role of the invite. After an error the knock
    /// still waits.
    ///
    /// # Errors
    /// [`CommandError::NoRank`], [`CommandError::UnknownKnock`], [`CommandError::Full`],
    /// [`CommandError::JustBack`].
    pub fn admit(&mut self, knock: KnockId, now: Instant) -> Result<(), CommandError> {
        self.admit_with(knock, None, now)
    }

    /// Admits the person behind a knock with a given role: speaker, listener or recorder.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), and [`CommandError::Role`] for another role.
    pub fn admit_as(&mut self, knock: KnockId, role: Role, now: Instant) -> Result<(), CommandError> {
        if !Role::Moderator.outranks(role) {
            return Err(CommandError::Role);
        }
        self.admit_with(knock, Some(law_role(role)), now)
    }

    fn admit_with(
        &mut self,
        knock: KnockId,
        role: Option<law::Role>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let now = self.at(now);
        let (out, memory, seat) = self.present()?;
        let doors = memory.doors.as_ref().ok_or(CommandError::NoRank)?;
        if seat.is_learning(now) {
            return Err(CommandError::JustBack);
        }
        let (key, invite) = doors.asks(knock)?;
        // If the statement cannot be signed, the knock still waits.
        let outcome = seat.admit(out, memory, &key, invite, role, now)?;
        if let Some(doors) = &mut memory.doors
            && let Ok(admitted) = doors.admit(knock)
        {
            seat.bring_in(out, memory, admitted, now);
        }
        self.settle_command(outcome, now);
        Ok(())
    }

    /// Refuses a knock.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn refuse(&mut self, knock: KnockId) -> Result<(), CommandError> {
        let (out, memory, _) = self.present()?;
        let mut doors = memory.doors.take().ok_or(CommandError::NoRank)?;
        let outcome = doors.refuse(out, &memory.store, knock);
        memory.doors = Some(doors);
        outcome
    }

    /// Gives a member another role. Only the host appoints and demotes moderators.
    ///
    /// # Errors
    /// [`CommandError::NoRank`], [`CommandError::HostOnly`], [`CommandError::Rank`],
    /// [`CommandError::AboutHost`], [`CommandError::UnknownMember`].
    pub fn set_role(&mut self, member: MemberId, role: Role, now: Instant) -> Result<(), CommandError> {
        let (_, memory, _) = self.present()?;
        let key = memory.key_of(member).ok_or(CommandError::UnknownMember)?;
        let (law, tag) = (memory.store.law(), memory.store.law().tag(&key));
        let is_moderator = law.rank_of(&key) == Rank::Moderator;
        match role {
            Role::Host => self.act(Act::HandOver { to: key }, now),
            Role::Moderator if is_moderator => Ok(()),
            Role::Moderator => self.act(Act::Promote { who: key }, now),
            role => {
                if is_moderator {
                    self.act(Act::Demote { who: key, keep: Vec::new(), banned: false }, now)?;
                }
                match self.act(Act::SetRole { who: tag, role: law_role(role) }, now) {
                    Err(CommandError::AlreadySo) => Ok(()),
                    outcome => outcome,
                }
            }
        }
    }

    /// Mutes a member for everybody, or unmutes it. Nobody opens packets of a muted member,
    /// whatever its role.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub fn set_muted(&mut self, member: MemberId, muted: bool, now: Instant) -> Result<(), CommandError> {
        let who = self.tag_of(member)?;
        self.act(if muted { Act::Mute { who } } else { Act::Unmute { who } }, now)
    }

    /// Removes a member. It cannot open packets that are sealed from then on, and may knock again.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub fn remove(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        let who = self.tag_of(member)?;
        self.act(Act::Remove { who }, now)
    }

    /// Removes a listener of a stage room's audience. It stays out until it is admitted to the
    /// room.
    ///
    /// # Errors
    /// As [`ban`](Self::ban).
    #[cfg(feature = "stage")]
    pub(crate) fn remove_from_hall(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        let who = self.tag_of_anybody(member)?;
        self.act(Act::Remove { who }, now)
    }

    /// Bans an identity: removes it and keeps it out of every branch. The identity need not have
    /// been in the room.
    ///
    /// # Errors
    /// [`CommandError::NoRank`], [`CommandError::Rank`], [`CommandError::AboutHost`],
    /// [`CommandError::Full`].
    pub fn ban(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        let who = self.tag_of_anybody(member)?;
        match self.act(Act::Ban { who }, now) {
            Err(CommandError::AlreadySo) => Ok(()),
            outcome => outcome,
        }
    }

    /// Lifts a ban, so that the identity may knock again. A moderator can lift its own bans, the
    /// host all.
    ///
    /// # Errors
    /// As [`ban`](Self::ban), and [`CommandError::NotYours`].
    pub fn unban(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        let who = self.tag_of_anybody(member)?;
        match self.act(Act::Unban { who }, now) {
            Err(CommandError::AlreadySo) => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes another member the host. This member becomes a listener.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`], [`CommandError::NotHeard`] for a member that has not been heard
    /// in the last 15 s.
    pub fn hand_over(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        let at = self.at(now);
        let (out, memory, seat) = self.present()?;
        if memory.store.law().rank_of(&own_key(out)) != Rank::Host {
            return Err(CommandError::HostOnly);
        }
        if member == out.id() {
            return Ok(());
        }
        let Some(to) = seat.group.occupant(member).map(|occupant| occupant.key) else {
            // Somebody who was here is not heard; somebody else is not known.
            let known = memory.key_of(member).is_some();
            return Err(if known { CommandError::NotHeard } else { CommandError::UnknownMember });
        };
        let heard = seat.presence.heard(member);
        if heard.is_none_or(|heard| heard + HEARD_LATELY <= at) {
            return Err(CommandError::NotHeard);
        }
        self.act(Act::HandOver { to }, now)
    }

    /// Changes the name that others see. They see the new name when our leaf next renews its keys.
    ///
    /// # Errors
    /// [`CommandError::NotInRoom`].
    pub fn rename(&mut self, name: Name, now: Instant) -> Result<(), CommandError> {
        let now = self.at(now);
        let (out, memory, seat) = self.present()?;
        out.identity.rename(name);
        if seat.keeps() {
            seat.commit(out, memory, Work { renews: true, ..Work::default() }, now)?;
        } else {
            seat.renew_at = now;
        }
        self.tend(now);
        self.end_if_faulty();
        Ok(())
    }

    /// Goes on sending although neither the host nor a moderator has been heard for as long as the
    /// room's terms allow, until that time has passed once more. Ask the user before calling this.
    ///
    /// # Errors
    /// [`CommandError::NotInRoom`].
    pub fn stay_unattended(&mut self, now: Instant) -> Result<(), CommandError> {
        let now = self.at(now);
        let (.., seat) = self.present()?;
        seat.liveness.consent(now);
        seat.told_unattended = false;
        seat.due.silence = true;
        self.settle_command(Outcome::Stays, now);
        Ok(())
    }

    /// Leaves the room. Our keys are wiped at once; the others see that we left when the keeper has
    /// committed it.
    ///
    /// A host that leaves hands the room over to the first moderator that was heard lately.
    ///
    /// # Errors
    /// [`CommandError::HostStays`] for the host while others are present and no moderator is,
    /// [`CommandError::NotInRoom`] when the room is over.
    pub fn leave(&mut self) -> Result<(), CommandError> {
        let now = self.now;
        match &mut self.phase {
            Phase::Joining(_) => {}
            Phase::Returning(_) => {}
            Phase::Present(memory, seat) => leave(&mut self.out, memory, seat, now)?,
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
        self.act_at(Act::Close, self.now)
    }

    pub(super) fn present(&mut self) -> Result<(&mut Outbox, &mut Memory, &mut Seat), CommandError> {
        match &mut self.phase {
            Phase::Present(memory, seat) => Ok((&mut self.out, memory, seat)),
            Phase::Returning(_) => Err(CommandError::Returning),
            Phase::Joining(_) | Phase::Over => Err(CommandError::NotInRoom),
        }
    }

    fn tag_of(&mut self, member: MemberId) -> Result<Tag, CommandError> {
        let (_, memory, _) = self.present()?;
        let key = memory.key_of(member).ok_or(CommandError::UnknownMember)?;
        Ok(memory.store.law().tag(&key))
    }

    fn tag_of_anybody(&mut self, member: MemberId) -> Result<Tag, CommandError> {
        let (_, memory, _) = self.present()?;
        Ok(memory.store.law().tag_of(member))
    }

    fn act(&mut self, act: Act, now: Instant) -> Result<(), CommandError> {
        let now = self.at(now);
        self.act_at(act, now)
    }

    fn act_at(&mut self, act: Act, now: Instant) -> Result<(), CommandError> {
        let (out, memory, seat) = self.present()?;
        let outcome = seat.act(out, memory, act, now)?;
        self.settle_command(outcome, now);
        Ok(())
    }

    fn settle_command(&mut self, outcome: Outcome, now: Instant) {
        self.settle(outcome, now);
        self.end_if_faulty();
    }
}

/// Says that we leave, in our epoch and to the keeper's door.
fn leave(out: &mut Outbox, memory: &mut Memory, seat: &mut Seat, now: Instant) -> Result<(), CommandError> {
    let own = own_key(out);
    let others = seat.group.roster().iter().filter(|member| !member.is_self);
    if others.clone().next().is_none() {
        return Ok(());
    }
    if memory.store.law().rank_of(&own) == Rank::Host {
        let law = memory.store.law();
        let heard = |id: MemberId| seat.presence.heard(id).is_some_and(|heard| heard + HEARD_LATELY > now);
        let mut moderators: Vec<_> = others
            .filter(|member| law.rank_of(&member.key) == Rank::Moderator && heard(member.id))
            .filter(|member| !memory.freshness.has_left(member.id, member.made_ms))
            .map(|member| (super::place::Place::of(law, &member.key), member.key))
            .collect();
        moderators.sort();
        let Some((_, to)) = moderators.first().copied() else { return Err(CommandError::HostStays) };
        seat.act(out, memory, Act::HandOver { to }, now)?;
    }
    // Not the time of a clock, for clocks differ: it names what it ends, whatever clocks say.
    let time_ms = out.newest_made_ms(&memory.freshness);
    let group_id = memory.store.known().group_id().0;
    let leave = Signed::<Leave>::leave(&out.identity, &group_id, time_ms);
    seat.say(out, &Saying::Leave(leave.clone()));
    // In an epoch that has just ended nobody reads it: the keeper gets it in this way as well.
    seat.show_leave(out, memory, leave, now);
    Ok(())
}

/// A role that the application names, in the law's words.
fn law_role(role: Role) -> law::Role {
    match role {
        Role::Speaker => law::Role::Speaker,
        Role::Recorder => law::Role::Recorder,
        Role::Listener | Role::Moderator | Role::Host => law::Role::Listener,
    }
}

const MAX_INVITES: usize = 256;
const HEARD_LATELY: std::time::Duration = std::time::Duration::from_secs(15);
