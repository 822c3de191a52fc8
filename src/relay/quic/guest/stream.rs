//! The stream of a guest: its hello, its control messages, and the answers to it.

use std::{sync::Arc, time::Instant};

use bytes::{Buf, Bytes};
use quinn_proto::{ReadError, StreamId, WriteError};

use super::{CHUNK, CUT_OFF, Guest, Hub, LINGER, Member, NO_HELLO, Stage};
use crate::{
    relay::{
        Shared, control,
        log::{Connection, Lane},
        outbox::Outbox,
        rooms::Way,
    },
    relay_protocol::wire::{self, FrameTooLong, Frames, Hello, Rejection},
};

impl Guest {
    pub(super) fn read(&mut self, stream: StreamId, now: Instant, shared: &Arc<Shared>, hub: &Arc<Hub>) {
        loop {
            if let Stage::Member(member) = &mut self.stage {
                if member.read_after.is_some_and(|after| after > now) {
                    return;
                }
                if member.read_after.take().is_some() {
                    match shared.rooms().held_up(member.number) {
                        Some(wait) if wait.is_zero() => self.hand_on(now, shared),
                        Some(wait) => member.read_after = Some(now + wait),
                        // It drains, and is read so that it can end.
                        None if member.outbox.is_finishing() => {}
                        None => return,
                    }
                    // It has asked to wait again, or was cut off.
                    continue;
                }
            }
            let mut receive = self.connection.recv_stream(stream);
            let Ok(mut chunks) = receive.read(true) else { return };
            let next = chunks.next(CHUNK);
            // What that tells the other side goes with everything else.
            let _ = chunks.finalize();
            match next {
                Ok(Some(chunk)) => self.handle_bytes(&chunk.bytes, stream, now, shared, hub),
                Err(ReadError::Blocked) => return,
                Ok(None) | Err(_) => return self.handle_end(stream, now, shared),
            }
            if self.connection.is_closed() {
                return self.let_go(shared);
            }
        }
    }

    fn handle_bytes(
        &mut self,
        bytes: &[u8],
        stream: StreamId,
        now: Instant,
        shared: &Arc<Shared>,
        hub: &Arc<Hub>,
    ) {
        match &mut self.stage {
            Stage::Hello { bytes: opening, .. } => {
                opening.extend_from_slice(bytes);
                let opening = std::mem::take(opening);
                self.handle_hello(opening, stream, now, shared, hub);
            }
            Stage::Member(member) => {
                member.frames.push(bytes);
                self.hand_on(now, shared);
            }
            // Nobody listens any more.
            Stage::Leaving { .. } => {}
        }
    }

    fn handle_hello(
        &mut self,
        opening: Vec<u8>,
        stream: StreamId,
        now: Instant,
        shared: &Arc<Shared>,
        hub: &Arc<Hub>,
    ) {
        let refusal = match wire::parse_hello(&opening) {
            Hello::Partial(_) => {
                if let Stage::Hello { bytes, .. } = &mut self.stage {
                    *bytes = opening;
                }
                return;
            }
            Hello::Garbage => {
                shared.rooms().counts.refuse(|refusals| &mut refusals.garbage);
                self.stage = Stage::Leaving { number: None, until: now + LINGER };
                return self.end(now, NO_HELLO);
            }
            Hello::OtherVersion => Rejection::Version,
            Hello::Room(room, token, part) => {
                let ring = Arc::clone(hub);
                let way = Way::Quic(Arc::new(move |number| ring.ring(number)));
                match control::join(room, token.as_ref(), part, way, shared) {
                    Ok((number, outbox)) => {
                        let hello = wire::hello(room, token.as_ref(), part);
                        shared.record(Lane::Hello, number, &hello);
                        self.admit(number, outbox, shared);
                        let rest = opening.get(hello.len()..).unwrap_or_default();
                        return self.handle_bytes(rest, stream, now, shared, hub);
                    }
                    Err(refusal) => refusal,
                }
            }
            Hello::Revoke(revocation) => match control::revoke(&revocation, shared) {
                Ok(()) => return self.answer(wire::revoked(), stream, now),
                Err(refusal) => refusal,
            },
        };
        shared.rooms().counts.refuse(|refusals| refusals.of(refusal));
        self.answer(wire::answer(Err(refusal)), stream, now);
    }

    fn admit(&mut self, number: Connection, outbox: Arc<Outbox>, shared: &Shared) {
        self.admitted = true;
        if let Some(number) = self.pending.take() {
            shared.pending().leave(number);
        }
        let frames = Frames::default();
        self.stage = Stage::Member(Member { number, outbox, frames, read_after: None, stuck: None });
        // Its answer is waiting.
        self.rung = true;
    }

    /// Says one last thing.
    fn answer(&mut self, answer: Bytes, stream: StreamId, now: Instant) {
        self.stage = Stage::Leaving { number: None, until: now + LINGER };
        self.unsent = answer;
        self.write(stream, now);
    }

    /// Passes on the messages that have come whole, until the member has to wait.
    fn hand_on(&mut self, now: Instant, shared: &Shared) {
        let Stage::Member(member) = &mut self.stage else { return };
        loop {
            match member.frames.next() {
                Ok(None) => return,
                // Drains: it is read so that it can end, and no more is handed on.
                Ok(Some(_)) if member.outbox.is_finishing() => {}
                Ok(Some(message)) => {
                    shared.record(Lane::Control, member.number, &message);
                    match shared.rooms().handle_control(member.number, &message, now) {
                        Some(wait) if wait.is_zero() => {}
                        Some(wait) => {
                            member.read_after = Some(now + wait);
                            return;
                        }
                        // Cut off meanwhile, for which it is rung.
                        None => return,
                    }
                }
                Err(FrameTooLong) => {
                    shared.rooms().cut(&[member.number]);
                    self.rung = true;
                    return;
                }
            }
        }
    }

    /// The other side has said everything.
    fn handle_end(&mut self, stream: StreamId, now: Instant, shared: &Shared) {
        match &self.stage {
            Stage::Hello { .. } => return self.end(now, NO_HELLO),
            Stage::Leaving { .. } => return,
            Stage::Member(member) => {
                let number = Some(member.number);
                shared.rooms().detach(member.number);
                self.stage = Stage::Leaving { number, until: now + LINGER };
            }
        }
        self.unsent.clear();
        // It fails if the other side has stopped it, which comes to the same.
        let _ = self.connection.send_stream(stream).finish();
    }

    /// Writes what waits, until there is no room for more.
    pub(super) fn write(&mut self, stream: StreamId, now: Instant) {
        if matches!(&self.stage, Stage::Member(member) if member.outbox.is_closed()) {
            return self.end(now, CUT_OFF);
        }
        loop {
            if self.unsent.is_empty() {
                let next = match &self.stage {
                    Stage::Member(member) => member.outbox.poll(),
                    _ => None,
                };
                match (next, &self.stage) {
                    (Some(frame), _) => self.unsent = frame,
                    (None, Stage::Member(member)) if !member.outbox.is_finishing() => return,
                    (None, Stage::Hello { .. }) => return,
                    (None, _) => {
                        // It fails if that was done before.
                        let _ = self.connection.send_stream(stream).finish();
                        return;
                    }
                }
            }
            match self.connection.send_stream(stream).write(&self.unsent) {
                Ok(written) => {
                    self.unsent.advance(written.min(self.unsent.len()));
                    self.stick(None);
                }
                Err(WriteError::Blocked) => return self.stick(Some(now)),
                Err(_) => return,
            }
        }
    }

    fn stick(&mut self, since: Option<Instant>) {
        if let Stage::Member(member) = &mut self.stage {
            member.stuck = since.and(member.stuck).or(since);
        }
    }
}
