//! Control messages that wait for a connection, and those that may have been lost with one.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// Both queues are bounded; when one is full the oldest message goes.
#[derive(Default)]
pub(super) struct Messages {
    /// Messages that were sent lately, and when.
    said: VecDeque<(Instant, Bytes)>,
    waiting: VecDeque<Bytes>,
    /// We have reconnected, and heard nobody since: members that lost the same relay may reconnect
    /// later than we do.
    unheard: bool,
}

impl Messages {
    /// Keeps a message until there is a connection.
    pub(super) fn hold(&mut self, message: Bytes) {
        self.waiting.push_back(message);
        bound(&mut self.waiting, Bytes::len);
    }

    /// The message that has waited the longest.
    pub(super) fn first(&self) -> Option<Bytes> {
        self.waiting.front().cloned()
    }

    /// Notes that a message was sent.
    pub(super) fn drop_first(&mut self) {
        self.waiting.pop_front();
    }

    pub(super) fn note_said(&mut self, message: Bytes, now: Instant) {
        let kept = if self.unheard { OTHERS_COME } else { AGAIN };
        self.said.retain(|(at, _)| *at + kept >= now);
        self.said.push_back((now, message));
        bound(&mut self.said, |(_, message)| message.len());
    }

    /// Queues again the messages that may have been lost with a connection that was found lost at
    /// `since`.
    pub(super) fn repeat(&mut self, since: Instant) {
        self.unheard = true;
        self.say_again(|at| at + AGAIN >= since);
    }

    /// Notes that somebody was heard. Messages sent on this connection before may have reached
    /// nobody.
    pub(super) fn hear(&mut self) {
        if std::mem::take(&mut self.unheard) {
            self.say_again(|_| true);
        }
    }

    fn say_again(&mut self, which: impl Fn(Instant) -> bool) {
        let lost = self.said.drain(..).filter(|(at, _)| which(*at));
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = lost.map(|(_, message)| message).chain(waiting).collect();
        bound(&mut self.waiting, Bytes::len);
    }
}

fn bound<M>(queue: &mut VecDeque<M>, length: impl Fn(&M) -> usize) {
    let mut bytes: usize = queue.iter().map(&length).sum();
    while bytes > KEPT {
        let Some(oldest) = queue.pop_front() else { return };
        bytes -= length(&oldest);
    }
}

/// Messages sent this long before a connection was found lost may be lost with it.
const AGAIN: Duration = Duration::from_secs(4);
/// If the others reconnect within this time after us, our messages since then are sent again.
const OTHERS_COME: Duration = Duration::from_secs(20);
/// Bytes of each.
const KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(messages: &mut Messages) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(first) = messages.first() {
            all.push(first[0]);
            messages.drop_first();
        }
        all
    }

    #[test]
    fn what_was_said_just_before_a_loss_comes_again_before_what_waits() {
        let (mut messages, start) = (Messages::default(), Instant::now());
        for second in 0..10 {
            messages.note_said(Bytes::from(vec![second]), start + Duration::from_secs(second.into()));
        }
        messages.hold(Bytes::from_static(&[10]));
        messages.repeat(start + Duration::from_secs(10));
        assert_eq!(drain(&mut messages), [6, 7, 8, 9, 10]);
        messages.repeat(start + Duration::from_secs(10));
        assert!(drain(&mut messages).is_empty());
    }

    #[test]
    fn what_is_said_before_anybody_else_is_back_is_said_again_once() {
        let (mut messages, start) = (Messages::default(), Instant::now());
        messages.note_said(Bytes::from_static(&[1]), start);
        messages.hear();
        assert!(drain(&mut messages).is_empty(), "nothing was lost");
        messages.repeat(start);
        assert_eq!(drain(&mut messages), [1]);
        messages.note_said(Bytes::from_static(&[1]), start);
        messages.note_said(Bytes::from_static(&[2]), start + Duration::from_secs(15));
        messages.hear();
        assert_eq!(drain(&mut messages), [1, 2]);
        messages.hear();
        assert!(drain(&mut messages).is_empty());
    }

    #[test]
    fn an_outage_without_end_keeps_the_newest_messages_only() {
        let mut messages = Messages::default();
        for number in 0..100_u8 {
            messages.hold(Bytes::from(vec![number; 16 * 1024]));
        }
        assert_eq!(drain(&mut messages), (84..100).collect::<Vec<u8>>());
    }
}
