//! Somebody on the stage who lies, and what a judge sees of those who do not. Of tests alone.

use std::time::{Duration, Instant};

use super::Stage;
use crate::{
    defence::LookedAt,
    group::Identity,
    id::{Leaf, MemberId},
    stage::{
        card::{Card, Programme},
        epoch::EpochName,
        porter,
        wire::{Hall, Here, Say, Secrets},
    },
};

/// What somebody on the stage says that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageClaim {
    /// A beat with another mark for the epoch that all have.
    Mark,
    /// A beat that names an epoch so many turns ahead.
    Names(u64),
    /// A beat with a clock so many milliseconds ahead.
    Ahead(u64),
    /// A beat with a clock of the beginning.
    Behind,
    /// To the stage: a clock so many milliseconds ahead.
    HereAhead(u64),
    /// To the stage: an epoch so many turns ahead.
    HereNames(u64),
    /// To the stage: it lacks the epoch.
    Lacks,
    /// To the stage: a new card of its own.
    Card,
    /// To the stage: a turn in which nobody but it may be heard.
    Alone,
    /// To the stage: a turn with the number that the head's next one has.
    SameNumber,
    /// To the stage: a turn so many counts ahead.
    Count(u64),
    /// To the stage: a turn whose maker knew what nobody knows.
    UnknownLaw,
    /// To the stage: a turn with a card that its identity did not sign.
    FalseCard,
    /// To one of its cells: another secret for the next epoch.
    Equivocate(u32),
    /// To one of its listeners: keys of an epoch that it made up.
    Give(usize),
    /// To one of its listeners: that it is out.
    TurnAway(usize),
}

/// A hostile member of the stage: its means. Nothing here asks a rule.
pub struct StageInsider<'a> {
    stage: &'a mut Stage,
    now: Instant,
}

/// What a lie gave to somebody, for the judge: an epoch that no honest porter has, or an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// An epoch that was made up.
    pub epoch: Option<LookedAt>,
    /// Who was told that it is out.
    pub turned_away: Option<MemberId>,
}

impl<'a> StageInsider<'a> {
    /// Takes hold of somebody's part in the hall at `now`.
    pub fn of(stage: &'a mut Stage, now: Instant) -> Self {
        Self { stage, now }
    }

    /// Says it. What it says on the stage leaves by the next [`follow`](Stage::follow).
    pub fn say(&mut self, claim: StageClaim) -> Standing {
        let mut done = Standing::default();
        match claim {
            StageClaim::Mark => self.beat(|hall| hall.mark = [7; 16]),
            StageClaim::Names(ahead) => self.beat(|hall| hall.n += 256 * ahead),
            StageClaim::Ahead(ms) => self.beat(|hall| hall.hall_ms += ms),
            StageClaim::Behind => self.beat(|hall| hall.hall_ms = 0),
            StageClaim::HereAhead(ms) => self.here(ms, 0),
            StageClaim::HereNames(ahead) => self.here(0, ahead),
            StageClaim::Lacks => self.stage.says.push_back(Say::Lacks.encode()),
            StageClaim::Card => {
                if let Some((leaf, _)) = &self.stage.own {
                    let leaf = *leaf;
                    self.stage.make_card(leaf, self.now);
                }
            }
            StageClaim::Alone => {
                let own = self.stage.own.as_ref().map(|(leaf, _)| *leaf);
                let cards = self.stage.programme();
                let cards = cards.cards().iter().filter(|card| Some(card.leaf) == own).cloned().collect();
                done.epoch = self.secrets(|secrets| secrets.programme = Programme::new(cards));
            }
            StageClaim::SameNumber => done.epoch = self.secrets(|secrets| secrets.n &= !0xff),
            StageClaim::Count(ahead) => done.epoch = self.secrets(|secrets| secrets.n += ahead << 8),
            StageClaim::UnknownLaw => {
                done.epoch = self.secrets(|said| (said.law, said.because) = ([7; 32], vec![[8; 32]]));
            }
            StageClaim::FalseCard => {
                let group_id = self.stage.group_id;
                let mut cards = self.stage.programme().cards().to_vec();
                let nobody = Identity::from_seed([77; 32], self.stage.desk.identity.name().clone());
                let mut card = Card::sign(&nobody, Leaf(900), [9; 32], 7, &group_id);
                card.made_ms += 1;
                cards.push(card);
                done.epoch = self.secrets(|secrets| secrets.programme = Programme::new(cards));
            }
            StageClaim::Equivocate(cell) => {
                let Stage { porter, clock, key, out, rng, .. } = &mut *self.stage;
                if let (Some(porter), Some(clock)) = (porter, clock) {
                    let name = porter.equivocate(cell, (key, clock), out, rng, self.now);
                    done.epoch = name.map(|name| looked_at(&name));
                }
            }
            StageClaim::Give(which) => {
                let Stage { porter, key, out, rng, .. } = &mut *self.stage;
                let given = porter.as_mut().and_then(|it| it.give(which, 3, key, out, rng));
                done.epoch = given.map(|(_, name)| looked_at(&name));
            }
            StageClaim::TurnAway(which) => {
                let Stage { porter, key, out, rng, .. } = &mut *self.stage;
                done.turned_away = porter.as_mut().and_then(|it| it.turn_away(which, key, out, rng));
            }
        }
        done
    }

    fn beat(&mut self, lie: impl FnOnce(&mut Hall)) {
        let Stage { porter, clock, key, out, rng, .. } = &mut *self.stage;
        if let (Some(porter), Some(clock)) = (porter, clock) {
            porter.lie(lie, (key, clock), out, rng, self.now);
        }
    }

    fn here(&mut self, ms: u64, ahead: u64) {
        let Some(clock) = &self.stage.clock else { return };
        let hall_ms = clock.elapsed_ms(self.now) + ms;
        let n = self.stage.newest.n + 256 * ahead;
        let here = Here { hall_ms, n, listeners: 0, wants_turn: false };
        self.stage.says.push_back(Say::Here(here).encode());
    }

    /// A turn that it makes out of turn; it goes by it itself, too.
    fn secrets(&mut self, lie: impl FnOnce(&mut Secrets)) -> Option<LookedAt> {
        let stage = &mut *self.stage;
        let clock = stage.clock?;
        let mut secrets = Secrets {
            n: ((stage.newest.n >> 8) + 1) << 8 | stage.place_in_order(),
            first: clock.step(self.now),
            hall_ms: clock.elapsed_ms(self.now),
            switch_ms: 330,
            secret: porter::drawn(&mut stage.rng),
            programme: stage.programme(),
            law: stage.desk.known.hash(),
            because: Vec::new(),
        };
        lie(&mut secrets);
        let hash = secrets.programme.hash();
        let name = EpochName::of(&secrets.secret, &stage.group_id, secrets.n, secrets.first, hash);
        stage.says.push_back(Say::Secrets(Box::new(secrets)).encode());
        Some(looked_at(&name))
    }
}

fn looked_at(name: &EpochName) -> LookedAt {
    LookedAt { n: name.n, code: name.authenticator }
}

/// What a judge sees of somebody on the stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The epoch that it opens.
    pub epoch: Option<LookedAt>,
    /// The epochs that it has keys of, or will have at their switch.
    pub epochs: Vec<LookedAt>,
    /// Its hall clock, in milliseconds.
    pub hall_ms: u64,
    /// It makes the turns.
    pub leads: bool,
    /// Who sits at its cells, and whether the law that it knows has them out.
    pub seated: Vec<(MemberId, bool)>,
}

impl Rank {
    /// Looks at somebody's part in the hall.
    pub fn of(stage: &Stage, now: Instant) -> Self {
        let law = stage.desk.law();
        let seated = stage.porter.iter().flat_map(|porter| porter.seated());
        let seated = seated.map(|(tag, member)| (member, porter::put_out(law, &tag).is_some()));
        Self {
            epoch: stage.tuner.present().map(looked_at),
            epochs: stage.tuner.names().map(looked_at).collect(),
            hall_ms: stage.clock.map_or(0, |clock| clock.elapsed_ms(now)),
            leads: stage.leads(),
            seated: seated.collect(),
        }
    }

    /// Whether the law that somebody on the stage knows has this one out.
    pub fn knows_out(stage: &Stage, member: MemberId) -> bool {
        let law = stage.desk.law();
        porter::put_out(law, &law.tag_of(member)).is_some()
    }

    /// How long a speaker waits for a turn that heeds a ban.
    pub const HEEDED: Duration = super::HEEDED;
}
