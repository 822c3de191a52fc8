//! Opens envelopes and puts the fragments of long messages together, within bounds (`spec/control.md`, section 14.1).
//!
//! Everybody who holds or held an invite can send fragments, so an inbox has to choose what it forgets when
//! it is full. A fragment proves to which message it belongs, hence forged fragments only ever begin
//! messages of their own, and these are forgotten before a message that comes on.

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
    /// The last messages that were completed, oldest first: late copies of their fragments are dropped.
    done: VecDeque<Id>,
}

/// A message of which some parts are there.
#[derive(Default)]
struct Partial {
    /// Ascending by index, each with the time at which it came.
    parts: Vec<(u16, Instant, Box<[u8]>)>,
    /// The sizes of the envelopes that brought the parts: what a sender had to send for its place here.
    charged: usize,
    /// The value of [`Inbox::turn`] at the last part.
    turn: u64,
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
        let partial = self.open.entry(id).or_default();
        let Err(at) = partial.parts.binary_search_by_key(&index, |(index, ..)| *index) else {
            return None;
        };
        self.turn += 1;
        partial.parts.insert(at, (index, now, part.into()));
        partial.charged += size;
        partial.turn = self.turn;
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
        let parts: Vec<_> = whole.parts.into_iter().map(|(.., part)| part).collect();
        Some(parts.concat())
    }

    /// Forgets messages until the rest fits: first those of which the fewest parts came lately, of these the
    /// one that moved on longest ago. Parts that came before do not count, or whoever once sent many could
    /// hold the inbox by sending one now and then.
    fn forget_until_it_fits(&mut self, now: Instant) {
        while self.held > BUDGET {
            let order = |(_, partial): &(&Id, &Partial)| (partial.lately(now), partial.turn);
            let Some(least) = self.open.iter().min_by_key(order).map(|(id, _)| *id) else { return };
            if let Some(forgotten) = self.open.remove(&least) {
                self.held -= forgotten.charged;
            }
        }
    }
}

impl Partial {
    /// How many parts came in the last [`LATELY`].
    fn lately(&self, now: Instant) -> usize {
        self.parts.iter().filter(|(_, at, _)| now.saturating_duration_since(*at) < LATELY).count()
    }
}

impl<'a> Fragment<'a> {
    /// The count of parts follows from the length of the message, and the length of the part from both.
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
/// Besides the parts an inbox keeps less than 300 bytes for each message that it waits for and 48 for each
/// part. Of both there are at most 8,192, since an envelope has 1 KiB or more.
const BUDGET: usize = 8 << 20;
/// A part counts for its message so long.
const LATELY: Duration = Duration::from_secs(10);
/// Completed messages that are remembered.
const MAX_DONE: usize = 64;

#[cfg(test)]
mod tests;
