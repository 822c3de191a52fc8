//! Relays on simulated time, each of which can be gone, slow, or silent.
//!
//! Time goes on by steps, and only when a test says so; every call is polled at each step with no
//! patience at all, as by an application that has an audio thread to feed.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use sottovoce::{
    driver::policy::{Call, CallNext, Connector},
    transport::{Inbound, RelayName, Transport, TransportError},
};

/// How a relay is at the moment.
#[derive(Default)]
pub struct Relay {
    /// Nobody answers, and who was connected is told.
    pub gone: bool,
    /// Nothing comes through, and nobody is told. Whoever comes gets no answer.
    pub silent: bool,
    /// How long it takes to let somebody in.
    pub delay: Duration,
    members: BTreeMap<u64, VecDeque<Inbound>>,
}

pub struct World {
    relays: BTreeMap<RelayName, Relay>,
    pub now: Instant,
    began: (Instant, SystemTime),
    slept: Duration,
    numbers: u64,
    /// Who was asked, and when.
    pub attempts: Vec<(Instant, RelayName)>,
}

/// The world, as all have it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn of(names: &[&str]) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(World {
            relays: names.iter().map(|name| (name.parse().unwrap(), Relay::default())).collect(),
            now,
            began: (now, SystemTime::now()),
            slept: Duration::ZERO,
            numbers: 0,
            attempts: Vec::new(),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub fn list(&self) -> Vec<RelayName> {
        self.lock().relays.keys().cloned().collect()
    }

    pub fn relay(&self, name: &str, change: impl FnOnce(&mut Relay)) {
        change(self.lock().relays.get_mut(&name.parse().unwrap()).unwrap());
    }

    /// All devices sleep for so long.
    pub fn sleep(&self, lasts: Duration) {
        self.lock().slept += lasts;
    }

    /// Lets time pass, and has everybody do what is due.
    pub fn run(
        &self,
        calls: &mut [&mut Call<Shared>],
        lasts: Duration,
        mut each: impl FnMut(usize, CallNext),
    ) {
        let until = self.lock().now + lasts;
        while self.lock().now < until {
            self.lock().now += STEP;
            for (number, call) in calls.iter_mut().enumerate() {
                loop {
                    let now = call.now();
                    let mut next = pin!(call.next(now));
                    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(CallNext::Idle) | Poll::Pending => break,
                        Poll::Ready(next) => each(number, next),
                    }
                }
            }
        }
    }
}

impl Connector for Shared {
    type Transport = Client;

    fn client(&mut self, relay: &RelayName) -> Option<Client> {
        let mut world = self.lock();
        world.relays.get(relay)?;
        world.numbers += 1;
        Some(Client { world: self.clone(), name: relay.clone(), number: world.numbers, heard: None })
    }

    fn sleep(&self, until: Instant) -> impl Future<Output = ()> + Send + 'static {
        let world = self.clone();
        poll_fn(move |_| if world.lock().now < until { Poll::Pending } else { Poll::Ready(()) })
    }
}

/// A member of one relay.
pub struct Client {
    world: Shared,
    name: RelayName,
    number: u64,
    heard: Option<Instant>,
}

impl Client {
    fn with<T>(&self, of: impl FnOnce(&mut Relay) -> T) -> T {
        of(self.world.lock().relays.get_mut(&self.name).unwrap())
    }

    fn send(&self, what: Inbound) -> Result<(), TransportError> {
        self.with(|relay| {
            if relay.gone || !relay.members.contains_key(&self.number) {
                relay.members.remove(&self.number);
                return Err(TransportError::Closed);
            }
            for (_, inbox) in relay.members.iter_mut().filter(|(number, _)| **number != self.number) {
                if !relay.silent {
                    inbox.push_back(what.clone());
                }
            }
            Ok(())
        })
    }
}

impl Transport for Client {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.name]
    }

    async fn connect(&mut self, _: sottovoce::transport::RoomHandle) -> Result<(), TransportError> {
        let now = self.now();
        self.world.lock().attempts.push((now, self.name.clone()));
        let delay = self.with(|relay| relay.delay);
        poll_fn(|_| {
            let late = self.now() < now + delay || self.with(|relay| relay.silent);
            if late { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.heard = Some(self.now());
        self.with(|relay| {
            if relay.gone {
                return Err(TransportError::Unreachable);
            }
            relay.members.insert(self.number, VecDeque::new());
            Ok(())
        })
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.send(Inbound::Control(message))
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.send(Inbound::Media(Bytes::copy_from_slice(packet)))
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        poll_fn(|_| {
            let now = self.now();
            let number = self.number;
            let came = self.with(|relay| {
                if relay.gone {
                    relay.members.remove(&number);
                }
                let inbox = relay.members.get_mut(&number).ok_or(TransportError::Closed)?;
                Ok((relay.silent, if relay.silent { None } else { inbox.pop_front() }))
            });
            let (silent, came) = match came {
                Ok(came) => came,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if !silent {
                self.heard = Some(now);
            }
            match came {
                Some(came) => Poll::Ready(Ok(came)),
                None if until <= now => Poll::Ready(Ok(Inbound::Idle)),
                None => Poll::Pending,
            }
        })
        .await
    }

    async fn close(&mut self) {
        self.with(|relay| drop(relay.members.remove(&self.number)));
    }

    fn heard(&self) -> Option<Instant> {
        self.heard
    }

    fn now(&self) -> Instant {
        self.world.lock().now
    }

    fn wall(&self) -> Option<SystemTime> {
        let world = self.world.lock();
        Some(world.began.1 + (world.now - world.began.0) + world.slept)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.with(|relay| drop(relay.members.remove(&self.number)));
    }
}

const STEP: Duration = Duration::from_millis(5);
