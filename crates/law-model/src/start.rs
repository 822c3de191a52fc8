//! The rooms in which runs begin: each has a past that follows from its seed.

use std::rc::Rc;

use crate::{
    acts::Act,
    insider::Insider,
    law::{Bounds, Content, FOUNDERS, PEOPLE, Register, TAGS},
    random::Random,
    room::{Epoch, F, H, K, LONG_AGO, M, Member, Ms, NAMES, Phase, Relay, Return, Room, V, X},
    rules::Rules,
};

impl Room {
    /// A room at ten minutes, with a past that follows from the seed.
    pub fn new(rules: Rules, seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let busy = random.one_in(4);
        let class = random.below(9);
        let hostile: &[usize] = match class {
            0 => &[],
            1 => &[K, X],
            2 => &[F, K, X],
            3 => &[F, X],
            4 => &[M, X],
            5 => &[H, X],
            6 => &[X],
            7 => &[K],
            _ => &[M, F, K, X],
        };
        let people = if random.one_in(6) { PEOPLE } else { 6 };
        let now = 600_000;
        let relay = Relay {
            hostile: !random.one_in(4),
            until: now,
            link: [[true; PEOPLE]; PEOPLE],
            delay: 0,
            withholds_from: None,
            loss: 0,
        };
        let mut room = Self {
            rules,
            bounds: Bounds::SMALL,
            now,
            people,
            book: Vec::new(),
            epochs: Vec::new(),
            packages: Vec::new(),
            posts: Vec::new(),
            inbox: vec![Vec::new(); PEOPLE],
            later: vec![Vec::new(); PEOPLE],
            members: Vec::new(),
            hostile: std::array::from_fn(|who| hostile.contains(&who)),
            relay,
            healing: false,
            insider: Insider::new(&mut random),
            unattended: 60_000,
            busy,
            wrong_clocks: false,
            made: Vec::new(),
            open_doors: random.one_in(2),
            term: 0,
            was_in: Vec::new(),
            had_rank: [LONG_AGO; PEOPLE],
            forked: false,
            host_bans: [None; PEOPLE],
            ghost: H,
            backups: [None; 2],
            violations: Vec::new(),
            trace: trace.then(Vec::new),
            counts: [0; 3],
            laws: Default::default(),
            true_laws: Default::default(),
            script: None,
            random,
        };
        let nothing = room.law(0, 0);
        room.members = (0..PEOPLE).map(|_| Member::new(now, nothing.clone())).collect();
        room
    }

    /// The past: F was a moderator, and usually is no more; X may be banned; one epoch.
    pub(crate) fn begin(&mut self) {
        let now = self.now;
        let (former, banned) = (!self.random.one_in(5), self.random.one_in(3));
        let extreme = self.random.one_in(12);
        let mut acts =
            vec![(Act::Invite, H), (Act::Admit, M), (Act::Promote, M), (Act::Admit, F), (Act::Promote, F)];
        acts.extend((K..self.people).filter(|who| *who != V).map(|who| (Act::Admit, who)));
        acts.extend((!self.random.one_in(3)).then_some((Act::Admit, V)));
        acts.extend(banned.then_some((Act::Ban, X)));
        acts.extend(former.then_some((Act::Demote, F)));
        for (act, who) in acts {
            let by = if act == Act::Admit && who > F && self.random.one_in(2) { M } else { H };
            let all = (1u64 << self.book.len()) - 1;
            self.members[by].known = self.live(all, 0);
            self.members[by].law = self.law(all, 0);
            let subject = if act == Act::Invite { crate::law::INVITE } else { who as u8 };
            self.sign(by, act, subject);
        }
        if extreme {
            // A former host's numbers stand at their end.
            let law = self.law((1u64 << self.book.len()) - 1, 0);
            let mut entries = [None; TAGS];
            for (tag, entry) in entries.iter_mut().enumerate() {
                let mut said = law.said[tag];
                (said.n, said.bn) =
                    (u32::MAX - self.random.below(3) as u32, u32::MAX - self.random.below(3) as u32);
                *entry = Some(said);
            }
            let mut terms = law.term;
            terms[H] = 0;
            let no = law.no.unwrap_or(0) + 1;
            let table =
                Content::Table { office: law.office, no, host: 0, floor: 0, terms, muted: 0, entries };
            self.push(H, table);
        }
        let all = (1u64 << self.book.len()) - 1;
        let law = self.law(all, 0);
        let (host_away, moderator_away) = (self.random.one_in(4), self.random.one_in(8));
        let mut here = Vec::new();
        for who in (0..self.people).filter(|who| law.admits(*who)) {
            let away =
                who == H && host_away || who == M && moderator_away || who == V && self.random.one_in(4);
            if !away {
                here.push(who);
            }
        }
        for who in 0..self.people {
            // Clocks: most are right, some by minutes wrong.
            let ahead = match self.random.below(8) {
                0 => self.random.below(1_200) as Ms * 1_000 - 600_000,
                1 => self.random.below(100) as Ms * 1_000 - 50_000,
                _ => 0,
            };
            self.members[who].ahead = if self.wrong_clocks { ahead } else { 0 };
        }
        let mut tree = [None; PEOPLE];
        for who in here.iter().copied() {
            // The leaf was made by the room's time, a minute ago.
            tree[who] = Some(self.package(who, now - 60_000));
            self.members[who].package = None;
        }
        let keeper = here.iter().copied().max_by_key(|who| self.place(&law, *who)).unwrap_or(H);
        self.epochs.push(Epoch {
            parent: None,
            number: 0,
            tree,
            law: law.live,
            keeper,
            by: keeper,
            renews: false,
        });
        for who in 0..self.people {
            let rest_of_wait =
                if law.rank[who] > 0 { 10_000 } else { 30_000 + self.random.below(30_000) as Ms };
            let back = law.admits(who) && !(who >= K && self.random.one_in(2));
            let newcomer = tree[who].is_none() && !back;
            let member = &mut self.members[who];
            member.invite = (law.office, law.no.unwrap_or(0), usize::from(law.host));
            member.anchor = (usize::from(law.host), law.office);
            member.leaf_said =
                std::array::from_fn(|of| if tree[of].is_some() { now - 60_000 } else { LONG_AGO });
            member.badge = (law.rank[who] > 0).then_some((law.office, law.no.unwrap_or(0)));
            if newcomer {
                member.phase = Phase::Joining;
                member.leaf_said = [LONG_AGO; PEOPLE];
                (member.known, member.pins, member.ever) = (0, 0, 0);
                member.law = self.laws.borrow()[&(0, 0)].clone();
                continue;
            }
            (member.known, member.ever, member.pins, member.law) =
                (law.live, law.live, law.chain, law.clone());
            member.held = vec![law.live];
            if tree[who].is_some() {
                (member.phase, member.at, member.past) = (Phase::Present, Some(0), vec![0]);
            } else if who == H && host_away || who == M && moderator_away {
                member.phase = Phase::Away;
            } else {
                (member.phase, member.returning) = (Phase::Returning, Some(Return::new(now)));
                member.found_at = now + rest_of_wait;
            }
        }
        for who in 0..PEOPLE {
            if law.rank[who] > 0 {
                self.had_rank[who] = now;
            }
        }
        self.note(|room| {
            let hostile: String =
                (0..PEOPLE).filter(|who| room.hostile[*who]).map(|who| NAMES[who]).collect();
            let leaves: String = Self::leaves(&room.epochs[0]).map(|who| NAMES[who]).collect();
            let clocks: Vec<Ms> =
                room.members[..room.people].iter().map(|member| member.ahead / 1_000).collect();
            let (relay, keeper) = (room.relay.hostile, NAMES[keeper]);
            format!(
                "hostile [{hostile}] relay {relay} tree {leaves} keeper {keeper} clocks {clocks:?} {:?}",
                room.insider
            )
        });
        for at in 0..self.book.len() {
            self.note(|room| room.describe(at));
        }
    }
}

impl Member {
    pub(crate) fn new(now: Ms, law: Rc<crate::law::Law>) -> Self {
        Self {
            phase: Phase::Away,
            at: None,
            known: 0,
            pins: 0,
            law,
            shown: 0,
            held: Vec::new(),
            admitted: [LONG_AGO; PEOPLE],
            truly_admitted: [LONG_AGO; PEOPLE],
            out_since: [now; PEOPLE],
            package: None,
            invite: (FOUNDERS, 0, H),
            anchor: (H, FOUNDERS),
            doors: Vec::new(),
            receipts: Vec::new(),
            knock_at: now,
            refused_since: None,
            refused_by: 0,
            ranked: [LONG_AGO; PEOPLE],
            lead: [None; PEOPLE],
            gain: [0; PEOPLE],
            heard: [now; PEOPLE],
            truly_heard: [now; PEOPLE],
            newest: [LONG_AGO; PEOPLE],
            last_word: [LONG_AGO; PEOPLE],
            keeper_since: now,
            keeper_word: now,
            idle: None,
            gone: false,
            in_vain_until: LONG_AGO,
            beat: now,
            proof: now,
            lacking: None,
            rank_heard: now,
            told_of: None,
            pending: Vec::new(),
            stated: Vec::new(),
            merged: Vec::new(),
            takeovers: Vec::new(),
            renewals: Vec::new(),
            prepared: None,
            past: Vec::new(),
            entered: now,
            first_entered: now,
            leaf_said: [LONG_AGO; PEOPLE],
            leave_said: [LONG_AGO; PEOPLE],
            used: Vec::new(),
            waiting: Vec::new(),
            batch_at: None,
            beat_at: now,
            beat_sent: LONG_AGO,
            committed: Vec::new(),
            added: Vec::new(),
            chain_at: now,
            renew_at: now + 20_000,
            shown_here: 0,
            show_at: None,
            showed: LONG_AGO,
            across: [None; PEOPLE],
            returns: [LONG_AGO; PEOPLE],
            shows: [LONG_AGO; PEOPLE],
            told: [LONG_AGO; PEOPLE],
            returning: None,
            found_at: now,
            heard_beat: false,
            badge: None,
            knocks: Vec::new(),
            answered: Vec::new(),
            own: Vec::<(u16, u8, Register, u32)>::new(),
            recent: Vec::new(),
            fallen: 0,
            asked: 0,
            fresh: false,
            stamp: 0,
            ahead: 0,
            paused: None,
            idle_steps: 0,
            out_steps: 0,
            opened: Vec::new(),
            ever: 0,
            put_out: false,
            left: LONG_AGO,
            entries: Vec::new(),
            welcomes: Vec::new(),
        }
    }
}
