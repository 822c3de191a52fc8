//! The knocks that a door drops: nobody repeated them, or others need the place (SPEC section 7,
//! rule D5).

use std::time::{Duration, Instant};

use super::Doors;
use crate::{
    id::MemberId,
    law::{Store, Tag},
    room::{event::Event, outbox::Outbox},
    wire::answer::RefuseReason,
};

impl Doors {
    /// Makes room: a random one of the fullest invite goes, so that nobody can hold all places.
    pub(super) fn crowd_out(&mut self, out: &mut Outbox, tag: Tag, of_this: bool) {
        let fullest = if of_this {
            tag
        } else {
            let count =
                |tag: &Tag| self.waiting.iter().filter(|waiting| waiting.guest.invite.tag == *tag).count();
            let tags = self.waiting.iter().map(|waiting| waiting.guest.invite.tag);
            let Some(fullest) = tags.max_by_key(count) else { return };
            fullest
        };
        let places: Vec<usize> = (0..self.waiting.len())
            .filter(|place| {
                self.waiting.get(*place).is_some_and(|waiting| waiting.guest.invite.tag == fullest)
            })
            .collect();
        let random = u32::from_be_bytes(out.random()) as usize;
        if let Some(place) = places.get(random % places.len().max(1)) {
            let gone = self.waiting.remove(*place);
            out.tell(Event::KnockGone { knock: gone.id });
        }
    }

    /// Somebody comes in whatever the application says: it does not wait any more.
    pub(in crate::room) fn let_go(&mut self, out: &mut Outbox, member: MemberId) {
        if let Some(knock) = self.forget(member) {
            out.tell(Event::KnockGone { knock });
        }
    }

    /// Looks at the waiting again: who is banned or has not knocked for a minute goes.
    pub(in crate::room) fn handle_timeout(&mut self, out: &mut Outbox, store: &Store, now: Instant) {
        let mut gone = Vec::new();
        let mut banned = Vec::new();
        self.waiting.retain(|waiting| {
            let is_banned = {
                let law = store.law();
                law.standing_of(&law.tag(&waiting.guest.candidate.key)).banned
            };
            if is_banned {
                banned.push((waiting.guest.one_use.clone(), waiting.guest.reference));
            }
            let stays = !is_banned
                && now.saturating_duration_since(waiting.knocked_at) < KNOCK_HOLDS
                && now.saturating_duration_since(waiting.since) < WAIT_HOLDS;
            if !stays {
                gone.push(waiting.id);
            }
            stays
        });
        for (one_use, reference) in banned {
            self.refuse_with(out, store, &one_use, reference, RefuseReason::Banned);
        }
        for knock in gone {
            out.tell(Event::KnockGone { knock });
        }
    }

    pub(in crate::room) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting
            .iter()
            .map(|waiting| (waiting.knocked_at + KNOCK_HOLDS).min(waiting.since + WAIT_HOLDS))
            .min()
    }
}

/// A knock that was not repeated for so long does not wait any more.
const KNOCK_HOLDS: Duration = Duration::from_secs(60);
const WAIT_HOLDS: Duration = Duration::from_secs(600);
