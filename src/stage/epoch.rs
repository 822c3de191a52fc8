//! Hall epochs: one secret for everybody who hears, and the chain of base keys that comes of it
//! (`spec/stage.md`, H3).
//!
//! ```text
//! R(n) ──> authenticator(n)                         binds room, number, first step and programme
//!   └────> base key 0 ──10 s──> base key 1 ...      who comes later is given the present one alone
//! ```

use crate::{
    id::Epoch,
    keys::{
        Suite,
        derive::hkdf_sha256,
        frame::first_base_key,
        secret::{DEEP, Secret, scrub_stack},
        speaker::epoch_context,
    },
    media::hall::next_base_key,
};

/// What everybody who hears a hall epoch agrees on. None of it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EpochName {
    /// Grows with each hall epoch: 256 times a count, and who made it.
    pub(super) n: u64,
    /// The hall step in which step 0 of this epoch falls.
    pub(super) first: u32,
    /// Hash of the programme.
    pub(super) programme: [u8; 32],
    /// Differs if anything of it, or the secret, differs.
    pub(super) authenticator: [u8; 32],
}

impl EpochName {
    /// The name of the epoch that has this secret.
    pub(super) fn of(secret: &Secret, group_id: &[u8; 32], n: u64, first: u32, programme: [u8; 32]) -> Self {
        let mut authenticator = [0; 32];
        let place = [&n.to_be_bytes()[..], &first.to_be_bytes()].concat();
        let info: [&[u8]; 4] = [b"sottovoce 2 hall authenticator", group_id, &place, &programme];
        hkdf_sha256(&[], secret.bytes(), &info, &mut authenticator);
        scrub_stack::<DEEP>();
        Self { n, first, programme, authenticator }
    }

    /// The part of the authenticator that beats carry.
    pub(super) fn mark(&self) -> [u8; 16] {
        let [mark @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.authenticator;
        mark
    }

    /// The step of this epoch at a hall step.
    pub(super) fn step(&self, hall_step: u32) -> u32 {
        hall_step.saturating_sub(self.first)
    }
}

/// The base key of one step of a hall epoch. Wiped on drop.
pub(super) struct Base {
    pub(super) name: EpochName,
    /// Counted in the epoch.
    pub(super) step: u32,
    pub(super) key: Secret,
}

impl Base {
    /// The base key of step 0. The secret is the caller's to wipe.
    pub(super) fn first(suite: Suite, secret: &Secret, group_id: &[u8; 32], name: EpochName) -> Self {
        let context = epoch_context(group_id, Epoch(name.n), &name.authenticator);
        Self { name, step: 0, key: first_base_key(suite, secret, &context) }
    }

    /// Goes to the step of this hall step. It never goes back.
    pub(super) fn advance(&mut self, suite: Suite, hall_step: u32) {
        let due = self.name.step(hall_step);
        if due <= self.step {
            return;
        }
        while self.step < due {
            self.key = next_base_key(suite, &self.key);
            self.step += 1;
        }
        scrub_stack::<DEEP>();
    }

    /// The same, for whoever comes in. Copies are made on purpose only.
    pub(super) fn copy(&self) -> Self {
        let bytes = self.key.bytes();
        Self { key: Secret::filled(bytes.len(), |out| out.copy_from_slice(bytes)), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_everything_that_makes_an_epoch_is_in_its_authenticator() {
        let secret = |byte| Secret::wrap(vec![byte; 32]);
        let name = EpochName::of(&secret(1), &[2; 32], 256, 4, [3; 32]);
        let others = [
            EpochName::of(&secret(9), &[2; 32], 256, 4, [3; 32]),
            EpochName::of(&secret(1), &[9; 32], 256, 4, [3; 32]),
            EpochName::of(&secret(1), &[2; 32], 257, 4, [3; 32]),
            EpochName::of(&secret(1), &[2; 32], 256, 5, [3; 32]),
            EpochName::of(&secret(1), &[2; 32], 256, 4, [9; 32]),
        ];
        assert!(others.iter().all(|other| other.authenticator != name.authenticator));
        assert_eq!(name, EpochName::of(&secret(1), &[2; 32], 256, 4, [3; 32]));
    }

    #[test]
    fn h3_who_is_given_a_later_base_key_goes_the_same_way_on() {
        let secret = Secret::wrap(vec![1; 32]);
        let name = EpochName::of(&secret, &[2; 32], 256, 4, [3; 32]);
        for suite in [Suite::Aes128Gcm, Suite::Aes256Gcm] {
            let mut first = Base::first(suite, &secret, &[2; 32], name);
            first.advance(suite, 6);
            assert_eq!(first.step, 2);
            let mut later = first.copy();
            first.advance(suite, 9);
            later.advance(suite, 8);
            later.advance(suite, 9);
            assert!(first.key.bytes() == later.key.bytes());
            later.advance(suite, 3);
            assert_eq!(later.step, 5, "it never goes back");
        }
    }
}
