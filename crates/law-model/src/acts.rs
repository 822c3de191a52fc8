//! What an honest person of rank signs (`spec/law.md`, L31 to L36).

use crate::{
    law::{
        BAN, Bounds, Content, Entry, LISTENER, Law, NOBODY, OUT, PEOPLE, Register, SPEAKER, Statement, TAGS,
        UNBAN, Word, combine, each, register,
    },
    rules::{Rule, Rules},
};

/// What somebody of rank wants to be the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Lets somebody in as a speaker who is out and not banned.
    Admit,
    /// Puts somebody out.
    Remove,
    /// Puts somebody out until an Unban.
    Ban,
    /// Takes a Ban back.
    Unban,
    /// Makes a member a moderator.
    Promote,
    /// Makes a moderator a listener; keeps none of its words.
    Demote,
    /// Makes a member the host.
    HandOver,
    /// Signs a table of what is known.
    TakeIn,
    /// Ends the room.
    Close,
    /// Makes the invite.
    Invite,
}

/// Who signs, and what it knows beyond the law.
pub struct Signer<'a> {
    /// The signer.
    pub me: u8,
    /// What it knows.
    pub law: &'a Law,
    /// A term that was never used.
    pub term: u16,
    /// Unix time in ms by its clock.
    pub clock: u64,
    /// The greatest number that it has used: by term, tag and register.
    pub own: &'a dyn Fn(u16, u8, Register) -> u32,
    /// Tags of which it has seen a leaf or a knock.
    pub seen: u16,
}

/// Signs what makes an act the law; `None` if the signer cannot or it is so already.
pub fn sign(
    rules: Rules,
    bounds: &Bounds,
    book: &[Statement],
    signer: &Signer<'_>,
    act: Act,
    who: u8,
) -> Option<Content> {
    let (law, me) = (signer.law, signer.me);
    let rank = law.rank[usize::from(me)];
    if law.host == NOBODY || rank == 0 {
        return None;
    }
    let (host, of) = (rank == 2, usize::from(who));
    let their_rank = law.rank.get(of).copied().unwrap_or(0);
    let said = law.said[of];
    let own_ban = || bans(book, law, who).any(|at| book[at].by == me);
    let about_rank_less = their_rank == 0;
    let word = match act {
        Act::Admit => (about_rank_less && said.role == OUT && !said.banned).then_some(SPEAKER)?,
        Act::Remove if about_rank_less => (said.role != OUT).then_some(OUT)?,
        Act::Ban if about_rank_less => {
            let settled = host && said.banned && bans(book, law, who).next().is_none();
            (!settled && !own_ban()).then_some(BAN)?
        }
        Act::Unban => (about_rank_less && said.banned && (host || own_ban())).then_some(UNBAN)?,
        Act::Invite => (!law.invite_lives()).then_some(SPEAKER)?,
        Act::Remove | Act::Ban | Act::Demote => {
            let may = host && their_rank == 1;
            return may.then(|| dismiss(rules, bounds, book, signer, who, act)).flatten();
        }
        Act::Promote => {
            let may = host && their_rank == 0 && law.admits(of);
            return may.then(|| {
                let mut draft = Draft::new(rules, book, signer, None, 1 << who);
                draft.raise(rules, bounds, law, who);
                draft.terms[of] = signer.term;
                draft.sign(signer, me)
            })?;
        }
        Act::HandOver => {
            let may = host && who != me && law.admits(of) && law.hand_overs < bounds.hand_overs;
            return may.then(|| {
                let mut draft = Draft::new(rules, book, signer, None, 1 << who | 1 << me);
                draft.keep_all_of(rules, book, law, who);
                draft.terms[of] = 0;
                draft.raise(rules, bounds, law, who);
                draft.raise(rules, bounds, law, me);
                draft.set(me, LISTENER, false);
                draft.sign(signer, who)
            })?;
        }
        Act::TakeIn | Act::Close => {
            let to = if act == Act::Close { NOBODY } else { me };
            return host.then(|| Draft::new(rules, book, signer, None, 0).sign(signer, to))?;
        }
    };
    say(rules, bounds, book, signer, who, word)
}

/// The Bans that put somebody out.
pub fn bans<'a>(book: &'a [Statement], law: &'a Law, who: u8) -> impl Iterator<Item = usize> + 'a {
    each(law.live).filter(move |at| {
        law.said[usize::from(who)].banned
            && matches!(book[*at].content, Content::Standing { about, word: BAN, .. } if about == who)
    })
}

/// L31: a standing if its number fits, else the host's table.
fn say(
    rules: Rules,
    bounds: &Bounds,
    book: &[Statement],
    signer: &Signer<'_>,
    about: u8,
    word: Word,
) -> Option<Content> {
    let law = signer.law;
    let term = law.term[usize::from(signer.me)];
    let of = register(word);
    let n = law.number_of(about, of).max((signer.own)(term, about, of)).checked_add(1);
    let base = law.base_of(about, of);
    if let Some(n) = n.filter(|n| *n > base && n - base <= bounds.window) {
        return Some(Content::Standing { term, about, word, n });
    }
    (law.rank[usize::from(signer.me)] == 2).then_some(()).and_then(|()| {
        let mut draft = Draft::new(rules, book, signer, None, 1 << about);
        let n = n.unwrap_or(u32::MAX);
        let entry = draft.entries[usize::from(about)].get_or_insert(law.base[usize::from(about)]);
        match (of, word) {
            (Register::Role, word) => (entry.role, entry.n) = (word, n),
            (Register::Ban, word) => (entry.banned, entry.bn) = (word == BAN, n),
        }
        draft.sign(signer, signer.me)
    })
}

fn dismiss(
    rules: Rules,
    bounds: &Bounds,
    book: &[Statement],
    signer: &Signer<'_>,
    who: u8,
    act: Act,
) -> Option<Content> {
    let mut draft = Draft::new(rules, book, signer, Some(who), 1 << who);
    draft.terms[usize::from(who)] = 0;
    draft.raise(rules, bounds, signer.law, who);
    draft.set(who, if act == Act::Remove { OUT } else { LISTENER }, act == Act::Ban);
    draft.sign(signer, signer.me)
}

/// L33: the signer's words of the last minute, signed again above a table that could not know them.
///
/// `recent` holds the signer's own standings with the time at which each was signed.
pub fn renewals(
    bounds: &Bounds,
    book: &[Statement],
    signer: &Signer<'_>,
    recent: &[(usize, u64)],
) -> Vec<Content> {
    let law = signer.law;
    let mut latest: Vec<(usize, u64)> = Vec::new();
    for (at, made) in recent.iter().copied().filter(|(_, made)| signer.clock.saturating_sub(*made) <= 60_000)
    {
        let Content::Standing { about, word, n, .. } = book[at].content else { continue };
        let same = |other: &&mut (usize, u64)| {
            matches!(book[other.0].content,
            Content::Standing { about: a, word: w, .. } if a == about && register(w) == register(word))
        };
        match latest.iter_mut().find(same) {
            Some(other) => {
                if matches!(book[other.0].content, Content::Standing { n: before, .. } if n > before) {
                    *other = (at, made);
                }
            }
            None => latest.push((at, made)),
        }
    }
    let again = latest.into_iter().filter_map(|(at, made)| {
        let Content::Standing { term, about, word, n } = book[at].content else { return None };
        let said = law.said[usize::from(about)];
        let wanted = match word {
            BAN => !said.banned,
            UNBAN => false,
            role => role != OUT && said.role == OUT,
        };
        let listed = law.listed >> about & 1 == 1;
        let known = law.no.is_none_or(|no| no >= made.saturating_add(2_000));
        let lost = law.term[usize::from(signer.me)] == term
            && !law.hears(Rules::ALL, bounds, signer.me, term, about, word, n);
        (wanted && lost && !(listed && known)).then_some((about, word))
    });
    let words: Vec<_> = again.collect();
    let content = |(about, word)| match say(Rules::ALL, bounds, book, signer, about, word) {
        Some(standing @ Content::Standing { .. }) => Some(standing),
        _ => None,
    };
    words.into_iter().filter_map(content).collect()
}

/// A host's table while it is written (L32).
struct Draft {
    terms: [u16; PEOPLE],
    muted: u16,
    floor: u32,
    entries: [Option<Entry>; TAGS],
}

impl Draft {
    fn new(rules: Rules, book: &[Statement], signer: &Signer<'_>, demoted: Option<u8>, touched: u16) -> Self {
        let law = signer.law;
        let mut draft = Self { terms: law.term, muted: law.muted, floor: law.floor, entries: [None; TAGS] };
        draft.terms[usize::from(law.host)] = 0;
        for tag in 0..TAGS {
            let bit = 1u16 << tag;
            let words = || {
                each(law.live).filter(move |at| matches!(book[*at].content, Content::Standing { about, .. } if usize::from(about) == tag))
            };
            let listed = law.listed & bit != 0;
            if listed {
                draft.entries[tag] = Some(law.base[tag]);
            }
            let own = words().any(|at| book[at].by == signer.me);
            let known = own || listed || (touched | signer.seen) & bit != 0;
            let taken = || {
                words()
                    .filter(|at| known && demoted != Some(book[*at].by))
                    .map(|at| (usize::from(book[at].by), at))
            };
            if known && words().next().is_some() || touched & bit != 0 {
                let entry = combine(rules, book, law, tag, taken());
                draft.entries[tag] = Some(Entry { n: law.said[tag].n, bn: law.said[tag].bn, ..entry });
            }
        }
        draft
    }

    /// All words of who becomes host, about whomever.
    fn keep_all_of(&mut self, rules: Rules, book: &[Statement], law: &Law, heir: u8) {
        for tag in 0..TAGS {
            let words = || {
                each(law.live).filter(move |at| {
                    book[*at].by == heir
                        && matches!(book[*at].content, Content::Standing { about, .. } if usize::from(about) == tag)
                })
            };
            if self.entries[tag].is_none() && words().next().is_some() {
                let taken = words().map(|at| (usize::from(heir), at));
                let entry = combine(rules, book, law, tag, taken);
                self.entries[tag] = Some(Entry { n: law.said[tag].n, bn: law.said[tag].bn, ..entry });
            }
        }
    }

    const fn set(&mut self, who: u8, role: Word, banned: bool) {
        if let Some(entry) = &mut self.entries[who as usize] {
            (entry.role, entry.banned) = (role, banned);
        }
    }

    const fn raise(&mut self, rules: Rules, bounds: &Bounds, law: &Law, who: u8) {
        let base = law.base[who as usize];
        if let Some(entry) = &mut self.entries[who as usize]
            && rules.has(Rule::Raise)
        {
            entry.n = base.n.saturating_add(bounds.window + 1);
            entry.bn = base.bn.saturating_add(bounds.window + 1);
        }
    }

    fn sign(self, signer: &Signer<'_>, host: u8) -> Option<Content> {
        // L36.
        let no = match signer.law.no {
            Some(no) => signer.clock.max(no.checked_add(1)?),
            None => signer.clock,
        };
        let Self { terms, muted, floor, entries } = self;
        let of_rank = (0..PEOPLE).filter(|who| terms[*who] != 0).fold(0, |all, who| all | 1 << who);
        Some(Content::Table {
            office: signer.law.office,
            no,
            host,
            floor,
            terms,
            muted: muted & of_rank,
            entries,
        })
    }
}
