//! The messages of the application that a member keeps (`spec/messages.md`, Q4, Q5, Q7, Q9).

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{hands::Hands, message::Audience};
use crate::room::bounded::Rate;
#[cfg(test)]
use crate::wire::app::Again;
use crate::{
    id::{Epoch, MemberId},
    keys::EpochSecret,
    wire::app::{AgainKey, Note, Run},
};

/// One member's side of what is written in the room.
pub(in crate::room) struct Messages {
    pub(super) run: Run,
    pub(super) number: u64,
    /// Our own of the last ten seconds.
    pub(super) said: Rate<()>,
    /// The messages that may have to be sent again, the newest last.
    pub(super) sent: VecDeque<Sent>,
    /// The newest of each member.
    pub(super) heard: BTreeMap<MemberId, (Run, u64)>,
    pub(super) taken: Rate<MemberId>,
    pub(super) tried: Rate<MemberId>,
    /// The epochs that we were in lately, the present one last.
    pub(super) epochs: VecDeque<Lived>,
    pub(super) hands: Hands,
}

/// An epoch that we were in.
pub(super) struct Lived {
    pub(super) epoch: Epoch,
    pub(super) branch: [u8; 32],
    pub(super) key: AgainKey,
    pub(super) began: Instant,
    ended: Option<Instant>,
}

/// Our own messages, until no member can lack them any more.
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) branch: [u8; 32],
    pub(super) number: u64,
    pub(super) audience: Audience,
    /// To whom it was sealed; nobody if it was to all.
    pub(super) to: Vec<MemberId>,
    pub(super) note: Note,
    /// How often it was said again.
    pub(super) times: u8,
}

impl Messages {
    pub(in crate::room) fn new(run: Run) -> Self {
        Self {
            run,
            number: 0,
            said: Rate::new(MAX_SAID, WINDOW),
            sent: VecDeque::new(),
            heard: BTreeMap::new(),
            taken: Rate::new(MAX_TAKEN, WINDOW),
            tried: Rate::new(MAX_TRIED_OF_ONE, A_SECOND),
            epochs: VecDeque::new(),
            hands: Hands::default(),
        }
    }

    /// An epoch begins, in this branch.
    pub(in crate::room) fn begin_epoch(
        &mut self,
        epoch: Epoch,
        branch: [u8; 32],
        secret: &EpochSecret,
        now: Instant,
    ) {
        if let Some(before) = self.epochs.back_mut() {
            before.ended = Some(now);
        }
        self.forget_epochs(now);
        if self.epochs.len() >= MAX_EPOCHS {
            self.epochs.pop_front();
        }
        let key = AgainKey::derive(secret);
        self.epochs.push_back(Lived { epoch, branch, key, began: now, ended: None });
    }

    /// The room is over, or our place is lost.
    pub(in crate::room) fn leave_epoch(&mut self, now: Instant) {
        if let Some(last) = self.epochs.back_mut() {
            last.ended.get_or_insert(now);
        }
    }

    pub(super) fn forget_epochs(&mut self, now: Instant) {
        self.epochs.retain(|lived| lived.ended.is_none_or(|ended| now < ended + AGAIN_FOR));
        self.sent.retain(|sent| now < sent.at + AGAIN_FOR);
    }
}

#[cfg(test)]
impl Messages {
    pub(in crate::room) fn run(&self) -> Run {
        self.run
    }

    /// The branch of the first epoch whose key is there still.
    pub(in crate::room) fn first_branch(&self) -> [u8; 32] {
        self.epochs.front().map(|lived| lived.branch).expect("we were in one")
    }

    /// Messages made by a member that was in a branch.
    pub(in crate::room) fn again_of(&self, run: &Run, number: u64, note: &Note, branch: [u8; 32]) -> Again {
        let lived = self.epochs.iter().find(|lived| lived.branch == branch).expect("we were in it");
        Again::new(run, number, note, branch, &lived.key, [5; 32])
    }

    /// The keys that were tried in the last second.
    pub(in crate::room) fn tried(&self, now: Instant) -> usize {
        self.tried.total(now)
    }
}

const A_SECOND: Duration = Duration::from_secs(1);
/// Messages of one member that others take within [`WINDOW`] (Q5).
const MAX_SAID: usize = 20;
const MAX_TAKEN: usize = 40;
const WINDOW: Duration = Duration::from_secs(10);
/// Keys that are tried in a second (Q7).
pub(super) const MAX_TRIED_OF_ONE: usize = 34;
pub(super) const MAX_TRIED: usize = 128;
/// How long something is said again (Q9).
pub(super) const AGAIN_FOR: Duration = Duration::from_secs(10);
const MAX_EPOCHS: usize = 16;
