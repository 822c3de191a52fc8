//! Commits and made-up groups of a hostile member.

use bytes::Bytes;

use super::{Insider, Package};
use crate::{
    id::{Leaf, MemberId},
    law::{LiveSet, Tag},
    mls::{Aad, Applicant, Candidate, Context, Draft, Group},
    room::{making::Work, welcome::write_law},
    wire::{envelope::MAX_MESSAGE, message::Message},
};

/// A commit that no rule was asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forced {
    /// Names the committer as keeper.
    pub takes_over: bool,
    /// Which law the context says.
    pub law: ForcedLaw,
    /// Whose leaves it removes.
    pub removes: Vec<MemberId>,
    /// Whom it adds.
    pub adds: ForcedAdd,
    /// How many statements it names that nobody has seen.
    pub unshown: usize,
}

/// Which law a commit says that it leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForcedLaw {
    /// The law of the epoch, as it is.
    #[default]
    Epochs,
    /// The law that the member knows, whose statements it names.
    Known,
    /// A law that nobody has.
    False,
}

/// Whom a commit adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForcedAdd {
    /// Nobody.
    #[default]
    Nobody,
    /// A friend who is out.
    Friend,
    /// A KeyPackage that was used before, or that nobody waits for any more.
    Old,
    /// The same, of those who have no leaf.
    Gone,
}

impl Insider<'_> {
    /// A commit that this member does not merge itself: several of them end one epoch.
    pub fn commit(&mut self, forced: Forced) -> Vec<Bytes> {
        let commit = self.try_commit(forced);
        commit.map_or_else(Vec::new, |commit| self.send(&Message::Mls(commit)))
    }

    fn try_commit(&mut self, forced: Forced) -> Option<Vec<u8>> {
        let mut adds = match forced.adds {
            ForcedAdd::Nobody => Vec::new(),
            ForcedAdd::Friend => vec![self.friends_package()?],
            ForcedAdd::Old | ForcedAdd::Gone => self.old_packages(),
        };
        let own = self.own();
        let now = self.now;
        let (out, memory, seat) = self.room.present().ok()?;
        let known = memory.store.known();
        let mut ids = Vec::new();
        let law = match forced.law {
            ForcedLaw::Epochs => seat.epoch_law.hash(),
            ForcedLaw::False => out.random(),
            ForcedLaw::Known => {
                ids.extend(known.ids().filter(|id| seat.epoch_law.get(id).is_none()).map(|id| id.0));
                known.hash()
            }
        };
        ids.extend((0..forced.unshown).map(|_| out.random::<32>()));
        let keeper = if forced.takes_over { known.law().tag(&own).0 } else { seat.group.context().keeper };
        let context = Context { keeper, law };
        let mut removes: Vec<Leaf> = forced
            .removes
            .iter()
            .filter_map(|member| seat.group.occupant(*member))
            .filter(|member| !member.is_self)
            .map(|member| member.leaf)
            .collect();
        // MLS itself lets no identity have two leaves here: the older one goes.
        adds.retain(|candidate| candidate.id != out.id());
        if forced.adds == ForcedAdd::Gone {
            adds.retain(|candidate| seat.group.occupant(candidate.id).is_none());
        }
        for candidate in &adds {
            let leaf = seat.group.occupant(candidate.id).map(|member| member.leaf);
            removes.extend(leaf.filter(|leaf| !removes.contains(leaf)));
        }
        if matches!(forced.adds, ForcedAdd::Old | ForcedAdd::Gone) && adds.is_empty() {
            return None;
        }
        let aad = Aad::new(out.stamp_ms(now), ids)?;
        let law_for_newcomers = write_law(known);
        let adds: Vec<&Candidate> = adds.iter().collect();
        let draft = Draft {
            adds: &adds,
            removes: &removes,
            context: (context != *seat.group.context()).then_some(context),
            law_for_newcomers: &law_for_newcomers,
            ..Draft::new(aad, MAX_MESSAGE)
        };
        seat.group.prepare(&draft).ok()
    }

    /// From now on this member's room commits nothing of its own accord and takes nothing over,
    /// or does again.
    pub fn idle(&mut self, idles: bool) {
        self.room.out.idles = idles;
    }

    /// This member keeps no more, by its own account, and takes nobody's takeover for too early.
    pub fn lay_down(&mut self) {
        if let Ok((_, _, seat)) = self.room.present() {
            (seat.keeper, seat.keeper_id) = (None, None);
        }
    }

    /// A renewal of this member's leaf, due or not.
    pub fn renewal(&mut self) -> Vec<Bytes> {
        let now = self.now;
        let commit = (|| {
            let (out, _, seat) = self.room.present().ok()?;
            let aad = Aad::new(out.stamp_ms(now), Vec::new())?;
            let draft = Draft { renew: Some(&out.identity), ..Draft::new(aad, MAX_MESSAGE) };
            seat.group.prepare(&draft).ok()
        })();
        commit.map_or_else(Vec::new, |commit| self.send(&Message::Mls(commit)))
    }

    /// A commit of its own that this member merges: as the keeper another one of its chain,
    /// otherwise a takeover. What it says leaves the room in the ordinary way.
    pub fn commit_and_merge(&mut self, removes: &[MemberId]) {
        let now = self.now;
        let Ok((out, memory, seat)) = self.room.present() else { return };
        let leaves = removes.iter().filter_map(|member| seat.group.occupant(*member));
        let removes = leaves.filter(|member| !member.is_self).map(|member| member.leaf).collect();
        let _ = seat.commit(out, memory, Work { removes, adds: Vec::new(), renews: true }, now);
    }

    /// A group that this member makes up, with an old law, a friend who is out, and everybody whose
    /// KeyPackage it has: the Welcome into it.
    ///
    /// `how` chooses: an older law, a law under another hash, or all that is known.
    pub fn made_up_welcome(&mut self, how: usize) -> Vec<Bytes> {
        let welcome = self.make_up(how);
        welcome.map_or_else(Vec::new, |welcome| self.send(&Message::Welcome(welcome)))
    }

    fn make_up(&mut self, how: usize) -> Option<Vec<u8>> {
        let own = self.own();
        // Beside a false law everything else is in order.
        let friend = if how % 4 == 3 { None } else { self.friends_package() };
        let now = self.now;
        let terms = self.room.memory()?.store.known().terms().clone();
        let group_id = terms.group_id().0;
        let law = self.law_for(how)?;
        let keeper = law.law().tag(&own).0;
        let out = &mut self.room.out;
        let hash = if how % 4 == 3 { out.random() } else { law.hash() };
        let made_ms = out.stamp_ms(now);
        let mut group = Group::found(
            &out.identity,
            &group_id,
            terms.key_exchange,
            Context { keeper, law: hash },
            made_ms,
            &mut out.rng,
        )
        .ok()?;
        let vet = |package: &Package| Candidate::vet(&package.bytes, &group_id, terms.key_exchange).ok();
        let mut adds: Vec<Candidate> = friend.into_iter().collect();
        // The newest KeyPackage of each owner is the one that it waits with.
        for package in self.loot.packages.iter().rev() {
            let admitted = how % 4 == 3 || law.law().admits_tag(&law.law().tag_of(package.owner));
            if package.owner != self.room.out.id()
                && admitted
                && adds.iter().all(|added| added.id != package.owner)
                && let Some(candidate) = vet(package)
            {
                adds.push(candidate);
            }
        }
        adds.retain(|candidate| candidate.key != own);
        let adds: Vec<&Candidate> = adds.iter().collect();
        let law_for_newcomers = write_law(&law);
        let aad = Aad::new(made_ms, Vec::new())?;
        let draft =
            Draft { adds: &adds, law_for_newcomers: &law_for_newcomers, ..Draft::new(aad, MAX_MESSAGE) };
        group.commit(&draft).ok()?.welcome
    }

    /// The oldest law that admits this member and lacks some ban, or what is known.
    fn law_for(&self, how: usize) -> Option<LiveSet> {
        let own = self.own();
        let known = self.room.memory()?.store.known().clone();
        let admits = |law: &&LiveSet| law.law().admits(&own);
        let old = match how % 4 {
            0 => self.loot.laws.iter().find(admits),
            1 => self.loot.laws.iter().rev().skip(1).find(admits),
            _ => None,
        };
        Some(old.cloned().unwrap_or(known))
    }

    /// A fresh KeyPackage of a friend who is out.
    fn friends_package(&mut self) -> Option<Candidate> {
        let terms = self.room.memory()?.store.known().terms().clone();
        let group_id = terms.group_id().0;
        let out = &mut self.room.out;
        let made_ms = out.stamp_ms(self.now);
        let friend = self.loot.friends.last()?;
        let applicant = Applicant::new(friend, &group_id, terms.key_exchange, made_ms, &mut out.rng).ok()?;
        Candidate::vet(applicant.key_package(), &group_id, terms.key_exchange).ok()
    }

    /// KeyPackages of others that were sent once.
    fn old_packages(&self) -> Vec<Candidate> {
        let Some(memory) = self.room.memory() else { return Vec::new() };
        let (terms, group_id) = (memory.store.known().terms(), memory.store.known().group_id().0);
        let law = memory.store.law();
        let mut old: Vec<Candidate> = Vec::new();
        for package in &self.loot.packages {
            if package.returns || law.admits_tag(&Tag(law.tag_of(package.owner).0)) {
                let candidate = Candidate::vet(&package.bytes, &group_id, terms.key_exchange).ok();
                let fresh = |candidate: &Candidate| old.iter().all(|other| other.id != candidate.id);
                old.extend(candidate.filter(fresh));
            }
        }
        old
    }
}
