//! Whom a listener believes to be of rank: doors with badges of the host, as for newcomers of rooms
//! (`spec/room.md`, E2; `spec/stage.md`, H8).

use std::time::{Duration, Instant};

use crate::{
    id::IdentityKey,
    law::{GroupId, Office},
    room::hall::follow,
    stage::{error::AudienceError, wire::Beat},
    wire::{
        answer::RefuseReason,
        door::{Door, door_name},
        invite::Invite,
        signed::{Genuine, Signed},
        statements::Statements,
    },
};

/// The doors that a listener knows, and what their porters said last.
pub(super) struct Doorways {
    group_id: [u8; 32],
    host: IdentityKey,
    office: Office,
    /// The number of the invite, in its office.
    least: u64,
    chain: Vec<(IdentityKey, Office)>,
    newest_no: u64,
    /// The number before that, which counts for a while: badges follow a table within a minute.
    before: (u64, Option<Instant>),
    doors: Vec<Known>,
    second: Option<Instant>,
    checked: [u32; 2],
}

/// A door, and what its porter said last.
pub(super) struct Known {
    shown: Signed<Door>,
    door: Genuine<Door>,
    pub(super) name: [u8; 16],
    pub(super) beat: Option<(Beat, Instant)>,
    pub(super) refused: Option<RefuseReason>,
    /// It was asked in vain.
    pub(super) vain_until: Option<Instant>,
}

impl Known {
    pub(super) fn hpke(&self) -> &[u8] {
        self.door.content().hpke()
    }

    fn answer_key(&self) -> [u8; 32] {
        self.door.content().badge().answer_key
    }
}

impl Doorways {
    pub(super) fn new(invite: &Invite) -> Self {
        Self {
            group_id: invite.group_id,
            host: invite.host,
            office: Office(invite.office),
            least: invite.no,
            chain: Vec::new(),
            newest_no: invite.no,
            before: (invite.no, None),
            doors: Vec::new(),
            second: None,
            checked: [0; 2],
        }
    }

    pub(super) fn get(&self, name: &[u8; 16]) -> Option<&Known> {
        self.doors.iter().find(|known| known.name == *name)
    }

    pub(super) fn get_mut(&mut self, name: &[u8; 16]) -> Option<&mut Known> {
        self.doors.iter_mut().find(|known| known.name == *name)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Known> {
        self.doors.iter()
    }

    /// Takes a door whose badge is of the host that the invite leads to.
    pub(super) fn hear_door(&mut self, shown: Signed<Door>, now: Instant) -> Result<(), AudienceError> {
        if self.doors.iter().any(|known| known.shown == shown) {
            return Ok(());
        }
        let (host, office) = self.chain.last().copied().unwrap_or((self.host, self.office));
        let badge = shown.claimed().badge();
        let least = if self.chain.is_empty() { self.least } else { 0 };
        if badge.office != office.0 || badge.no < least.max(self.least_no(now)) {
            return Err(AudienceError::Repeated);
        }
        self.spend(Kind::Other, now)?;
        let (no, name) = (badge.no, door_name(&badge.answer_key));
        let door = shown.clone().verify(&self.group_id, &host).map_err(|_| AudienceError::Signature)?;
        if no > self.newest_no {
            let before = if self.doors.is_empty() { (least, None) } else { (self.least_no(now), Some(now)) };
            (self.before, self.newest_no) = (before, no);
        }
        let before = self.doors.iter().position(|known| known.name == name).map(|at| self.doors.remove(at));
        if self.doors.len() >= MAX_DOORS {
            return Err(AudienceError::Flood);
        }
        let beat = before.and_then(|known| known.beat);
        self.doors.push(Known { shown, door, name, beat, refused: None, vain_until: None });
        Ok(())
    }

    /// The least number that a badge may have. A newer table takes rank from whoever has no badge
    /// of it, once all others have had time to get theirs.
    fn least_no(&self, now: Instant) -> u64 {
        match self.before {
            (no, Some(since)) if now < since + BADGES_FOLLOW => no,
            (no, None) => no,
            _ => self.newest_no,
        }
    }

    /// Forgets whoever has no badge of the newest table any more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = self.before.1.is_some_and(|since| since + BADGES_FOLLOW <= now);
        if due {
            let no = self.newest_no;
            self.before = (no, None);
            self.doors.retain(|known| known.door.content().badge().no >= no);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.before.1.map(|since| since + BADGES_FOLLOW)
    }

    /// Takes what a porter says of itself, once.
    pub(super) fn hear_beat(&mut self, beat: Beat, now: Instant) -> Result<(), AudienceError> {
        let known = self.get(&beat.porter).ok_or(AudienceError::OtherPorter)?;
        if known.beat.as_ref().is_some_and(|(last, _)| beat.time_ms <= last.time_ms) {
            return Err(AudienceError::Repeated);
        }
        let answer_key = known.answer_key();
        self.spend(Kind::Beat, now)?;
        beat.verify(&answer_key, &self.group_id).map_err(|_| AudienceError::Signature)?;
        if let Some(known) = self.get_mut(&beat.porter) {
            known.beat = Some((beat, now));
        }
        Ok(())
    }

    /// Follows hand-overs.
    pub(super) fn hear_chain(&mut self, tables: &Statements, now: Instant) -> Result<(), AudienceError> {
        self.spend(Kind::Other, now)?;
        let before = self.chain.len();
        follow(&mut self.chain, (self.host, self.office), tables, &GroupId(self.group_id));
        if self.chain.len() > before {
            self.doors.clear();
            (self.newest_no, self.before) = (0, (0, None));
        }
        Ok(())
    }

    /// What holders of invites send costs so many signature checks in a second, and no more. Beats
    /// have a count of their own, so that made up doors do not keep them away.
    fn spend(&mut self, kind: Kind, now: Instant) -> Result<(), AudienceError> {
        if self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.checked) = (Some(now), [0; 2]);
        }
        let [beats, others] = &mut self.checked;
        let (checked, most) = match kind {
            Kind::Beat => (beats, MAX_BEATS),
            Kind::Other => (others, MAX_CHECKS),
        };
        *checked = checked.saturating_add(1);
        if *checked > most { Err(AudienceError::Flood) } else { Ok(()) }
    }
}

/// What is checked.
#[derive(Clone, Copy)]
enum Kind {
    Beat,
    /// A door, a hand-over.
    Other,
}

/// As many as a room has people of rank.
const MAX_DOORS: usize = 17;
const MAX_CHECKS: u32 = 24;
const MAX_BEATS: u32 = 200;
/// How long badges of the table before count.
const BADGES_FOLLOW: Duration = Duration::from_secs(75);
