//! Messages that came before the commit or the welcome that they need (SPEC section 7.8).

use std::collections::VecDeque;

/// A bounded number of messages, to be tried again.
#[derive(Default)]
pub(super) struct Held {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Held {
    /// Keeps a message, unless too much is kept already.
    pub(super) fn keep(&mut self, message: Vec<u8>) -> Result<(), Overflow> {
        if self.messages.len() >= MAX_MESSAGES || self.bytes + message.len() > MAX_BYTES {
            return Err(Overflow);
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        Ok(())
    }

    /// Everything, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}

/// Too much is kept already.
pub(super) struct Overflow;

const MAX_MESSAGES: usize = 256;
const MAX_BYTES: usize = 256 * 1024;
