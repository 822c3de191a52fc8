//! A keeper whom we do not know: those whom we know are asked whether it keeps the room (SPEC section 7.7).
//!
//! ```text
//! heartbeat of a stranger > Lost, every 4 s, to eight whom we know > Vouch > the next heartbeat counts
//! ```

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    core::Core,
    error::ControlError,
    lineage::{CLOCKS_DIFFER, Lineage},
    seat::Seat,
    succession::SILENT_AFTER,
};
use crate::{
    group::{
        message::Message,
        vouch::{Lost, MAX_ASKED, Vouch},
    },
    id::MemberId,
};

/// Keepers whom we do not know.
#[derive(Default)]
pub(super) struct Strangers {
    asked_at: Option<Instant>,
    /// Who of those whom we know is asked next.
    next: usize,
    vouched: BTreeSet<MemberId>,
}

impl Strangers {
    /// Whether somebody whom we know has said that this one keeps the room.
    pub(super) fn knows(&self, member: MemberId) -> bool {
        self.vouched.contains(&member)
    }

    /// Asks some whom we know, unless we did a moment ago. Nothing is believed of the stranger for it.
    pub(super) fn ask(
        &mut self,
        core: &mut Core,
        group_id: &[u8],
        known: impl Iterator<Item = MemberId>,
        now: Instant,
    ) {
        let lately = |at: Instant| now.saturating_duration_since(at) < ASK_AGAIN;
        if self.asked_at.is_some_and(lately) {
            return;
        }
        self.asked_at = Some(now);
        let own = core.identity.id();
        let known: Vec<MemberId> = known.filter(|member| *member != own).collect();
        let asks: Vec<MemberId> =
            known.iter().cycle().skip(self.next).take(MAX_ASKED.min(known.len())).copied().collect();
        if asks.is_empty() {
            return;
        }
        self.next = (self.next + asks.len()) % known.len();
        let at_ms = core.stamp_ms(now);
        core.send(&Message::Lost(Lost::new(&core.identity, group_id, at_ms, asks)));
    }

    /// Takes the word of a member whom we know.
    pub(super) fn hear(
        &mut self,
        core: &Core,
        lineage: &mut Lineage,
        group_id: &[u8],
        vouch: &Vouch,
        now: Instant,
    ) -> Result<(), ControlError> {
        if vouch.by() == vouch.keeper || vouch.by() == core.identity.id() {
            return Err(ControlError::Own);
        }
        if !vouch.is_genuine(group_id) {
            return Err(ControlError::NotAMember);
        }
        if !lineage.is_fresh(vouch.by(), vouch.at_ms, core.clock.unix(now)) {
            return Err(ControlError::Stale);
        }
        if self.vouched.len() >= MAX_VOUCHED {
            self.vouched.pop_first();
        }
        self.vouched.insert(vouch.keeper);
        Ok(())
    }
}

impl Seat {
    /// Somebody who was with us asks us who keeps the room: the cheapest checks first.
    pub(super) fn handle_lost(
        &mut self,
        core: &mut Core,
        lost: &Lost,
        now: Instant,
    ) -> Result<(), ControlError> {
        if !lost.asks.contains(&core.identity.id()) {
            return Ok(());
        }
        if self.group.member(lost.by()).is_none() {
            return Err(ControlError::NotAMember);
        }
        let lately = |at: Instant| now.saturating_duration_since(at) < ANSWER_AGAIN;
        if self.vouched_at.is_some_and(lately) {
            return Err(ControlError::Flood);
        }
        if !lost.is_genuine(self.group.id()) {
            return Err(ControlError::NotAMember);
        }
        if (lost.at_ms / 1_000).abs_diff(core.clock.unix(now).0) > CLOCKS_DIFFER {
            return Err(ControlError::Stale);
        }
        let silent = now.saturating_duration_since(self.heard_at()) >= SILENT_AFTER;
        if self.keeps() || silent || self.rival.is_some() {
            // Of ourselves it hears by our heartbeats; what we are not sure of we do not say.
            return Ok(());
        }
        self.vouched_at = Some(now);
        let at_ms = core.stamp_ms(now);
        let keeper = self.group.state().keeper;
        core.send(&Message::Vouch(Vouch::new(&core.identity, self.group.id(), keeper, at_ms)));
        Ok(())
    }

    /// Somebody whom we know says who keeps the room that we lost.
    pub(super) fn handle_vouch(
        &mut self,
        core: &Core,
        vouch: &Vouch,
        now: Instant,
    ) -> Result<(), ControlError> {
        if self.strangers.asked_at.is_none() || self.group.member(vouch.keeper).is_some() {
            return Ok(());
        }
        if self.group.member(vouch.by()).is_none() {
            return Err(ControlError::NotAMember);
        }
        self.strangers.hear(core, &mut self.lineage, self.group.id(), vouch, now)
    }
}

/// How long those who are asked have for an answer.
const ASK_AGAIN: Duration = Duration::from_secs(4);
/// However many ask, no member says it more often.
const ANSWER_AGAIN: Duration = Duration::from_secs(1);
/// Keepers that were vouched for: one is enough, and another may have taken over.
const MAX_VOUCHED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        group::{
            envelope::LaneKey,
            invite::UnixTime,
            state::tests::{GROUP, id, identity},
        },
        random::{Generator, Seed},
        room::core::Clock,
    };

    const NOW: UnixTime = UnixTime(1_790_000_000);

    fn core(now: Instant) -> Core {
        let clock = Clock { began: now, unix: NOW };
        Core::new(
            identity(1),
            LaneKey::new(&[3; 32]),
            Vec::new(),
            Generator::new(Seed::from_bytes(&mut [1; 32])),
            clock,
        )
    }

    #[test]
    fn a_keeper_is_known_by_the_fresh_word_of_another_and_by_nothing_else() {
        let now = Instant::now();
        let (core, mut lineage, mut strangers) = (core(now), Lineage::default(), Strangers::default());
        let mut hear = |vouch: Vouch| strangers.hear(&core, &mut lineage, GROUP, &vouch, now);
        let (at, own) = (NOW.0 * 1_000, identity(1));
        assert_eq!(hear(Vouch::new(&identity(9), GROUP, id(9), at)), Err(ControlError::Own), "of itself");
        assert_eq!(hear(Vouch::new(&own, GROUP, id(9), at)), Err(ControlError::Own), "our own, back again");
        let other = Vouch::new(&identity(2), b"another room", id(9), at);
        assert_eq!(hear(other), Err(ControlError::NotAMember));
        let old = Vouch::new(&identity(2), GROUP, id(9), at - 301_000);
        assert_eq!(hear(old), Err(ControlError::Stale));
        let vouch = Vouch::new(&identity(2), GROUP, id(9), at);
        assert_eq!(hear(vouch.clone()), Ok(()));
        assert_eq!(hear(vouch), Err(ControlError::Stale), "again");
        assert!(strangers.knows(id(9)) && !strangers.knows(id(8)));
    }

    #[test]
    fn all_whom_we_know_are_asked_in_turn_and_not_too_often() {
        let now = Instant::now();
        let (mut core, mut strangers) = (core(now), Strangers::default());
        let mut asked = BTreeSet::new();
        for second in 0..20 {
            strangers.ask(&mut core, GROUP, (1..=20).map(id), now + Duration::from_secs(second));
            asked.extend(core.outgoing.drain(..).map(|_| second));
        }
        assert_eq!(asked, BTreeSet::from([0, 4, 8, 12, 16]));
        assert_eq!(strangers.next, 5 * MAX_ASKED % 19, "of nineteen others");
        strangers.ask(&mut core, GROUP, std::iter::once(id(1)), now + Duration::from_secs(60));
        assert!(core.outgoing.is_empty(), "we know nobody");
    }
}
