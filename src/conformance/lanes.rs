//! What both lanes promise, one check a promise (SPEC section 8.1).

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Listed, Outcome, Stage,
    waiting::{once, waiting, yielding},
};
use crate::transport::{Inbound, MAX_CONTROL, MAX_MEDIA, RoomHandle, Transport, TransportError, block_on};

pub(super) fn all<T: Transport + 'static>() -> Vec<Listed<T>> {
    vec![
        ("allow-list", "names every relay, and keeps to those allowed", allow_list),
        ("unconnected", "is closed before it is connected", unconnected),
        ("delivery", "both lanes reach every other member and never the sender", delivery),
        ("order", "the messages of a sender arrive in order, whatever their size", order),
        ("sizes", "carries the least and the most that each lane may", sizes),
        ("too large", "refuses what is longer, and sends nothing of it", too_large),
        ("rooms apart", "two rooms never mix", rooms_apart),
        ("waiting", "receive waits until its time and no longer, and polls", waiting),
        ("yielding", "whoever waits leaves its thread to others, and is woken", yielding),
        ("back-pressure", "slow readers lose no message in the middle, and hold up nobody", back_pressure),
        ("cancellation", "a cancelled future loses and doubles nothing it does not own up to", cancellation),
        ("reconnect", "connecting again works, and leaves one connection", reconnect),
        ("close", "what was sent before closing arrives, then all is closed", close),
        ("gone", "whoever is gone without a word disturbs nobody", gone),
    ]
}

/// The check that needs a way to cut connections, and its name.
pub(super) fn lost<T: Transport + 'static>() -> Listed<T> {
    (LOST, "says that the connection is lost, after what had arrived", lost_connection)
}

pub(super) const LOST: &str = "lost";

impl<T: Transport> Stage<T> {
    fn unconnected(&self) -> T {
        (self.members)()
    }

    fn join(&self, room: RoomHandle) -> Result<T, String> {
        let mut member = self.unconnected();
        block_on(member.connect(room)).map_err(|error| format!("cannot connect: {error}"))?;
        Ok(member)
    }

    pub(super) fn joined<const N: usize>(&self) -> Result<[T; N], String> {
        let members: Result<Vec<T>, String> = (0..N).map(|_| self.join(self.room)).collect();
        members?.try_into().map_err(|_| "too few members".to_owned())
    }

    /// The next message; packets that come before it are passed over.
    fn control(&self, member: &mut T) -> Result<Bytes, String> {
        let until = member.now() + self.options.patience;
        loop {
            match block_on(member.receive(until)) {
                Ok(Inbound::Control(message)) => return Ok(message),
                Ok(Inbound::Media(_)) => {}
                Ok(Inbound::Idle) => return Err("a message did not arrive".to_owned()),
                Err(error) => return Err(format!("instead of a message: {error}")),
            }
        }
    }

    fn expect_control(&self, member: &mut T, expected: &[u8]) -> Outcome {
        let message = self.control(member)?;
        require(message == expected, || {
            format!("a message of {} bytes came, not the one of {}", message.len(), expected.len())
        })
    }

    /// Sends a packet until all of these have it: the lane may lose some, but not all.
    fn media(&self, sender: &mut T, receivers: &mut [&mut T], packet: &[u8]) -> Outcome {
        let deadline = Instant::now() + self.options.patience;
        for receiver in receivers {
            loop {
                sender.send_media(packet).map_err(|error| format!("a packet was not taken: {error}"))?;
                let until = receiver.now() + MOMENT;
                match block_on(receiver.receive(until)) {
                    Ok(Inbound::Media(got)) if got == packet => break,
                    Ok(Inbound::Media(_) | Inbound::Idle) if Instant::now() < deadline => {}
                    Ok(Inbound::Control(_)) => return Err("a message came, not a packet".to_owned()),
                    Ok(_) => return Err(format!("a packet of {} bytes did not arrive", packet.len())),
                    Err(error) => return Err(format!("instead of a packet: {error}")),
                }
            }
        }
        Ok(())
    }

    /// Nothing comes for a moment but packets that are known to be on their way.
    fn quiet(&self, member: &mut T, known: &[u8]) -> Outcome {
        let until = member.now() + 2 * MOMENT;
        loop {
            match block_on(member.receive(until)) {
                Ok(Inbound::Idle) => return Ok(()),
                Ok(Inbound::Media(packet)) if packet == known => {}
                other => return Err(format!("something came that should not: {}", describe(&other))),
            }
        }
    }
}

pub(super) fn say<T: Transport>(member: &mut T, message: impl Into<Bytes>) -> Outcome {
    block_on(member.send_control(message.into())).map_err(|error| format!("a message was not taken: {error}"))
}

pub(super) fn require(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(why()) }
}

pub(super) fn describe(received: &Result<Inbound, TransportError>) -> String {
    match received {
        Ok(Inbound::Control(message)) => format!("a message of {} bytes", message.len()),
        Ok(Inbound::Media(packet)) => format!("a packet of {} bytes", packet.len()),
        Ok(Inbound::Idle) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn allow_list<T: Transport>(stage: &Stage<T>) -> Outcome {
    let mut member = stage.unconnected();
    let names = |member: &T| member.relays().into_iter().cloned().collect::<Vec<_>>();
    let before = names(&member);
    require(!before.is_empty(), || "it names no relay".to_owned())?;
    let allowed = &stage.options.allowed;
    match before.iter().find(|name| !allowed.contains(name)) {
        Some(name) => return Err(format!("{name} is not allowed")),
        None => block_on(member.connect(stage.room)).map_err(|error| format!("cannot connect: {error}"))?,
    }
    require(names(&member) == before, || "its relays changed when it connected".to_owned())
}

fn unconnected<T: Transport>(stage: &Stage<T>) -> Outcome {
    closed(&mut stage.unconnected())
}

/// Every operation says that there is no connection.
fn closed<T: Transport>(member: &mut T) -> Outcome {
    let closed = |what: &str, result: Result<(), TransportError>| {
        require(result == Err(TransportError::Closed), || format!("{what} gave {result:?}, not Closed"))
    };
    let until = member.now() + MOMENT;
    closed("receive", block_on(member.receive(until)).map(drop))?;
    closed("send_control", block_on(member.send_control(Bytes::from_static(b"x"))))?;
    closed("send_media", member.send_media(b"x"))
}

fn delivery<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben, mut cem, mut dag] = stage.joined()?;
    say(&mut ada, "a message")?;
    for other in [&mut ben, &mut cem, &mut dag] {
        stage.expect_control(other, b"a message")?;
    }
    stage.media(&mut ada, &mut [&mut ben, &mut cem, &mut dag], b"a packet")?;
    stage.quiet(&mut ada, b"").map_err(|why| format!("the sender: {why}"))?;
    for other in [&mut ben, &mut cem, &mut dag] {
        stage.quiet(other, b"a packet")?;
    }
    Ok(())
}

fn order<T: Transport + 'static>(stage: &Stage<T>) -> Outcome {
    const MESSAGES: u8 = 60;
    const SIZES: [usize; 5] = [3, 1_024, 4, MAX_CONTROL, 4_096];
    let mut receiver = stage.join(stage.room)?;
    let senders = [b'a', b'b'].map(|letter| (letter, stage.join(stage.room)));
    let mut talks = Vec::new();
    for (letter, sender) in senders {
        let mut sender = sender?;
        talks.push(thread::spawn(move || -> Result<T, String> {
            for (number, size) in (0..MESSAGES).zip(SIZES.into_iter().cycle()) {
                let mut message = vec![letter; size];
                message.splice(1..2, [number]);
                say(&mut sender, message)?;
            }
            // Closed only after all was received.
            Ok(sender)
        }));
    }
    let mut next = [(b'a', 0), (b'b', 0)];
    for _ in 0..2 * MESSAGES {
        let message = stage.control(&mut receiver)?;
        let (Some([letter, number]), rest) = (message.first_chunk(), message.get(2..).unwrap_or_default())
        else {
            return Err("a message came that nobody sent".to_owned());
        };
        let expected = next.iter_mut().find(|(known, _)| known == letter);
        let (_, expected) = expected.ok_or("a message came that nobody sent")?;
        require(number == expected, || format!("message {number} came when {expected} was due"))?;
        let size = SIZES.into_iter().cycle().nth(usize::from(*number)).unwrap_or(0);
        let whole = message.len() == size && rest.iter().all(|byte| byte == letter);
        require(whole, || format!("message {number} of {size} bytes was altered"))?;
        *expected += 1;
    }
    for talk in talks {
        drop(talk.join().map_err(|_| "a sender panicked")??);
    }
    Ok(())
}

fn sizes<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben] = stage.joined()?;
    for length in [0, 1, MAX_CONTROL] {
        say(&mut ada, vec![7; length])?;
        stage.expect_control(&mut ben, &vec![7; length])?;
    }
    for (fill, length) in [(8, 1), (9, MAX_MEDIA)] {
        stage.media(&mut ada, &mut [&mut ben], &vec![fill; length])?;
    }
    Ok(())
}

fn lost_connection<T: Transport>(stage: &Stage<T>) -> Outcome {
    let cut = stage.options.cut.as_ref().ok_or("there is no way to cut connections")?;
    let [mut ada, mut ben] = stage.joined()?;
    say(&mut ada, "before")?;
    // When this has come back, what was said before it has arrived.
    say(&mut ben, "has arrived")?;
    stage.expect_control(&mut ada, b"has arrived")?;
    std::thread::sleep(2 * MOMENT);
    (cut.0)();
    stage
        .expect_control(&mut ben, b"before")
        .map_err(|why| format!("after the cut, what had arrived: {why}"))?;
    for member in [&mut ada, &mut ben] {
        let until = member.now() + stage.options.patience;
        loop {
            match block_on(member.receive(until)) {
                Err(TransportError::Closed) => break,
                Ok(Inbound::Media(_)) => {}
                other => return Err(format!("a lost connection gave {}, not Closed", describe(&other))),
            }
        }
        // It is not taken up again by itself.
        closed(member)?;
    }
    let deadline = Instant::now() + stage.options.patience;
    for member in [&mut ada, &mut ben] {
        while let Err(error) = block_on(member.connect(stage.room)) {
            require(Instant::now() < deadline, || format!("cannot connect again: {error}"))?;
            thread::sleep(MOMENT);
        }
    }
    say(&mut ada, "again")?;
    stage.expect_control(&mut ben, b"again")
}

fn too_large<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben] = stage.joined()?;
    let refused = |length, limit| Err(TransportError::TooLarge { length, limit });
    let message = Bytes::from(vec![0; MAX_CONTROL + 1]);
    let answer = block_on(ada.send_control(message));
    require(answer == refused(MAX_CONTROL + 1, MAX_CONTROL), || format!("a message: {answer:?}"))?;
    let answer = ada.send_media(&[0; MAX_MEDIA + 1]);
    require(answer == refused(MAX_MEDIA + 1, MAX_MEDIA), || format!("a packet: {answer:?}"))?;
    stage.quiet(&mut ben, b"")?;
    say(&mut ada, "goes on")?;
    stage.expect_control(&mut ben, b"goes on")
}

fn rooms_apart<T: Transport>(stage: &Stage<T>) -> Outcome {
    let other_room = RoomHandle::from_bytes(stage.room.as_bytes().map(|byte| !byte));
    let [mut ada, mut ben] = stage.joined()?;
    let [mut cem, mut dag] = [stage.join(other_room)?, stage.join(other_room)?];
    for number in 0..10u8 {
        say(&mut ada, vec![1, number])?;
        say(&mut cem, vec![2, number])?;
        stage.expect_control(&mut ben, &[1, number])?;
        stage.expect_control(&mut dag, &[2, number])?;
    }
    stage.media(&mut ada, &mut [&mut ben], b"one")?;
    stage.media(&mut cem, &mut [&mut dag], b"two")?;
    for (member, known) in [(&mut ada, ""), (&mut ben, "one"), (&mut cem, ""), (&mut dag, "two")] {
        stage.quiet(member, known.as_bytes())?;
    }
    Ok(())
}

fn back_pressure<T: Transport>(stage: &Stage<T>) -> Outcome {
    const MESSAGES: u8 = 120;
    let [mut ada, mut ben, mut deaf] = stage.joined()?;
    // The one reads nothing meanwhile; the other must not notice.
    for number in 0..MESSAGES {
        say(&mut ada, vec![number; MAX_CONTROL])?;
        stage.expect_control(&mut ben, &vec![number; MAX_CONTROL])?;
    }
    // A lane that waits would wait here: nobody takes these packets.
    let start = Instant::now();
    for _ in 0..5_000 {
        ada.send_media(&[8; MAX_MEDIA]).map_err(|error| format!("a packet was not taken: {error}"))?;
    }
    require(start.elapsed() < stage.options.patience, || "sending packets waited".to_owned())?;
    // What the deaf one has is the beginning, without a hole; after it the connection may have
    // ended.
    let mut next = 0;
    let until = deaf.now() + stage.options.patience;
    while next < MESSAGES {
        match block_on(deaf.receive(until)) {
            Ok(Inbound::Media(_)) => {}
            Ok(Inbound::Control(message)) => {
                let whole = message == vec![next; MAX_CONTROL];
                require(whole, || format!("a slow reader lost message {next} and was not told"))?;
                next += 1;
            }
            Ok(Inbound::Idle) => return Err(format!("a slow reader waits for message {next} in vain")),
            Err(TransportError::Closed) => break,
            Err(error) => return Err(format!("a slow reader was told: {error}")),
        }
    }
    say(&mut ada, "goes on")?;
    stage.expect_control(&mut ben, b"goes on")
}

fn cancellation<T: Transport>(stage: &Stage<T>) -> Outcome {
    const MESSAGES: u8 = 100;
    let [mut ada, mut ben] = stage.joined()?;
    let mut received: Vec<Bytes> = Vec::new();
    let mut take = |inbound: Result<Inbound, TransportError>| match inbound {
        Ok(Inbound::Control(message)) => {
            received.push(message);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("receive: {error}")),
    };
    for number in 0..MESSAGES {
        let message = Bytes::from(vec![number; 1 + usize::from(number) * 100]);
        // Cancelled half-way, sent again: it may be there twice, but whole and in its place.
        match once(ada.send_control(message.clone())) {
            Some(sent) => sent.map_err(|error| format!("send_control: {error}"))?,
            None => say(&mut ada, message)?,
        }
        // One that was never polled, one that was polled once.
        let until = ben.now() + Duration::from_millis(2);
        drop(ben.receive(until));
        if let Some(inbound) = once(ben.receive(until)) {
            take(inbound)?;
        }
    }
    say(&mut ada, "the end")?;
    stage.control_until(&mut ben, &mut take)?;
    received.dedup();
    require(received.pop().is_some_and(|last| last == "the end"), || "the end came too early".to_owned())?;
    let out_of_place = (0..MESSAGES).zip(&received).find(|(number, message)| message.first() != Some(number));
    let complete = out_of_place.is_none() && received.len() == usize::from(MESSAGES);
    require(complete, || {
        let first = out_of_place.map_or(received.len(), |(number, _)| number.into());
        format!("{} of {MESSAGES} messages came, out of place from {first} on", received.len())
    })?;
    let whole =
        |message: &Bytes| message.len() == 1 + message.first().map_or(0, |first| usize::from(*first) * 100);
    require(received.iter().all(whole), || "a message was cut".to_owned())
}

impl<T: Transport> Stage<T> {
    /// Takes until "the end" has come.
    fn control_until(
        &self,
        member: &mut T,
        take: &mut impl FnMut(Result<Inbound, TransportError>) -> Outcome,
    ) -> Outcome {
        loop {
            let message = self.control(member)?;
            let end = message == "the end";
            take(Ok(Inbound::Control(message)))?;
            if end {
                return Ok(());
            }
        }
    }
}

fn reconnect<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben] = stage.joined()?;
    for (closes, welcome) in [(true, "welcome"), (false, "welcome back"), (true, "welcome once more")] {
        if closes {
            block_on(ben.close());
            closed(&mut ben)?;
            say(&mut ada, "to nobody")?;
        }
        block_on(ben.connect(stage.room)).map_err(|error| format!("cannot connect again: {error}"))?;
        // What was said before may still be on its way to a relay that keeps it; what comes now
        // must come.
        say(&mut ada, welcome)?;
        let until = Instant::now() + stage.options.patience;
        while stage.control(&mut ben)? != welcome {
            require(Instant::now() < until, || "what is said after connecting does not come".to_owned())?;
        }
        // A relay may still have the last packet.
        stage.quiet(&mut ben, b"listen").map_err(|why| format!("a connection too many: {why}"))?;
        say(&mut ben, "thanks")?;
        stage.expect_control(&mut ada, b"thanks")?;
        stage.media(&mut ada, &mut [&mut ben], b"listen")?;
        stage.media(&mut ben, &mut [&mut ada], b"I do")?;
        drain(&mut ada)?;
        drain(&mut ben)?;
    }
    Ok(())
}

/// Takes what is on its way.
fn drain<T: Transport>(member: &mut T) -> Outcome {
    let until = member.now() + MOMENT;
    while block_on(member.receive(until)).map_err(|error| format!("receive: {error}"))? != Inbound::Idle {}
    Ok(())
}

fn close<T: Transport>(stage: &Stage<T>) -> Outcome {
    const MESSAGES: u8 = 40;
    let [mut ada, mut ben] = stage.joined()?;
    // What the closing side has not read must not destroy what it sent.
    say(&mut ben, "unread")?;
    for number in 0..MESSAGES {
        say(&mut ada, vec![number; MAX_CONTROL])?;
    }
    block_on(ada.close());
    block_on(ada.close());
    for number in 0..MESSAGES {
        stage.expect_control(&mut ben, &vec![number; MAX_CONTROL])?;
    }
    closed(&mut ada)
}

fn gone<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben, mut cem] = stage.joined()?;
    say(&mut cem, "goodbye")?;
    stage.expect_control(&mut ada, b"goodbye")?;
    stage.expect_control(&mut ben, b"goodbye")?;
    drop(cem);
    say(&mut ada, "still here")?;
    stage.expect_control(&mut ben, b"still here")?;
    stage.media(&mut ada, &mut [&mut ben], b"still here")
}

/// Long enough for a packet that should not come to come.
pub(super) const MOMENT: Duration = Duration::from_millis(100);
