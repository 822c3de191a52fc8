//! Why nobody hears us, and why we hear nothing, from the state of the room and the packet counts
//! of the media thread.
//!
//! ```text
//! room: role, mute, presence, keys, clocks ─┐
//! media: Traffic of the last seconds ───────┴> why_unheard, why_deaf: reasons, the most telling first
//! ```

use std::{fmt, time::Instant};

use super::{Knocking, Room, Status};
use crate::{
    group::{Member, Role},
    id::MemberId,
    media::{Authenticity, OpenError, SealError, SilenceReason},
};

/// Counts of packets in the last seconds. [`Session`](crate::driver::Session) counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that we sealed and sent.
    pub sealed: u32,
    /// Why the last packet of ours was not sealed; `None` if it was.
    pub unsealed: Option<SealError>,
    /// Packets that arrived.
    pub arrived: u32,
    /// Packets of others that were opened.
    pub opened: u32,
    /// Why the last refused packet was refused; `None` if none was.
    pub refused: Option<OpenError>,
}

/// Why nobody hears us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unheard {
    /// We are not in the room: we are on the way back, or it is over.
    NotIn(Status),
    /// We knocked, and are not in the room yet.
    Outside(Knocking),
    /// Our role is not heard.
    Role(Role),
    /// A moderator has muted us.
    Muted,
    /// Sending is stopped.
    Silent(SilenceReason),
    /// Nobody else is in the room.
    NobodyHere,
    /// No message has come from anybody else for a while: a connection is lost, ours or theirs.
    AllAbsent,
    /// Our clock is wrong by more than two and a half minutes, so others do not accept our speaker
    /// key.
    Clock,
    /// The application gave no packet to seal: the microphone is off, or its thread has stopped.
    NothingSealed,
    /// The last packet that the application gave was not sealed.
    NotSealed(SealError),
}

/// Why we hear nothing, or nothing of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deaf {
    /// We are not in the room: we are on the way back, or it is over.
    NotIn(Status),
    /// We knocked, and are not in the room yet.
    Outside(Knocking),
    /// Nobody else is in the room.
    NobodyHere,
    /// Nobody else has a role that is heard and is not muted.
    NobodySpeaks,
    /// The keeper is in a later epoch than we are, and the commits that lead there do not reach us.
    CommitWithheld,
    /// The member has a role that is not heard.
    Role(MemberId, Role),
    /// A moderator has muted the member.
    Muted(MemberId),
    /// No message has come from the member for a while: its device or its connection is gone.
    Absent(MemberId),
    /// The member's clock and ours are too far apart for us to accept its speaker key.
    Clock(MemberId),
    /// The member's speaker key, which verifies its signatures, has not arrived.
    NoKey(MemberId),
    /// No packets arrive: nobody speaks, or the media lane is blocked.
    NothingArrives,
    /// Packets arrive, and are refused.
    Refused(OpenError),
}

impl Room {
    /// Why nobody hears us, the most telling reason first. The list is empty if others should hear
    /// us.
    pub fn why_unheard(&self, traffic: &Traffic, now: Instant) -> Vec<Unheard> {
        let (super::phase::Phase::Present(memory, seat), Some(own)) = (&self.phase, self.own_place()) else {
            return vec![self.knocking(now).map_or(Unheard::NotIn(self.status()), Unheard::Outside)];
        };
        let now = now + self.slept;
        let mut reasons = Vec::new();
        if !own.role.may_speak() {
            reasons.push(Unheard::Role(own.role));
        }
        if own.muted {
            reasons.push(Unheard::Muted);
        }
        if self.roster().len() == 1 {
            reasons.push(Unheard::NobodyHere);
        } else if self.others().all(|member| self.is_absent(member.id)) {
            reasons.push(Unheard::AllAbsent);
        }
        reasons.extend(seat.liveness.silence(&seat.view(memory, now)).map(Unheard::Silent));
        if self.out.wrong.is_known(own.id) {
            reasons.push(Unheard::Clock);
        }
        match traffic.unsealed {
            // The reasons above say it better.
            Some(SealError::Silent(_)) => {}
            Some(error) if traffic.sealed == 0 => reasons.push(Unheard::NotSealed(error)),
            _ if traffic.sealed == 0 => reasons.push(Unheard::NothingSealed),
            _ => {}
        }
        reasons
    }

    /// Why we hear nothing, the most telling reason first. The list is empty if we hear somebody.
    pub fn why_deaf(&self, traffic: &Traffic, now: Instant) -> Vec<Deaf> {
        if traffic.opened > 0 && self.status() == Status::Present {
            return Vec::new();
        }
        let Some(mut reasons) = self.why_deaf_in_room(now) else { return vec![self.why_not_in(now)] };
        if self.roster().len() == 1 {
            reasons.push(Deaf::NobodyHere);
        } else if !self.others().any(|member| member.role.may_speak() && !member.muted) {
            reasons.push(Deaf::NobodySpeaks);
        }
        for member in self.others().filter(|member| member.role.may_speak()) {
            reasons.extend(self.why_deaf_to_member(member, now));
        }
        match traffic.refused {
            Some(error) => reasons.push(Deaf::Refused(error)),
            None if traffic.arrived == 0 => reasons.push(Deaf::NothingArrives),
            None => {}
        }
        reasons
    }

    /// Why we hear nothing from one member, as far as the room knows. The list is empty for an
    /// identity that is not in the room.
    pub fn why_deaf_to(&self, member: MemberId, now: Instant) -> Vec<Deaf> {
        let Some(mut reasons) = self.why_deaf_in_room(now) else { return vec![self.why_not_in(now)] };
        if let Some(member) = self.others().find(|other| other.id == member) {
            reasons.extend(self.why_deaf_to_member(member, now));
        }
        reasons
    }

    fn why_not_in(&self, now: Instant) -> Deaf {
        self.knocking(now).map_or(Deaf::NotIn(self.status()), Deaf::Outside)
    }

    /// The reasons that hold for every speaker; `None` unless we are in the room.
    fn why_deaf_in_room(&self, now: Instant) -> Option<Vec<Deaf>> {
        let seat = self.seat()?;
        let lacks = seat.liveness.lacking_since().is_some_and(|since| since <= now + self.slept);
        Some(if lacks { vec![Deaf::CommitWithheld] } else { Vec::new() })
    }

    fn why_deaf_to_member(&self, member: &Member, now: Instant) -> Vec<Deaf> {
        let mut reasons = Vec::new();
        if !member.role.may_speak() {
            reasons.push(Deaf::Role(member.id, member.role));
        }
        if member.muted {
            reasons.push(Deaf::Muted(member.id));
        }
        if self.is_absent(member.id) {
            reasons.push(Deaf::Absent(member.id));
        }
        let (speaks, signed) =
            (member.role.may_speak() && !member.muted, self.authenticity() == Some(Authenticity::Signed));
        let ahead = self.out.skew.ahead_ms(member.id, &self.out.clock, now + self.slept);
        if ahead.is_some_and(|ahead| ahead.abs() > super::clock::NEAR_MS) {
            reasons.push(Deaf::Clock(member.id));
        }
        if speaks && signed && !self.out.reports.vouched.hears(member.leaf) {
            reasons.push(Deaf::NoKey(member.id));
        }
        reasons
    }

    fn own_place(&self) -> Option<&Member> {
        self.roster().iter().find(|member| member.is_self)
    }

    fn others(&self) -> impl Iterator<Item = &Member> {
        self.roster().iter().filter(|member| !member.is_self)
    }
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIn(status) => not_in(*status, f),
            Self::Outside(knocking) => knocking.fmt(f),
            Self::Role(role) => write!(f, "our role, {role}, is not heard"),
            Self::Muted => f.write_str("a moderator has muted us"),
            Self::Silent(reason) => write!(f, "sending is stopped: {reason}"),
            Self::NobodyHere => f.write_str("nobody else is in the room"),
            Self::AllAbsent => f.write_str("nobody else has answered lately: a connection is lost"),
            Self::Clock => f.write_str("our clock is wrong"),
            Self::NothingSealed => f.write_str("the app gives no audio to send: is the microphone on?"),
            Self::NotSealed(error) => write!(f, "our audio is not sent: {error}"),
        }
    }
}

impl fmt::Display for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIn(status) => not_in(*status, f),
            Self::Outside(knocking) => knocking.fmt(f),
            Self::NobodyHere => f.write_str("nobody else is in the room"),
            Self::NobodySpeaks => f.write_str("nobody else may speak"),
            Self::CommitWithheld => f.write_str("the room has a new epoch, and its commits do not reach us"),
            Self::Role(member, role) => write!(f, "{member}: has a role that is not heard, {role}"),
            Self::Muted(member) => write!(f, "{member}: muted by a moderator"),
            Self::Absent(member) => write!(f, "{member}: has not answered lately"),
            Self::Clock(member) => write!(f, "{member}: its clock and ours differ by minutes"),
            Self::NoKey(member) => write!(f, "{member}: its speaker key has not arrived"),
            Self::NothingArrives => {
                f.write_str("no packets arrive: nobody speaks, or the network blocks them")
            }
            Self::Refused(error) => write!(f, "packets arrive and are refused: {error}"),
        }
    }
}

impl fmt::Display for Knocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking => f.write_str("we knocked a moment ago, and are not in yet"),
            Self::NoDoor => f.write_str("no member that could admit us is present, or the relay hides it"),
            Self::NoAnswer => f.write_str("we knock, and nobody answers"),
            Self::Decides => f.write_str("a member was asked to let us in, and has not decided yet"),
            Self::Refused(reason) => write!(f, "we were refused: {reason}"),
        }
    }
}

fn not_in(status: Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match status {
        Status::Waiting => "we knocked, and are not in yet",
        Status::Returning => "we lost our place, and are on the way back",
        Status::Present => "we are in",
        Status::Over => "the room is over for us",
    })
}
