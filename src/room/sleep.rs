//! What the device slept through, or its clock was set over (SPEC section 7, rule T3).

use std::time::{Duration, Instant};

use super::{
    Room, clock::Clock, event::Event, outbox::Outbox, phase::Phase, returning::Returning, seat::Seat,
    skew::Skew,
};
use crate::id::UnixTime;

impl Seat {
    /// The clock jumped, and nobody here can tell sleep from a clock that was set: a word that
    /// waited while the device slept looks like one that was just made. So no word proves anything
    /// before somebody has answered something that we say from now on: the keeper a Return, members
    /// a heartbeat of ours.
    fn doubt_time(&mut self, out: &mut Outbox, now: Instant) {
        if self.group.roster().len() == 1 {
            return;
        }
        self.doubted_ms = Some(out.stamp_ms(now));
        if !self.keeps() {
            let key_exchange = self.group.key_exchange();
            self.returning.get_or_insert_with(|| Returning::new(key_exchange, now, now)).rest();
        }
    }
}

impl Room {
    /// Tells the room the time by the clock of the device. Call it when that clock and `now` do not
    /// go together any more, as the [driver](crate::driver) does: the device slept, which `Instant`
    /// does not count, or its clock was set.
    ///
    /// By how much the clock is ahead of what it should show counts as time that has passed, up to
    /// a day: whoever slept does not send before the room was heard again. [`Event::Slept`] says so
    /// from two seconds on.
    pub fn set_clock(&mut self, unix: UnixTime, now: Instant) {
        let mut now = self.at(now);
        let ahead = unix.0.saturating_sub(self.out.clock.unix(now).0);
        let slept = Duration::from_secs(ahead).min(A_DAY);
        if slept >= NOTICED {
            self.slept += slept;
            now += slept;
            self.now = now;
            self.out.tell(Event::Slept { lasted: slept });
            self.out.skew = Skew::new(now);
        }
        self.out.clock = Clock { began: now, unix };
        if slept >= NOTICED
            && let Phase::Present(_, seat) = &mut self.phase
        {
            seat.doubt_time(&mut self.out, now);
        }
        self.tend(now);
        self.publish(now);
        self.end_if_faulty();
    }

    /// A time of the application, as the room counts it: with all the time that the device slept.
    pub(super) fn at(&mut self, now: Instant) -> Instant {
        let now = now + self.slept;
        self.now = self.now.max(now);
        now
    }
}

/// From here on a difference between the two clocks is more than seconds being counted in whole.
const NOTICED: Duration = Duration::from_secs(2);
const A_DAY: Duration = Duration::from_secs(24 * 3_600);
