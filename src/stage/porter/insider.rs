//! What a porter that lies can say with the keys that it has, and a look behind honest ones. Of
//! tests alone.

use std::time::Instant;

use super::{Out, Porter, cells::drawn, doors};
use crate::{
    id::MemberId,
    law::Tag,
    random::Generator,
    stage::{
        chain::Clock,
        epoch::{Base, EpochName},
        lane::{HallKey, HallLane},
        wire::{Beat, Down, Hall, Message, Shown, Turn},
    },
    wire::answer::RefuseReason,
};

impl Porter {
    /// Beats, and says of the hall what `lie` makes of it.
    pub(in crate::stage) fn lie(
        &mut self,
        lie: impl FnOnce(&mut Hall),
        (key, clock): (&HallKey, &Clock),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) {
        let Some((base, _)) = self.bases.last() else { return };
        let mut hall = Hall {
            hall_ms: clock.elapsed_ms(now),
            n: base.name.n,
            first: base.name.first,
            programme: base.name.programme,
            mark: base.name.mark(),
            switch_ms: 0,
        };
        lie(&mut hall);
        self.stamp_ms = clock.elapsed_ms(now).max(self.stamp_ms + 1);
        let beat = Beat::sign((self.name, &self.answer), &self.group_id, self.stamp_ms, &hall, (9, [3; 32]));
        self.send(HallLane::Hall, &Message::Beat(beat), key, out, rng);
    }

    /// Gives one cell another secret for the next epoch, and names it.
    pub(in crate::stage) fn equivocate(
        &mut self,
        which: u32,
        (key, clock): (&HallKey, &Clock),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) -> Option<EpochName> {
        let cell = which % self.cells.count().max(1);
        let (base, _) = self.bases.last()?;
        let (n, first, programme) = (base.name.n + 256, clock.step(now), base.name.programme);
        let secret = drawn(rng);
        let name = EpochName::of(&secret, &self.group_id, n, first, programme);
        let turn = Turn { n, first, switch_ms: 300, secret };
        let sealed = self
            .cells
            .chain(cell)?
            .seal(crate::stage::envelope::Use::Cell, turn.encode().bytes(), rng)
            .ok()?;
        out.transmits.push_back((HallLane::Cell { porter: self.name, cell }, sealed));
        let lie = |hall: &mut Hall| (hall.n, hall.first, hall.mark) = (n, first, name.mark());
        self.lie(lie, (key, clock), out, rng, now);
        Some(name)
    }

    /// Gives one of its listeners keys of an epoch that it made up.
    pub(in crate::stage) fn give(
        &mut self,
        which: usize,
        ahead: u64,
        key: &HallKey,
        out: &mut Out,
        rng: &mut Generator,
    ) -> Option<(MemberId, EpochName)> {
        let seats: Vec<_> = self.cells.seats().map(|(place, seat)| (place, seat.member())).collect();
        let (place, member) = *seats.get(which % seats.len().max(1))?;
        let (base, _) = self.bases.last()?;
        let name =
            EpochName { n: base.name.n + 256 * ahead, first: self.step, authenticator: [9; 32], ..base.name };
        let made_up = Base { name, step: 0, key: doors::copy(&base.key) };
        let cell_key = doors::copy(self.cells.chain(place.cell)?.key());
        let keys = Down::Keys { step: self.step, cell_key, shown: Shown(vec![(made_up, 0)]) };
        self.say(place, &keys, key, out, rng);
        Some((member, name))
    }

    /// Tells one of its listeners that it is out.
    pub(in crate::stage) fn turn_away(
        &mut self,
        which: usize,
        key: &HallKey,
        out: &mut Out,
        rng: &mut Generator,
    ) -> Option<MemberId> {
        let seats: Vec<_> = self.cells.seats().map(|(place, seat)| (place, seat.member())).collect();
        let (place, member) = *seats.get(which % seats.len().max(1))?;
        self.say(place, &Down::Out(RefuseReason::Banned), key, out, rng);
        Some(member)
    }

    /// Who sits here: tag, and fingerprint.
    pub(in crate::stage) fn seated(&self) -> impl Iterator<Item = (Tag, MemberId)> + '_ {
        self.cells.seats().map(|(_, seat)| (seat.tag, seat.member()))
    }
}
