//! A look behind a room, for those who check what it does.

use std::time::{Duration, Instant};

use crate::{
    group::Role,
    id::MemberId,
    law::Rank,
    room::{Room, insider::Kind, seat::Seat, view::role_of},
    wire::{inbox::Inbox, message::Message},
};

/// What a room knows and shows to nobody.
pub struct Witness<'a>(&'a Room);

impl<'a> Witness<'a> {
    /// Looks behind a room.
    pub fn of(room: &'a Room) -> Self {
        Self(room)
    }

    /// The hash of the law that the member knows.
    pub fn known_law(&self) -> Option<[u8; 32]> {
        Some(self.0.memory()?.store.known().hash())
    }

    /// The public name of the epoch and branch that the member is in.
    pub fn branch(&self) -> Option<[u8; 32]> {
        Some(self.0.seat()?.group.branch())
    }

    /// Whether the law in the context of the epoch is the one that the member counts as the
    /// epoch's.
    pub fn agrees_with_its_context(&self) -> bool {
        self.0.seat().is_none_or(|seat| seat.group.context().law == seat.epoch_law.hash())
    }

    /// The hash of the law of the epoch.
    pub fn epoch_law(&self) -> Option<[u8; 32]> {
        Some(self.0.seat()?.epoch_law.hash())
    }

    /// How many commits wait, and how many bytes of messages of later epochs.
    pub fn waits(&self) -> (usize, usize) {
        self.0.seat().map_or((0, 0), |seat| (seat.pending.len(), seat.held.bytes()))
    }

    /// Whether the law that the member knows admits somebody.
    pub fn admits(&self, member: MemberId) -> bool {
        self.0.memory().is_some_and(|memory| {
            let law = memory.store.law();
            law.admits_tag(&law.tag_of(member))
        })
    }

    /// Everybody in the tree whom the law of the epoch does not admit.
    pub fn not_admitted_by_the_epoch(&self) -> Vec<MemberId> {
        self.leaves(|seat, member| !seat.epoch_law.law().admits_tag(&seat.epoch_law.law().tag_of(member)))
    }

    /// Everybody in the tree whom the law that the member knows does not admit.
    pub fn not_admitted(&self) -> Vec<MemberId> {
        self.leaves(|_, member| !self.admits(member))
    }

    /// Whether the law that the member knows lets somebody be heard.
    pub fn lets_speak(&self, member: MemberId) -> bool {
        let Some((memory, seat)) = self.0.memory().zip(self.0.seat()) else { return false };
        let Some(occupant) = seat.group.occupant(member) else { return self.admits(member) };
        let (role, muted) = role_of(memory.store.law(), &occupant.key);
        self.admits(member) && role.may_speak() && !muted
    }

    /// Whether somebody has rank by the law that the member knows.
    pub fn has_rank(&self, member: MemberId) -> bool {
        self.0.memory().is_some_and(|memory| {
            let law = memory.store.law();
            law.rank_of_tag(&law.tag_of(member)) > Rank::None
        })
    }

    /// Whether the rank of the one is above that of the other by the law that the member knows.
    pub fn is_above(&self, one: MemberId, other: MemberId) -> bool {
        self.0.memory().is_some_and(|memory| {
            let law = memory.store.law();
            law.rank_of_tag(&law.tag_of(one)) > law.rank_of_tag(&law.tag_of(other))
        })
    }

    /// Whose word gives somebody its role, by the law that the member knows; `None` if it is the
    /// table.
    pub fn said_by(&self, member: MemberId) -> Option<MemberId> {
        let law = self.0.memory()?.store.law();
        Some(law.role_word(&law.tag_of(member))?.content().issuer.id())
    }

    /// How many bytes the law that the member knows takes in a Welcome.
    pub fn law_len(&self) -> usize {
        self.0.memory().map_or(0, |memory| memory.store.known().encode().len())
    }

    /// Everybody of rank by the law that the member knows, with the host first.
    pub fn ranked(&self) -> Vec<MemberId> {
        let Some(memory) = self.0.memory() else { return Vec::new() };
        let law = memory.store.law();
        let moderators = law.moderators().iter().map(|moderator| moderator.key.id());
        [law.host().id()].into_iter().chain(moderators).collect()
    }

    /// The roles that the roster shows and that the law of the epoch does not give.
    pub fn wrong_roles(&self) -> Vec<(MemberId, Role)> {
        let Some(seat) = self.0.seat() else { return Vec::new() };
        let wrong = |member: &&crate::group::Member| {
            let key = crate::id::IdentityKey::from_bytes(member.key);
            role_of(seat.epoch_law.law(), &key) != (member.role, member.muted)
        };
        seat.members.iter().filter(wrong).map(|member| (member.id, member.role)).collect()
    }

    /// When the newest word of somebody in the epoch was made, by the clock of the member.
    pub fn heard(&self, member: MemberId) -> Option<Instant> {
        self.0.seat()?.presence.heard(member)
    }

    /// When the leaf of somebody says that it was made, in Unix milliseconds.
    pub fn made_ms(&self, member: MemberId) -> Option<u64> {
        Some(self.0.seat()?.group.occupant(member)?.made_ms)
    }

    /// Whether the member has a place and asks for one elsewhere.
    pub fn asks_elsewhere(&self) -> bool {
        self.0.seat().is_some_and(|seat| seat.returning.is_some())
    }

    /// What the member is about, in a few words: whom it asks for its place, and what waits while
    /// it keeps.
    pub fn story(&self, now: Instant) -> String {
        let Some((memory, seat)) = self.0.memory().zip(self.0.seat()) else { return String::new() };
        let keeps = seat.keeper.as_ref().map(|keeper| keeper.story(now));
        let returns = seat.returning.as_ref().map(|returning| returning.story(now));
        let law = memory.store.known();
        format!(
            "keeps {keeps:?}, returns {returns:?}, fault {:?}, takes part {}, law {} of {} bytes, epoch's law is {}",
            seat.fault,
            seat.takes_part(now),
            law.ids().len(),
            law.encode().len(),
            if law.hash() == seat.epoch_law.hash() { "the same" } else { "another" },
        )
    }

    /// Whether the member asked its keeper in vain for its place lately (K2).
    pub fn asked_in_vain(&self, now: Instant) -> bool {
        self.0.seat().is_some_and(|seat| seat.turns.asked_in_vain(now))
    }

    /// Why the member's keeper counts as silent, if it does, in a few words.
    pub fn keeper_story(&self, now: Instant) -> String {
        let Some((memory, seat)) = self.0.memory().zip(self.0.seat()) else { return String::new() };
        seat.turns.story(&seat.view(memory, now))
    }

    /// Everything that the member wants to be called for, and in how long; what is due has no time
    /// left.
    pub fn agenda(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        let Some((memory, seat)) = self.0.memory().zip(self.0.seat()) else { return Vec::new() };
        let view = seat.view(memory, now);
        let times = [
            ("schedule", seat.schedule.poll_timeout()),
            ("liveness", seat.liveness.poll_timeout(&view)),
            ("takeover", seat.takes_part(now).then(|| seat.turns.takeover_at(&view)).flatten()),
            (
                "keeper",
                seat.keeper
                    .as_ref()
                    .map(|keeper| keeper.poll_timeout(seat.liveness.proof(), seat.returning.is_none(), now)),
            ),
            ("returning", seat.returning.as_ref().map(|returning| returning.poll_timeout())),
            ("showing", seat.showing.poll_timeout()),
            ("missing", Some(seat.missing.poll_timeout())),
            ("doors", memory.doors.as_ref().and_then(|doors| doors.poll_timeout())),
            ("door", memory.doors.as_ref().map(|_| seat.door_at(now))),
            ("renewal", Some(seat.renew_at)),
            ("people", Some(seat.people_at(now))),
            ("reports", self.0.out.reports_timeout()),
        ];
        let in_time = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now));
        times.into_iter().filter_map(|(what, at)| Some((what, in_time(at)?))).collect()
    }

    /// What kind of message an envelope holds, if it holds a whole one.
    pub fn kind(&self, envelope: &[u8]) -> Option<Kind> {
        let whole = Inbox::default().receive(&self.0.out.lane, envelope, self.0.now).ok()??;
        Message::decode(&whole).ok().map(|message| Kind::of(&message))
    }

    fn leaves(&self, which: impl Fn(&Seat, MemberId) -> bool) -> Vec<MemberId> {
        let Some(seat) = self.0.seat() else { return Vec::new() };
        let leaves = seat.group.roster().iter().map(|member| member.id);
        leaves.filter(|member| which(seat, *member)).collect()
    }
}
