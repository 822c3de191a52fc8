//! A member's part in a VideoRoom: coming in, hearing who speaks, speaking, leaving (SPEC section
//! 8.9). It opens no socket.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use str0m::{
    Input,
    net::{Protocol, Receive},
};

use super::{
    feeds::Feeds,
    link::{Link, What, jsep},
    peer::{Brought, Peer},
    videoroom::{NO_SUCH_ROOM, PLUGIN, ROOM_EXISTS, Room, Said},
};
use crate::transport::{RoomHandle, TransportError};

pub(super) struct Session {
    room: Room,
    /// Where this member takes datagrams, as the relay sees it.
    here: SocketAddr,
    link: Link,
    /// The handle by which this member is in the room.
    own: Option<u64>,
    state: State,
    /// How often the room was missing.
    missed: u32,
    speaking: Speaking,
    /// When the last packet was to be sent.
    spoke: Instant,
    feeds: Feeds,
    kept_alive: Instant,
}

/// Where this member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// On its way in.
    Entering,
    Joined,
    Leaving,
    Over(TransportError),
}

enum Speaking {
    No,
    /// The question that is open.
    Asked(u64, Peer),
    Yes(Peer),
    /// It did not work, and is tried again after that.
    Later(Instant),
}

impl Session {
    pub(super) fn new(handle: RoomHandle, here: SocketAddr, now: Instant) -> Self {
        let mut session = Self {
            room: Room::new(handle),
            here,
            link: Link::default(),
            own: None,
            state: State::Entering,
            missed: 0,
            speaking: Speaking::No,
            spoke: now,
            feeds: Feeds::default(),
            kept_alive: now,
        };
        session.link.ask(What::Session, "create", None, now);
        session
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// What is to be said to Janus next.
    pub(super) fn poll_text(&mut self) -> Option<String> {
        self.link.next()
    }

    /// When to call [`Session::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Instant {
        let speaking = match &self.speaking {
            Speaking::No | Speaking::Later(_) => None,
            Speaking::Asked(_, peer) => Some(peer.due()),
            Speaking::Yes(peer) => Some(peer.due().min(self.spoke + HOLD)),
        };
        let due = [self.link.due(), speaking, self.feeds.due()].into_iter().flatten().min();
        due.unwrap_or(self.kept_alive + KEEP_ALIVE).min(self.kept_alive + KEEP_ALIVE)
    }

    /// Takes a message of the relay.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        let Some(said) = Said::parse(text) else { return self.fail(TransportError::Refused) };
        let asked = said.transaction().and_then(|number| Some((number, self.link.what(number)?)));
        match (asked, said.kind()) {
            (Some((number, What::KeepAlive)), "ack") => self.link.forget(number),
            // That it has heard of it is no answer.
            (_, "ack") => {}
            (Some((number, what)), _) => {
                self.link.forget(number);
                self.handle_answer(number, what, &said, now);
            }
            (None, "timeout") => self.fail(TransportError::Closed),
            (None, kind) if said.sender().is_some() && said.sender() == self.own => {
                self.handle_own(kind, &said, now);
            }
            (None, "hangup" | "detached") => {
                if let Some(feed) = said.sender().and_then(|handle| self.feeds.by_handle(handle)) {
                    self.feeds.retry(feed, &mut self.link, now);
                }
            }
            (None, _) => {}
        }
    }

    /// What Janus says of this member's own handle without having been asked.
    fn handle_own(&mut self, kind: &str, said: &Said, now: Instant) {
        match (kind, said.about()) {
            ("hangup", _) => match self.speaking {
                Speaking::Asked(..) | Speaking::Yes(_) => self.speaking = Speaking::Later(now + AGAIN),
                Speaking::No | Speaking::Later(_) => {}
            },
            ("detached", _) => self.fail(TransportError::Closed),
            (_, "destroyed") if self.state == State::Joined => self.enter_again(now),
            (_, "event") if said.is_farewell() && self.state == State::Joined => {
                self.fail(TransportError::Closed);
            }
            (_, "event") => self.handle_feeds(said, now),
            _ => {}
        }
    }

    fn handle_feeds(&mut self, said: &Said, now: Instant) {
        if self.state != State::Joined {
            return;
        }
        for feed in said.feeds() {
            self.feeds.add(feed, &mut self.link, now);
        }
        if let Some(feed) = said.gone() {
            self.feeds.remove(feed, &mut self.link, now);
        }
    }

    /// Somebody who left it had the room ended, and took it for empty.
    fn enter_again(&mut self, now: Instant) {
        self.feeds = Feeds::default();
        self.speaking = Speaking::No;
        self.link.forget_all();
        if let Some(own) = self.own.take() {
            self.link.ask(What::LetGo, "detach", Some(own), now);
        }
        self.missed = 0;
        self.link.attach(What::Handle, PLUGIN, now);
    }

    fn handle_answer(&mut self, number: u64, what: What, said: &Said, now: Instant) {
        match (what, self.own) {
            (What::Session, _) => match said.number() {
                Some(session) => {
                    self.link.session = Some(session);
                    self.link.attach(What::Handle, PLUGIN, now);
                }
                None => self.fail(TransportError::Refused),
            },
            (What::Handle, _) => match said.number() {
                Some(own) => {
                    self.own = Some(own);
                    self.link.ask_room(What::Enter, own, self.room.join(), None, now);
                }
                None => self.fail(TransportError::Refused),
            },
            (What::Enter, Some(own)) => match said.error() {
                None if said.about() == "joined" => {
                    if self.state == State::Entering {
                        self.state = State::Joined;
                    }
                    self.handle_feeds(said, now);
                }
                Some(NO_SUCH_ROOM) if self.missed < TRIES => {
                    self.missed += 1;
                    self.link.ask_room(What::Make, own, self.room.make(), None, now);
                }
                _ => self.fail(TransportError::Refused),
            },
            (What::Make, Some(own)) => match said.error() {
                None | Some(ROOM_EXISTS) => {
                    self.link.ask_room(What::Enter, own, self.room.join(), None, now);
                }
                Some(_) => self.fail(TransportError::Refused),
            },
            (What::Publish, _) => self.handle_published(number, said, now),
            (What::Attach(feed), _) => {
                self.feeds.handle_handle(feed, number, said, &self.room, &mut self.link, now)
            }
            (What::Subscribe(feed), _) => {
                self.feeds.handle_offer(feed, number, said, self.here, &mut self.link, now);
            }
            (What::Start(feed), _) => self.feeds.handle_started(feed, number, said, &mut self.link, now),
            (What::Leave, Some(own)) => {
                self.link.ask_room(What::List, own, self.room.list(), None, now);
            }
            (What::List, Some(own)) if said.is_empty_room() => {
                self.link.ask_room(What::Destroy, own, self.room.destroy(), None, now);
            }
            (What::List | What::Destroy, _) => {
                self.link.ask(What::End, "destroy", None, now);
            }
            (What::End, _) => self.fail(TransportError::Closed),
            (_, None) | (What::KeepAlive | What::LetGo, _) => {}
        }
    }

    // ---- speaking
    // --------------------------------------------------------------------------------------

    /// Sends a sealed packet, or begins to speak and drops it.
    pub(super) fn send(&mut self, packet: &[u8], now: Instant, take: impl FnMut(Brought<'_>)) {
        let (State::Joined, Some(own)) = (self.state, self.own) else { return };
        self.spoke = now;
        match &mut self.speaking {
            Speaking::Yes(peer) => {
                peer.send(packet, now);
                peer.drain(now, take);
                return;
            }
            Speaking::Asked(..) => return,
            Speaking::Later(until) if now < *until => return,
            Speaking::Later(_) | Speaking::No => {}
        }
        let mut random = [0; 6];
        let random = SystemRandom::new().fill(&mut random).map(|()| random);
        self.speaking = match random.ok().and_then(|random| Peer::speaker(self.here, random, now)) {
            None => Speaking::Later(now + AGAIN),
            Some((peer, offer)) => {
                let body = json!({ "request": "publish", "audiocodec": "opus" });
                let offer = Some(jsep("offer", &offer));
                Speaking::Asked(self.link.ask_room(What::Publish, own, body, offer, now), peer)
            }
        };
    }

    fn handle_published(&mut self, number: u64, said: &Said, now: Instant) {
        match std::mem::replace(&mut self.speaking, Speaking::No) {
            Speaking::Asked(asked, mut peer) if asked == number => match said.sdp("answer") {
                Some(answer) if peer.handle_answer(answer) => self.speaking = Speaking::Yes(peer),
                // No place for another speaker, or nonsense.
                _ => self.try_later(now),
            },
            other => self.speaking = other,
        }
    }

    /// Speaks no more, and not again before a moment has passed.
    fn try_later(&mut self, now: Instant) {
        self.be_silent(now);
        self.speaking = Speaking::Later(now + AGAIN);
    }

    fn be_silent(&mut self, now: Instant) {
        if let Some(own) = self.own {
            self.link.ask_room(What::LetGo, own, json!({ "request": "unpublish" }), None, now);
        }
        self.speaking = Speaking::No;
    }

    // ---- time and datagrams
    // ----------------------------------------------------------------------------

    pub(super) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        take: impl FnMut(Brought<'_>),
    ) {
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.here, bytes) else { return };
        let datagram = Input::Receive(now, receive);
        let speaker = match &mut self.speaking {
            Speaking::Asked(_, peer) | Speaking::Yes(peer) => Some(peer),
            Speaking::No | Speaking::Later(_) => None,
        };
        let mut peers = speaker.into_iter().chain(self.feeds.peers());
        if let Some(peer) = peers.find(|peer| peer.accepts(&datagram)) {
            peer.handle_datagram(datagram);
            peer.drain(now, take);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, mut take: impl FnMut(Brought<'_>)) {
        if self.link.due().is_some_and(|due| due <= now) {
            return self.fail(TransportError::Unreachable);
        }
        if now >= self.kept_alive + KEEP_ALIVE {
            self.kept_alive = now;
            if self.state == State::Joined {
                self.link.ask(What::KeepAlive, "keepalive", None, now);
            }
        }
        if let Speaking::Asked(_, peer) | Speaking::Yes(peer) = &mut self.speaking {
            if peer.due() <= now {
                peer.handle_timeout(now);
                peer.drain(now, &mut take);
            }
            if peer.is_lost() {
                self.try_later(now);
            } else if now >= self.spoke + HOLD {
                self.be_silent(now);
            }
        }
        self.feeds.handle_timeout(&mut self.link, now, take);
    }

    // ---- the end
    // ---------------------------------------------------------------------------------------

    /// Leaves the room, and has Janus end it if nobody is left.
    pub(super) fn leave(&mut self, now: Instant, take: impl FnMut(Brought<'_>)) {
        if let Speaking::Yes(peer) = &mut self.speaking {
            peer.close();
            peer.drain(now, take);
        }
        self.speaking = Speaking::No;
        self.feeds = Feeds::default();
        self.link.forget_all();
        match (self.state, self.own) {
            (State::Joined, Some(own)) => {
                self.state = State::Leaving;
                self.link.ask_room(What::Leave, own, json!({ "request": "leave" }), None, now);
            }
            (State::Leaving, _) => {}
            _ => self.fail(TransportError::Closed),
        }
    }

    pub(super) fn fail(&mut self, why: TransportError) {
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(why);
        }
    }
}

/// How often the room may be gone again before this member has come in.
const TRIES: u32 = 3;
/// Before it is tried again to speak.
const AGAIN: Duration = Duration::from_millis(500);
/// A member that sends nothing for so long does not speak any more.
const HOLD: Duration = Duration::from_secs(30);
/// Janus forgets sessions that say nothing for 60 s. Without an answer it is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
