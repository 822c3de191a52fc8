//! Whole rooms on a bad network: exactly the packets that were sent open, once each, attributed
//! rightly.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;
use sottovoce::{
    Authenticity, Epoch, Leaf, OpenError, PacketSize, SealError, Suite,
    media::{Proof, capacity},
};
use sottovoce_testkit::stage::{Profile, STAMP, Stage, name, opus, signed};

/// What happens in a room of three, of whom the third listens to the other two here.
#[derive(Clone, Debug)]
enum Event {
    /// A speaker seals a packet, which is then on its way.
    Say(u32, Vec<u8>),
    /// Many short packets, to reach the edge of the window.
    Chatter(u32, usize),
    /// One of the packets on their way arrives, perhaps not for the first time.
    Arrive(prop::sample::Index),
    /// All packets on their way arrive, the last one first.
    ArriveBackwards,
    Pass(u64),
    NewEpoch,
    /// A new epoch without this leaf's voice.
    Demote(u32),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0u32..2, packets(300)).prop_map(|(leaf, packet)| Event::Say(leaf, packet)),
        1 => (0u32..2, 1usize..700).prop_map(|(leaf, count)| Event::Chatter(leaf, count)),
        12 => any::<prop::sample::Index>().prop_map(Event::Arrive),
        1 => Just(Event::ArriveBackwards),
        4 => (0u64..2_500).prop_map(Event::Pass),
        2 => (0u64..15_000).prop_map(Event::Pass),
        1 => Just(Event::NewEpoch),
        1 => (0u32..2).prop_map(Event::Demote),
    ]
}

prop_compose! {
    fn profiles()(aes_256: bool, signed: bool, size in 16u16..=1_000) -> Profile {
        let suite = if aes_256 { Suite::Aes256Gcm } else { Suite::Aes128Gcm };
        let authenticity = if signed { Authenticity::Signed } else { Authenticity::Group };
        Profile { suite, authenticity, size }
    }
}

/// A packet on its way, with what is known of it.
struct Sent {
    frame: Vec<u8>,
    leaf: u32,
    epoch: u64,
    step: u32,
    counter: u64,
    frames: Vec<Vec<u8>>,
}

/// The room, and beside it what must happen, worked out from times and sets alone.
struct Room {
    stage: Stage,
    sent: Vec<Sent>,
    opened: BTreeSet<(u32, u64, u32, u64)>,
    /// Milliseconds since the first epoch began, and when each epoch did.
    now: u64,
    began: Vec<u64>,
    /// Whether leaf 0 and leaf 1 may speak in the present epoch.
    speaks: [bool; 2],
    /// The next counter of (leaf, epoch, step).
    counters: BTreeMap<(u32, u64, u32), u64>,
}

impl Room {
    fn new(profile: Profile) -> Self {
        let stage = Stage::of(3, profile);
        let (sent, opened, counters) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Self { stage, sent, opened, now: 0, began: vec![0, 0], speaks: [true; 2], counters }
    }

    fn epoch(&self) -> u64 {
        self.stage.epoch
    }

    fn step(&self) -> u32 {
        ((self.now - self.began[self.epoch() as usize]) / 10_000) as u32
    }

    fn say(&mut self, leaf: u32, packet: &[u8]) {
        let size = usize::from(self.stage.profile.size);
        let fits =
            capacity(PacketSize::new(self.stage.profile.size).unwrap(), self.stage.profile.authenticity);
        match self.stage.member(leaf).seal(packet) {
            Ok(frame) => {
                assert!(self.speaks[leaf as usize]);
                assert_eq!(frame.len(), size + 23, "one size for all");
                let (epoch, step) = (self.epoch(), self.step());
                let counter = self.counters.entry((leaf, epoch, step)).or_insert(0x100);
                let frames = opus::frames(packet).unwrap();
                self.sent.push(Sent { frame, leaf, epoch, step, counter: *counter, frames });
                *counter += 1;
            }
            Err(SealError::TooLarge) => assert!(packet.len() > fits),
            Err(why) => assert_eq!((why, self.speaks[leaf as usize]), (silent(), false)),
        }
    }

    /// What must become of a packet that arrives now.
    fn expected(&self, sent: &Sent) -> Result<(), OpenError> {
        let (epoch, began) = (self.epoch(), self.began[self.epoch() as usize]);
        let live = if sent.epoch == epoch {
            let before = self.step().checked_sub(1).filter(|_| (self.now - began) % 10_000 < 2_000);
            (Some(sent.step) == before || sent.step == self.step()) as u8
        } else if sent.epoch + 1 == epoch && self.now - began < 2_000 {
            // The steps that were live when the epoch ended.
            let age = began - self.began[sent.epoch as usize];
            let last = (age / 10_000) as u32;
            let before = last.checked_sub(1).filter(|_| age % 10_000 < 2_000);
            (Some(sent.step) == before || sent.step == last) as u8
        } else {
            0
        };
        if live == 0 {
            return Err(OpenError::UnknownKey);
        }
        if !self.speaks[sent.leaf as usize] {
            return Err(if sent.epoch == epoch { OpenError::UnknownKey } else { OpenError::Removed });
        }
        let key = (sent.leaf, sent.epoch, sent.step);
        let highest =
            self.opened.range((key.0, key.1, key.2, 0)..=(key.0, key.1, key.2, u64::MAX)).next_back();
        match highest {
            Some(highest) if highest.3 >= sent.counter + 1_024 => Err(OpenError::TooOld),
            _ if self.opened.contains(&(key.0, key.1, key.2, sent.counter)) => Err(OpenError::Replayed),
            _ => Ok(()),
        }
    }

    fn arrive(&mut self, index: usize) {
        let expected = self.expected(&self.sent[index]);
        let sent = &self.sent[index];
        let heard = self.stage.hear(2, &sent.frame);
        match (heard, expected) {
            (Ok(heard), Ok(())) => {
                assert_eq!((heard.leaf, heard.member), (Leaf(sent.leaf), name(sent.leaf)));
                assert_eq!((heard.epoch, heard.step.0), (Epoch(sent.epoch), sent.step));
                assert_eq!(heard.counter.0, sent.counter);
                assert_eq!(opus::frames(&heard.packet).as_ref(), Some(&sent.frames));
                assert_eq!(heard.packet.len(), usize::from(self.stage.profile.size));
                match (self.stage.profile.authenticity, heard.proof) {
                    (Authenticity::Signed, Proof::Signed(stamp)) => {
                        assert_eq!((stamp.level, stamp.notes), (STAMP.level, STAMP.notes));
                    }
                    (authenticity, proof) => {
                        assert_eq!((authenticity, proof), (Authenticity::Group, Proof::Group));
                    }
                }
                self.opened.insert((sent.leaf, sent.epoch, sent.step, sent.counter));
            }
            (heard, expected) => assert_eq!(
                heard.map(|_| ()),
                expected,
                "leaf {} epoch {} step {} CTR {} at {} ms",
                sent.leaf,
                sent.epoch,
                sent.step,
                sent.counter,
                self.now
            ),
        }
    }

    fn new_epoch(&mut self) {
        let mut seats = self.stage.seats();
        for (seat, speaks) in seats.iter_mut().zip(self.speaks) {
            seat.speaks = speaks;
        }
        self.stage.enter(&seats, &[]);
        self.began.push(self.now);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Say(leaf, packet) => self.say(leaf, &packet),
            Event::Chatter(leaf, count) => (0..count).for_each(|_| self.say(leaf, &opus::packet(&[]))),
            Event::Arrive(_) if self.sent.is_empty() => {}
            Event::Arrive(index) => self.arrive(index.index(self.sent.len())),
            Event::ArriveBackwards => (0..self.sent.len()).rev().for_each(|index| self.arrive(index)),
            Event::Pass(time) => {
                self.now += time;
                self.stage.pass(Duration::from_millis(time));
            }
            Event::NewEpoch => self.new_epoch(),
            Event::Demote(leaf) => {
                self.speaks[leaf as usize] = false;
                self.new_epoch();
            }
        }
    }
}

fn silent() -> SealError {
    SealError::Silent(sottovoce::SilenceReason::NotASpeaker)
}

/// 96 cases, or what PROPTEST_CASES asks for in proportion: each is a whole room.
fn many_or_fewer() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases * 3 / 8, max_shrink_iters: 2_000, ..default }
}

/// Well-formed packets of all four codes, of at most 10 + `most` bytes, padded already or not.
fn packets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let codes = (0u8..4, any::<bool>(), prop::option::of(0..most / 4), 1u8..=6);
    (codes, prop::collection::vec(any::<u8>(), 0..most / 2)).prop_map(
        |((code, vbr, padding, number), bytes)| {
            let mut packet = vec![16 << 3 | code];
            match code {
                0 => packet.extend(bytes),
                1 => packet.extend(&bytes[..bytes.len() & !1]),
                2 => {
                    let first = bytes.len() / 3;
                    packet.extend(length(first));
                    packet.extend(bytes);
                }
                _ => {
                    let each = bytes.len() / usize::from(number);
                    packet.push(number | u8::from(vbr) << 7 | u8::from(padding.is_some()) << 6);
                    packet.extend(padding.map(|padding| padding.min(254) as u8));
                    if vbr {
                        (1..number).for_each(|_| packet.extend(length(each)));
                        packet.extend(bytes);
                    } else {
                        packet.extend(&bytes[..each * usize::from(number)]);
                    }
                    packet.resize(packet.len() + padding.map_or(0, |padding| padding.min(254)), 0);
                }
            }
            packet
        },
    )
}

fn length(bytes: usize) -> Vec<u8> {
    if bytes < 252 { vec![bytes as u8] } else { vec![252 + (bytes % 4) as u8, ((bytes - 252) / 4) as u8] }
}

proptest! {
    #![proptest_config(many_or_fewer())]
    #[test]
    fn exactly_what_was_sent_opens_once_each(
        profile in profiles(),
        events in prop::collection::vec(events(), 1..60),
    ) {
        let mut room = Room::new(profile);
        events.into_iter().for_each(|event| room.handle(event));
        // Whatever has happened, the next packets open.
        for leaf in 0..2 {
            let before = room.sent.len();
            room.say(leaf, &opus::packet(&[]));
            (before..room.sent.len()).for_each(|index| room.arrive(index));
        }
    }
}

#[test]
fn a_speaker_whose_clock_is_a_little_off_is_understood() {
    for profile in Profile::all() {
        // Almost a step ahead of everybody: the keys of the next step are there already.
        let mut stage = Stage::of(2, profile);
        let now = stage.now;
        stage.member(0).schedule.handle_elapsed(Duration::from_millis(9_999), now);
        stage.pass(Duration::from_millis(1));
        let early = stage.say(0, &opus::packet(b"step 1, early"));
        assert_eq!(stage.hear(1, &early).unwrap().step.0, 1);
        // Almost two seconds behind: the keys of the step before are there still.
        let mut stage = Stage::of(2, profile);
        let now = stage.now;
        stage.member(1).schedule.handle_elapsed(Duration::from_millis(1_999), now);
        stage.pass(Duration::from_millis(9_999));
        let late = stage.say(0, &opus::packet(b"step 0, late"));
        assert_eq!(stage.hear(1, &late).unwrap().step.0, 0);
        stage.pass(Duration::from_millis(1));
        let next = stage.say(0, &opus::packet(b"step 1"));
        assert_eq!(stage.hear(1, &next).unwrap().step.0, 1);
    }
}

#[test]
fn a_device_that_slept_takes_part_again_at_once() {
    for asleep in [25, 60, 3_600, 86_400] {
        let mut stage = Stage::of(2, signed());
        let before = stage.say(0, &opus::packet(b"before"));
        // Member 1 is told nothing for a while, and then the time.
        let (now, asleep) = (stage.now + Duration::from_secs(asleep), Duration::from_secs(asleep));
        for leaf in [0, 1] {
            let member = stage.member(leaf);
            member.schedule.handle_timeout(now);
            member.take_keys();
        }
        stage.now = now;
        let after = stage.say(0, &opus::packet(b"after"));
        assert_eq!(u64::from(stage.hear(1, &after).unwrap().step.0), asleep.as_secs() / 10);
        assert_eq!(stage.hear(1, &before), Err(OpenError::UnknownKey));
    }
}

#[test]
fn a_packet_of_the_rooms_capacity_fits_and_one_byte_more_does_not() {
    for profile in Profile::all() {
        for size in [16, 75, 76, 240, 329, 330, 331, 1_000] {
            let fits = capacity(PacketSize::new(size).unwrap(), profile.authenticity);
            let mut stage = Stage::of(1, Profile { size, ..profile });
            let mut seal =
                |length: usize| stage.member(0).seal(&vec![0x78; length]).map(|sealed| sealed.len());
            assert_eq!(seal(fits + 1), Err(SealError::TooLarge), "{size}");
            if fits > 0 {
                assert_eq!(seal(fits), Ok(usize::from(size) + 23));
            }
        }
    }
}
