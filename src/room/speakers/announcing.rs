//! Announcing our speaker key (SPEC section 12.2).

use std::time::Instant;

use crate::{
    Seed,
    group::announce::SpeakerKey,
    id::UnixTime,
    law::Terms,
    media::Schedule,
    mls::{Failure, Group},
    room::outbox::Outbox,
    wire::{message::Message, saying::Saying},
};

/// Begins an epoch in which our speaker key is that of `seed`, and announces it.
pub(in crate::room) fn begin_speaking(
    out: &mut Outbox,
    group: &mut Group,
    terms: &Terms,
    schedule: &Schedule,
    seed: Seed,
    now: Instant,
) -> Result<(), Failure> {
    match schedule.speaker_key() {
        Some(key) => {
            // Only we know when ours is due.
            out.reports.vouched.know(key, out.id(), UnixTime(u64::MAX));
            let holds = out.reports.expiry.begin_epoch(seed, now);
            announce(out, group, terms, key, holds, now)
        }
        None => Ok(()),
    }
}

pub(super) fn announce(
    out: &mut Outbox,
    group: &mut Group,
    terms: &Terms,
    public: [u8; 32],
    holds: u32,
    now: Instant,
) -> Result<(), Failure> {
    let place = group.place_of(group.own_leaf(), &terms.name);
    let key = SpeakerKey::new(public, out.clock.unix(now), holds, &place, |text| group.sign_as_leaf(text));
    let message = group.seal(&Saying::SpeakerKey(key).encode())?;
    out.send(&Message::Mls(message)).map_err(|_| Failure::of("an announcement is too long"))
}
