//! Members whose commits have update paths that are wrong for some of the others (SPEC sections 7.4 and 7.7).

use super::*;
use crate::{
    Opener, Sealer, Stamp,
    group::{
        message::{Broken, Plea},
        mls::{Draft, forge::Spoil},
    },
    media::{HEADROOM, TAILROOM},
};

const BROKEN: Violation = Violation::BrokenCommit;

impl Party {
    /// From now on the update paths of `from` are wrong for `to`.
    fn spoils(&mut self, from: usize, to: &[usize], spoil: Spoil) {
        let leaves: Vec<_> = to.iter().map(|n| self.group(*n).own_leaf()).collect();
        self.group(from).spoil_paths_to(&leaves, false, spoil);
    }

    /// From now on the update paths of `from` are wrong for everybody but `to`.
    fn spoils_all_but(&mut self, from: usize, to: usize) {
        let leaf = self.group(to).own_leaf();
        self.group(from).spoil_paths_to(&[leaf], true, Spoil::Another);
    }

    /// `n` wants its turn to renew its leaf, now.
    fn renews(&mut self, n: usize) {
        let now = self.now;
        let Room { core, phase: Phase::Present(seat), .. } = &mut self.rooms[n] else {
            panic!("{n} is not in the room")
        };
        seat.act(core, Action::Renew, now).unwrap();
        self.deliver();
    }

    /// `n` makes a commit of its own, merges it, and says so as a keeper does.
    fn commits(&mut self, n: usize, draft: &Draft<'_>) {
        let now = self.now;
        let Room { core, phase: Phase::Present(seat), .. } = &mut self.rooms[n] else {
            panic!("{n} is not in the room")
        };
        seat.commit_draft(core, draft, now).unwrap();
        seat.send_heartbeat(core, now);
    }

    /// Delivers all but what `from` says to `to`.
    fn deliver_but(&mut self, from: usize, to: usize) {
        while let Some((by, message)) =
            self.rooms.iter_mut().enumerate().find_map(|(by, room)| Some((by, room.poll_transmit()?)))
        {
            for (at, room) in self.rooms.iter_mut().enumerate() {
                if at != by && (by, at) != (from, to) {
                    let _ = room.handle_control(&message, self.now);
                }
            }
        }
    }

    fn events(&mut self, n: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.rooms[n].poll_event()).collect()
    }

    /// Whether everybody is in one epoch of one branch.
    fn together(&self) -> bool {
        self.rooms.iter().all(|room| room.status() == Status::Present && room.code() == self.rooms[0].code())
    }

    /// Lets time pass until everybody is together, and says how long that took.
    fn reunites(&mut self, within: Duration) -> Duration {
        let began = self.now;
        while !self.together() {
            assert!(self.now - began < within, "not together after {within:?}");
            self.pass(SECOND / 10);
        }
        self.now - began
    }

    /// What the host and the speaker say is heard by everybody, in an epoch that begins now.
    fn all_hear(&mut self) {
        self.settle();
        let mut lines: Vec<_> = self.rooms.iter().map(|_| (Sealer::new(), Opener::new())).collect();
        let (stranger, now) = (MemberId::from_bytes(self.rooms[HOST].core.random()), self.now);
        self.rooms[HOST].ban(stranger, now).unwrap();
        self.deliver();
        for (room, (sealer, opener)) in self.rooms.iter_mut().zip(&mut lines) {
            while let Some(rekey) = room.poll_rekey() {
                match rekey {
                    Rekey::Seal(rekey) => drop(sealer.install(rekey)),
                    Rekey::Open(rekey) => drop(opener.install(rekey)),
                }
            }
        }
        for from in [HOST, SPEAKER] {
            let mut buffer = [0x78; HEADROOM + 240 + TAILROOM];
            let frame = lines[from].0.seal(&mut buffer, 20, Stamp::default()).unwrap().to_vec();
            for to in (0..lines.len()).filter(|to| *to != from) {
                let mut frame = frame.clone();
                lines[to]
                    .1
                    .open(&mut frame)
                    .unwrap_or_else(|why| panic!("{to} does not hear {from}: {why:?}"));
            }
        }
    }
}

#[test]
fn who_gets_a_broken_commit_knows_whose_it_is_and_is_back_within_four_seconds() {
    for spoil in [Spoil::Garbage, Spoil::Another] {
        let mut party = Party::new().without_renewals();
        let ids = party.ids();
        party.spoils(LISTENER, &[SPEAKER], spoil);
        party.renews(LISTENER);
        let violation = Event::Violation { by: Some(ids[LISTENER]), violation: BROKEN };
        let events = party.events(SPEAKER);
        assert_eq!(events[0], violation);
        // The keeper and the others could not know, and have merged it.
        assert_eq!(events[1], Event::Silent { reason: Silence::CommitWithheld });
        assert_eq!(party.rooms[MODERATOR].epoch(), party.rooms[HOST].epoch());
        assert_ne!(party.rooms[SPEAKER].epoch(), party.rooms[HOST].epoch());
        party.reunites(4 * SECOND);
        let accused = Event::Accused { member: ids[LISTENER], by: ids[SPEAKER] };
        assert_eq!(party.events(HOST).iter().filter(|event| **event == accused).count(), 1);
        assert!(!party.events(MODERATOR).contains(&violation), "it was fine for all others");
        assert_eq!(party.rooms[SPEAKER].role(), Some(Role::Speaker));
        party.all_hear();

        // It is not named again for ten minutes, however often it wants to be.
        let epoch = party.rooms[HOST].epoch();
        for _ in 0..19 {
            party.pass(30 * SECOND);
            party.renews(LISTENER);
            assert_eq!(party.rooms[HOST].epoch(), epoch);
            assert!(party.together());
        }
        party.goes_on();
    }
}

#[test]
fn a_commit_that_is_broken_for_the_keeper_never_counts() {
    let mut party = Party::new().without_renewals();
    let ids = party.ids();
    let before = party.rooms[HOST].epoch();
    party.spoils_all_but(LISTENER, SPEAKER);
    party.renews(LISTENER);
    let violation = Event::Violation { by: Some(ids[LISTENER]), violation: BROKEN };
    for n in [HOST, MODERATOR] {
        assert!(party.events(n).contains(&violation), "{n}");
    }
    assert!(!party.events(SPEAKER).contains(&violation));
    party.pass(20 * SECOND);
    assert!(party.together());
    assert_eq!(party.rooms[SPEAKER].epoch(), before);
    party.all_hear();
}

#[test]
fn a_keeper_whose_commits_are_broken_for_somebody_has_it_back_within_nine_seconds() {
    for to in [MODERATOR, SPEAKER, LISTENER] {
        let mut party = Party::new().without_renewals();
        let (ids, now) = (party.ids(), party.now);
        party.spoils(HOST, &[to], Spoil::Garbage);
        party.rooms[HOST].set_role(ids[LISTENER], Role::Speaker, now).unwrap();
        party.deliver();
        let violation = Event::Violation { by: Some(ids[HOST]), violation: BROKEN };
        assert!(party.events(to).contains(&violation), "{to}");
        party.reunites(9 * SECOND);
        let none = party.events(HOST).iter().all(|event| !matches!(event, Event::Accused { .. }));
        assert!(none, "it knows");
        party.spoils(HOST, &[], Spoil::Garbage);
        party.all_hear();
    }
}

#[test]
fn a_takeover_that_is_broken_for_some_splits_nobody_off_for_good() {
    let mut party = Party::new().without_renewals();
    let ids = party.ids();
    party.spoils(LISTENER, &[SPEAKER], Spoil::Garbage);
    let taken = party.group(LISTENER).state().with_keeper(ids[LISTENER], 0);
    let commit = party.group(LISTENER).forge(vec![Forgery::State(taken)]).commit;
    let answers = party.tell(LISTENER, Message::Mls(commit));
    let by = Some(ids[LISTENER]);
    assert_eq!(answers[SPEAKER], Err(ControlError::NotPermitted { by, violation: BROKEN }));
    party.deliver();
    party.spoils(LISTENER, &[], Spoil::Garbage);
    party.reunites(9 * SECOND);
    assert_eq!(party.rooms[SPEAKER].keeper(), Some(ids[HOST]));
    party.all_hear();
}

#[test]
fn nobody_is_distrusted_for_what_it_did_not_commit() {
    let mut party = Party::new().without_renewals();
    let ids = party.ids();
    party.pass(6 * SECOND);
    let group = party.group(HOST);
    let (id, epoch) = (group.id().to_vec(), group.epoch());
    for (seed, broken) in [(41, Broken { by: ids[LISTENER], epoch }), (42, Broken { by: ids[HOST], epoch })] {
        let applicant =
            Applicant::new(&identity(2), &id, X25519, [seed; 32], [seed; 32], party.unix).unwrap();
        let key_package = applicant.key_package().to_vec();
        let plea = Plea::Return { key_package, orders: Vec::new(), broken: Some(broken) };
        let petition = keepers::sealed(&mut party, &plea, *applicant.reference());
        assert_eq!(party.tell(MODERATOR, petition)[HOST], Ok(()));
        assert!(party.events(HOST).iter().all(|event| !matches!(event, Event::Accused { .. })));
    }
    party.pass(10 * SECOND);
    assert!(party.together());
    let before = party.rooms[HOST].epoch();
    party.renews(LISTENER);
    assert!(party.rooms[HOST].epoch() > before, "it still has its turn");
    party.all_hear();
}

/// Somebody without a rank takes the keeping, throws the host out by a commit that is broken for it, and does not hear it.
#[test]
fn a_keeper_does_not_keep_out_who_is_above_it() {
    let mut party = Party::new().without_renewals();
    let (ids, now) = (party.ids(), party.now);
    party.rooms[HOST].set_role(ids[MODERATOR], Role::Listener, now).unwrap();
    party.deliver();
    party.settle();
    let taken = party.group(LISTENER).state().with_keeper(ids[LISTENER], 0);
    party.commits(LISTENER, &Draft { state: Some(&taken), ..Draft::default() });
    party.spoils_all_but(LISTENER, SPEAKER);
    party.commits(LISTENER, &Draft { renews: Some(&identity(LISTENER as u8)), ..Draft::default() });
    party.deliver_but(HOST, LISTENER);
    let violation = Event::Violation { by: Some(ids[LISTENER]), violation: BROKEN };
    assert!(party.events(HOST).contains(&violation));
    assert_ne!(party.rooms[HOST].epoch(), party.rooms[SPEAKER].epoch());
    let began = party.now;
    while [MODERATOR, SPEAKER].iter().any(|n| party.rooms[*n].code() != party.rooms[HOST].code()) {
        assert!(party.now - began < 15 * SECOND, "the host is locked out");
        party.now += SECOND / 10;
        let now = party.now;
        for room in &mut party.rooms {
            room.handle_timeout(now);
        }
        party.deliver_but(HOST, LISTENER);
    }
    assert_eq!(party.rooms[SPEAKER].keeper(), Some(ids[HOST]));
}

#[test]
fn half_a_room_that_is_thrown_out_by_the_commit_of_a_ban_is_back_within_five_seconds() {
    let mut party = Party::new();
    let invite = party.invite();
    (4..28).for_each(|n| party.knock(n, &invite));
    party.pass(2 * SECOND);
    let mut party = party.without_renewals();
    assert_eq!(party.rooms[HOST].roster().len(), 28);
    let ids = party.ids();
    let leaf = |party: &mut Party, n: usize| party.group(n).own_leaf().0;
    let banned = 27;
    let target = leaf(&mut party, banned);
    let nearest = (0..banned).min_by_key(|n| leaf(&mut party, *n) ^ target).unwrap();
    let out: Vec<usize> = (4..banned).filter(|n| n % 2 == 0 && *n != nearest).collect();
    party.spoils(nearest, &out, Spoil::Garbage);
    party.settle();
    let now = party.now;
    party.rooms[HOST].ban(ids[banned], now).unwrap();
    party.deliver();
    assert_eq!(party.rooms[banned].status(), Status::Over, "the ban waits for nobody");
    party.rooms.truncate(banned);
    let violation = Event::Violation { by: Some(ids[nearest]), violation: BROKEN };
    for n in 0..banned {
        assert_eq!(party.events(n).contains(&violation), out.contains(&n), "{n}");
    }
    party.reunites(5 * SECOND);
    let accused: Vec<_> = party.events(HOST);
    let accused = accused
        .iter()
        .filter(|event| matches!(event, Event::Accused { member, .. } if *member == ids[nearest]));
    assert_eq!(accused.count(), out.len());
    party.all_hear();
    // The next commit beside it is not left to it.
    let next = (0..banned)
        .filter(|n| *n != nearest)
        .min_by_key(|n| leaf(&mut party, *n) ^ leaf(&mut party, nearest));
    let (next, now) = (next.unwrap(), party.now);
    party.spoils(nearest, &out, Spoil::Garbage);
    party.settle();
    party.rooms[HOST].ban(ids[next], now).unwrap();
    party.deliver();
    assert!((0..banned).all(|n| !party.events(n).contains(&violation)));
}
