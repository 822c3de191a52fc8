//! Messages about the hall of a stage room, kept until somebody asks for them (`spec/stage.md`,
//! H1).

use std::collections::VecDeque;

use crate::{
    id::{IdentityKey, Leaf, MemberId},
    wire::saying::Hidden,
};

/// Something about the hall, authenticated by MLS as from one leaf.
pub(crate) struct Said {
    pub(crate) from: MemberId,
    pub(crate) key: IdentityKey,
    pub(crate) leaf: Leaf,
    pub(crate) bytes: Hidden,
}

/// The newest sayings about the hall, 256 at most.
#[derive(Default)]
pub(super) struct Heard(VecDeque<Said>);

impl Heard {
    pub(super) fn push(&mut self, said: Said) {
        if self.0.len() >= MAX_SAID {
            self.0.pop_front();
        }
        self.0.push_back(said);
    }

    pub(super) fn pop(&mut self) -> Option<Said> {
        self.0.pop_front()
    }
}

const MAX_SAID: usize = 256;
