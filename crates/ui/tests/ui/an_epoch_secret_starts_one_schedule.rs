//! An epoch secret is used up by the schedule that it starts.

use std::time::Instant;

use sottovoce::{EpochStart, Schedule, media::ScheduleError};

fn twice(start: EpochStart<'_>, now: Instant) -> Result<(Schedule, Schedule), ScheduleError> {
    Ok((Schedule::start(start, now)?, Schedule::start(start, now)?))
}

fn main() {}
