//! What devices and networks do to honest members, without anybody's malice.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use sottovoce::{MemberId, room::Status, testkit::Witness};

use crate::{
    gang::{BEST, Gang, SECOND, SLICE},
    net::{Lane, Peer},
};

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A device sleeps, with its monotonic clock or without, and somebody is put out meanwhile.
    Sleep,
    /// A device starts again with a wall clock that is wrong by minutes or a day.
    WrongClock,
    /// What one member says reaches nobody, and it hears everybody.
    OneWay,
    /// The control lane loses for good.
    LostForGood,
    /// Bits turn on the way.
    TurnedBits,
    /// Control messages take seconds, packets do not.
    SlowControl,
    /// Twenty seconds up, three down.
    Flapping,
    /// Everybody of rank is away for longer than the room goes on without.
    RankGone,
    /// Somebody joins on a second device.
    Twins,
    /// A device starts again with what it had stored long ago.
    Backup,
    /// Several come and leave again at once.
    HalfLeaves,
    /// The room is divided for half an hour.
    LongDivision,
    /// An hour passes.
    AnHour,
    /// The host bans more people than it can without a table.
    FullLists,
    /// A crowd of 64 knocks at once.
    Crowd,
    /// A crowd of 200 knocks at once.
    LargeCrowd,
    /// A day passes, in which nobody does anything but say something now and then.
    QuietDay,
}

impl Trouble {
    pub const ALL: [Self; 17] = [
        Self::Sleep,
        Self::WrongClock,
        Self::OneWay,
        Self::LostForGood,
        Self::TurnedBits,
        Self::SlowControl,
        Self::Flapping,
        Self::RankGone,
        Self::Twins,
        Self::Backup,
        Self::HalfLeaves,
        Self::LongDivision,
        Self::AnHour,
        Self::FullLists,
        Self::Crowd,
        Self::LargeCrowd,
        Self::QuietDay,
    ];

    /// One that takes a minute or two.
    pub fn any(rng: &mut StdRng) -> Self {
        Self::ALL[rng.random_range(0..11)]
    }
}

impl Gang<'_> {
    /// Makes one kind of trouble, from its begin to its end.
    pub fn trouble(&mut self, trouble: Trouble) {
        let any = *self.honest.choose(&mut self.rng).expect("somebody is honest");
        let everybody: Vec<Peer> = (0..self.net.devices.len()).map(Peer).collect();
        match trouble {
            Trouble::Sleep => {
                self.net.sleep(any);
                let other = self.rng.random_range(0..5) == 0 && self.honest.len() > 4;
                if let Some(victim) = self.follower().filter(|victim| other && *victim != any)
                    && any != self.host
                {
                    self.put_out(self.host, victim, false);
                }
                let time = [4, 20, 100, 400][self.rng.random_range(0..4)];
                self.pass_slices(Duration::from_secs(time));
                self.net.wake(any);
                self.pass_slices(20 * SECOND);
            }
            Trouble::WrongClock => {
                let wrong = [-86_400, -700, -100, 100, 3_600, 86_400][self.rng.random_range(0..6)];
                self.restart(any, wrong);
                self.pass_slices(30 * SECOND);
                self.restart(any, 0);
            }
            Trouble::OneWay => {
                everybody.iter().filter(|to| **to != any).for_each(|to| self.net.cut(any, *to));
                self.pass_slices(30 * SECOND);
            }
            Trouble::LostForGood => {
                self.net.control.gone = 5;
                self.pass_slices(30 * SECOND);
            }
            Trouble::TurnedBits => {
                (self.net.control.turned, self.net.media.turned) = (5, 5);
                self.pass_slices(30 * SECOND);
            }
            Trouble::SlowControl => {
                self.net.control = Lane::slow(3 * SECOND..6 * SECOND);
                self.pass_slices(60 * SECOND);
            }
            Trouble::Flapping => {
                let (one, other) = self.halves();
                for _ in 0..4 {
                    self.pass_slices(20 * SECOND);
                    self.net.divide(&one, &other);
                    self.pass_slices(3 * SECOND);
                    self.net.heal();
                }
            }
            Trouble::RankGone => {
                let ranks = self.book.borrow().ranked.clone();
                let ranked =
                    self.honest.clone().into_iter().filter(|peer| ranks.contains(&self.net.id(*peer)));
                for peer in ranked.collect::<Vec<_>>() {
                    self.switch_off(peer);
                }
                self.pass_slices(100 * SECOND);
            }
            Trouble::Twins => {
                let Some(first) = self.follower() else { return };
                let branch = |peer: Peer| Witness::of(&self.net.devices[peer.0].room).branch();
                let (id, now_ms) = (self.net.id(first), 1_000 * self.net.unix_now().as_secs());
                // A leaf from the future stays (D3, 10), and who asks for its place is the newer.
                let gives_way = branch(first).is_some()
                    && branch(first) == branch(self.host)
                    && Witness::of(&self.net.devices[first.0].room).made_ms(id) < Some(now_ms);
                let identity = self.net.identity_of(first);
                let second = self.net.knock_as(identity, &self.link.clone());
                self.net.speak(second, true);
                self.net.speak(first, false);
                self.honest.push(second);
                self.pass_slices(30 * SECOND);
                // If the first has asked for a place since, its KeyPackage is the newer (P8).
                let returned = Witness::of(&self.net.devices[first.0].room).made_ms(id) >= Some(now_ms)
                    && self.net.room(second).status() == Status::Over;
                if gives_way && !returned && self.net.room(first).status() != Status::Over {
                    let what = format!("P8: {first:?} goes on after 30 s on a second device");
                    self.book.borrow_mut().violations.push(what);
                }
                self.honest.retain(|peer| *peer != first);
            }
            Trouble::Backup => {
                if let Some(old) = self.old.remove(&any)
                    && any != self.host
                {
                    self.switch_off(any);
                    self.off.remove(&any);
                    self.pass_slices(3 * SECOND);
                    // It never knew of bans that came later.
                    self.book.borrow_mut().members.entry(any).or_default().banned.clear();
                    self.switch_on(any, &old, 0);
                }
                self.pass_slices(20 * SECOND);
            }
            Trouble::HalfLeaves => {
                let guests: Vec<Peer> = (0..4).map(|_| self.guest()).collect();
                self.pass_slices(4 * SECOND);
                for guest in guests {
                    let id = self.net.id(guest);
                    let now = self.net.now;
                    self.book.borrow_mut().note_left(id, now);
                    let _ = self.net.with(guest, |room, _| room.leave());
                }
                self.pass_slices(20 * SECOND);
            }
            Trouble::LongDivision => {
                let (one, other) = self.halves();
                self.net.divide(&one, &other);
                self.pass_slices(1_800 * SECOND);
            }
            Trouble::AnHour => self.pass_slices(3_600 * SECOND),
            Trouble::FullLists => {
                for n in 0..300_u32 {
                    let mut bytes = [7; 32];
                    bytes[..4].copy_from_slice(&n.to_be_bytes());
                    let _ = self.net.with(self.host, |room, now| room.ban(MemberId::from_bytes(bytes), now));
                    if n % 20 == 0 {
                        self.pass(SLICE);
                    }
                }
                self.pass_slices(20 * SECOND);
            }
            Trouble::Crowd => self.crowd(64, 180 * SECOND),
            // An open door lets in thirty in a minute.
            Trouble::LargeCrowd => self.crowd(200, 600 * SECOND),
            Trouble::QuietDay => {
                let pace = std::mem::replace(&mut self.net.pace, 10 * SECOND);
                for _ in 0..24 * 60 {
                    self.net.run_for(60 * SECOND);
                    self.tidy();
                }
                self.net.pace = pace;
            }
        }
    }

    /// So many knock at once, and have so long to come in.
    fn crowd(&mut self, people: usize, time: Duration) {
        let guests: Vec<Peer> = (0..people).map(|_| self.guest()).collect();
        guests.iter().for_each(|guest| self.net.speak(*guest, false));
        self.net.control = Lane::slow(BEST..5 * BEST);
        self.pass_slices(time);
        let out: Vec<_> = guests.iter().filter(|guest| !self.net.is_present(**guest)).collect();
        if !out.is_empty() {
            let what = format!("D4: {} of {people} are not in after {time:?}", out.len());
            self.book.borrow_mut().violations.push(what);
        }
        // In the end they have to be heard, too.
        guests.iter().for_each(|guest| self.net.speak(*guest, true));
        self.honest.extend(guests);
    }

    fn restart(&mut self, peer: Peer, clock_off: i64) {
        self.switch_off(peer);
        self.pass_slices(2 * SECOND);
        if let Some(membership) = self.off.remove(&peer) {
            self.switch_on(peer, &membership, clock_off);
        }
    }

    fn halves(&mut self) -> (Vec<Peer>, Vec<Peer>) {
        let rng = &mut self.rng;
        (0..self.net.devices.len()).map(Peer).partition(|_| rng.random_bool(0.5))
    }
}
