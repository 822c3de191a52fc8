//! What an honest person of rank signs (`spec/law.md`, L31 to L34).
//!
//! ```text
//! Act > words that fit the window > Standings
//!     > what takes a table, or does not fit > Table: all that the host knows, and the act
//! ```

use std::collections::BTreeMap;

use crate::{group::Identity, id::IdentityKey};

use super::{
    act::Act,
    answers::{Law, MAX_HAND_OVERS, MAX_TAGS, WINDOW},
    draft::{Demoted, Draft},
    places::{InviteState, Position, Rank},
    standing::{Register, Role, RoleWord, Standing, Word},
    statement::{Genuine, GenuineStatement, Statement, StatementId},
    store::Store,
    table::{Moderator, Term},
    terms::{NOBODY, Tag},
};

/// How many standings may count, beyond those that the host's last table left out, before the host
/// signs another: a quarter of what the table lists, 32 at least and 256 at most (L32).
pub(crate) fn take_in_at(law: &Law) -> usize {
    (law.rest().entries().len() / 4).clamp(LEAST_TAKEN_IN, MAX_TAGS)
}

const LEAST_TAKEN_IN: usize = 32;

/// Signs what makes `act` the law, from what the signer knows.
///
/// `now_ms` is Unix time, `random` gives the terms of promotions, `seen` says of which tags the
/// signer has seen a leaf or a knock. The result has to be merged into the store, and kept durably,
/// before it is sent.
///
/// # Errors
/// [`ActError`] says why the signer cannot do this, and what else would help.
pub(crate) fn sign(
    act: Act,
    identity: &Identity,
    store: &Store,
    now_ms: u64,
    random: &mut dyn FnMut() -> [u8; 16],
    seen: &dyn Fn(&Tag) -> bool,
) -> Result<Vec<Statement>, ActError> {
    let signer = Signer::new(identity, store).map_err(|error| match error {
        // A moderator could not do this either.
        ActError::NoRank if act.is_for_the_host() => ActError::HostOnly,
        other => other,
    })?;
    let said = |words: &[(Tag, Word)]| signer.say(words, now_ms, seen);
    let law = signer.law;
    match act {
        Act::Admit { who, role, used_up } => {
            signer.is_without_rank(&who)?;
            let position = law.standing_of(&who);
            if role == Role::Out || position.is_admitted() {
                return Err(ActError::AlreadySo);
            }
            if position.banned {
                return Err(ActError::Banned);
            }
            let mut words = vec![(who, Word::Role(RoleWord::new(role, false)))];
            words.extend(used_up.map(|invite| (invite, Word::Role(RoleWord::OUT))));
            said(&words)
        }
        Act::SetRole { who, role } => {
            let position = signer.member_without_rank(&who)?;
            if role == position.role || role == Role::Out {
                return Err(ActError::AlreadySo);
            }
            said(&[(who, Word::Role(RoleWord::new(role, position.muted)))])
        }
        Act::Mute { who } => signer.mute(who, true, now_ms, seen),
        Act::Unmute { who } => signer.mute(who, false, now_ms, seen),
        Act::Remove { who } => match signer.moderator(&who)? {
            Some(moderator) => signer.dismiss(moderator, &[], RoleWord::OUT, false, now_ms, seen),
            None if law.said_about(&who).role == RoleWord::OUT => Err(ActError::AlreadySo),
            None => said(&[(who, Word::Role(RoleWord::OUT))]),
        },
        Act::Ban { who } => match signer.moderator(&who)? {
            Some(moderator) => signer.dismiss(moderator, &[], RoleWord::LISTENER, true, now_ms, seen),
            None => signer.ban(who, now_ms, seen),
        },
        Act::Unban { who } => {
            signer.is_without_rank(&who)?;
            signer.unban(who, now_ms, seen)
        }
        Act::Promote { who } => {
            signer.is_host()?;
            let tag = law.tag(&who);
            signer.member_without_rank(&tag)?;
            let mut draft = Draft::new(&signer, &Demoted::nobody(), &[tag], seen);
            draft.raise(tag);
            draft.promote(who, random)?;
            draft.sign(&signer, *signer.key(), now_ms, seen)
        }
        Act::Demote { who, keep, banned } => {
            signer.is_host()?;
            let moderator = *law.rest().moderator(&who).ok_or(ActError::NotAModerator)?;
            signer.dismiss(moderator, &keep, RoleWord::LISTENER, banned, now_ms, seen)
        }
        Act::HandOver { to } => {
            signer.is_host()?;
            let (tag, own) = (law.tag(&to), law.tag(signer.key()));
            if to == *signer.key() {
                return Err(ActError::AlreadySo);
            }
            if !law.admits_tag(&tag) {
                return Err(ActError::NotAdmitted);
            }
            if law.chain().len() >= MAX_HAND_OVERS {
                return Err(ActError::Full);
            }
            // Its term as a moderator ends, and its words with it: none of them is to fall.
            let mut draft = Draft::new(&signer, &Demoted::heir(law, &to), &[tag, own], seen);
            draft.moderators.retain(|moderator| moderator.key != to);
            draft.raise(tag);
            draft.raise(own);
            draft.set(own, RoleWord::LISTENER, false);
            draft.sign(&signer, to, now_ms, seen)
        }
        Act::Close => {
            signer.is_host()?;
            Draft::new(&signer, &Demoted::nobody(), &[], seen).sign(&signer, NOBODY, now_ms, seen)
        }
        Act::TakeIn => {
            signer.is_host()?;
            Draft::new(&signer, &Demoted::nobody(), &[], seen).sign(&signer, *signer.key(), now_ms, seen)
        }
        Act::MakeInvite { invite, role } => {
            if role == Role::Out || law.invite(&invite) == Some(InviteState::Live(role)) {
                return Err(ActError::AlreadySo);
            }
            said(&[(invite, Word::Role(RoleWord::new(role, false)))])
        }
        Act::RevokeInvite { invite } => match law.invite(&invite) {
            Some(InviteState::Live(_)) => said(&[(invite, Word::Role(RoleWord::OUT))]),
            _ => Err(ActError::AlreadySo),
        },
        Act::Lock => signer.ban(Tag::LOCK, now_ms, seen),
        Act::Unlock => signer.unban(Tag::LOCK, now_ms, seen),
    }
}

/// One of the signer's own standings, and when it was signed.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    /// The standing.
    pub(crate) standing: Genuine<Standing>,
    /// Unix time in ms.
    pub(crate) made_ms: u64,
}

/// How long after its signing a word is signed again above a table that could not know it.
pub(crate) const RENEWED_FOR_MS: u64 = 60_000;
/// A table signed less than this after a word may not have known it.
pub(crate) const UNKNOWN_FOR_MS: u64 = 2_000;

/// L33: the signer's Bans and admissions of the last minute, signed again above the base of a table
/// that neither lists nor could know them.
///
/// A word of a term that has ended is not renewed: the host ended it knowingly.
pub(crate) fn renewals(identity: &Identity, store: &Store, recent: &[Recent], now_ms: u64) -> Vec<Statement> {
    let Ok(signer) = Signer::new(identity, store) else { return Vec::new() };
    let law = signer.law;
    let mut latest: BTreeMap<(Tag, Register), &Recent> = BTreeMap::new();
    for recent in recent.iter().filter(|recent| now_ms.saturating_sub(recent.made_ms) <= RENEWED_FOR_MS) {
        let said = recent.standing.content();
        if said.issuer == *signer.key() && said.term == signer.term {
            let place = latest.entry((said.about, said.word.register())).or_insert(recent);
            if said.n > place.standing.content().n {
                *place = recent;
            }
        }
    }
    let lost = latest.into_values().filter(|recent| {
        let said = recent.standing.content();
        let wanted = match said.word {
            Word::Ban => !law.said_about(&said.about).banned,
            Word::Role(role) => {
                role.role() != Role::Out && law.said_about(&said.about).role.role() == Role::Out
            }
            Word::Unban => false,
        };
        let listed = law.rest().entry(&said.about).is_some();
        let known = law.table_no().is_none_or(|no| no >= recent.made_ms.saturating_add(UNKNOWN_FOR_MS));
        wanted && !law.hears(said) && !(listed && known)
    });
    lost.filter_map(|recent| {
        let said = recent.standing.content();
        signer.word(said.about, said.word, 0).map(|standing| signer.statement(standing))
    })
    .collect()
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ActError {
    /// The room is over.
    Over,
    /// The signer has no rank.
    NoRank,
    /// Only the host may do this.
    HostOnly,
    /// It is about the host, who can only hand over or leave.
    AboutHost,
    /// It is about a moderator: demote it first, or let the host do this.
    AboutModerator,
    /// It is about somebody who is no moderator.
    NotAModerator,
    /// The person is not admitted: admit it first.
    NotAdmitted,
    /// The person is banned: take the ban back first.
    Banned,
    /// The ban is not the signer's own: only the host can lift it.
    NotYours,
    /// The law says so already.
    AlreadySo,
    /// The signer's window or one of the law's bounds is used up: a moderator waits for a table of
    /// the host, a host puts somebody out first.
    Full,
    /// There is no greater table number: the host has to hand over.
    Exhausted,
}

impl std::fmt::Display for ActError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Over => "the room is over",
            Self::NoRank => "only the host and moderators may do this",
            Self::HostOnly => "only the host may do this",
            Self::AboutHost => "nobody may do this to the host",
            Self::AboutModerator => "a moderator may not do this to a moderator",
            Self::NotAModerator => "this person is no moderator",
            Self::NotAdmitted => "this person is not in the room",
            Self::Banned => "this person is banned",
            Self::NotYours => "only the host may lift a ban of somebody else",
            Self::AlreadySo => "this is so already",
            Self::Full => "a bound of the room's law is reached",
            Self::Exhausted => "the host's table has the greatest number that there is",
        })
    }
}

impl std::error::Error for ActError {}

/// Somebody of rank, and what it knows.
pub(super) struct Signer<'a> {
    pub(super) identity: &'a Identity,
    pub(super) store: &'a Store,
    pub(super) law: &'a Law,
    pub(super) key: IdentityKey,
    pub(super) term: Term,
}

pub(super) type Seen<'a> = &'a dyn Fn(&Tag) -> bool;

impl<'a> Signer<'a> {
    pub(super) fn new(identity: &'a Identity, store: &'a Store) -> Result<Self, ActError> {
        let law = store.law();
        if law.is_over() {
            return Err(ActError::Over);
        }
        let key = IdentityKey::from_bytes(*identity.public());
        let term = law.term_of(&key).ok_or(ActError::NoRank)?;
        Ok(Self { identity, store, law, key, term })
    }

    fn key(&self) -> &IdentityKey {
        &self.key
    }

    fn is_host(&self) -> Result<(), ActError> {
        if self.key == *self.law.host() { Ok(()) } else { Err(ActError::HostOnly) }
    }

    fn is_without_rank(&self, tag: &Tag) -> Result<(), ActError> {
        match self.law.rank_of_tag(tag) {
            Rank::None => Ok(()),
            Rank::Moderator => Err(ActError::AboutModerator),
            Rank::Host => Err(ActError::AboutHost),
        }
    }

    fn member_without_rank(&self, tag: &Tag) -> Result<Position, ActError> {
        self.is_without_rank(tag)?;
        let position = self.law.standing_of(tag);
        if position.is_admitted() { Ok(position) } else { Err(ActError::NotAdmitted) }
    }

    /// The moderator behind a tag, about whom the signer may speak if it is host.
    fn moderator(&self, tag: &Tag) -> Result<Option<Moderator>, ActError> {
        match self.is_without_rank(tag) {
            Err(ActError::AboutModerator) if self.is_host().is_ok() => {
                let key = self.law.key_of_rank(tag);
                Ok(key.and_then(|key| self.law.rest().moderator(key)).copied())
            }
            other => other.map(|()| None),
        }
    }

    fn ban(&self, who: Tag, now_ms: u64, seen: Seen<'_>) -> Result<Vec<Statement>, ActError> {
        let own = |ban: &Genuine<Standing>| ban.content().issuer == self.key;
        let said = self.law.said_about(&who);
        // The host makes a moderator's ban its own; a moderator adds to a ban of somebody else.
        let settled = self.is_host().is_ok() && said.banned && self.law.bans(&who).is_empty();
        if settled || self.law.bans(&who).iter().any(own) {
            return Err(ActError::AlreadySo);
        }
        self.say(&[(who, Word::Ban)], now_ms, seen)
    }

    fn unban(&self, who: Tag, now_ms: u64, seen: Seen<'_>) -> Result<Vec<Statement>, ActError> {
        if !self.law.said_about(&who).banned {
            return Err(ActError::AlreadySo);
        }
        let own = |ban: &Genuine<Standing>| ban.content().issuer == self.key;
        if self.is_host().is_err() && !self.law.bans(&who).iter().any(own) {
            return Err(ActError::NotYours);
        }
        self.say(&[(who, Word::Unban)], now_ms, seen)
    }

    fn mute(&self, who: Tag, muted: bool, now_ms: u64, seen: Seen<'_>) -> Result<Vec<Statement>, ActError> {
        if let Some(moderator) = self.moderator(&who)? {
            if moderator.muted == muted {
                return Err(ActError::AlreadySo);
            }
            let mut draft = Draft::new(self, &Demoted::nobody(), &[], seen);
            let of_key = draft.moderators.iter_mut().filter(|other| other.key == moderator.key);
            of_key.for_each(|moderator| moderator.muted = muted);
            return draft.sign(self, self.key, now_ms, seen);
        }
        let position = self.member_without_rank(&who)?;
        if position.muted == muted {
            return Err(ActError::AlreadySo);
        }
        self.say(&[(who, Word::Role(RoleWord::new(position.role, muted)))], now_ms, seen)
    }

    /// A table without this moderator.
    fn dismiss(
        &self,
        moderator: Moderator,
        keep: &[StatementId],
        role: RoleWord,
        banned: bool,
        now_ms: u64,
        seen: Seen<'_>,
    ) -> Result<Vec<Statement>, ActError> {
        let tag = self.law.tag(&moderator.key);
        let demoted = Demoted { key: Some(moderator.key), keep: keep.iter().copied().collect() };
        let mut draft = Draft::new(self, &demoted, &[tag], seen);
        draft.moderators.retain(|other| other.key != moderator.key);
        draft.raise(tag);
        draft.set(tag, role, banned);
        draft.sign(self, self.key, now_ms, seen)
    }

    /// Standings if all words fit the window; else the host's table, and for a moderator nothing.
    fn say(&self, words: &[(Tag, Word)], now_ms: u64, seen: Seen<'_>) -> Result<Vec<Statement>, ActError> {
        let mut standings = Vec::new();
        for (new, (about, word)) in words.iter().enumerate() {
            standings.extend(self.word(*about, *word, new));
        }
        if standings.len() == words.len() {
            return Ok(standings.into_iter().map(|standing| self.statement(standing)).collect());
        }
        self.is_host().map_err(|_| ActError::Full)?;
        let tags: Vec<_> = words.iter().map(|(tag, _)| *tag).collect();
        let mut draft = Draft::new(self, &Demoted::nobody(), &tags, seen);
        for (about, word) in words {
            let n = self.next(*about, word.register()).unwrap_or(u32::MAX);
            draft.say(*about, *word, n);
        }
        draft.sign(self, self.key, now_ms, seen)
    }

    /// L31: the word with the next number, if that is in the window; `new` other tags are spoken
    /// about at once.
    fn word(&self, about: Tag, word: Word, new: usize) -> Option<Standing> {
        let next = self.next(about, word.register())?;
        let numbers = self.law.numbers(&about);
        let base = match word.register() {
            Register::Role => numbers.base_n,
            Register::Ban => numbers.base_bn,
        };
        // Another moderator's number at the end of the window does not stand in the way of a Ban,
        // which counts beside it.
        let last = base.saturating_add(WINDOW);
        let beside = word == Word::Ban
            && self.is_host().is_err()
            && self.store.own(self.term, about, Register::Ban).max(self.law.settled_bn(&about)) < last;
        let n = if beside { next.min(last) } else { next };
        let (tags, spoken) = self.law.spoken_about(&self.key, word.register(), &about);
        let fits = n > base && n - base <= WINDOW && (spoken || tags + new < MAX_TAGS);
        fits.then_some(Standing { issuer: self.key, term: self.term, about, word, n })
    }

    fn next(&self, about: Tag, register: Register) -> Option<u32> {
        let numbers = self.law.numbers(&about);
        let known = match register {
            Register::Role => numbers.n,
            Register::Ban => numbers.bn,
        };
        known.max(self.store.own(self.term, about, register)).checked_add(1)
    }

    fn statement(&self, standing: Standing) -> Statement {
        let genuine = Genuine::sign(standing, self.identity, self.store.known().group_id());
        GenuineStatement::Standing(genuine).statement()
    }
}
