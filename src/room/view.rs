//! The view that the agents of a room have: the tree, two laws, who was heard, and the time.

use std::time::Instant;

use super::{
    freshness::Freshness,
    past::{Pace, Past},
    presence::Presence,
};
use crate::{
    group::Role,
    id::{IdentityKey, MemberId},
    law::{self, Law, LiveSet, Rank, Store, Terms},
    mls::{Group, Occupant},
};

/// One moment of a room in which we are present.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) now: Instant,
    pub(super) group: &'a Group,
    pub(super) epoch_law: &'a LiveSet,
    pub(super) store: &'a Store,
    pub(super) presence: &'a Presence,
    pub(super) freshness: &'a Freshness,
    pub(super) past: &'a Past,
    pub(super) pace: &'a Pace,
    pub(super) keeper: Option<MemberId>,
    /// When the newest heartbeat of the keeper of our epoch was made.
    pub(super) beat: Instant,
    pub(super) out_since: Option<Instant>,
    pub(super) keeper_out_since: Option<Instant>,
}

impl<'a> View<'a> {
    /// The same room at another time.
    pub(super) const fn at(mut self, now: Instant) -> Self {
        self.now = now;
        self
    }

    pub(super) fn terms(&self) -> &'a Terms {
        self.store.known().terms()
    }

    /// The law that we know: it acts at once, and only to restrict.
    pub(super) fn known(&self) -> &'a Law {
        self.store.law()
    }

    /// The law of the epoch: the same for everybody in the epoch.
    pub(super) fn epoch(&self) -> &'a Law {
        self.epoch_law.law()
    }

    pub(super) fn own(&self) -> Option<&'a Occupant> {
        self.group.roster().iter().find(|member| member.is_self)
    }

    pub(super) fn keeper_id(&self) -> Option<MemberId> {
        self.keeper
    }

    /// The keeper, if it has a leaf in the tree.
    pub(super) fn keeper(&self) -> Option<&'a Occupant> {
        self.group.occupant(self.keeper?)
    }

    /// Whether we keep the room.
    pub(super) fn keeps(&self) -> bool {
        self.keeper().is_some_and(|keeper| keeper.is_self)
    }

    pub(super) fn is_absent(&self, member: MemberId) -> bool {
        self.presence.is_absent(member, self.group.roster().len(), self.beat)
    }

    /// Whether nobody at all is absent, as far as that is known without asking for each.
    pub(super) fn is_nobody_absent(&self) -> bool {
        self.presence.is_nobody_absent(self.group.roster().len(), self.beat)
    }

    /// Since when somebody in the tree has been out by the law that we know.
    pub(super) fn out_since(&self) -> Option<Instant> {
        self.out_since
    }

    /// Since when the keeper has been out by the law that we know.
    pub(super) fn keeper_out_since(&self) -> Option<Instant> {
        self.keeper_out_since
    }
}

/// The role that a law gives a person, in the application's words, and whether the person is muted.
pub(super) fn role_of(law: &Law, key: &IdentityKey) -> (Role, bool) {
    match law.rank_of(key) {
        Rank::Host => (Role::Host, false),
        Rank::Moderator => {
            let muted = law.rest().moderator(key).is_some_and(|moderator| moderator.muted);
            (Role::Moderator, muted)
        }
        Rank::None => {
            let position = law.standing_of(&law.tag(key));
            let role = match position.role {
                law::Role::Speaker => Role::Speaker,
                law::Role::Recorder => Role::Recorder,
                law::Role::Listener | law::Role::Out => Role::Listener,
            };
            (role, position.muted)
        }
    }
}
