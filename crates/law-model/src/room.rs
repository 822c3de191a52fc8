//! What there is in a room: people, epochs, KeyPackages and messages. One step is half a second.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use crate::{
    law::{Book, Bounds, Law, PEOPLE, Register, Set, law},
    random::Random,
    rules::Rules,
};

/// Milliseconds, by the one true clock if nothing else is said.
pub type Ms = i64;
/// Half a second.
pub const STEP: Ms = 500;
/// Long ago.
pub const LONG_AGO: Ms = -10_000_000;

/// Host.
pub const H: usize = 0;
/// Moderator.
pub const M: usize = 1;
/// Former or present moderator.
pub const F: usize = 2;
/// Without rank; keeps the room when it may.
pub const K: usize = 3;
/// Victim, often a newcomer.
pub const V: usize = 4;
/// Banned, or to be banned.
pub const X: usize = 5;
/// Names of the people; the others are a crowd.
pub const NAMES: [&str; PEOPLE] = ["H", "M", "F", "K", "V", "X", "a", "b", "c", "d", "e"];

/// An epoch of a branch. Its place among all epochs is its branch name.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// The epoch before, if it was not founded.
    pub parent: Option<usize>,
    /// Its number within its MLS group.
    pub number: u32,
    /// The KeyPackage of each leaf.
    pub tree: [Option<usize>; PEOPLE],
    /// The statements of the epoch law.
    pub law: Set,
    /// The keeper in its context.
    pub keeper: usize,
    /// Who committed it.
    pub by: usize,
    /// Whether it is a renewal (C7).
    pub renews: bool,
}

/// A KeyPackage.
#[derive(Clone, Copy, Debug)]
pub struct KeyPackage {
    /// Whose.
    pub of: usize,
    /// When it says that it was made.
    pub said: Ms,
    /// When it was.
    pub made: Ms,
}

/// A door, as its badge names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Whose.
    pub of: usize,
    /// The office of the host who signed the badge.
    pub office: i16,
    /// The table's number then.
    pub no: u64,
    /// Whether the host of that office signed it.
    pub genuine: bool,
}

/// A message. Those with an `epoch` are read by who is in it.
#[derive(Clone, Debug)]
pub enum Message {
    /// Statements, in MLS.
    Statements { epoch: usize, set: Set },
    /// A question for statements, in MLS.
    Ask { epoch: usize, set: Set },
    /// A commit that leads to this epoch.
    Commit(usize),
    /// A Welcome into an epoch, for a KeyPackage.
    Welcome { epoch: usize, package: usize },
    /// A heartbeat, and the doors that it passes on.
    Beat { epoch: usize, said: Ms, known: Set, doors: Vec<Door> },
    /// An answer to a heartbeat, in MLS.
    Word { epoch: usize, said: Ms, known: Set },
    /// A KeyPackage that a door passes on, in MLS.
    Admit { epoch: usize, package: usize },
    /// A Leave, in MLS; `said` by the leaver's clock.
    Leave { epoch: usize, of: usize, said: Ms },
    /// A knock at a door.
    Knock { at: usize, package: usize },
    /// A door has asked its user.
    Waiting { package: usize },
    /// A door says no.
    Refused { package: usize },
    /// Somebody of rank let the holder of a KeyPackage in. `truth` is what the issuer knew.
    Receipt { package: usize, office: i16, no: u64, set: Set, truth: Set },
    /// What a member knows, for one keeper; with a KeyPackage, a Return.
    Show { to: usize, set: Set, package: Option<usize> },
    /// What a keeper answers.
    Answer { to: usize, set: Set },
    /// Hand-overs, for holders of old invites.
    Chain { set: Set },
    /// Bans that fell, shown to the host, in MLS.
    Fallen { epoch: usize, set: Set },
}

impl Message {
    /// The epoch in which a message can be read, if it is one of MLS.
    pub fn epoch(&self, epochs: &[Epoch]) -> Option<usize> {
        match self {
            Self::Statements { epoch, .. }
            | Self::Ask { epoch, .. }
            | Self::Word { epoch, .. }
            | Self::Admit { epoch, .. }
            | Self::Leave { epoch, .. }
            | Self::Fallen { epoch, .. } => Some(*epoch),
            Self::Commit(next) => epochs[*next].parent,
            _ => None,
        }
    }
}

/// Where somebody stands with the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not there, and asks for nothing.
    Away,
    /// Knocks.
    Joining,
    /// In an epoch.
    Present,
    /// On the way back.
    Returning,
    /// The room is over for it.
    Over,
}

/// A keeper that can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub(crate) said: Ms,
    pub(crate) heard: Ms,
    pub(crate) known: Set,
}

/// The wish to be let in elsewhere (R1 to R3).
#[derive(Clone, Debug)]
pub struct Return {
    pub(crate) began: Ms,
    pub(crate) ask_at: Ms,
    pub(crate) targets: [Option<Target>; PEOPLE],
    /// Whom it asks, since when, how often with this KeyPackage.
    pub(crate) asking: Option<(usize, Ms, u32)>,
    /// Until when keepers are passed over.
    pub(crate) passed_over: [Ms; PEOPLE],
    pub(crate) slow: bool,
}

impl Return {
    pub(crate) const fn new(now: Ms) -> Self {
        Self {
            began: now,
            ask_at: now,
            targets: [None; PEOPLE],
            asking: None,
            passed_over: [LONG_AGO; PEOPLE],
            slow: false,
        }
    }

    pub(crate) fn is_in_vain(&self, now: Ms) -> bool {
        let targets = || (0..PEOPLE).filter(|who| self.targets[*who].is_some());
        targets().next().is_some() && targets().all(|who| self.passed_over[who] > now)
    }
}

/// A door that a newcomer knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub(crate) door: Door,
    pub(crate) seen: Ms,
    pub(crate) knocked: Ms,
    pub(crate) refused: bool,
}

/// A receipt: issuer, KeyPackage, office, number, standings, and what the issuer knew.
pub type Receipt = (usize, usize, i16, u64, Set, Set);

/// One person, and all that it knows.
#[derive(Clone)]
pub struct Member {
    pub(crate) phase: Phase,
    pub(crate) at: Option<usize>,
    pub(crate) known: Set,
    pub(crate) pins: Set,
    pub(crate) law: Rc<Law>,
    /// Genuine statements shown in this epoch that known law does not need.
    pub(crate) shown: Set,
    /// The law hashes that it has held.
    pub(crate) held: Vec<Set>,
    /// When known law admitted each person last; by all rules, the same.
    pub(crate) admitted: [Ms; PEOPLE],
    pub(crate) truly_admitted: [Ms; PEOPLE],
    pub(crate) out_since: [Ms; PEOPLE],
    pub(crate) package: Option<usize>,
    /// The invite: office, number, host.
    pub(crate) invite: (i16, u64, usize),
    pub(crate) anchor: (usize, i16),
    pub(crate) doors: Vec<Known>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) knock_at: Ms,
    pub(crate) refused_since: Option<Ms>,
    pub(crate) refused_by: u16,
    /// When known law gave each person rank last.
    pub(crate) ranked: [Ms; PEOPLE],
    /// T1: the lead of each member, when it was noted, and how much a relay gained by it.
    pub(crate) lead: [Option<(Ms, Ms)>; PEOPLE],
    pub(crate) gain: [Ms; PEOPLE],
    /// When the newest word of each was made, as far as this member can tell, and in truth.
    pub(crate) heard: [Ms; PEOPLE],
    pub(crate) truly_heard: [Ms; PEOPLE],
    pub(crate) newest: [Ms; PEOPLE],
    pub(crate) last_word: [Ms; PEOPLE],
    // K2
    pub(crate) keeper_since: Ms,
    pub(crate) keeper_word: Ms,
    pub(crate) idle: Option<Ms>,
    pub(crate) gone: bool,
    pub(crate) in_vain_until: Ms,
    pub(crate) beat: Ms,
    // S2, S3, S4
    pub(crate) proof: Ms,
    pub(crate) lacking: Option<(u32, Ms)>,
    pub(crate) rank_heard: Ms,
    /// The epoch in which it was told of a later one, when, and the time that was said.
    pub(crate) told_of: Option<(usize, Ms, Ms)>,
    // commits
    pub(crate) pending: Vec<(usize, Ms)>,
    pub(crate) stated: Vec<usize>,
    pub(crate) merged: Vec<(Ms, usize)>,
    pub(crate) takeovers: Vec<(Ms, usize)>,
    pub(crate) renewals: Vec<(Ms, usize)>,
    pub(crate) prepared: Option<usize>,
    pub(crate) past: Vec<usize>,
    pub(crate) entered: Ms,
    pub(crate) first_entered: Ms,
    /// C4: the newest leaf and Leave of each.
    pub(crate) leaf_said: [Ms; PEOPLE],
    pub(crate) leave_said: [Ms; PEOPLE],
    pub(crate) used: Vec<usize>,
    // keeping
    pub(crate) waiting: Vec<usize>,
    pub(crate) batch_at: Option<Ms>,
    pub(crate) beat_at: Ms,
    pub(crate) beat_sent: Ms,
    pub(crate) committed: Vec<Ms>,
    pub(crate) added: Vec<(Ms, usize)>,
    pub(crate) chain_at: Ms,
    pub(crate) renew_at: Ms,
    // showing
    pub(crate) shown_here: Set,
    pub(crate) show_at: Option<Ms>,
    pub(crate) showed: Ms,
    pub(crate) across: [Option<Ms>; PEOPLE],
    pub(crate) returns: [Ms; PEOPLE],
    pub(crate) shows: [Ms; PEOPLE],
    pub(crate) told: [Ms; PEOPLE],
    pub(crate) returning: Option<Return>,
    pub(crate) found_at: Ms,
    pub(crate) heard_beat: bool,
    // doors
    pub(crate) badge: Option<(i16, u64)>,
    pub(crate) knocks: Vec<(usize, Ms)>,
    pub(crate) answered: Vec<usize>,
    // acts
    pub(crate) own: Vec<(u16, u8, Register, u32)>,
    pub(crate) recent: Vec<(usize, u64)>,
    pub(crate) fallen: Set,
    pub(crate) asked: Set,
    pub(crate) fresh: bool,
    pub(crate) stamp: Ms,
    /// What the clock of its device is ahead.
    pub(crate) ahead: Ms,
    // for the checks
    pub(crate) paused: Option<&'static str>,
    pub(crate) idle_steps: u32,
    pub(crate) out_steps: u32,
    pub(crate) opened: Vec<(Ms, usize)>,
    pub(crate) ever: Set,
    pub(crate) put_out: bool,
    pub(crate) left: Ms,
    pub(crate) entries: Vec<Ms>,
    pub(crate) welcomes: Vec<(usize, usize)>,
}

/// A message that was sent.
#[derive(Clone)]
pub struct Post {
    pub(crate) from: usize,
    pub(crate) at: Ms,
    pub(crate) message: Message,
}

/// How the relay behaves for a while.
#[derive(Clone, Debug)]
pub struct Relay {
    pub(crate) hostile: bool,
    pub(crate) until: Ms,
    pub(crate) link: [[bool; PEOPLE]; PEOPLE],
    pub(crate) delay: Ms,
    /// Who gets heartbeats and words, and nothing else.
    pub(crate) withholds_from: Option<usize>,
    /// One message in so many is lost; 0 is none.
    pub(crate) loss: usize,
}

type Laws = RefCell<HashMap<(Set, Set), Rc<Law>>>;

/// A whole room.
#[derive(Clone)]
pub struct Room {
    pub(crate) rules: Rules,
    pub(crate) bounds: Bounds,
    pub(crate) random: Random,
    pub(crate) now: Ms,
    pub(crate) people: usize,
    pub(crate) book: Book,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) packages: Vec<KeyPackage>,
    pub(crate) posts: Vec<Post>,
    pub(crate) inbox: Vec<Vec<(Ms, usize)>>,
    pub(crate) later: Vec<Vec<(Ms, usize)>>,
    pub(crate) members: Vec<Member>,
    pub(crate) hostile: [bool; PEOPLE],
    pub(crate) relay: Relay,
    pub(crate) healing: bool,
    pub(crate) insider: crate::insider::Insider,
    pub(crate) unattended: Ms,
    /// Whether people of rank act much.
    pub(crate) busy: bool,
    pub(crate) wrong_clocks: bool,
    /// When each statement was signed.
    pub(crate) made: Vec<Ms>,
    pub(crate) open_doors: bool,
    pub(crate) term: u16,
    /// Where each honest member was last, by epoch; when each had rank by an honest host's law.
    pub(crate) was_in: Vec<[Ms; PEOPLE]>,
    pub(crate) had_rank: [Ms; PEOPLE],
    pub(crate) forked: bool,
    pub(crate) host_bans: [Option<usize>; PEOPLE],
    pub(crate) ghost: usize,
    pub(crate) backups: [Option<(Set, Set)>; 2],
    /// What went wrong.
    pub violations: Vec<String>,
    /// What happened, if somebody wants to read it.
    pub trace: Option<Vec<String>>,
    /// Seals, epochs entered, pauses.
    pub counts: [u64; 3],
    pub(crate) laws: Laws,
    pub(crate) true_laws: Laws,
    pub(crate) script: Option<crate::exhaustive::Step>,
}

impl Room {
    /// The law of a set under pins, by the rules of this run.
    pub(crate) fn law(&self, set: Set, pins: Set) -> Rc<Law> {
        cached(&self.laws, self.rules, &self.bounds, &self.book, set, pins)
    }

    /// The law by all rules: what the checks go by.
    pub(crate) fn true_law(&self, set: Set, pins: Set) -> Rc<Law> {
        cached(&self.true_laws, Rules::ALL, &self.bounds, &self.book, set, pins)
    }

    pub(crate) fn live(&self, set: Set, pins: Set) -> Set {
        self.law(set, pins).live
    }

    /// The epoch that a member is in.
    pub(crate) fn epoch_of(&self, who: usize) -> Option<&Epoch> {
        self.members[who].at.map(|at| &self.epochs[at])
    }

    pub(crate) fn keeps(&self, who: usize) -> bool {
        self.epoch_of(who).is_some_and(|epoch| epoch.keeper == who)
    }

    /// The leaves of a tree.
    pub(crate) fn leaves(epoch: &Epoch) -> impl Iterator<Item = usize> + '_ {
        (0..PEOPLE).filter(|who| epoch.tree[*who].is_some())
    }

    /// The clock of somebody's device.
    pub(crate) fn clock(&self, who: usize) -> Ms {
        self.now + self.members[who].ahead
    }

    /// T2.
    pub(crate) fn stamp(&mut self, who: usize) -> Ms {
        let stamp = self.clock(who).max(self.members[who].stamp + 1);
        self.members[who].stamp = stamp;
        stamp
    }

    /// K1: the greater comes first.
    pub(crate) fn place(&self, law: &Law, who: usize) -> (u8, bool, u64) {
        if !self.rules.has(crate::rules::Rule::Order) {
            return (0, false, 0);
        }
        let listed = law.listed >> who & 1 == 1 && law.base[who].role != 0 && !law.base[who].banned;
        let table = usize::try_from(law.table).map_or(0, |at| self.book[at].id + 1);
        let mut draw =
            table.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (who as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        draw ^= draw >> 32;
        draw = draw.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (law.rank[who], listed, draw ^ draw >> 32)
    }

    pub(crate) fn violation(&mut self, who: usize, what: String) {
        self.note(|room| {
            let member = &room.members[who];
            format!("!!! {} {:?} in {:?}: {what}", NAMES[who], member.phase, member.at)
        });
        if !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }

    pub(crate) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_none() {
            return;
        }
        let text = format!("{:>6.1} {}", self.now as f64 / 1_000.0, text(self));
        self.trace.get_or_insert_default().push(text);
    }
}

fn cached(laws: &Laws, rules: Rules, bounds: &Bounds, book: &Book, set: Set, pins: Set) -> Rc<Law> {
    let mut laws = laws.borrow_mut();
    laws.entry((set, pins)).or_insert_with(|| Rc::new(law(rules, bounds, book, set, pins))).clone()
}

/// How many people the exhaustive search has.
pub const PEOPLE_OF_MENU: usize = 6;
