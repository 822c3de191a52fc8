//! The way back: a member asks a keeper for its place, and enters what agrees with the law that it
//! knows (SPEC section 7, rules R1 to R6). The keeper is not trusted with anything.

use std::time::{Duration, Instant};

use super::{
    error::WelcomeError,
    freshness::Freshness,
    outbox::Outbox,
    petition::Petition,
    place::Place,
    sealing::send_show,
    shown,
    target::Target,
    violation::Violation,
    welcome::{check_sender, check_tree, read_law},
};
use crate::{
    defence::{Defence, holds},
    group::KeyExchange,
    id::{IdentityKey, MemberId},
    law::{Law, LiveSet, Store},
    mls::{Entry, EntryError, Failure},
    wire::{
        message::Message,
        show::{Broken, ShowContent, Wish},
        statements::Statements,
    },
};

/// A member that asks for its place again, whether it still has one in a branch that lost or none
/// at all.
pub(super) struct Returning {
    key_exchange: KeyExchange,
    targets: Vec<Target>,
    asking: Option<Asking>,
    /// Keepers that did not let us in for ten seconds, and until when they are passed over. Kept
    /// for longer, so that of several each is asked in its turn.
    ignoring: Vec<(MemberId, Instant)>,
    ask_at: Instant,
    pub(super) began: Instant,
    /// A commit that is broken for us is why we return.
    pub(super) broken: Option<Broken>,
    is_slow: bool,
    /// Whether our part in our own epoch rests while we ask (K9).
    rests: bool,
}

struct Asking {
    target: MemberId,
    since: Instant,
    petition: Petition,
}

impl Returning {
    pub(super) fn new(key_exchange: KeyExchange, ask_at: Instant, now: Instant) -> Self {
        Self {
            key_exchange,
            targets: Vec::new(),
            asking: None,
            ignoring: Vec::new(),
            ask_at,
            began: now,
            broken: None,
            is_slow: false,
            rests: true,
        }
    }

    /// Our part in our own epoch rests until we are let in, or asked in vain.
    pub(super) fn rest(&mut self) {
        self.rests = true;
    }

    /// Our part in our own epoch goes on until somebody lets us in.
    pub(super) fn go_on(&mut self) {
        self.rests = false;
    }

    /// Whether our part in our own epoch rests while we ask.
    pub(super) fn rests(&self) -> bool {
        self.rests
    }

    /// Describes which keepers it asks and may ask, for logs.
    #[cfg(feature = "testkit")]
    pub(super) fn story(&self, now: Instant) -> String {
        let target = |target: &Target| (target.key.id(), now.saturating_duration_since(target.heard_at));
        let asking = self.asking.as_ref().map(|asking| (asking.target, now - asking.since));
        let ignoring = self.ignoring.iter().map(|(id, until)| (*id, until.saturating_duration_since(now)));
        format!(
            "asks {asking:?} in {:?} of {:?}, passes over {:?}, since {:?}, slow {}",
            self.ask_at.saturating_duration_since(now),
            self.targets.iter().map(target).collect::<Vec<_>>(),
            ignoring.collect::<Vec<_>>(),
            now.saturating_duration_since(self.began),
            self.is_slow,
        )
    }

    /// A keeper of another branch, or of an epoch that we lack, was heard.
    pub(super) fn hear(&mut self, target: Target) {
        self.targets
            .retain(|other| other.key != target.key && other.heard_at + TARGET_HOLDS > target.heard_at);
        if self.targets.len() >= MAX_TARGETS && self.asked_in_vain(target.key.id()).is_none() {
            // Those who did not let us in do not hold all places.
            let in_vain = |other: &Target| self.asked_in_vain(other.key.id()).is_some();
            if let Some(place) = self.targets.iter().position(in_vain) {
                self.targets.remove(place);
            }
        }
        if self.targets.len() < MAX_TARGETS {
            if self.targets.is_empty() && self.asking.is_none() {
                self.ask_at = self.ask_at.min(target.heard_at);
            }
            self.targets.push(target);
        }
    }

    /// Somebody of rank has put us out: asks once a minute from now on. Returns whether that is
    /// new.
    pub(super) fn slow_down(&mut self) -> bool {
        !std::mem::replace(&mut self.is_slow, true)
    }

    /// What put us out was taken back: asks as often as others again.
    pub(super) fn speed_up(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_slow) {
            self.ask_at = self.ask_at.min(now + SPED_UP);
        }
    }

    /// We are connected again: what was asked before may be lost. A member that asks slowly goes on
    /// so.
    pub(super) fn ask_now(&mut self, now: Instant) {
        if !self.is_slow {
            self.ask_at = self.ask_at.min(now);
        }
    }

    /// Another keeps our own epoch: we forget that we asked that one in vain elsewhere, and ask
    /// neither it nor keepers of less rank. Returns whether nobody is left to ask (R3).
    pub(super) fn stay_with(&mut self, keeper: &IdentityKey, law: &Law) -> bool {
        self.ignoring.retain(|(id, _)| *id != keeper.id());
        let asked_it = self.asking.as_ref().is_some_and(|asking| asking.target == keeper.id());
        let rank = law.rank_of(keeper);
        let gone = |target: &mut Target| target.key == *keeper || law.rank_of(&target.key) < rank;
        for target in self.targets.extract_if(.., gone) {
            self.asking.take_if(|asking| asking.target == target.key.id());
        }
        asked_it || self.targets.is_empty()
    }

    /// Whether anybody can be asked.
    pub(super) fn has_target(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Until when a keeper is or was passed over, because it did not let us in lately.
    pub(super) fn asked_in_vain(&self, keeper: MemberId) -> Option<Instant> {
        self.ignoring.iter().filter(|(id, _)| *id == keeper).map(|(_, until)| *until).max()
    }

    /// Until when our own branch is to go on though we ask elsewhere: nobody let us in for ten
    /// seconds.
    pub(super) fn in_vain_until(&self, now: Instant) -> Option<Instant> {
        (self.began + IN_VAIN <= now).then(|| now + IGNORED_FOR)
    }

    /// Asks, if it is time to.
    pub(super) fn handle_timeout(
        &mut self,
        out: &mut Outbox,
        store: &Store,
        seen: &Freshness,
        now: Instant,
    ) -> Result<(), Failure> {
        self.targets.retain(|target| target.heard_at + TARGET_HOLDS > now);
        self.ignoring.retain(|(_, until)| *until + REMEMBERED_FOR > now);
        if now < self.ask_at {
            return Ok(());
        }
        self.ask_at = if self.is_slow { now + ASK_SLOWLY } else { out.again(now) };
        if let Some(asking) = self.asking.take_if(|asking| asking.since + IN_VAIN <= now)
            && holds(Defence::InVain)
        {
            self.ignoring.retain(|(id, _)| *id != asking.target);
            self.ignoring.push((asking.target, now + IGNORED_FOR));
        }
        let Some(target) = self.choose(store) else {
            return out.send(&Message::Call).map_err(|_| Failure::of("a call is too long"));
        };
        let key = target.key;
        let made_ms = made_ms(&target, out, store, seen, now);
        let group_id = store.known().group_id().0;
        let fresh = self.asking.take().filter(|asking| asking.target == key.id());
        let since = fresh.as_ref().map_or(now, |asking| asking.since);
        let petition = match fresh {
            Some(asking) if asking.petition.sent < SAME_KEY_PACKAGE => asking.petition,
            _ => Petition::new(out, &group_id, self.key_exchange, made_ms, now)?,
        };
        let asking = self.asking.insert(Asking { target: key.id(), since, petition });
        let statements = if target.known_law == store.known().hash() {
            Statements::default()
        } else {
            shown::all(store.known())
        };
        let reference = *asking.petition.reference();
        let content = ShowContent {
            key: IdentityKey::from_bytes(*out.identity.public()),
            one_use: asking.petition.one_use_key(),
            time_ms: out.clock.unix_ms(now),
            wish: Wish::Return {
                key_package: asking.petition.applicant.key_package().to_vec(),
                broken: self.broken,
            },
            statements,
        };
        asking.petition.sent += 1;
        if !self.is_slow && now < since + IN_VAIN {
            // Another keeper has its turn as soon as this one was asked in vain.
            self.ask_at = self.ask_at.min(since + IN_VAIN);
        }
        send_show(out, self.key_exchange, &group_id, &target.door_key, reference, content)
    }

    /// The first in the order of those that are admitted and were not asked in vain; else the one
    /// that was asked the longest ago.
    fn choose(&self, store: &Store) -> Option<Target> {
        let law = store.law();
        let usable = self.targets.iter().filter(|target| target.is_host || law.admits(&target.key));
        let place = |target: &&Target| (self.asked_in_vain(target.key.id()), Place::of(law, &target.key));
        usable.min_by_key(place).cloned()
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.ask_at
    }

    /// The petition that an answer may be about.
    pub(super) fn petition(&mut self) -> Option<&mut Petition> {
        self.asking.as_mut().map(|asking| &mut asking.petition)
    }

    /// Checks a Welcome against the law that we know (R4). Nothing changes if it does not hold.
    pub(super) fn check(
        &mut self,
        welcome: &[u8],
        store: &Store,
        own: IdentityKey,
    ) -> Result<(Entry, LiveSet), WelcomeError> {
        let Some(asking) = &self.asking else { return Err(EntryError::NotForUs.into()) };
        let entry = asking.petition.applicant.open(welcome)?;
        let (_, epoch_law) = read_law(&entry, &store.known().group_id().0, own)?;
        if !store.pins().is_contained_in(epoch_law.law()) {
            return Err(WelcomeError::Rule(Violation::HandOver));
        }
        check_sender(&entry, epoch_law.law())?;
        check_tree(&entry, epoch_law.law())?;
        let mut joint = store.clone();
        let _ = joint.merge(Vec::new(), &epoch_law);
        check_tree(&entry, joint.law())?;
        Ok((entry, epoch_law))
    }

    /// The petition that was answered.
    pub(super) fn into_petition(self) -> Option<Petition> {
        self.asking.map(|asking| asking.petition)
    }
}

/// What a KeyPackage for this keeper says, in Unix milliseconds (R2).
///
/// The keeper's time counts, so that a clock of ours that is wrong by minutes does not keep us out;
/// but not much ahead of what we know, so that a keeper cannot ask for KeyPackages from the future.
/// It is always above all that we made before: the leaf that we come in by makes every KeyPackage
/// that was not used worthless.
fn made_ms(target: &Target, out: &Outbox, store: &Store, seen: &Freshness, now: Instant) -> u64 {
    let since = u64::try_from(now.saturating_duration_since(target.heard_at).as_millis()).unwrap_or(u64::MAX);
    let known_ms = out.clock.unix_ms(now).max(store.law().table_no().unwrap_or(0));
    let keepers_ms = target.time_ms.saturating_add(since).min(known_ms.saturating_add(AHEAD_MS));
    keepers_ms.max(out.newest_made_ms(seen).saturating_add(1))
}

const MAX_TARGETS: usize = 8;
const TARGET_HOLDS: Duration = Duration::from_secs(20);
/// A member that was kept out asks again so soon after the Ban was taken back.
const SPED_UP: Duration = Duration::from_secs(2);
/// So far ahead of what we know a keeper's time counts.
const AHEAD_MS: u64 = 5 * 60_000;
const ASK_SLOWLY: Duration = Duration::from_secs(60);
const SAME_KEY_PACKAGE: u32 = 4;
const IN_VAIN: Duration = Duration::from_secs(10);
const IGNORED_FOR: Duration = Duration::from_secs(30);
/// So much longer it is known who was asked in vain: until all of [`MAX_TARGETS`] had their ten
/// seconds.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
