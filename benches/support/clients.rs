//! Receivers by the library's own adapters, a thread each: behind moq-relay and Janus.

use std::{
    any::Any,
    thread,
    time::{Duration, Instant},
};

use sottovoce::transport::{Inbound, RoomHandle, Transport, block_on};

use crate::Way;

/// A speaker and receivers, and the relay that ends with them.
pub struct Clients<C> {
    name: &'static str,
    pid: u32,
    speaker: C,
    receivers: Vec<C>,
    _relay: Box<dyn Any>,
}

impl<C: Transport> Clients<C> {
    /// All of them in one room of the relay with this process.
    pub fn gather(
        name: &'static str,
        pid: u32,
        relay: Box<dyn Any>,
        receivers: usize,
        member: impl Fn() -> C,
    ) -> Self {
        let join = |_| {
            let mut member = member();
            block_on(member.connect(RoomHandle::from_bytes([1; 16]))).expect("the relay lets in");
            member
        };
        let receivers = (0..receivers).map(join).collect();
        let mut all = Self { name, pid, speaker: join(0), receivers, _relay: relay };
        all.settle();
        all
    }

    /// Speaks until everybody has heard it.
    fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut deaf: Vec<usize> = (0..self.receivers.len()).collect();
        while !deaf.is_empty() {
            assert!(Instant::now() < deadline, "{}: {} hear nothing", self.name, deaf.len());
            self.send(b"settling");
            thread::sleep(Duration::from_millis(40));
            deaf.retain(|at| {
                !matches!(block_on(self.receivers[*at].receive(Instant::now())), Ok(Inbound::Media(_)))
            });
        }
    }
}

impl<C: Transport> Way for Clients<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn send(&mut self, payload: &[u8]) {
        self.speaker.send_media(payload).expect("the relay is there");
    }

    fn receive(&mut self, until: Instant, take: &mut dyn FnMut(&[u8])) {
        loop {
            for receiver in &mut self.receivers {
                while let Ok(Inbound::Media(packet)) = block_on(receiver.receive(Instant::now())) {
                    take(&packet);
                }
            }
            let now = Instant::now();
            if now >= until {
                return;
            }
            thread::sleep(LOOK.min(until - now));
        }
    }
}

/// How often the receivers are looked at, each of which has a thread of its own that fills its
/// queue.
const LOOK: Duration = Duration::from_micros(200);
