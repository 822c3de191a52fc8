//! Opens envelopes and puts the fragments of long messages together, within bounds
//! (`spec/control.md`, section 14.1).
//!
//! Everybody who holds or held an invite can send fragments, so an inbox has to choose what it
//! forgets when it is full. A fragment proves to which message it belongs, hence forged fragments
//! only ever begin messages of their own, and these are forgotten before a message that comes on:
//! one that moved on lately, or one of many parts.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    envelope::{EnvelopeError, FRAGMENT, LaneKey, MAX_MESSAGE, MAX_WHOLE, PART, WHOLE},
    parts::{Id, Path},
};
use crate::group::codec::{Malformed, Reader};

/// Messages that lack fragments.
#[derive(Default)]
pub(crate) struct Inbox {
    open: HashMap<Id, Partial>,
    /// What the messages in `open` are charged, together.
    held: usize,
    /// Counts fragments that were kept, so that of two messages it is known which moved on last.
    turn: u64,
    /// The last messages that were completed, oldest first: late copies of their fragments are
    /// dropped.
    done: VecDeque<Id>,
}

/// A message of which some parts are there.
struct Partial {
    /// Ascending by index.
    parts: Vec<(u16, Box<[u8]>)>,
    /// The sizes of the envelopes that brought the parts: what a sender had to send for its place
    /// here.
    charged: usize,
    /// The value of [`Inbox::turn`] at the last part.
    turn: u64,
    /// When the last part came.
    at: Instant,
}

/// A fragment that belongs to the message with this id.
struct Fragment<'a> {
    id: Id,
    index: u16,
    count: usize,
    part: &'a [u8],
}

impl Inbox {
    /// Takes an envelope; a whole message comes out when its last part is in.
    ///
    /// # Errors
    /// [`EnvelopeError`] says why the envelope was dropped. Nothing has changed then.
    pub(crate) fn receive(
        &mut self,
        lane: &LaneKey,
        envelope: &[u8],
        now: Instant,
    ) -> Result<Option<Vec<u8>>, EnvelopeError> {
        let content = lane.open(envelope)?;
        let mut reader = Reader::new(&content);
        match reader.u8() {
            Ok(WHOLE) => Ok(Some(reader.rest().to_vec())),
            Ok(FRAGMENT) => {
                let fragment = Fragment::read(reader).map_err(|Malformed| EnvelopeError::Malformed)?;
                Ok(self.keep(fragment, envelope.len(), now))
            }
            _ => Err(EnvelopeError::Malformed),
        }
    }

    fn keep(&mut self, fragment: Fragment<'_>, size: usize, now: Instant) -> Option<Vec<u8>> {
        let Fragment { id, index, count, part } = fragment;
        if self.done.contains(&id) {
            return None;
        }
        let partial = self.open.entry(id).or_insert_with(|| Partial::new(now));
        let Err(at) = partial.parts.binary_search_by_key(&index, |(index, _)| *index) else {
            return None;
        };
        self.turn += 1;
        partial.parts.insert(at, (index, part.into()));
        partial.charged += size;
        (partial.turn, partial.at) = (self.turn, now);
        self.held += size;
        if partial.parts.len() < count {
            self.forget_until_it_fits(now);
            return None;
        }
        let whole = self.open.remove(&id)?;
        self.held -= whole.charged;
        self.done.push_back(id);
        if self.done.len() > MAX_DONE {
            self.done.pop_front();
        }
        let parts: Vec<_> = whole.parts.into_iter().map(|(_, part)| part).collect();
        Some(parts.concat())
    }

    /// Forgets messages until the rest fits. Those that moved on last, of half the budget together,
    /// stay: nobody sends so much between two parts of one message. Of the others those go first
    /// that stand still, the longest still one before the others; then those of the fewest parts,
    /// of these the one that moved on longest ago.
    fn forget_until_it_fits(&mut self, now: Instant) {
        while self.held > BUDGET {
            let stays_from = self.turn_of_the_last_half();
            let order = |(_, partial): &(&Id, &Partial)| {
                let moves = now.saturating_duration_since(partial.at) < STILL;
                (moves, if moves { partial.parts.len() } else { 0 }, partial.turn)
            };
            let others = self.open.iter().filter(|(_, partial)| partial.turn < stays_from);
            let Some(least) = others.min_by_key(order).map(|(id, _)| *id) else { return };
            if let Some(forgotten) = self.open.remove(&least) {
                self.held -= forgotten.charged;
            }
        }
    }

    /// Messages whose last part has this turn or a later one are charged half the budget together,
    /// at most.
    fn turn_of_the_last_half(&self) -> u64 {
        let mut turns: Vec<_> = self.open.values().map(|partial| (partial.turn, partial.charged)).collect();
        turns.sort_unstable_by(|one, other| other.cmp(one));
        let mut charged = 0;
        let fits = |(_, size): &&(u64, usize)| {
            charged += size;
            charged <= BUDGET / 2
        };
        turns.iter().take_while(fits).last().map_or(u64::MAX, |(turn, _)| *turn)
    }
}

impl Partial {
    fn new(now: Instant) -> Self {
        Self { parts: Vec::new(), charged: 0, turn: 0, at: now }
    }
}

impl<'a> Fragment<'a> {
    /// The count of parts follows from the length of the message, and the length of the part from
    /// both.
    fn read(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let nonce = reader.array()?;
        let length = reader.u32()?;
        let index = reader.u16()?;
        let whole = usize::try_from(length).map_err(|_| Malformed)?;
        if whole <= MAX_WHOLE || whole > MAX_MESSAGE {
            return Err(Malformed);
        }
        let (at, count) = (usize::from(index), whole.div_ceil(PART));
        if at >= count {
            return Err(Malformed);
        }
        let path = Path::read(&mut reader, at, count)?;
        let part = reader.bytes(PART.min(whole - at * PART))?;
        reader.finish()?;
        Ok(Self { id: path.id(&nonce, length, part), index, count, part })
    }
}

/// The envelopes whose parts an inbox holds, in bytes: 8 MiB, two of the longest messages.
///
/// Besides the parts an inbox keeps less than 300 bytes for each message that it waits for and 48
/// for each part. Of both there are at most 8,192, since an envelope has 1 KiB or more.
const BUDGET: usize = 8 << 20;
/// After this time without a new part a message stands still.
const STILL: Duration = Duration::from_secs(10);
/// Completed messages that are remembered.
const MAX_DONE: usize = 64;

#[cfg(test)]
mod tests;
