//! Doors, newcomers and Welcomes (`spec/room.md`, sections 11 and 12, R4).

use crate::{
    acts::Act,
    law::{Content, FOUNDERS, Law, NOBODY, Set, each},
    room::{Door, Known, LONG_AGO, Message, NAMES, Phase, Receipt, Room},
    rules::Rule,
};

impl Room {
    /// E2: a newcomer takes doors from heartbeats, whoever sent these.
    pub(crate) fn hear_doors(&mut self, r: usize, doors: &[Door]) {
        let (now, checked) = (self.now, self.rules.has(Rule::Badge));
        let member = &mut self.members[r];
        let (office, of_invite) = (member.anchor.1, member.invite.0);
        for door in doors {
            if let Some(known) = member.doors.iter_mut().find(|known| known.door == *door) {
                known.seen = now;
                continue;
            }
            let old = office == of_invite && door.no < member.invite.1;
            if checked && (door.office != office || old || !door.genuine) {
                continue;
            }
            let before = member.doors.iter().find(|known| known.door.of == door.of).copied();
            member.doors.retain(|known| known.door.of != door.of);
            if member.doors.len() >= 8 {
                let least = member.doors.iter().map(|known| known.door.no).min().unwrap_or(0);
                if door.no < least {
                    continue;
                }
                member.doors.retain(|known| known.door.no > least);
            }
            let (knocked, refused) = before.map_or((LONG_AGO, false), |known| (known.knocked, known.refused));
            member.doors.push(Known { door: *door, seen: now, knocked, refused });
        }
    }

    /// E2: hand-overs that lead from the invite's office to the present one.
    pub(crate) fn hear_chain(&mut self, r: usize, set: Set) {
        if self.members[r].phase != Phase::Joining {
            return;
        }
        loop {
            let (host, office) = self.members[r].anchor;
            let next = each(set).find_map(|at| match self.book[at].content {
                Content::Table { office: of, host: to, .. }
                    if usize::from(self.book[at].by) == host
                        && of == office
                        && usize::from(to) != host
                        && to != NOBODY =>
                {
                    Some((usize::from(to), at as i16))
                }
                _ => None,
            });
            let Some(next) = next else { return };
            self.members[r].anchor = next;
        }
    }

    /// E1 and E3.
    pub(crate) fn tend_joining(&mut self, r: usize) {
        let now = self.now;
        let member = &mut self.members[r];
        if member.phase != Phase::Joining {
            return;
        }
        member.doors.retain(|known| known.seen + 20_000 > now);
        let all_refused = member.doors.iter().all(|known| known.refused);
        if member.refused_since.is_some_and(|since| since + 10_000 <= now) && all_refused {
            member.phase = Phase::Over;
            self.check_turned_away(r);
            return;
        }
        if now < member.knock_at {
            return;
        }
        member.knock_at = now + 2_000;
        let old = member.package.is_none_or(|package| self.packages[package].made + 25_000 <= now);
        if old {
            let said = self.stamp(r);
            self.package(r, said);
            let member = &mut self.members[r];
            member.receipts.clear();
            member.doors.iter_mut().for_each(|known| known.knocked = LONG_AGO);
        }
        let member = &mut self.members[r];
        let package = member.package.expect("made above");
        let next = member.doors.iter_mut().filter(|known| !known.refused);
        if let Some(known) = next.min_by_key(|known| (known.knocked, std::cmp::Reverse(known.door.no))) {
            known.knocked = now;
            let at = known.door.of;
            self.post(r, Message::Knock { at, package });
        }
    }

    /// D3 to D5.
    pub(crate) fn hear_knock(&mut self, r: usize, package: usize) {
        let (now, clock) = (self.now, self.clock(r));
        let (of, said) = (self.packages[package].of, self.packages[package].said);
        let law = self.members[r].law.clone();
        if law.rank[r] == 0 || self.members[r].answered.contains(&package) {
            return;
        }
        if let Some(waiting) = self.members[r].knocks.iter().find(|(other, _)| *other == package) {
            let package = waiting.0;
            return self.post(r, Message::Waiting { package });
        }
        let admitted = law.admits(of);
        let banned = law.said[of].banned && law.rank[of] == 0;
        let wrong_clock = said + 600_000 < clock || said > clock + 60_000;
        if banned || wrong_clock || !law.invite_lives() && !admitted {
            self.members[r].answered.push(package);
            return self.post(r, Message::Refused { package });
        }
        let put_out = law.said[of].n > law.floor && law.said[of].role == 0;
        if admitted || self.open_doors && !put_out {
            self.admit(r, package);
        } else {
            let packages = &self.packages;
            let since = self.members[r]
                .knocks
                .iter()
                .find(|(other, _)| packages[*other].of == of)
                .map_or(now, |(_, at)| *at);
            self.members[r].knocks.retain(|(other, _)| packages[*other].of != of);
            self.members[r].knocks.push((package, since));
            self.post(r, Message::Waiting { package });
        }
    }

    /// The door's user lets people in, in its own time.
    pub(crate) fn tend_door(&mut self, r: usize) {
        if self.members[r].phase != Phase::Present || self.members[r].knocks.is_empty() {
            return;
        }
        let now = self.now;
        for (package, since) in self.members[r].knocks.clone() {
            let of = self.packages[package].of;
            if since + 600_000 < now || self.packages[package].made + 60_000 < now {
                self.members[r].knocks.retain(|(other, _)| *other != package);
            } else if !self.hostile[of] && self.random.one_in(12) {
                self.members[r].knocks.retain(|(other, _)| *other != package);
                self.admit(r, package);
            }
        }
    }

    /// D6.
    fn admit(&mut self, r: usize, package: usize) {
        let of = self.packages[package].of;
        if !self.members[r].law.admits(of) && !self.sign(r, Act::Admit, of as u8) {
            return;
        }
        self.members[r].answered.push(package);
        let Some(epoch) = self.members[r].at else { return };
        let (truth, law) = (self.members[r].known, self.members[r].law.clone());
        let set = self.puts_out(truth);
        self.post(r, Message::Receipt { package, office: law.office, no: law.no.unwrap_or(0), set, truth });
        self.post(r, Message::Admit { epoch, package });
        self.enqueue(r, package);
    }

    /// E4.
    pub(crate) fn hear_refused(&mut self, r: usize, from: usize, package: usize) {
        let (now, one_door) = (self.now, self.rules.has(Rule::Refusal));
        let member = &mut self.members[r];
        if member.phase != Phase::Joining || member.package != Some(package) {
            return;
        }
        if !one_door {
            member.phase = Phase::Over;
            member.refused_by |= 1 << from;
            return self.check_turned_away(r);
        }
        if let Some(known) = member.doors.iter_mut().find(|known| known.door.of == from) {
            known.refused = true;
            member.refused_by |= 1 << from;
            member.refused_since.get_or_insert(now);
        }
    }

    /// E5: one receipt of each issuer.
    pub(crate) fn hear_receipt(&mut self, r: usize, from: usize, receipt: Receipt) {
        let standings =
            each(receipt.4).filter(|at| matches!(self.book[*at].content, Content::Standing { .. }));
        let set = standings.fold(0, |all, at| all | 1 << at);
        let member = &mut self.members[r];
        if member.phase == Phase::Joining && self.packages[receipt.1].of == r {
            member.receipts.retain(|other| other.0 != from);
            if member.receipts.len() < 8 {
                member.receipts.push((receipt.0, receipt.1, receipt.2, receipt.3, set, receipt.5));
            }
        }
    }

    /// E6 to E9 and R4: enters the first Welcome that holds.
    pub(crate) fn tend_welcomes(&mut self, r: usize) {
        for (epoch, package) in std::mem::take(&mut self.members[r].welcomes) {
            let member = &self.members[r];
            let newcomer = member.phase == Phase::Joining;
            let asks = newcomer
                || member.phase == Phase::Returning
                || member.phase == Phase::Present && member.returning.is_some();
            let is_out = !self.rules.has(Rule::Petition) || member.package == Some(package);
            if !asks || !is_out || self.epochs[epoch].tree[r] != Some(package) {
                continue;
            }
            match if newcomer {
                self.check_newcomer(r, epoch, package)
            } else {
                self.check_returner(r, epoch)
            } {
                Ok((joint, receipt)) => self.come_in(r, epoch, package, joint, receipt, newcomer),
                Err(why) => self.note(|_| format!("{} refuses the Welcome to e{epoch}: {why}", NAMES[r])),
            }
        }
    }

    /// What a returner knows once it is in.
    fn check_returner(&self, r: usize, epoch: usize) -> Result<(Set, Option<Receipt>), &'static str> {
        let (member, set) = (&self.members[r], self.epochs[epoch].law);
        let law = self.law(set, 0);
        if self.rules.has(Rule::WelcomePins) && member.pins & !law.chain != 0 {
            return Err("R4 pins");
        }
        self.check_tree(epoch, &law, &self.law(set | member.known, member.pins))?;
        if self.rules.has(Rule::WelcomeLive) && law.live != set {
            return Err("E6 live");
        }
        Ok((set | member.known, None))
    }

    fn check_tree(&self, epoch: usize, law: &Law, joint: &Law) -> Result<(), &'static str> {
        let tree = &self.epochs[epoch];
        if self.rules.has(Rule::EpochTree) && Self::leaves(tree).any(|who| !law.admits(who)) {
            return Err("E8 epoch");
        }
        if self.rules.has(Rule::JointTree) && Self::leaves(tree).any(|who| !joint.admits(who)) {
            return Err("E8 joint");
        }
        Ok(())
    }

    fn check_newcomer(
        &self,
        r: usize,
        epoch: usize,
        package: usize,
    ) -> Result<(Set, Option<Receipt>), &'static str> {
        let (member, set) = (&self.members[r], self.epochs[epoch].law);
        let law = self.law(set, 0);
        let holds = |office: i16| usize::try_from(office).map_or(true, |at| law.chain >> at & 1 == 1);
        if self.rules.has(Rule::WelcomeLive) && law.live != set {
            return Err("E6 live");
        }
        let (office, no, _) = member.invite;
        if self.rules.has(Rule::WelcomePins) && office != FOUNDERS && !holds(office) {
            return Err("E6 pins");
        }
        let number = |of: i16, no: u64| {
            self.rules.has(Rule::WelcomeNumber) && law.office == of && law.no.unwrap_or(0) < no
        };
        if number(office, no) {
            return Err("E6 number");
        }
        if !self.rules.has(Rule::Receipt) {
            let any = member.receipts.iter().find(|receipt| receipt.1 == package).copied();
            let joint = set | any.map_or(0, |receipt| receipt.4);
            self.check_tree(epoch, &law, &self.law(joint, 0))?;
            return Ok((joint, any));
        }
        let mut why = "E7 no receipt";
        for receipt in member.receipts.iter().filter(|receipt| receipt.1 == package) {
            let (by, _, office, no, standings, _) = *receipt;
            if self.rules.has(Rule::ReceiptOffice) && !holds(office) || number(office, no) {
                why = "E7 office or number";
                continue;
            }
            let joint = self.law(set | standings, 0);
            if joint.rank[by] == 0 {
                why = "E7 rank";
                continue;
            }
            match self.check_tree(epoch, &law, &joint) {
                Ok(()) => return Ok((set | standings, Some(*receipt))),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn come_in(
        &mut self,
        r: usize,
        epoch: usize,
        package: usize,
        joint: Set,
        receipt: Option<Receipt>,
        newcomer: bool,
    ) {
        self.check_welcome(r, epoch, package, receipt, newcomer);
        let (now, made, by) = (self.now, self.packages[package].made, self.epochs[epoch].by);
        let keeper = self.epochs[epoch].keeper;
        self.note(|room| {
            let leaves: String = Self::leaves(&room.epochs[epoch]).map(|who| NAMES[who]).collect();
            format!("{} enters e{epoch} by a Welcome of {}: tree {leaves}", NAMES[r], NAMES[by])
        });
        let own_word = self.rules.has(Rule::OwnWord);
        let member = &mut self.members[r];
        member.used.push(package);
        member.proof = if own_word { made } else { now };
        if newcomer {
            (member.rank_heard, member.first_entered) = (now, now);
        } else if !own_word && member.law.rank[keeper] > 0 {
            member.rank_heard = now;
        }
        (member.package, member.returning) = (None, None);
        let added: Vec<usize> = Self::leaves(&self.epochs[epoch]).collect();
        self.members[r].at = Some(epoch);
        self.members[r].phase = Phase::Present;
        if newcomer {
            self.members[r].pins = 0;
        }
        self.learn(r, joint);
        if self.members[r].phase == Phase::Present {
            self.enter(r, epoch, &added, None);
        }
    }
}
