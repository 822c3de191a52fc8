//! What storms do to a world: a relay that says things again or elsewhere, and a network that
//! changes.

use std::time::Duration;

use bytes::Bytes;
use sottovoce::{group::Identity, stage::HallLane};

use super::{What, World, identity};
use crate::line::Network;

impl World {
    /// From now on the network is like this.
    pub fn set_network(&mut self, network: Network) {
        self.line.set(network);
    }

    /// A relay, or somebody with its help, gives this to a listener, as if it came on `lane`.
    pub fn inject(&mut self, to: usize, lane: HallLane, bytes: Bytes, after: Duration) {
        self.push(self.now + after, What::Hall { to, lane, bytes });
    }

    /// The same, to somebody on the stage.
    pub fn inject_at_door(&mut self, to: usize, bytes: Bytes, after: Duration) {
        self.push(self.now + after, What::Doors { to, bytes });
    }

    /// A listener wakes, and does what was due.
    pub fn wake(&mut self, index: usize) {
        if self.asleep.remove(&index) {
            self.ear(index, |listener, now| {
                listener.handle_timeout(now);
                Ok(())
            });
        }
    }

    /// Who a listener is, so that it may come again.
    pub fn identity_of(&self, index: usize) -> Identity {
        identity(self.seeds.get(index).copied().unwrap_or_default())
    }

    /// Somebody comes whose identity is that of `index`.
    pub fn keep_identity(&mut self, index: usize, of: usize) {
        let seed = self.seeds.get(of).copied().unwrap_or_default();
        self.seeds.resize(self.seeds.len().max(index + 1), [0; 32]);
        self.seeds[index] = seed;
    }

    /// Who receives a lane now.
    pub fn on_lane(&self, lane: HallLane) -> Vec<usize> {
        match lane {
            HallLane::Hall => self.present.clone(),
            lane => self.lanes.get(&lane).cloned().unwrap_or_default(),
        }
    }
}
