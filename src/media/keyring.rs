//! What an opener holds: the senders of an epoch and the keys of its live steps (SPEC section 4.5).
//!
//! ```text
//! EpochRing  senders[leaf]            steps[step mod 4]
//!                                        StepRing  table[KID] > sender, slot
//!                                                  slots[..]  > frame key, replay window
//! ```
//!
//! Everything is made on the control thread. On the audio thread a ring only moves, and a sender's
//! frame key is in its slot already. Only where there are more senders than slots is a key expanded
//! when the first packet of a step comes, into a slot that is there.

use super::{
    profile::{Authenticity, PacketSize},
    replay::Window,
    stats::SpeakerStats,
};
use crate::{
    id::{Epoch, KeyId, Leaf, MemberId, Step},
    keys::{
        frame::{FrameKey, StepSecret},
        kid::{NO_SLOT, Table},
        secret::{DEEP, scrub_stack},
    },
};

/// One epoch as an opener sees it.
pub(crate) struct EpochRing {
    pub(crate) epoch: Epoch,
    pub(crate) context: [u8; 32],
    pub(crate) authenticity: Authenticity,
    pub(crate) packet_size: PacketSize,
    /// Ascending by leaf, in the order that the tables index.
    pub(crate) senders: Box<[Sender]>,
    /// Leaves that the commit into this epoch removed, ascending: they have no grace in the epoch
    /// before.
    removed: Box<[Leaf]>,
    steps: [Option<Box<StepRing>>; 4],
    /// Steps before this one are over, and do not come back with their replay windows empty.
    first: Step,
}

impl EpochRing {
    pub(crate) fn new(
        epoch: Epoch,
        context: [u8; 32],
        authenticity: Authenticity,
        packet_size: PacketSize,
        senders: Box<[Sender]>,
        mut removed: Box<[Leaf]>,
    ) -> Self {
        removed.sort_unstable();
        Self {
            epoch,
            context,
            authenticity,
            packet_size,
            senders,
            removed,
            steps: [const { None }; 4],
            first: Step(0),
        }
    }

    /// Puts a step in its place; what stood there, four steps older, comes back.
    ///
    /// A step that is there already stays, with its replay windows; one that was retired is handed
    /// back.
    pub(crate) fn install(&mut self, ring: Box<StepRing>) -> Option<Box<StepRing>> {
        if ring.step < self.first {
            return Some(ring);
        }
        match self.steps.get_mut(place(ring.step.0)) {
            Some(Some(present)) if present.step >= ring.step => Some(ring),
            Some(place) => place.replace(ring),
            None => Some(ring),
        }
    }

    /// Takes out the steps before `first`.
    pub(crate) fn retire(&mut self, first: Step) -> [Option<Box<StepRing>>; 4] {
        self.first = self.first.max(first);
        self.steps.each_mut().map(|place| place.take_if(|ring| ring.step < first))
    }

    /// The step, the slot used last and the sender of a KID, if it is anybody's in a live step.
    #[inline]
    pub(crate) fn find(&mut self, kid: KeyId) -> Option<(&mut StepRing, u16, &mut Sender)> {
        let ring = self.steps.get_mut(place(kid.0 as u32))?.as_deref_mut()?;
        let entry = ring.table.find(kid)?;
        let (sender, slot) = (usize::from(entry.sender), entry.slot);
        Some((ring, slot, self.senders.get_mut(sender)?))
    }

    pub(crate) fn knows(&mut self, kid: KeyId) -> bool {
        self.find(kid).is_some()
    }

    pub(crate) fn sender_mut(&mut self, leaf: Leaf) -> Option<&mut Sender> {
        let index = self.senders.binary_search_by_key(&leaf, |sender| sender.leaf).ok()?;
        self.senders.get_mut(index)
    }

    /// Whether a speaker of the epoch before still is one.
    pub(crate) fn keeps(&self, leaf: Leaf, member: MemberId) -> bool {
        let heard = |sender: &Sender| sender.member == member && sender.standing != Standing::Muted;
        let same = self.sender(leaf).is_some_and(heard);
        same && self.removed.binary_search(&leaf).is_err()
    }

    pub(crate) fn sender(&self, leaf: Leaf) -> Option<&Sender> {
        let index = self.senders.binary_search_by_key(&leaf, |sender| sender.leaf).ok()?;
        self.senders.get(index)
    }
}

/// A leaf that may speak in an epoch.
pub(crate) struct Sender {
    pub(crate) leaf: Leaf,
    pub(crate) standing: Standing,
    pub(crate) member: MemberId,
    /// The announced speaker key and the hash that its signatures are bound to.
    pub(crate) key: [u8; 32],
    pub(crate) context: [u8; 32],
    /// Whether it has a place of its own in what receivers keep for reports.
    pub(crate) is_first: bool,
    pub(crate) stats: SpeakerStats,
}

/// What an opener does with a sender's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Opens them.
    Ready,
    /// Signatures are required and the speaker key has not been announced yet.
    Unannounced,
    /// They are our own, come back.
    Own,
    /// A moderator has silenced the sender.
    Muted,
}

/// One step of one epoch.
pub(crate) struct StepRing {
    pub(crate) step: Step,
    secret: StepSecret,
    table: Table,
    slots: Box<[Slot]>,
    /// Slots given out so far, in order.
    used: usize,
    /// Where the search for a slot to reuse goes on.
    hand: usize,
}

/// A frame key in use, with the counters it has opened.
pub(crate) struct Slot {
    kid: KeyId,
    key: Option<FrameKey>,
    pub(crate) window: Window,
    pub(crate) failures: u32,
}

impl StepRing {
    /// A step with that many slots. If they are enough for everybody, all keys but our own are
    /// expanded now.
    pub(crate) fn new(
        step: Step,
        secret: StepSecret,
        table: Table,
        slots: usize,
        own: Option<KeyId>,
    ) -> Self {
        let vacant = || Slot { kid: KeyId(0), key: None, window: Window::new(), failures: 0 };
        // A vacant slot is copied from the stack with whatever lies where its key will be: our own
        // keys, just made.
        scrub_stack::<DEEP>();
        let kids: Vec<KeyId> = table.kids().filter(|kid| Some(*kid) != own).collect();
        let slots = (0..slots).map(|_| vacant()).collect();
        let mut ring = Self { step, secret, table, slots, used: 0, hand: 0 };
        if kids.len() <= ring.slots.len() {
            for kid in kids {
                ring.fill(kid);
            }
        }
        ring
    }

    /// The slot with the key of `kid`, expanded now if need be. `None` when every slot is in use.
    ///
    /// `used` is where it was last time.
    #[inline]
    pub(crate) fn slot(&mut self, kid: KeyId, used: u16) -> Option<(&FrameKey, &mut Window, &mut u32)> {
        let here = usize::from(used);
        let index = match self.slots.get(here) {
            Some(slot) if slot.kid == kid => here,
            _ => self.expand(kid)?,
        };
        let slot = self.slots.get_mut(index)?;
        Some((slot.key.as_ref()?, &mut slot.window, &mut slot.failures))
    }

    /// Makes the key of `kid`, and leaves no copy of it on the audio thread's stack.
    #[cold]
    fn expand(&mut self, kid: KeyId) -> Option<usize> {
        let index = self.fill(kid)?;
        scrub_stack::<DEEP>();
        Some(index)
    }

    /// Gives `kid` a slot: a fresh one, or one whose key has never opened anything.
    ///
    /// A slot with opened counters is never given away: its replay window must live as long as its
    /// key.
    #[inline(never)]
    fn fill(&mut self, kid: KeyId) -> Option<usize> {
        let index = if self.used < self.slots.len() {
            self.used += 1;
            self.used - 1
        } else {
            let reusable = |index: &usize| self.slots.get(*index).is_some_and(|slot| slot.window.is_empty());
            let span = self.slots.len();
            let index = (0..span.min(REUSE_SCAN)).map(|i| (self.hand + i) % span).find(reusable);
            self.hand = (self.hand + REUSE_SCAN) % span.max(1);
            index?
        };
        let slot = self.slots.get_mut(index)?;
        slot.key = Some(self.secret.frame_key(kid));
        slot.kid = kid;
        slot.failures = 0;
        self.table.find(kid)?.slot = u16::try_from(index).unwrap_or(NO_SLOT);
        Some(index)
    }
}

/// How many slots are looked at for one to reuse: a bound on what one packet can cost.
const REUSE_SCAN: usize = 8;

fn place(number: u32) -> usize {
    (number & 3) as usize
}
