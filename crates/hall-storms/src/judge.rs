//! What must hold after every step, against what honest people of rank did (`docs/STORMS.md`,
//! section 8).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use sottovoce::{
    MemberId,
    stage::HallLane,
    testkit::{Hearing, LookedAt, Rank},
};

use crate::storm::Storm;

/// What the judge remembers.
#[derive(Default)]
pub(crate) struct Eye {
    /// Epochs that somebody honest on the stage has had.
    made: BTreeSet<LookedAt>,
    /// An epoch that a listener has and nobody on the stage: since when.
    odd: BTreeMap<(usize, LookedAt), Duration>,
    codes: BTreeMap<u64, [u8; 32]>,
    /// Listeners that left in a fair network: when, and the porter that heard of it. A Leave that
    /// is withheld leaves a seat behind for 1,200 s (H16), and so does another porter's (section
    /// 9).
    gone: HashMap<MemberId, (Duration, Option<[u8; 16]>)>,
    /// When a listener was last given anything on the lanes of all.
    heard: HashMap<usize, Duration>,
    /// What counted once: whose, and its salt.
    once: HashSet<(usize, [u8; 32])>,
    clocks: HashMap<usize, VecDeque<(Duration, u64)>>,
    own: VecDeque<(Duration, HallLane)>,
    own_of: HashMap<HallLane, usize>,
    /// Since when a listener is with its porter, and whether it was ever with one that lies.
    at: HashMap<usize, ([u8; 16], Duration)>,
    cells: HashMap<usize, VecDeque<Duration>>,
    minute: Duration,
    sent: HashMap<(bool, usize), u64>,
    said: BTreeSet<String>,
}

impl Eye {
    pub(crate) fn left(&mut self, who: MemberId, porter: Option<[u8; 16]>, now: Duration) {
        self.gone.insert(who, (now, porter));
    }
}

impl Storm {
    pub(crate) fn judge(&mut self) {
        let before = self.violations.len();
        self.judge_bans();
        self.judge_seats();
        self.judge_reached();
        self.judge_stage();
        self.judge_listeners();
        self.judge_rates();
        // Of each kind the first is enough.
        let said = self.violations.split_off(before);
        for what in said {
            let kind: String = what.chars().filter(|c| c.is_alphabetic() || *c == ' ').take(48).collect();
            if self.eye.said.insert(kind) {
                let at = self.world.now().as_secs_f64();
                self.violations.push(format!("{at:.1} s: {what}"));
            }
        }
    }

    fn judge_reached(&mut self) {
        let now = self.world.now();
        for reached in self.world.reached.replace(Vec::new()).unwrap_or_default() {
            let Some(ear) = self.world.ears[reached.to].as_ref() else { continue };
            if matches!(reached.lane, HallLane::Hall | HallLane::Foyer) && reached.taken.is_ok() {
                self.eye.heard.insert(reached.to, now);
            }
            let of_lane = Hearing::is_of_lane(&ear.listener, &reached.bytes);
            let counts = match reached.lane {
                HallLane::Own(_) => !of_lane,
                HallLane::Cell { .. } => of_lane,
                _ => false,
            };
            if counts && reached.taken.is_ok() && !ear.stubborn {
                let salt = reached.bytes.first_chunk().copied().unwrap_or_default();
                if !self.eye.once.insert((reached.to, salt)) {
                    self.violations
                        .push(format!("H11.8: {} took one message twice: {:?}", reached.to, reached.lane));
                }
            }
            if self.recorded.len() >= 2_000 {
                let at = now.as_millis() as usize * 7 % 2_000;
                self.recorded.remove(at);
            }
            self.recorded.push_back((reached.to, reached.lane, reached.bytes));
        }
        for knock in self.world.knocked.replace(Vec::new()).unwrap_or_default() {
            if self.knocks.len() >= 1_000 {
                self.knocks.swap_remove(now.as_millis() as usize * 3 % 1_000);
            }
            self.knocks.push(knock);
        }
    }

    fn judge_stage(&mut self) {
        let (now, instant) = (self.world.now(), self.world.instant());
        for (index, member) in self.world.members.iter().enumerate() {
            let Some(stage) = member.stage.as_ref() else { continue };
            let rank = Rank::of(stage, instant);
            if !self.is_honest(index) {
                // It is of rank all the same, or was when it made a turn and died.
                self.lied.extend(rank.epochs);
                continue;
            }
            self.eye.made.extend(rank.epochs.iter().copied());
            if let Some(epoch) = rank.epoch {
                let code = *self.eye.codes.entry(epoch.n).or_insert(epoch.code);
                if code != epoch.code {
                    self.violations.push(format!("H14: {index} has another code for {}", epoch.n));
                }
            }
            for (member, _) in &rank.seated {
                // Its Leave, and a knock that it made before, arrive within this.
                let gone = self.eye.gone.get(member);
                let Some((left, _)) = gone.filter(|(_, porter)| *porter == stage.porter()) else { continue };
                if *left + LEAVES < now {
                    self.violations.push(format!("H9: {index} seats {member:?}, who left at {left:?}"));
                }
            }
            let clock = self.eye.clocks.entry(index).or_default();
            clock.push_back((now, rank.hall_ms));
            while clock.front().is_some_and(|(at, _)| *at + CLOCK < now) {
                clock.pop_front();
            }
            let first = clock.front().copied().unwrap_or((now, rank.hall_ms));
            let passed = u64::try_from((now - first.0).as_millis()).unwrap_or(u64::MAX);
            // Six steps in each of the two windows that five seconds touch.
            if rank.hall_ms.saturating_sub(first.1) > passed + 120_000 + 200 {
                let moved = rank.hall_ms - first.1;
                self.violations
                    .push(format!("H2.1: the clock of {index} moved by {moved} ms in five seconds"));
            }
        }
    }

    fn judge_listeners(&mut self) {
        let (now, instant) = (self.world.now(), self.world.instant());
        let latest = |member: &sottovoce_stage_sim::Member| {
            member.stage.as_ref().map_or(0, |stage| Rank::of(stage, instant).hall_ms)
        };
        let clock = self.world.members.iter().map(latest).max().unwrap_or(0);
        let stage: BTreeSet<_> = self.world.members.iter().map(|member| member.id).collect();
        let honest: BTreeSet<_> = (0..self.world.members.len())
            .filter(|index| self.is_honest(*index))
            .filter_map(|index| self.world.members[index].stage.as_ref()?.porter())
            .collect();
        for index in self.world.present().to_vec() {
            let Some(ear) = self.world.ears[index].as_ref() else { continue };
            if !self.is_honest_ear(index) || self.world.asleep.contains(&index) {
                self.eye.heard.insert(index, now);
                continue;
            }
            self.tally.lanes = self.tally.lanes.max(ear.lanes.len());
            let told = self.turned_away.contains(&ear.id) || self.wrong_clocks.contains(&index);
            if ear.over && !told {
                let last = ear.events.last();
                self.violations.push(format!("H16: over without a cause: {index} {last:?}"));
            }
            let heard = *self.eye.heard.entry(index).or_insert(ear.joined);
            if heard + SILENT < now && !ear.over && Hearing::is_attended(&ear.listener) {
                self.violations.push(format!("H16: {index} waits without a reason since {heard:?}"));
            }
            let Some(hearing) = Hearing::of(&ear.listener, instant) else { continue };
            let at = self.eye.at.entry(index).or_insert((hearing.porter, now));
            if at.0 != hearing.porter {
                *at = (hearing.porter, now);
                let cells = self.eye.cells.entry(index).or_default();
                cells.push_back(now);
                cells.retain(|at| *at + Duration::from_secs(60) > now);
                self.tally.cells = self.tally.cells.max(cells.len());
                if cells.len() > CELLS {
                    self.violations.push(format!("H11: {index} came to {} porters in a minute", cells.len()));
                }
            }
            let settled = honest.contains(&hearing.porter) && at.1 + Duration::from_secs(1) < now;
            if settled && hearing.hall_ms > clock + AHEAD_MS {
                let ahead = hearing.hall_ms - clock;
                self.violations.push(format!("H2.2: the clock of {index} is {ahead} ms ahead of the stage"));
            }
            if let Some(epoch) = hearing.epoch {
                if self.eye.made.contains(&epoch) || self.lied.contains(&epoch) {
                    self.eye.odd.remove(&(index, epoch));
                } else if *self.eye.odd.entry((index, epoch)).or_insert(now) + ODD < now {
                    self.violations
                        .push(format!("H11: {index} counts an epoch that nobody of rank made: {}", epoch.n));
                }
            }
            if let Some(who) = Hearing::speakers(&ear.listener).iter().find(|who| !stage.contains(who)) {
                self.violations
                    .push(format!("H13: {index} knows {who:?} as a speaker, who was never on the stage"));
            }
        }
    }

    fn judge_rates(&mut self) {
        let now = self.world.now();
        for (at, lane, _) in self.world.tape.replace(Vec::new()).unwrap_or_default() {
            if matches!(lane, HallLane::Own(_)) {
                self.eye.own.push_back((at, lane));
                let count = self.eye.own_of.entry(lane).or_default();
                *count += 1;
                self.tally.own_in_10_s = self.tally.own_in_10_s.max(*count);
                if *count > OWN {
                    self.violations.push(format!("section 6.6: {count} messages to one listener in 10 s"));
                }
            }
        }
        while let Some((_, lane)) = self.eye.own.pop_front_if(|(at, _)| *at + Duration::from_secs(10) < now) {
            if let Some(count) = self.eye.own_of.get_mut(&lane) {
                *count -= 1;
            }
        }
        if self.eye.minute + Duration::from_secs(60) > now {
            return;
        }
        let first = self.eye.minute == Duration::ZERO;
        self.eye.minute = now;
        let members = self.world.members.iter().enumerate().map(|(index, it)| ((true, index), it.sent));
        let ears = self.world.ears.iter().enumerate();
        let ears = ears.filter_map(|(index, ear)| Some(((false, index), ear.as_ref()?.sent)));
        let sent: HashMap<_, _> = members.chain(ears).collect();
        for (who, bytes) in &sent {
            let bytes = bytes - self.eye.sent.get(who).copied().unwrap_or(0).min(*bytes);
            let (is_stage, index) = *who;
            if first || !is_stage && !self.is_honest_ear(index) || is_stage && !self.is_honest(index) {
                continue;
            }
            let most = if is_stage { &mut self.tally.stage_bytes } else { &mut self.tally.listener_bytes };
            *most = bytes.max(*most);
            let bound = if is_stage { STAGE_BYTES } else { LISTENER_BYTES };
            if bytes > bound {
                self.violations.push(format!("section 7: {who:?} sent {bytes} bytes in a minute"));
            }
        }
        self.eye.sent = sent;
    }
}

/// What a porter that is silent says to the judge: 15 s (H16), and the step.
const SILENT: Duration = Duration::from_millis(15_600);
/// A Leave, and a knock that was made before it, arrive within this.
const LEAVES: Duration = Duration::from_secs(10);
const CLOCK: Duration = Duration::from_secs(5);
/// H2.3: at most 2 s ahead on coming in, as much again from the porter before, and the step.
const AHEAD_MS: u64 = 4_200;
/// A listener installs an epoch when the stage does, but for what a message takes.
const ODD: Duration = Duration::from_secs(4);
/// H11.3: a name of each of four porters at each second, and a knock of two seconds.
const CELLS: usize = 30;
/// A costly answer each 900 ms, an answer to a knock each two seconds, a turn each 250 ms in the
/// first second of a stay, and as much from one porter more.
const OWN: usize = 40;
/// A knock of 1 KiB each two seconds, a Call and a question of 256 bytes each second.
const LISTENER_BYTES: u64 = 61_440;
/// 400 answers of 1 KiB in a second would be 24 MB: this is a tenth of it, above all that was seen.
const STAGE_BYTES: u64 = 2_457_600;
