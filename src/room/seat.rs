//! A member that is present: the group, the media keys and the agents.
//!
//! ```text
//! message ─> incoming, hearing ─> agents: liveness, turns, keeper, presence, doors, returning
//! time    ─> executor ────────────┤ what they want
//!            making  <────────────┘  commits of our own     entering: what each new epoch does
//! ```

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    bounded::{Rate, Recent},
    commits::Pending,
    connection::Connection,
    error::ControlError,
    event::{Ending, Event},
    held::Held,
    judge::Rivals,
    keeper::Keeper,
    liveness::Liveness,
    memory::Memory,
    outbox::Outbox,
    presence::Presence,
    returning::Returning,
    showing::Showing,
    speakers::missing::Missing,
    turns::Turns,
    view::View,
    violation::Violation,
};
use crate::{
    group::Member,
    id::{Epoch, Leaf, MemberId},
    law::{LiveSet, StatementId},
    media::Schedule,
    mls::{Failure, Group},
    wire::{door::Door, saying::Saying, show::Broken, signed::Signed},
};

/// Our place in the tree, and all that comes with it.
pub(super) struct Seat {
    pub(super) group: Group,
    pub(super) schedule: Schedule,
    /// The law of this epoch: the same for everybody in it.
    pub(super) epoch_law: LiveSet,
    /// The roster of the epoch, as the application sees it.
    pub(super) members: Vec<Member>,
    pub(super) keeper_id: Option<MemberId>,
    /// The key to which Shows to the keeper are sealed, once this member has heard it.
    pub(super) keeper_door: Option<Vec<u8>>,
    pub(super) liveness: Liveness,
    pub(super) turns: Turns,
    pub(super) presence: Presence,
    pub(super) keeper: Option<Keeper>,
    pub(super) returning: Option<Returning>,
    pub(super) showing: Showing,
    pub(super) missing: Missing,
    pub(super) rivals: Rivals,
    /// When the newest heartbeat of this epoch's keeper was made.
    pub(super) beat: Instant,
    /// When one of our own heartbeats was sent, by what it said.
    pub(super) doors_heard: BTreeMap<MemberId, Signed<Door>>,
    /// Commits that wait: for statements, for a heartbeat, or until the keeper counts as silent.
    pub(super) pending: Vec<Pending>,
    /// Epochs and branches that the keeper's heartbeats have stated and that we have not entered.
    pub(super) stated: Recent<(u64, [u8; 32]), 64>,
    pub(super) held: Held,
    pub(super) renew_at: Instant,
    /// A Return of each identity in two seconds, a Show in ten; 512 of all in a second, and 64 of
    /// identities that known law does not admit.
    pub(super) returns: Rate<MemberId>,
    pub(super) shows: Rate<MemberId>,
    pub(super) opened: Rate<()>,
    pub(super) strangers: Rate<()>,
    /// Badges that we signed as the host, by moderator.
    pub(super) badges: Rate<MemberId>,
    /// Genuine Shows that were taken, by a hash of what was sealed.
    pub(super) shown_before: Recent<[u8; 32], 1_024>,
    /// Answers to identities that are not admitted.
    pub(super) turned_away: Rate<MemberId>,
    /// Statements of ours that the epoch's law lacks still: (whom about, the statement, when it was
    /// made).
    pub(super) asked: Vec<(MemberId, StatementId, Instant)>,
    pub(super) broken: Option<Broken>,
    pub(super) fault: Option<Failure>,
    /// Since which of our own times words are to be answers to what we said, after the clock
    /// jumped.
    pub(super) doubted_ms: Option<u64>,
    /// The work for the executor before the next message.
    pub(super) due: Due,
    pub(super) told_alone: bool,
    pub(super) told_unattended: bool,
    pub(super) door_said_at: Option<Instant>,
    pub(super) entered_at: Instant,
    /// The first epoch that we were in here.
    pub(super) first_epoch: Epoch,
    /// Heartbeats that moved our step clock.
    pub(super) stepped: Rate<()>,
    /// We asked for a place elsewhere in vain; until then asking again does not keep us from our
    /// part.
    pub(super) in_vain_until: Option<Instant>,
    /// The standings that counted still after our last table that took in what counts.
    pub(super) left_out: usize,
    /// Until when a member that was restored from what it had stored signs nothing: it may lack
    /// acts of its own.
    pub(super) learns_until: Option<Instant>,
    /// When we answered a heartbeat last.
    pub(super) answered_at: Instant,
    /// Members that were added though they had left by a Leave that we keep, and when we say it.
    pub(super) unsaid: Vec<(Instant, MemberId)>,
    /// Renewals that were merged, by member.
    pub(super) renewals: Rate<MemberId>,
    /// Renewals that we merged as the keeper: the epoch that each ended, and whose it was.
    pub(super) renewed: Recent<(u64, MemberId), 64>,
    /// Members of whose renewals somebody said that it could not process them.
    pub(super) accused: Rate<MemberId>,
    /// Those of them that somebody said it could not process.
    pub(super) accused_of: Recent<(u64, MemberId), 64>,
    /// Heartbeats that we answered.
    pub(super) words: Rate<()>,
    /// Whether there is a connection, and whether we were connected anew and have not heard our
    /// keeper since.
    pub(super) connection: Connection,
}

/// The changes after which the executor has to ask an agent what it wants.
#[derive(Clone, Copy, Default)]
pub(super) struct Due {
    /// The law, the tree or who waits: the keeper has to plan.
    pub(super) keeping: bool,
    /// Something changed on which sending depends.
    pub(super) silence: bool,
    /// An announcement failed for its time.
    pub(super) clocks: bool,
}

/// The effect of a message, or of time, on our place.
pub(super) enum Outcome {
    /// We are where we were, or in the next epoch.
    Stays,
    /// The room is over for us.
    Ends(Ending),
    /// Our leaf is gone, and we are admitted still: on the way back, with what we asked for
    /// already.
    Lost(Option<Box<Returning>>),
}

impl Seat {
    pub(super) fn view<'a>(&'a self, memory: &'a Memory, now: Instant) -> View<'a> {
        View {
            now,
            group: &self.group,
            epoch_law: &self.epoch_law,
            store: &memory.store,
            presence: &self.presence,
            freshness: &memory.freshness,
            past: &memory.past,
            pace: &memory.pace,
            keeper: self.keeper_id,
            beat: self.beat,
            out_since: self.liveness.out_since(),
            keeper_out_since: self.keeper_id.and_then(|keeper| self.liveness.out_since_of(keeper)),
        }
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeper.is_some()
    }

    /// Whether we play our part in this epoch: it does not rest while we ask for a place elsewhere
    /// (K9), or we have asked in vain for ten seconds, whomever we asked. Otherwise whoever says
    /// that it keeps a branch could stop us. A room without a connection plays none (R9).
    pub(super) fn takes_part(&self, now: Instant) -> bool {
        let rests = self.returning.as_ref().is_some_and(Returning::rests);
        let stays = !rests || self.in_vain_until.is_some_and(|until| now < until);
        stays && self.connection != Connection::Lost
    }

    /// Says something to everybody in this epoch. What cannot be sent is said again by who needs
    /// it.
    pub(super) fn say(&mut self, out: &mut Outbox, saying: &Saying) {
        self.say_bytes(out, &saying.encode());
    }

    pub(super) fn say_bytes(&mut self, out: &mut Outbox, saying: &[u8]) {
        match self.group.seal(saying) {
            Ok(message) => {
                if out.send(&crate::wire::message::Message::Mls(message)).is_err() {
                    self.fault.get_or_insert_with(|| Failure::of("a message is too long"));
                }
            }
            Err(failure) => self.fault = Some(failure),
        }
    }

    pub(super) fn report(&self, out: &mut Outbox, leaf: Option<Leaf>, violation: Violation) -> ControlError {
        let by = leaf.and_then(|leaf| self.group.occupant_at(leaf)).map(|member| member.id);
        out.tell(Event::Violation { by, violation });
        ControlError::NotPermitted { by, violation }
    }

    /// The time of the room in Unix milliseconds: our own clock.
    pub(super) fn room_ms(&self, out: &Outbox, now: Instant) -> u64 {
        out.clock.unix_ms(now)
    }
}

pub(super) const IGNORED_AFTER: Duration = Duration::from_secs(3);
