//! What is going to happen, and when: the earliest first.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use sottovoce::stage::HallLane;

use super::Node;

pub(super) enum What {
    Room { to: usize, bytes: Bytes },
    Doors { to: usize, bytes: Bytes },
    Hall { to: usize, lane: HallLane, bytes: Bytes },
    Packet { to: usize, packet: Rc<[u8]> },
    Timer(Node),
    Tick,
}

pub(super) struct Due {
    pub(super) at: Duration,
    pub(super) number: u64,
    pub(super) what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
