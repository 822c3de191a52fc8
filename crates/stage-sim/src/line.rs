//! How long messages are on the way.
//!
//! Control messages arrive, on each lane in the order of their sender: one that is lost comes again
//! 1.5 round trips later, and if it is lost again twice as late. No lane holds up another
//! (`spec/stage.md`, section 4). Packets are lost for good.

use std::{collections::HashMap, time::Duration};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sottovoce::stage::HallLane;

use crate::world::Node;

/// What a network is like.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// There and back, through the relay.
    pub round_trip: Duration,
    /// Lost messages of a million, on the way from sender to receiver.
    pub loss_ppm: u32,
    /// Up to how much longer one message takes than another.
    pub jitter: Duration,
}

type Lasts = Vec<(Option<HallLane>, Duration)>;

/// The ways between all parties.
pub struct Line {
    network: Network,
    rng: StdRng,
    /// When the last message of a sender on a lane arrives; no lane is the room's.
    last: HashMap<(Node, Node), Lasts>,
}

impl Line {
    /// A network that behaves the same for the same seed.
    pub fn new(network: Network, seed: u64) -> Self {
        Self { network, rng: StdRng::seed_from_u64(seed), last: HashMap::new() }
    }

    /// From now on the network is like this.
    pub fn set(&mut self, network: Network) {
        self.network = network;
    }

    /// When a control message that leaves at `now` arrives.
    pub fn control(&mut self, from: Node, to: Node, lane: Option<HallLane>, now: Duration) -> Duration {
        let mut at = now + self.once();
        let mut again = self.network.round_trip * 3 / 2;
        while self.is_lost() {
            at += again;
            again *= 2;
        }
        let lasts = self.last.entry((from, to)).or_default();
        lasts.retain(|(_, last)| *last > now);
        if let Some((_, last)) = lasts.iter().rev().find(|(other, _)| *other == lane) {
            at = at.max(*last);
        }
        lasts.push((lane, at));
        at
    }

    /// When a packet arrives; `None` if it is lost.
    pub fn packet(&mut self, now: Duration) -> Option<Duration> {
        let at = now + self.once();
        (!self.is_lost()).then_some(at)
    }

    /// The least time that a packet takes.
    pub fn least(&self) -> Duration {
        self.network.round_trip / 2
    }

    /// Forgets somebody who is gone.
    pub fn forget(&mut self, node: Node) {
        self.last.retain(|(from, to), _| *from != node && *to != node);
    }

    fn once(&mut self) -> Duration {
        self.network.round_trip / 2 + self.network.jitter.mul_f64(self.rng.random::<f64>())
    }

    fn is_lost(&mut self) -> bool {
        self.rng.next_u32() % 1_000_000 < self.network.loss_ppm
    }
}
