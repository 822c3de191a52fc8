//! Counts of packets in the last seconds, for `why_unheard` and `why_deaf`.

use std::time::{Duration, Instant};

use crate::{
    media::{OpenError, SealError},
    room::Traffic,
};

/// Counts in two windows, so a reader sees the last one to two windows.
#[derive(Default)]
pub(super) struct Lately {
    before: Traffic,
    present: Traffic,
    since: Option<Instant>,
}

impl Lately {
    pub(super) fn note_sealed(&mut self, outcome: Result<(), SealError>, now: Instant) {
        let present = self.present(now);
        match outcome {
            Ok(()) => present.sealed = present.sealed.saturating_add(1),
            Err(error) => present.unsealed = Some(error),
        }
    }

    pub(super) fn note_arrived(&mut self, outcome: Result<(), OpenError>, now: Instant) {
        let present = self.present(now);
        present.arrived = present.arrived.saturating_add(1);
        match outcome {
            Ok(()) => present.opened = present.opened.saturating_add(1),
            Err(error) => present.refused = Some(error),
        }
    }

    fn present(&mut self, now: Instant) -> &mut Traffic {
        let passed = self.since.map_or(WINDOW, |since| now.saturating_duration_since(since));
        if passed >= WINDOW {
            self.before = if passed < WINDOW * 2 { self.present } else { Traffic::default() };
            (self.present, self.since) = (Traffic::default(), Some(now));
        }
        &mut self.present
    }

    pub(super) fn told(&self, now: Instant) -> Traffic {
        let (Traffic { sealed, unsealed, arrived, opened, refused }, before) = match self.since {
            Some(since) if now < since + WINDOW => (self.present, self.before),
            Some(since) if now < since + WINDOW * 2 => (Traffic::default(), self.present),
            _ => (Traffic::default(), Traffic::default()),
        };
        Traffic {
            sealed: sealed.saturating_add(before.sealed),
            unsealed: unsealed.or(before.unsealed),
            arrived: arrived.saturating_add(before.arrived),
            opened: opened.saturating_add(before.opened),
            refused: refused.or(before.refused),
        }
    }
}

const WINDOW: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_of_the_last_two_to_four_seconds() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut lately = Lately::default();
        assert_eq!(lately.told(start), Traffic::default());
        lately.note_sealed(Ok(()), start);
        lately.note_arrived(Err(OpenError::Forged), start + second);
        lately.note_arrived(Ok(()), start + second * 5 / 2);
        let told = lately.told(start + 3 * second);
        assert_eq!(
            (told.sealed, told.arrived, told.opened, told.refused),
            (1, 2, 1, Some(OpenError::Forged))
        );
        let told = lately.told(start + second * 9 / 2 + second / 4);
        assert_eq!((told.sealed, told.arrived, told.refused), (0, 1, None));
        assert_eq!(lately.told(start + 7 * second), Traffic::default());
        lately.note_arrived(Ok(()), start + 20 * second);
        assert_eq!(lately.told(start + 20 * second).arrived, 1);
    }
}
