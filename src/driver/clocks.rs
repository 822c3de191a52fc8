//! The two clocks of a device, one of which stands still while the device sleeps.

use std::time::{Duration, Instant, SystemTime};

use crate::{room::UnixTime, transport::LocalTransport};

/// One moment by both clocks of the device, and the time that the application said it was.
pub(super) struct Clocks {
    pub(super) now: Instant,
    wall: Option<SystemTime>,
    unix: UnixTime,
}

impl Clocks {
    pub(super) fn of(transport: &impl LocalTransport, unix: UnixTime) -> Self {
        Self { now: transport.now(), wall: transport.wall(), unix }
    }

    /// The time by the wall clock, if the two clocks no longer agree; `None` if they do.
    pub(super) fn compare(&mut self, now: Instant, wall: Option<SystemTime>) -> Option<UnixTime> {
        let Self { now: then, wall: Some(before), unix } = *self else { return None };
        let wall = wall?;
        let counted = now.saturating_duration_since(then);
        let (shown, back) = match wall.duration_since(before) {
            Ok(since) => (since, Duration::ZERO),
            Err(error) => (Duration::ZERO, error.duration()),
        };
        if shown.abs_diff(counted) + back < CLOCKS_DIFFER {
            return None;
        }
        let unix = UnixTime(unix.0.saturating_add(shown.as_secs()).saturating_sub(back.as_secs()));
        *self = Self { now, wall: Some(wall), unix };
        Some(unix)
    }
}

/// From this difference on the two clocks of the device disagree: it slept, or one of them was set.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);
