//! Finding the others by the slots of a room, and holding one while there is something to send
//! (SPEC section 8.7).

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::{
    Lane,
    bencode::Value,
    ng::{Ng, NgError, audio_address, sdp},
};
use crate::{
    hex::Hex,
    keys::derive::hkdf_sha256,
    transport::{RoomHandle, TransportError, attempts::Claim},
};

/// The control thread's state.
pub(super) struct Session {
    ng: Ng,
    relay: SocketAddr,
    /// Where this member takes RTP, as the relay sees it.
    here: SocketAddr,
    handle: RoomHandle,
    lane: Arc<Lane>,
    held: Option<Slot>,
    subscriptions: Vec<Subscription>,
    kept_alive: Instant,
}

/// Which of a room's speakers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot(u8);

struct Subscription {
    slot: Slot,
    tag: String,
    source: SocketAddr,
    checked: Instant,
}

impl Session {
    /// Finds out whether the relay is there, and who is published.
    pub(super) fn open(
        relay: SocketAddr,
        any: SocketAddr,
        handle: RoomHandle,
        lane: Arc<Lane>,
        deadline: Instant,
        claim: &Claim,
    ) -> Result<Self, TransportError> {
        let random = random().ok_or(TransportError::Exhausted)?;
        let mut ng = Ng::new(relay, any, random).map_err(|_| TransportError::Exhausted)?;
        let port = lane.socket.local_addr().map_err(|_| TransportError::Exhausted)?.port();
        let ip = ng.local_ip().map_err(|_| TransportError::Exhausted)?;
        let left = deadline.saturating_duration_since(Instant::now());
        ng.ask("ping", &[], left, |_| Some(())).map_err(why)?;
        if !claim.take() {
            return Err(TransportError::Unreachable);
        }
        let mut session = Self {
            ng,
            relay,
            here: SocketAddr::new(ip, port),
            handle,
            lane,
            held: None,
            subscriptions: Vec::new(),
            kept_alive: Instant::now(),
        };
        session.look_for_others().map_err(why)?;
        Ok(session)
    }

    /// Goes on until the lane is closed, or the relay is gone.
    pub(super) fn run(&mut self) {
        while !self.lane.inbox.is_closed() {
            if self.turn().is_err() {
                break;
            }
            // Ends early when there is something to send, or nothing more to do.
            thread::park_timeout(INTERVAL);
        }
        self.lane.inbox.close();
        self.tidy_up();
    }

    fn turn(&mut self) -> Result<(), NgError> {
        self.hold_a_slot()?;
        self.look_for_others()?;
        let now = Instant::now();
        if now >= self.kept_alive + KEEP_ALIVE {
            self.kept_alive = now;
            let published = self.lane.outgoing().to;
            for address in self.subscriptions.iter().map(|known| known.source).chain(published) {
                self.lane.send_nothing(address);
            }
        }
        Ok(())
    }

    // ---- the slot of this member
    // -----------------------------------------------------------------------

    fn hold_a_slot(&mut self) -> Result<(), NgError> {
        let mut lost = None;
        if let Some(slot) = self.held {
            let idle = self.lane.outgoing().last.elapsed() >= HOLD;
            if idle {
                self.let_go(slot);
                self.lane.wanted.store(false, Ordering::Relaxed);
            } else {
                let published = self.lane.outgoing().to.map(|published| published.port());
                match self.holder(slot)? {
                    Some((holder, _)) if holder == self.here => {}
                    Some((_, port)) if Some(port) == published => {
                        self.let_go(slot);
                        lost = Some(slot);
                    }
                    // Ours was deleted. If there is another call in its place, that one is all
                    // right.
                    _ => self.release(),
                }
            }
        }
        if self.held.is_some() || !self.lane.wanted.load(Ordering::Relaxed) {
            return Ok(());
        }
        for slot in (0..SLOTS).map(Slot) {
            if self.lane.inbox.is_closed() {
                return Ok(());
            }
            if lost == Some(slot) || self.holder(slot)?.is_some() {
                continue;
            }
            let published = self.publish(slot)?;
            // Whoever published there at the same time has its own address there now.
            if self.holder(slot)?.is_some_and(|(holder, _)| holder == self.here) {
                self.held = Some(slot);
                self.lane.outgoing().to = Some(published);
                self.drop_subscription(slot);
                return Ok(());
            }
            self.let_go(slot);
        }
        Ok(())
    }

    /// The slot is gone.
    fn release(&mut self) {
        self.held = None;
        self.lane.outgoing().to = None;
    }

    /// Has the call of a slot deleted. One at which two have published is of no use to either: a
    /// relay goes on listening to one, and names the other. So whoever sees it ends it and goes
    /// elsewhere, and the other begins anew.
    fn let_go(&mut self, slot: Slot) {
        self.release();
        let call = self.call(slot);
        // Whether it was there or not, it is not there any more.
        // The whole call, or those who have subscribed would go on listening to nothing.
        let arguments = [("call-id", call.as_str()), ("delete-delay", "0")];
        let _ = self.ng.ask("delete", &arguments, BRIEFLY, |_| Some(()));
    }

    /// The address that the slot's speaker has given, if there is a speaker, and the port where it
    /// is published.
    fn holder(&mut self, slot: Slot) -> Result<Option<(SocketAddr, u16)>, NgError> {
        let call = self.call(slot);
        let arguments = [("call-id", call.as_str()), ("from-tag", PUBLISHER)];
        let answer = self.ng.ask("query", &arguments, PATIENCE, |answer| {
            // Without any tag that was asked for there is no such entry at all.
            let Some(speaker) = answer.get("tags").and_then(|tags| tags.get(PUBLISHER)) else {
                return Some(None);
            };
            let stream = speaker.get("medias")?.first()?.get("streams")?.first()?;
            let port = u16::try_from(stream.get("local port")?.number()?).ok()?;
            Some(Some((advertised(stream)?, port)))
        });
        match answer {
            Err(NgError::Denied) => Ok(None),
            answer => answer,
        }
    }

    fn publish(&mut self, slot: Slot) -> Result<SocketAddr, NgError> {
        let (call, offer) = (self.call(slot), sdp(self.here, "sendonly"));
        let arguments = [("call-id", call.as_str()), ("from-tag", PUBLISHER), ("sdp", offer.as_str())];
        let address = self
            .ng
            .ask("publish", &arguments, PATIENCE, |answer| audio_address(answer.get("sdp")?.text()?))?;
        self.allowed(address)
    }

    // ---- the others
    // ------------------------------------------------------------------------------------

    fn look_for_others(&mut self) -> Result<(), NgError> {
        self.drop_the_gone()?;
        let taken = self.subscriptions.iter().map(|known| known.slot).chain(self.held).max();
        let beyond = taken.map_or(0, |Slot(slot)| slot + 1).saturating_add(AHEAD).min(SLOTS);
        for slot in (0..beyond).map(Slot) {
            let known = self.held == Some(slot) || self.subscriptions.iter().any(|known| known.slot == slot);
            if !known && !self.lane.inbox.is_closed() {
                self.subscribe(slot)?;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, slot: Slot) -> Result<(), NgError> {
        let call = self.call(slot);
        let tag = Hex(&random().ok_or(NgError::Silent)?).to_string();
        let arguments = [("call-id", call.as_str()), ("from-tag", PUBLISHER), ("to-tag", tag.as_str())];
        let offer = |answer: &Value<'_>| audio_address(answer.get("sdp")?.text()?);
        let source = match self.ng.ask("subscribe request", &arguments, PATIENCE, offer) {
            // Nobody there.
            Err(NgError::Denied) => return Ok(()),
            source => self.allowed(source?)?,
        };
        self.lane.sources().insert(source, Instant::now());
        self.subscriptions.push(Subscription { slot, tag: tag.clone(), source, checked: Instant::now() });
        let answer = sdp(self.here, "recvonly");
        let arguments = [("call-id", call.as_str()), ("to-tag", tag.as_str()), ("sdp", answer.as_str())];
        match self.ng.ask("subscribe answer", &arguments, PATIENCE, |_| Some(())) {
            // The speaker has left in the meantime.
            Err(NgError::Denied) => self.drop_subscription(slot),
            answer => answer?,
        }
        self.lane.send_nothing(source);
        Ok(())
    }

    /// Ends the subscriptions whose speakers have left.
    fn drop_the_gone(&mut self) -> Result<(), NgError> {
        let now = Instant::now();
        let quiet = |known: &Subscription, lane: &Lane| {
            let last = lane.sources().get(&known.source).copied();
            now >= last.map_or(known.checked, |last| last.max(known.checked)) + QUIET
        };
        let due: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|known| quiet(known, &self.lane))
            .map(|known| known.slot)
            .collect();
        for slot in due {
            let call = self.call(slot);
            let Some(known) = self.subscriptions.iter_mut().find(|known| known.slot == slot) else {
                continue;
            };
            known.checked = now;
            let arguments = [("call-id", call.as_str()), ("from-tag", known.tag.as_str())];
            let tag = known.tag.as_str();
            let answer = self.ng.ask("query", &arguments, PATIENCE, |answer| {
                let both =
                    answer.get("tags").map(|tags| tags.get(tag).is_some() && tags.get(PUBLISHER).is_some());
                Some(both.unwrap_or(false))
            });
            match answer {
                Ok(true) => {}
                Ok(false) | Err(NgError::Denied) => self.drop_subscription(slot),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn drop_subscription(&mut self, slot: Slot) {
        let sources = &self.lane;
        self.subscriptions.retain(|known| {
            let kept = known.slot != slot;
            if !kept {
                sources.sources().remove(&known.source);
            }
            kept
        });
    }

    fn tidy_up(&mut self) {
        for Subscription { slot, tag, .. } in std::mem::take(&mut self.subscriptions) {
            let call = self.call(slot);
            let arguments = [("call-id", call.as_str()), ("to-tag", tag.as_str())];
            if self.ng.ask("unsubscribe", &arguments, BRIEFLY, |_| Some(())) == Err(NgError::Silent) {
                return;
            }
        }
        if let Some(slot) = self.held {
            self.let_go(slot);
        }
    }

    /// Media goes where the allow-list says, whatever a relay says.
    fn allowed(&self, address: SocketAddr) -> Result<SocketAddr, NgError> {
        if address.ip() == self.relay.ip() { Ok(address) } else { Err(NgError::Malformed) }
    }

    fn call(&self, Slot(slot): Slot) -> String {
        let mut call = [0; 16];
        hkdf_sha256(&[], self.handle.as_bytes(), &[b"sottovoce 1 rtp", &[slot]], &mut call);
        Hex(&call).to_string()
    }
}

fn advertised(stream: &Value<'_>) -> Option<SocketAddr> {
    let endpoint = stream.get("advertised endpoint")?;
    let port = u16::try_from(endpoint.get("port")?.number()?).ok()?;
    Some(SocketAddr::new(endpoint.get("address")?.text()?.parse().ok()?, port))
}

fn why(error: NgError) -> TransportError {
    match error {
        NgError::Silent => TransportError::Unreachable,
        NgError::Denied | NgError::Malformed => TransportError::Refused,
    }
}

fn random() -> Option<[u8; 8]> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Speakers of a room.
const SLOTS: u8 = 64;
/// How many slots above the highest known one are looked at.
const AHEAD: u8 = 2;
/// The tag of whoever speaks.
const PUBLISHER: &str = "p";
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// A speaker that sends nothing for so long may be gone.
const QUIET: Duration = Duration::from_millis(500);
/// A member that sends nothing for so long gives its slot back.
const HOLD: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// For an answer; then the relay is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// For an answer that changes nothing any more.
const BRIEFLY: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_after_the_handle_and_tell_nothing_of_it() {
        let name = |handle: u8, slot| {
            let mut call = [0; 16];
            let info: [&[u8]; 2] = [b"sottovoce 1 rtp", &[slot]];
            hkdf_sha256(&[], &[handle; 16], &info, &mut call);
            call
        };
        assert_ne!(name(1, 0), name(1, 1));
        assert_ne!(name(1, 0), name(2, 0));
        assert_ne!(name(1, 0), [1; 16]);
    }
}
