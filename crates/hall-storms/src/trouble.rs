//! Scenes begin, are played, and end.

use std::time::Duration;

use rand::RngExt;
use sottovoce::{
    group::Role,
    testkit::{Hearing, Rank, StageClaim, StageInsider, Standing},
};
use sottovoce_stage_sim::Network;

use crate::{
    bans::CALM,
    scenes::Scene,
    storm::{FAIR, Storm},
};

impl Storm {
    pub(crate) fn begin_scene(&mut self) {
        let now = self.world.now();
        let scene = self.plan.only.unwrap_or_else(|| Scene::ALL[self.rng.random_range(0..Scene::ALL.len())]);
        let until = now + Duration::from_millis(self.rng.random_range(4_000..16_000));
        if self.active.insert(scene, until).is_none() {
            self.played.insert(scene);
            self.enter(scene);
        }
        if !matches!(scene, Scene::MadeUp | Scene::Claims | Scene::Banned | Scene::Crowds | Scene::Sleep) {
            self.calm_since = None;
        }
        // There is always somebody who is banned, and somebody who leaves and comes.
        if self.banned.len() < 40 {
            let _ = self.ban_somebody();
        }
        if let Some(index) = self.world.anybody().filter(|index| !self.liars.contains(index)) {
            self.leave(index);
            self.world.join();
        }
    }

    pub(crate) fn leave(&mut self, index: usize) {
        if !self.is_banned(index) {
            let (now, instant) = (self.world.now(), self.world.instant());
            let calm = self.calm_since.is_some_and(|since| since + CALM < now);
            if let Some(ear) = self.world.ears[index].as_ref().filter(|_| calm) {
                let porter = Hearing::of(&ear.listener, instant).map(|hearing| hearing.porter);
                self.eye.left(ear.id, porter.filter(|_| !self.lying_porter(porter)), now);
            }
            self.world.leave(index);
        }
    }

    fn enter(&mut self, scene: Scene) {
        match scene {
            Scene::Weather => {
                let network = Network {
                    round_trip: Duration::from_millis(self.rng.random_range(60..600)),
                    loss_ppm: self.rng.random_range(20_000..250_000),
                    jitter: Duration::from_millis(self.rng.random_range(10..1_500)),
                };
                self.world.set_network(network);
            }
            Scene::Divide => self.cut.borrow_mut().side = Some(self.rng.random()),
            Scene::Withhold => self.cut.borrow_mut().cells_of.extend(self.lying.iter().copied()),
            Scene::Lanes => {
                let ears: Vec<_> = (0..6).filter_map(|_| self.world.anybody()).collect();
                self.cut.borrow_mut().ears.extend(ears);
            }
            Scene::HeadDies => self.kill_head(),
            Scene::Former => self.demote(),
            Scene::Unheard => {
                let (from, to) =
                    (self.rng.random_range(0..self.porters), self.rng.random_range(0..self.porters));
                self.cut.borrow_mut().room.insert((from, to));
                let now = self.world.instant();
                let stage = self.world.members[to].stage.as_ref();
                let seated = stage.map(|stage| Rank::of(stage, now).seated).unwrap_or_default();
                let index = seated.first().and_then(|(member, _)| self.world.find(*member));
                if let Some(index) =
                    index.filter(|index| !self.liars.contains(index) && !self.is_banned(*index))
                    && !self.false_members.contains(&from)
                {
                    self.ban(index, from);
                }
            }
            Scene::Sleep => {
                for _ in 0..4 {
                    if let Some(index) = self.world.anybody() {
                        self.world.asleep.insert(index);
                    }
                }
                let wrong_by = self.rng.random_range(-400..50);
                let invite = self.world.invite.copy();
                let who = sottovoce_stage_sim::identity(self.rng.random());
                let index = self.world.join_at(who, invite, wrong_by);
                self.wrong_clocks.insert(index);
            }
            _ => {}
        }
    }

    fn kill_head(&mut self) {
        let honest = (0..self.porters).filter(|index| self.is_honest(*index)).count();
        let head = self
            .world
            .members
            .iter()
            .position(|member| !member.dead && member.stage.as_ref().is_some_and(|stage| stage.leads()));
        if let Some(head) = head.filter(|_| honest >= 3) {
            let _ = self.ban_somebody();
            self.world.run_for(Duration::from_millis(self.rng.random_range(0..300)));
            self.world.members[head].dead = true;
            self.false_members.insert(head);
        }
    }

    fn demote(&mut self) {
        let Some(former) = self.lying.pop() else { return };
        let id = self.world.members[former].id;
        if self.is_honest(0) {
            self.world.member(0, |host, now| {
                let _ = host.room.set_role(id, Role::Speaker, now);
            });
        }
        let mut cut = self.cut.borrow_mut();
        cut.room.extend((0..self.world.members.len()).map(|other| (other, former)));
    }

    pub(crate) fn act(&mut self) {
        let now = self.world.now();
        let over: Vec<_> =
            self.active.iter().filter(|(_, until)| **until <= now).map(|(it, _)| *it).collect();
        for scene in over {
            self.active.remove(&scene);
            self.end(scene);
        }
        for scene in self.active.keys().copied().collect::<Vec<_>>() {
            let often = self.rng.random_range(0..10);
            match scene {
                Scene::MadeUp if often < 5 => self.make_up(),
                Scene::Claims if often < 5 => self.claim(),
                Scene::Replays if often < 5 => self.replay(),
                Scene::Banned if often < 1 => self.come_back(),
                Scene::Banned if often < 2 => self.intrude(),
                Scene::Crowds if often < 1 => self.crowd(),
                Scene::Beats | Scene::Own | Scene::Stage | Scene::Former if often < 4 => self.lie(scene),
                Scene::Flapping if often < 6 => self.lie(scene),
                Scene::Lanes if often < 4 => self.replay(),
                _ => {}
            }
        }
    }

    /// Somebody of rank lies.
    fn lie(&mut self, scene: Scene) {
        let anybody = [self.world.members.len() - 1];
        let who = if scene == Scene::Flapping { &anybody[..] } else { &self.lying[..] };
        let Some(liar) = who.first().copied() else { return };
        let far = [1, 2, 7, 60, 5_000][self.rng.random_range(0..5)];
        let claims = match scene {
            Scene::Beats | Scene::Former => {
                vec![StageClaim::Mark, StageClaim::Names(far), StageClaim::Ahead(60_000), StageClaim::Behind]
            }
            Scene::Own => vec![
                StageClaim::Equivocate(self.rng.random_range(0..8)),
                StageClaim::Give(self.rng.random_range(0..64)),
                StageClaim::TurnAway(self.rng.random_range(0..64)),
            ],
            Scene::Flapping => vec![StageClaim::Card, StageClaim::Card, StageClaim::Lacks],
            _ => vec![
                StageClaim::HereAhead(60_000),
                StageClaim::HereNames(far),
                StageClaim::Alone,
                StageClaim::SameNumber,
                StageClaim::Count([600, 1_000, 5_000, 1 << 56][self.rng.random_range(0..4)]),
                StageClaim::UnknownLaw,
                StageClaim::FalseCard,
            ],
        };
        let claim = claims[self.rng.random_range(0..claims.len())];
        self.tally.tricks += 1;
        let (mut done, now) = (Standing::default(), self.world.instant());
        self.world.member(liar, |member, _| {
            if let Some(stage) = &mut member.stage {
                done = StageInsider::of(stage, now).say(claim);
            }
        });
        self.lied.extend(done.epoch);
        self.turned_away.extend(done.turned_away);
    }

    fn end(&mut self, scene: Scene) {
        let mut cut = self.cut.borrow_mut();
        match scene {
            Scene::Weather => self.world.set_network(FAIR),
            Scene::Divide => cut.side = None,
            Scene::Withhold => cut.cells_of.clear(),
            Scene::Lanes => cut.ears.clear(),
            Scene::Unheard => cut.room.retain(|(_, to)| self.false_members.contains(to)),
            _ => {}
        }
        drop(cut);
        if scene == Scene::Sleep {
            for index in self.world.asleep.iter().copied().collect::<Vec<_>>() {
                self.world.wake(index);
            }
        }
        let calm = [Scene::MadeUp, Scene::Claims, Scene::Banned, Scene::Crowds, Scene::Sleep];
        if self.active.keys().all(|scene| calm.contains(scene)) {
            self.calm_since.get_or_insert(self.world.now());
        }
    }

    /// The relay comes to behave, and people of rank stop lying; hostile listeners go on.
    pub(crate) fn calm_down(&mut self) {
        for scene in std::mem::take(&mut self.active).into_keys() {
            self.end(scene);
        }
        for scene in [Scene::MadeUp, Scene::Claims] {
            if self.plan.only.is_none_or(|only| only == scene) && self.plan.insiders > 0 {
                self.active.insert(scene, Duration::MAX);
            }
        }
    }
}
