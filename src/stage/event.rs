//! What an application is told of a hall.

use crate::{
    group::Name,
    id::{Leaf, MemberId},
    wire::{answer::RefuseReason, invite::Invite},
};

/// What happens to a listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenerEvent {
    /// We hear the hall.
    Entered,
    /// Somebody is asked whether we may.
    Waiting,
    /// Who may be heard has changed.
    Speakers,
    /// Nobody of rank has been heard for a while: what comes may be old.
    Unattended,
    /// Somebody of rank is heard again.
    Attended,
    /// A page of the audience, which agrees with what its porter signed.
    Page {
        /// Its number.
        number: u32,
        /// Who is on it.
        people: Vec<(MemberId, Name)>,
    },
    /// We may come up: [`Room::join`](crate::room::Room::join) with this invite.
    Up(Box<Invite>),
    /// It is over for us.
    Over(Over),
}

/// Why a hall is over for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// We left.
    Left,
    /// Every door has refused us.
    Refused(RefuseReason),
    /// Somebody of rank put us out.
    PutOut(RefuseReason),
}

/// Somebody who may be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HallSpeaker {
    /// Its fingerprint.
    pub id: MemberId,
    /// The name that it gave itself.
    pub name: Name,
    /// Its place on the stage.
    pub leaf: Leaf,
}
