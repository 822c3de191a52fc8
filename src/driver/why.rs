//! Why nobody hears us, and why we hear nothing.

use super::Session;
use crate::{
    room::{Deaf, Traffic, Unheard},
    transport::Transport,
};

impl<T: Transport> Session<T> {
    /// What became of packets in the last two to four seconds.
    pub fn traffic(&self) -> Traffic {
        self.lately.told(self.now())
    }

    /// Why nobody hears us, the most telling reason first; none if nothing speaks against it.
    pub fn why_unheard(&self) -> Vec<Unheard> {
        self.room.why_unheard(&self.traffic(), self.now())
    }

    /// Why we hear nothing, the most telling reason first; none if somebody is heard.
    pub fn why_deaf(&self) -> Vec<Deaf> {
        self.room.why_deaf(&self.traffic(), self.now())
    }
}
