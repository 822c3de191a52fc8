//! What a member does with what comes (`spec/room.md`, sections 3, 7, 8 and 10).

use crate::{
    acts::{Signer, bans, renewals},
    law::{Content, NOBODY, PEOPLE, Set, each},
    room::{LONG_AGO, Message, Ms, Phase, Return, Room},
    rules::Rule,
};

impl Room {
    /// Takes statements: known law becomes the law of what is known, of the epoch, and of these
    /// (L27 to L30).
    pub(crate) fn learn(&mut self, r: usize, set: Set) {
        let member = &self.members[r];
        let (known, pins) = (member.known, member.pins);
        let epoch = match member.at {
            Some(at) if self.rules.has(Rule::KnowsEpoch) => self.epochs[at].law,
            _ => 0,
        };
        if (set | epoch) & !known == 0 {
            return;
        }
        let of_epoch = member.at.map_or(0, |at| self.epochs[at].law);
        let next = self.live(known | epoch | set, pins);
        // What would count in the epoch law is kept, though known law has passed it.
        let counts = self.live(of_epoch | set, pins);
        self.members[r].shown |= set & (counts | next) & !next;
        if next == known {
            return;
        }
        let (before, law) = (self.members[r].law.clone(), self.law(next, pins));
        let truths = [self.true_law(known, pins), self.true_law(next, pins | law.chain)];
        self.note_fallen(r, known, next);
        let (now, member) = (self.now, &mut self.members[r]);
        member.ever |= next;
        member.known = next;
        member.pins |= law.chain;
        member.law = law;
        if member.held.last() != Some(&next) {
            member.held.push(next);
        }
        for who in 0..PEOPLE {
            if before.admits(who) || member.law.admits(who) {
                member.admitted[who] = now;
            }
            if truths.iter().any(|truth| truth.admits(who)) {
                member.truly_admitted[who] = now;
            }
            if member.law.admits(who) {
                member.out_since[who] = Ms::MAX;
            } else if member.out_since[who] == Ms::MAX {
                member.out_since[who] = now;
            }
        }
        self.renew_words(r);
        self.act_on_own_standing(r);
    }

    /// L35: Bans that stopped counting with their issuer's term.
    pub(crate) fn note_fallen(&mut self, r: usize, known: Set, next: Set) {
        let (before, after) =
            (self.true_law(known, self.members[r].pins), self.true_law(next, self.members[r].pins));
        if self.members[r].phase != Phase::Present || after.host == NOBODY {
            return;
        }
        let fell = bans_of(self, &before).filter(|at| {
            let Content::Standing { about, .. } = self.book[*at].content else { return false };
            let by = self.book[*at].by;
            let takes_back = each(after.live).any(|word| {
                matches!(self.book[word].content, Content::Standing { about: a, word: crate::law::UNBAN, .. }
                    if a == about && (self.book[word].by == by || self.book[word].by == after.host))
            });
            usize::from(about) < PEOPLE && after.admits(usize::from(about)) && !takes_back
                // The host's own table spoke about the person.
                && after.base[usize::from(about)].bn <= before.said[usize::from(about)].bn
        });
        let fell = fell.fold(0, |all, at| all | 1 << at);
        self.members[r].fallen |= fell;
    }

    /// L33.
    pub(crate) fn renew_words(&mut self, r: usize) {
        let member = &self.members[r];
        if !self.rules.has(Rule::Renewal) || member.recent.is_empty() || member.phase != Phase::Present {
            return;
        }
        let own = |_, _, _| 0;
        let signer = Signer {
            me: r as u8,
            law: &member.law,
            term: 0,
            clock: self.clock(r) as u64,
            own: &own,
            seen: 0,
        };
        let again = renewals(&self.bounds, &self.book, &signer, &member.recent);
        for content in again {
            if self.book.len() < 60 {
                self.push(r, content);
            }
        }
    }

    /// A4: what known law says about the member itself.
    pub(crate) fn act_on_own_standing(&mut self, r: usize) {
        let member = &self.members[r];
        if member.law.admits(r) || !matches!(member.phase, Phase::Present | Phase::Returning) {
            return;
        }
        let law = member.law.clone();
        // A member that is present is over, whoever put it out: it may knock again. A returner is
        // over by the host's newest table and by the end of the room, and asks on otherwise (G6).
        let final_ =
            law.host == NOBODY || law.listed >> r & 1 == 1 && (law.base[r].banned || law.base[r].role == 0);
        let (now, asks_on) = (self.now, self.rules.has(Rule::AsksOn));
        let member = &mut self.members[r];
        let final_ = final_ || member.phase == Phase::Present;
        member.put_out = !final_;
        if final_ || !asks_on {
            (member.phase, member.at, member.returning) = (Phase::Over, None, None);
            return;
        }
        if let Some(returning) = &mut self.members[r].returning {
            returning.slow = true;
            returning.ask_at = returning.ask_at.max(now);
        }
    }

    /// The member has no epoch any more, and asks for one.
    pub(crate) fn lose_place(&mut self, r: usize) {
        let now = self.now;
        let spread = if self.members[r].law.rank[r] > 0 { 0 } else { self.random.below(30_000) as Ms };
        let member = &mut self.members[r];
        (member.phase, member.at) = (Phase::Returning, None);
        member.returning.get_or_insert_with(|| Return::new(now));
        (member.found_at, member.heard_beat) = (now + 30_000 + spread, false);
        if member.law.rank[r] > 0 {
            member.found_at = now + 10_000;
        }
        member.shown = 0;
    }

    /// T1: when a word that says `said` was made, by the receiver's clock.
    pub(crate) fn made(&mut self, r: usize, from: usize, said: Ms) -> Ms {
        let (now, lead_time) = (self.now, self.rules.has(Rule::LeadTime));
        let ahead = self.members[from].ahead;
        let member = &mut self.members[r];
        let (lead, noted) = member.lead[from].unwrap_or((now - said, now));
        let lead = (lead + (now - noted) / 1_000).min(now - said);
        member.lead[from] = Some((lead, now));
        // What a relay has gained: what the lead is above what it is without any delay.
        member.gain[from] = member.gain[from].max(lead + ahead);
        if lead_time { (said + lead).min(now) } else { now }
    }

    /// A word of a leaf in the member's own epoch.
    pub(crate) fn hear_word(&mut self, r: usize, from: usize, made: Ms, truly: Ms) {
        let keeper = self.epoch_of(r).map(|epoch| epoch.keeper);
        let member = &mut self.members[r];
        member.heard[from] = member.heard[from].max(made);
        member.truly_heard[from] = member.truly_heard[from].max(truly);
        member.last_word[from] = member.last_word[from].max(made);
        if keeper == Some(from) {
            member.keeper_word = member.keeper_word.max(made);
            member.proof = member.proof.max(made);
        } else if keeper == Some(r) {
            member.proof = member.proof.max(made);
        }
    }

    pub(crate) fn hear_law(&mut self, r: usize, from: usize, known: Set, made: Ms) {
        let (now, keeps) = (self.now, self.keeps(r));
        let spread = if keeps { 0 } else { self.random.below(3_000) as Ms };
        let leaf_is_out = self.out_since(r).is_some();
        let keeper = self.epoch_of(r).map(|epoch| epoch.keeper);
        let (held_hash, again) = (self.rules.has(Rule::HeldHash), self.rules.has(Rule::ShowAgain));
        let member = &mut self.members[r];
        if known == member.known {
            if keeper == Some(from) {
                member.idle = leaf_is_out.then(|| member.idle.unwrap_or(now));
                member.show_at = None;
            }
        } else if again {
            let at = (now + 3_000 + spread).max(member.showed + 5_000);
            member.show_at.get_or_insert(at);
        }
        if member.law.rank[from] > 0 && (!held_hash || member.held.contains(&known)) {
            member.rank_heard = member.rank_heard.max(made);
        }
        // The host gives doors their badges.
        if member.law.rank[r] > 0 && member.law.host as usize == from {
            member.badge = Some((member.law.office, member.law.no.unwrap_or(0)));
        }
    }

    /// Takes one message.
    pub(crate) fn hear(&mut self, r: usize, from: usize, at: Ms, message: Message) {
        let now = self.now;
        match message {
            Message::Statements { set, .. } => {
                self.learn(r, set);
                let member = &mut self.members[r];
                member.shown_here |= set & (member.known | member.shown);
            }
            Message::Ask { set, .. } => {
                let keeps = self.keeps(r);
                let member = &self.members[r];
                let has = set & (member.known | member.shown);
                let set = each(has)
                    .filter(|s| keeps || usize::from(self.book[*s].by) == r)
                    .fold(0, |all, s| all | 1 << s);
                if let (Some(epoch), true) = (member.at, set != 0) {
                    self.post(r, Message::Statements { epoch, set });
                }
            }
            Message::Commit(next) => {
                let of_one =
                    self.members[r].pending.iter().filter(|(c, _)| self.epochs[*c].by == from).count();
                let said = at + self.members[from].ahead;
                let made = self.made(r, from, said);
                self.hear_word(r, from, made, at);
                if of_one < 2 && !self.members[r].pending.iter().any(|(c, _)| *c == next) {
                    self.members[r].pending.push((next, now));
                }
            }
            Message::Welcome { epoch, package } => {
                if self.packages[package].of == r && self.members[r].welcomes.len() < 12 {
                    self.members[r].welcomes.push((epoch, package));
                }
            }
            Message::Beat { epoch, said, known, doors } => {
                self.hear_beat(r, from, at, epoch, said, known, &doors)
            }
            Message::Word { said, known, .. } => {
                let made = self.made(r, from, said);
                self.hear_word(r, from, made, at);
                self.hear_law(r, from, known, made);
            }
            Message::Admit { package, .. } => {
                if self.members[r].law.rank[from] > 0 {
                    let of = self.packages[package].of;
                    self.members[r].knocks.retain(|(kp, _)| self.packages[*kp].of != of);
                    self.enqueue(r, package);
                }
            }
            Message::Leave { of, said, .. } => self.hear_leave(r, of, said),
            Message::Knock { at, package } => {
                if at == r && self.members[r].phase == Phase::Present {
                    self.hear_knock(r, package);
                }
            }
            Message::Waiting { .. } => {}
            Message::Refused { package } => self.hear_refused(r, from, package),
            Message::Receipt { package, office, no, set, truth } => {
                self.hear_receipt(r, from, (from, package, office, no, set, truth));
            }
            Message::Show { to, set, package } => {
                if to == r {
                    self.hear_show(r, from, set, package);
                }
            }
            Message::Answer { to, set } => {
                if to == r && matches!(self.members[r].phase, Phase::Present | Phase::Returning) {
                    self.learn(r, set);
                }
            }
            Message::Chain { set } => self.hear_chain(r, set),
            Message::Fallen { set, .. } => {
                if self.members[r].law.rank[r] == 2 {
                    self.members[r].asked |= set;
                }
            }
        }
    }

    /// P4: a Leave from the future counts as made when it came.
    pub(crate) fn hear_leave(&mut self, r: usize, of: usize, said: Ms) {
        let clock = self.clock(r);
        let keeper = self.epoch_of(r).is_some_and(|epoch| {
            epoch.keeper == of
                && epoch.tree[of].is_some_and(|leaf| self.packages[leaf].said <= said.min(clock))
        });
        let member = &mut self.members[r];
        member.leave_said[of] = member.leave_said[of].max(said.min(clock));
        member.gone |= keeper;
    }

    /// G5 and R5: a keeper takes a Show or a Return.
    pub(crate) fn hear_show(&mut self, r: usize, from: usize, set: Set, package: Option<usize>) {
        if self.members[r].phase != Phase::Present || !self.keeps(r) {
            return;
        }
        let (now, limits) = (self.now, self.rules.has(Rule::ShowRate));
        let member = &mut self.members[r];
        let (last, apart) = match package {
            Some(_) => (&mut member.returns[from], 2_000),
            None => (&mut member.shows[from], 10_000),
        };
        if limits && *last + apart > now {
            return;
        }
        *last = now;
        member.opened.push((now, from));
        self.check_shows(r, from);
        self.learn(r, set);
        if self.members[r].phase != Phase::Present {
            return;
        }
        let member = &mut self.members[r];
        let known = member.known;
        if !member.law.admits(from) {
            if self.rules.has(Rule::Told) && member.told[from] + 60_000 <= now {
                member.told[from] = now;
                let set = self.about(known, from);
                self.post(r, Message::Answer { to: from, set });
            }
            return;
        }
        match package {
            Some(package) => self.enqueue(r, package),
            None => self.post(r, Message::Answer { to: from, set: known }),
        }
    }

    /// G6: the tables of a live set, and the standings about one person.
    pub(crate) fn about(&self, known: Set, who: usize) -> Set {
        let of = |at: &usize| match self.book[*at].content {
            Content::Table { .. } => true,
            Content::Standing { about, .. } => usize::from(about) == who,
        };
        each(known).filter(of).fold(0, |all, at| all | 1 << at)
    }

    /// Queues a KeyPackage (K6).
    pub(crate) fn enqueue(&mut self, r: usize, package: usize) {
        let (of, said) = (self.packages[package].of, self.packages[package].said);
        let clock = self.clock(r);
        let (keeps, keeper) = (self.keeps(r), self.epoch_of(r).map(|epoch| epoch.keeper));
        let member = &mut self.members[r];
        let newer = said > member.leaf_said[of] && said > member.leave_said[of];
        let timely = said + 600_000 >= clock && said <= clock + 60_000;
        if newer && timely && keeper == Some(of) && of != r {
            member.gone = true;
        }
        if keeps && member.law.admits(of) && newer && timely {
            let packages = &self.packages;
            member.waiting.retain(|other| packages[*other].of != of || packages[*other].said > said);
            if !member.waiting.iter().any(|other| packages[*other].of == of) {
                member.waiting.push(package);
            }
        }
    }

    /// Since when a leaf of the tree has been out by known law.
    pub(crate) fn out_since(&self, r: usize) -> Option<Ms> {
        let member = &self.members[r];
        let epoch = self.epoch_of(r)?;
        let out = Self::leaves(epoch).filter(|who| *who != r && !member.law.admits(*who));
        out.map(|who| member.out_since[who]).min()
    }
}

fn bans_of<'a>(room: &'a Room, law: &'a crate::law::Law) -> impl Iterator<Item = usize> + 'a {
    (0..PEOPLE as u8).flat_map(move |who| bans(&room.book, law, who))
}

/// A time at which nothing was heard.
pub(crate) const NEVER: Ms = LONG_AGO;
