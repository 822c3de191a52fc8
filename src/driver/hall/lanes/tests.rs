//! Lanes that come, go, and are wanted again.

use std::future::pending;

use super::*;

const FOYER: Wanted =
    Wanted { lane: HallLane::Foyer, handle: RoomHandle::from_bytes([1; 16]), part: Part::Hears };

/// Connections of which nothing is heard.
struct Quiet;

impl Carrier for Quiet {
    fn serve(&mut self, _: &[RelayName], _: usize, _: Wanted, _: Arc<Pipe>) -> Option<Served> {
        Some(Box::pin(pending()))
    }

    fn sleep(&self, _: Instant) -> Slept {
        Box::pin(pending())
    }
}

fn quiet() -> Lanes {
    let connector = |_: &RelayName| None::<crate::transport::loopback::LoopbackClient>;
    Lanes { carrier: Box::new(Quiet), ..Lanes::new(connector, Vec::new()) }
}

#[test]
fn a_lane_that_is_wanted_again_while_it_closes_stays() {
    let (mut lanes, start) = (quiet(), Instant::now());
    lanes.want([FOYER], start);
    lanes.want([], start);
    let closing = start + LINGER;
    lanes.handle_timeout(closing);
    assert!(lanes.lanes[&FOYER.lane].pipe.is_ending());
    lanes.want([FOYER], closing);
    assert!(!lanes.lanes[&FOYER.lane].pipe.is_ending());
}

#[test]
fn a_lane_that_held_is_connected_again_at_once_even_if_nothing_came_on_it() {
    let (mut lanes, mut now) = (quiet(), Instant::now());
    lanes.want([FOYER], now);
    let slot = lanes.lanes.get_mut(&FOYER.lane).unwrap();
    let mut pauses = Vec::new();
    for held in [0, 0, 0, 1, 600, 600] {
        slot.open_since = (held > 0).then_some(now);
        now += Duration::from_secs(held);
        slot.fail(now);
        pauses.push((slot.retry_at.unwrap() - now).as_millis());
    }
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 250, 250]);
}
