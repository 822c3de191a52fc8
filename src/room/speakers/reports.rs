//! Where a room and reports meet: announcing, believing announcements, publishing keys, making a
//! report (SPEC section 12).

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    announcing::announce,
    vouched::{Heard, Publication},
};
use crate::{
    group::announce::SpeakerKey,
    id::Leaf,
    keys::secret::Secret,
    media::{Authenticity, OpenRekey, PacketSize, Rekey},
    report::{Buffer, Draft, Excerpt, ExcerptError, ModerationKey, Part, PublishedKey, Retention, Taken},
    room::{
        Room, Violation, error::ControlError, event::Ending, memory::Memory, outbox::Outbox, phase::Phase,
        seat::Seat,
    },
    wire::message::Message,
};

impl Room {
    /// A recorder for this room, to be owned by the audio thread; `None` until we are in, and in
    /// rooms whose packets are not signed.
    pub fn recorder(&self, keep: Retention, now: Instant) -> Option<Buffer> {
        let terms = self.memory()?.store.known().terms();
        (terms.authenticity == Authenticity::Signed).then(|| Buffer::new(keep, terms.packet_size, now))
    }

    /// Makes a report of what a recorder of this room kept: a file that only the moderator can
    /// read.
    ///
    /// It can be made for as long as the recorder keeps what it shows, also by somebody who was
    /// removed; not by somebody who left, or when the room was closed.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn report(&self, excerpt: &Excerpt, to: &ModerationKey) -> Result<Vec<u8>, ReportError> {
        let vouched = &self.out.reports.vouched;
        let member = excerpt.member().ok_or(ReportError::Empty)?;
        let (group_id, room) = vouched.room().ok_or(ReportError::Unvouched)?;
        let mut parts: Vec<Part> = Vec::new();
        let mut size = 0;
        for frame in excerpt.frames() {
            // What is not vouched for any more is a gap, and does not spoil the rest.
            let Some(entry) = vouched.find(member, &frame.speaker_context) else { continue };
            size = frame.packet.len();
            let taken = Taken {
                step: frame.step,
                kid: frame.kid,
                counter: frame.counter,
                salt: frame.salt,
                packet: frame.packet.to_vec(),
            };
            match parts.iter_mut().find(|part| part.epoch_context == entry.epoch_context) {
                Some(part) => part.frames.push(taken),
                None => parts.push(Part {
                    epoch: entry.epoch,
                    epoch_context: entry.epoch_context,
                    leaf: entry.leaf.0,
                    leaf_key: entry.leaf_key,
                    credential: entry.credential.clone(),
                    key: entry.key,
                    frames: vec![taken],
                }),
            }
        }
        let packet_size = u16::try_from(size).ok().and_then(|size| PacketSize::new(size).ok());
        let packet_size = packet_size.ok_or(ReportError::Unvouched)?;
        let mut draft = Draft { group_id: group_id.clone(), room: room.clone(), packet_size, parts };
        draft.sort();
        let plain = Secret::wrap(draft.encode().map_err(|_| ReportError::TooLarge)?);
        to.seal(&plain).map_err(|failure| ReportError::Hpke(failure.0))
    }

    /// How long after an epoch our speaker key of it is published, from the next epoch on; half an
    /// hour until this is called, and never less. `None` is never.
    ///
    /// After that, nobody can prove to outsiders what we said: anybody can have made it up. Others
    /// keep to it only while this value lives and is asked for what it has to send, also when the
    /// room is over for us.
    pub fn publish_speaker_keys(&mut self, after: Option<Duration>) {
        self.out.reports.expiry.set(after);
    }

    /// The private halves of speaker keys that were published in this room when their time was
    /// over, ours included; the newest 1,024.
    ///
    /// A speaker who publishes its key before that is not heard under it from then on, and takes
    /// nothing back.
    ///
    /// The further they are known, the less anybody proves with what was recorded.
    pub fn published_keys(&self) -> impl Iterator<Item = PublishedKey> + '_ {
        self.out.reports.published.iter().copied()
    }

    /// Publishes speaker keys that are due.
    pub(in crate::room) fn publish(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Returning(_) | Phase::Over) {
            self.out.end_epoch(now);
        }
        self.out.publish_spent(now);
    }
}

impl Seat {
    /// Silences whoever has not announced its key for too long, and announces our own again.
    pub(in crate::room) fn tend_speakers(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        for leaf in out.reports.vouched.grow_stale(out.clock.unix(now)) {
            self.schedule.withdraw_speaker(leaf);
        }
        if let (Some(holds), Some(key)) = (out.reports.expiry.renew(now), self.schedule.speaker_key()) {
            // What fails here fails again in five minutes; others then stop hearing us.
            let _ = announce(out, &mut self.group, memory.store.known().terms(), key, holds, now);
        }
    }

    /// Takes the announcement of a speaker key.
    pub(in crate::room) fn hear_speaker_key(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        from: Leaf,
        key: SpeakerKey,
        now: Instant,
    ) -> Result<(), Violation> {
        let member = self.members.iter().find(|member| member.leaf == from);
        if !member.is_some_and(|member| member.role.may_speak() && !member.muted) {
            return Err(Violation::NoRight);
        }
        let unix = out.clock.unix(now);
        match out.reports.vouched.hear(&self.group, memory.store.known().terms(), from, key, unix)? {
            Heard::Begins => {
                self.schedule.handle_speaker(from, key.public).map_err(|_| Violation::NoRight)?;
                self.restrict(memory, Some(from));
                Ok(())
            }
            Heard::Continues => Ok(()),
        }
    }
}

impl Room {
    /// Takes private halves of speaker keys that a member publishes. Each proves itself: its public
    /// half was announced.
    ///
    /// One that is published before its time silences its speaker and is not counted as published.
    pub(in crate::room) fn hear_spent(
        &mut self,
        seeds: &[[u8; 32]],
        now: Instant,
    ) -> Result<(), ControlError> {
        let unix = self.out.clock.unix(now);
        let reports = &mut self.out.reports;
        let (mut news, mut withdrawn, mut too_many) = (false, Vec::new(), false);
        for key in seeds.iter().map(|seed| PublishedKey::from_bytes(*seed)) {
            if reports.published.contains(&key) {
                continue;
            }
            if !reports.looked_at.0.take((), now) {
                too_many = true;
                break;
            }
            match reports.vouched.publish(&key.public(), unix) {
                Publication::Unknown => {}
                Publication::Due => {
                    reports.note_published(key);
                    news = true;
                }
                Publication::Early(places) => {
                    news |= !places.is_empty();
                    let places = places.into_iter();
                    withdrawn.extend(places.map(|(at, leaf)| Rekey::Open(OpenRekey::withdraw(at, leaf))));
                }
            }
        }
        self.out.rekey(withdrawn);
        match (news, too_many) {
            (_, true) => Err(ControlError::Flood),
            (true, false) => Ok(()),
            (false, false) => Err(ControlError::Repeated),
        }
    }
}

impl Outbox {
    /// The present epoch is over, for the announcements that were heard and for our own key.
    pub(in crate::room) fn end_epoch(&mut self, now: Instant) {
        self.reports.vouched.end_epoch(now);
        self.reports.expiry.end_epoch(now);
    }

    /// What vouches for what was recorded goes with the room, unless somebody else put us out.
    pub(in crate::room) fn end_reports(&mut self, ending: &Ending) {
        if !matches!(ending, Ending::Removed { .. }) {
            self.reports.vouched.clear();
        }
    }

    fn publish_spent(&mut self, now: Instant) {
        loop {
            let seeds = self.reports.expiry.publish(now);
            if seeds.is_empty() {
                return;
            }
            seeds.iter().for_each(|seed| self.reports.note_published(PublishedKey::from_bytes(*seed)));
            let _ = self.send(&Message::Spent(seeds));
        }
    }

    pub(in crate::room) fn reports_timeout(&self) -> Option<Instant> {
        let stale = self.reports.vouched.stale_at().map(|at| self.clock.instant(at));
        [stale, self.reports.expiry.poll_timeout()].into_iter().flatten().min()
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportError {
    /// There is no excerpt of what was heard.
    Excerpt(ExcerptError),
    /// There is nothing in the excerpt.
    Empty,
    /// What binds these packets to an identity is not here: they are from another room, too old, or
    /// we left.
    Unvouched,
    /// It would have more than 33,001 packets or 255 epochs: take a shorter window.
    TooLarge,
    /// The moderation key cannot be sealed to; the text is for a report of the fault.
    Hpke(String),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excerpt(error) => error.fmt(f),
            Self::Empty => f.write_str("there is nothing to report in the excerpt"),
            Self::Unvouched => f.write_str("what binds these packets to an identity is not here any more"),
            Self::TooLarge => f.write_str("a report of a shorter window would fit, this one does not"),
            Self::Hpke(what) => write!(f, "the moderation key cannot be sealed to: {what}"),
        }
    }
}

impl std::error::Error for ReportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Excerpt(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ExcerptError> for ReportError {
    fn from(error: ExcerptError) -> Self {
        Self::Excerpt(error)
    }
}
