//! Those who speak, and one peer connection for each of them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    link::{Link, What, jsep},
    peer::{Brought, Peer},
    videoroom::{PLUGIN, Room, SPEAKERS, Said},
};

/// Speakers by the number that Janus has for each.
#[derive(Default)]
pub(super) struct Feeds(BTreeMap<u64, Feed>);

struct Feed {
    step: Step,
    /// Of Janus, for this subscription.
    handle: Option<u64>,
    peer: Option<Peer>,
    /// How often in a row it did not work.
    failures: u32,
}

enum Step {
    /// The question that is open.
    Asked(u64),
    Since(Instant),
    /// It did not work, and is tried again then.
    Later(Instant),
}

impl Feed {
    fn let_go(&mut self, link: &mut Link, now: Instant) {
        self.peer = None;
        if let Some(handle) = self.handle.take() {
            link.ask(What::LetGo, "detach", Some(handle), now);
            // Janus may not answer for a handle that is gone.
            if let Step::Asked(number) = self.step {
                link.forget(number);
            }
        }
    }
}

impl Feeds {
    pub(super) fn add(&mut self, feed: u64, link: &mut Link, now: Instant) {
        if self.0.len() < SPEAKERS && !self.0.contains_key(&feed) {
            let step = Step::Asked(link.attach(What::Attach(feed), PLUGIN, now));
            self.0.insert(feed, Feed { step, handle: None, peer: None, failures: 0 });
        }
    }

    pub(super) fn remove(&mut self, feed: u64, link: &mut Link, now: Instant) {
        if let Some(mut known) = self.0.remove(&feed) {
            known.let_go(link, now);
        }
    }

    pub(super) fn by_handle(&self, handle: u64) -> Option<u64> {
        self.0.iter().find(|(_, known)| known.handle == Some(handle)).map(|(feed, _)| *feed)
    }

    /// Begins anew a little later: those who have just begun to speak may not be there for Janus
    /// yet.
    pub(super) fn retry(&mut self, feed: u64, link: &mut Link, now: Instant) {
        let Some(known) = self.0.get_mut(&feed) else { return };
        known.let_go(link, now);
        if matches!(known.step, Step::Since(since) if now >= since + WORKED) {
            known.failures = 0;
        }
        known.failures += 1;
        let wait = SHORTLY.saturating_mul(1 << known.failures.min(5));
        known.step = Step::Later(now + wait);
        if known.failures > TRIES {
            self.0.remove(&feed);
        }
    }

    /// The speaker, if this is the answer that it waits for.
    fn waiting(&mut self, feed: u64, number: u64) -> Option<&mut Feed> {
        self.0.get_mut(&feed).filter(|known| matches!(known.step, Step::Asked(asked) if asked == number))
    }

    pub(super) fn handle_handle(
        &mut self,
        feed: u64,
        number: u64,
        said: &Said,
        room: &Room,
        link: &mut Link,
        now: Instant,
    ) {
        match (self.waiting(feed, number), said.number()) {
            (Some(known), Some(handle)) => {
                known.handle = Some(handle);
                let asked = link.ask_room(What::Subscribe(feed), handle, room.subscribe(feed), None, now);
                known.step = Step::Asked(asked);
            }
            (Some(_), None) => self.retry(feed, link, now),
            // It has gone in the meantime.
            (None, Some(handle)) => {
                link.ask(What::LetGo, "detach", Some(handle), now);
            }
            (None, None) => {}
        }
    }

    pub(super) fn handle_offer(
        &mut self,
        feed: u64,
        number: u64,
        said: &Said,
        here: SocketAddr,
        link: &mut Link,
        now: Instant,
    ) {
        let Some(known) = self.waiting(feed, number) else { return };
        let peer = said.sdp("offer").and_then(|offer| Peer::listener(here, offer, now));
        match (peer, known.handle) {
            (Some((peer, answer)), Some(handle)) => {
                let (body, answer) = (json!({ "request": "start" }), jsep("answer", &answer));
                known.peer = Some(peer);
                known.step = Step::Asked(link.ask_room(What::Start(feed), handle, body, Some(answer), now));
            }
            _ => self.retry(feed, link, now),
        }
    }

    pub(super) fn handle_started(
        &mut self,
        feed: u64,
        number: u64,
        said: &Said,
        link: &mut Link,
        now: Instant,
    ) {
        let Some(known) = self.waiting(feed, number) else { return };
        match said.error() {
            None => known.step = Step::Since(now),
            Some(_) => self.retry(feed, link, now),
        }
    }

    pub(super) fn peers(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.0.values_mut().filter_map(|known| known.peer.as_mut())
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let due = |known: &Feed| match (&known.peer, &known.step) {
            (Some(peer), _) => Some(peer.due()),
            (None, Step::Later(until)) => Some(*until),
            (None, _) => None,
        };
        self.0.values().filter_map(due).min()
    }

    pub(super) fn handle_timeout(
        &mut self,
        link: &mut Link,
        now: Instant,
        mut take: impl FnMut(Brought<'_>),
    ) {
        let mut lost = Vec::new();
        for (feed, known) in &mut self.0 {
            match (&mut known.peer, &known.step) {
                (Some(peer), _) => {
                    if peer.due() <= now {
                        peer.handle_timeout(now);
                        peer.drain(now, &mut take);
                    }
                    if peer.is_lost() {
                        lost.push(*feed);
                    }
                }
                (None, Step::Later(until)) if *until <= now => {
                    known.step = Step::Asked(link.attach(What::Attach(*feed), PLUGIN, now));
                }
                (None, _) => {}
            }
        }
        for feed in lost {
            self.retry(feed, link, now);
        }
    }
}

/// Doubled with each failure in a row, up to 32 times that.
const SHORTLY: Duration = Duration::from_millis(50);
/// Failures in a row after which a speaker is none.
const TRIES: u32 = 20;
/// After so long a failure is the first one again.
const WORKED: Duration = Duration::from_secs(10);
