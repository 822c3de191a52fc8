//! Every packet that an opener plays can be reported: random and hostile packets and announcements,
//! thrown at the opener, the recorder and the verifier together.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;
use crate::{
    Authenticity, Counter, Epoch, EpochSecret, EpochStart, Leaf, MemberId, Opener, PacketSize, Rekey,
    Schedule, Seed, Speaker, Suite,
    group::{
        Identity, Name,
        announce::{FRESH, MIN_HOLDS, SpeakerKey, TOLERANCE},
        signing::SigningKey,
    },
    id::UnixTime,
    keys::{
        derive::sha256,
        speaker::{epoch_context, frame_message},
    },
    media::{
        header::Header,
        rekey::{SealChange, SealKey},
    },
    mls::Credential,
};

const ROOM: &str = "tea";

fn room_id() -> [u8; 32] {
    sha256(&[b"group", ROOM.as_bytes()])
}

const SIZE: usize = 120;
const SECOND: Duration = Duration::from_secs(1);
const NOW: UnixTime = UnixTime(1_790_000_000);

/// A speaker that seals whatever it likes, the listener's opener and recorder, and what vouches for
/// the speaker.
struct Stage {
    key: Box<SealKey>,
    opener: Opener,
    recorder: Buffer,
    now: Instant,
    part: Part,
}

impl Stage {
    fn new() -> Self {
        let now = Instant::now();
        let identity = Identity::from_seed([1; 32], Name::new("Ada").unwrap());
        let leaf = SigningKey::from_seed(Seed::from_bytes(&mut [2; 32]));
        let (authenticator, size) = ([3; 32], PacketSize::new(SIZE as u16).unwrap());
        let speakers = [Speaker { leaf: Leaf(0), member: identity.id() }];
        let schedule = |own| {
            let start = EpochStart {
                secret: EpochSecret::new(vec![4; 32]).unwrap(),
                group_id: &room_id(),
                epoch: Epoch(7),
                authenticator: &authenticator,
                suite: Suite::default(),
                authenticity: Authenticity::Signed,
                packet_size: size,
                own_leaf: Leaf(own),
                speakers: &speakers,
                removed: &[],
                seed: &[5; 32],
            };
            Schedule::start(start, now).unwrap()
        };
        let (mut speaks, mut listens, mut opener) = (schedule(0), schedule(9), Opener::new());
        let public = speaks.speaker_key().unwrap();
        listens.handle_speaker(Leaf(0), public).unwrap();
        while let Some(rekey) = listens.poll_rekey() {
            if let Rekey::Open(rekey) = rekey {
                drop(opener.install(rekey));
            }
        }
        let key = std::iter::from_fn(|| speaks.poll_rekey()).find_map(|rekey| match rekey {
            Rekey::Seal(crate::media::SealRekey(SealChange::Key(key))) => Some(key),
            _ => None,
        });
        let mut part = Part {
            epoch: Epoch(7),
            epoch_context: epoch_context(&room_id(), Epoch(7), &authenticator),
            leaf: 0,
            leaf_key: *leaf.public(),
            credential: Credential::issue(&identity, &room_id(), leaf.public(), 1_789_999_000_000).encode(),
            key: SpeakerKey { public, announced: NOW, holds: MIN_HOLDS, signature: [0; 64] },
            frames: Vec::new(),
        };
        part.announce(NOW, MIN_HOLDS);
        let recorder = Buffer::new(Retention::default(), size, now);
        Self { key: key.unwrap(), opener, recorder, now, part }
    }

    /// Seals `packet` under `counter`, its last 64 bytes replaced by a signature if `signs`, and
    /// plays it if it opens.
    fn say(&mut self, counter: u64, mut packet: Vec<u8>, signs: bool) -> bool {
        let (key, counter) = (&self.key, Counter(counter));
        if let Some(body) = packet.len().checked_sub(64).filter(|_| signs) {
            let signer = key.signer.as_ref().unwrap();
            let content = sha256(&[&key.key.content_salt(counter), &packet[..body]]);
            let message = frame_message(&signer.context, key.step, key.kid, counter, &content);
            packet[body..].copy_from_slice(&signer.sign(&message));
        }
        let header = Header { kid: key.kid, counter }.to_vec();
        let tag = key.key.seal(counter, &header, &mut packet);
        let mut frame = [header, packet, tag.to_vec()].concat();
        self.now += Duration::from_millis(20);
        let Ok(opened) = self.opener.open(&mut frame) else { return false };
        self.recorder.record(&opened, self.now).is_ok()
    }

    /// The verdict over a report of everything that was kept.
    fn report(&self, received: UnixTime) -> Result<Report, Rejected> {
        let (member, window): (MemberId, Range<Instant>) = (self.member(), self.now - 60 * SECOND..self.now);
        let mut excerpt = Excerpt::new(&self.recorder);
        self.recorder.excerpt(member, window, &mut excerpt).unwrap();
        let frames = excerpt.frames().map(|frame| Taken {
            step: frame.step,
            kid: frame.kid,
            counter: frame.counter,
            salt: frame.salt,
            packet: frame.packet.to_vec(),
        });
        let part = Part { frames: frames.collect(), ..self.part.clone() };
        let mut draft = Draft {
            group_id: room_id().to_vec(),
            room: Name::new(ROOM).unwrap(),
            packet_size: PacketSize::new(SIZE as u16).unwrap(),
            parts: vec![part],
        };
        draft.sort();
        let secret = ModerationSecret::from_seed([6; 32]).unwrap();
        let plain = crate::keys::secret::Secret::wrap(draft.encode().unwrap());
        secret.open(&secret.key().seal(&plain).unwrap(), received, &[])
    }

    fn member(&self) -> MemberId {
        Identity::from_seed([1; 32], Name::new("Ada").unwrap()).id()
    }
}

impl Part {
    fn announce(&mut self, announced: UnixTime, holds: u32) {
        let (room, leaf) = (Name::new(ROOM).unwrap(), SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])));
        let group_id = room_id();
        let place = self.place(&group_id, &room);
        self.key = SpeakerKey::new(self.key.public, announced, holds, &place, |text| leaf.sign(text));
    }
}

/// A packet as the sealer makes it, without its signature.
fn honest(captured: u64) -> Vec<u8> {
    sized(captured, SIZE)
}

/// The same in `size` bytes, from 96 on.
fn sized(captured: u64, size: usize) -> Vec<u8> {
    let mut packet = vec![0x7b, 0x41, (size - 3 - 20) as u8];
    packet.resize(size - 73, 1);
    packet.push(0xc2);
    packet.extend(&captured.to_be_bytes()[2..]);
    packet.extend([0x55, 0]);
    packet.resize(size, 0);
    packet
}

/// What a speaker does to a packet of its own before it signs.
#[derive(Clone, Debug)]
enum Trick {
    /// Nothing but a capture time of its choice.
    Captured(u64),
    /// One byte anywhere is another.
    Byte(usize, u8),
    /// The front of the packet, where the form of an Opus packet is, is another.
    Front([u8; 4]),
    /// The packet is longer or shorter, and well formed.
    Length(usize),
    /// All of it is noise.
    Noise(Vec<u8>),
}

impl Trick {
    fn packet(&self) -> Vec<u8> {
        let mut packet = honest(NOW.0 * 1_000);
        match self {
            Self::Captured(captured) => packet = honest(*captured),
            Self::Byte(at, byte) => packet[at % SIZE] = *byte,
            Self::Front(front) => packet[..4].copy_from_slice(front),
            Self::Length(length) => packet = sized(NOW.0 * 1_000, *length),
            Self::Noise(noise) => packet.clone_from(noise),
        }
        packet
    }
}

fn tricks() -> impl Strategy<Value = Trick> {
    let captured = prop_oneof![Just(0), Just(NOW.0 * 1_000), Just((1 << 48) - 1), 0u64..1 << 48];
    let form = (prop_oneof![Just(0x7b), Just(0x78), Just(0x79), Just(0x7a), any::<u8>()], any::<u8>());
    prop_oneof![
        captured.prop_map(Trick::Captured),
        (0..SIZE, any::<u8>()).prop_map(|(at, byte)| Trick::Byte(at, byte)),
        (0usize..4, any::<u8>()).prop_map(|(at, byte)| Trick::Byte(at, byte)),
        (form, any::<u8>(), any::<u8>()).prop_map(|((a, b), c, d)| Trick::Front([a, b, c, d])),
        (SIZE - 24..SIZE + 40).prop_map(Trick::Length),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Trick::Noise),
    ]
}

fn counters() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..600,
        Just(0xff),
        Just(0x100),
        Just(0xffff),
        Just(0x1_0000),
        0u64..0x2_0000,
        any::<u64>().prop_map(|counter| counter / 2)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_packet_that_is_played_is_kept_and_every_report_of_it_holds(
        said in prop::collection::vec((counters(), tricks(), prop::bool::weighted(0.9)), 1..24),
    ) {
        let mut stage = Stage::new();
        stage.now += 60 * SECOND;
        prop_assert!(stage.say(0x400, honest(NOW.0 * 1_000), true), "an honest packet is heard");
        let mut played = 1;
        for (counter, trick, signs) in said {
            played += usize::from(stage.say(counter, trick.packet(), signs));
        }
        prop_assert_eq!(stage.recorder.kept(stage.member()), played);
        let report = stage.report(NOW);
        prop_assert!(report.is_ok(), "{:?}", report.err());
        prop_assert_eq!(report.unwrap().packets().count(), played);
    }

    #[test]
    fn every_announcement_that_is_believed_makes_reports_that_are_in_time(
        (ahead, holds) in (-400i64..400, prop_oneof![Just(0), Just(1_799), Just(1_800), Just(u32::MAX)]),
        (age, kept, skew) in (0..FRESH, 0u64..=300, -300i64..=300),
    ) {
        let mut stage = Stage::new();
        stage.now += 60 * SECOND;
        let announced = UnixTime(NOW.0.saturating_add_signed(ahead));
        stage.part.announce(announced, holds);
        let believed = stage.part.key.is_timely(NOW);
        prop_assert_eq!(believed, ahead.unsigned_abs() <= TOLERANCE && holds != 1_799);
        // Heard until the announcement is stale by the listener's clock, kept, and sent to a
        // moderator whose clock is not the listener's.
        let heard = UnixTime(NOW.0.max((announced.0 + age).min(announced.0 + FRESH - 1)));
        prop_assume!(believed && heard < stage.part.key.stale_at());
        prop_assert!(stage.say(0x100, honest(heard.0 * 1_000), true));
        let received = UnixTime((heard.0 + kept).saturating_add_signed(skew));
        let report = stage.report(received);
        prop_assert!(report.is_ok(), "{:?}", report.err());
    }
}

#[test]
fn two_packets_of_one_capture_time_are_both_played_and_both_proved() {
    let mut stage = Stage::new();
    stage.now += 60 * SECOND;
    for counter in 0x100..0x105 {
        assert!(stage.say(counter, honest(NOW.0 * 1_000), true));
    }
    let report = stage.report(NOW).unwrap();
    assert_eq!(report.packets().count(), 5);
    assert_eq!(report.gaps(), []);
}

#[test]
fn what_the_longest_window_holds_fits_into_one_report() {
    assert_eq!(MAX_FILE, 33_951_241, "as SPEC section 12.3 says");
    for packet in [Duration::from_micros(2_500), Duration::from_millis(5), Duration::from_millis(20)] {
        let keep = Retention { window: 300 * SECOND, packet, speakers: 1 };
        let size = PacketSize::new(PacketSize::MAX).unwrap();
        let recorder = Buffer::new(keep, size, Instant::now());
        let depth = recorder.reserved() / (68 + usize::from(PacketSize::MAX));
        assert!(depth <= file::MAX_FRAMES, "{depth} frames of {packet:?}");
        assert!(recorder.window() >= 75 * SECOND);

        let stage = Stage::new();
        let taken = |n: u32| Taken {
            step: crate::Step(n / 60_000),
            kid: stage.key.kid,
            counter: Counter(u64::from(256 + n % 60_000)),
            salt: [0; 16],
            packet: vec![0; usize::from(PacketSize::MAX)],
        };
        let part = Part { frames: (0..depth as u32).map(taken).collect(), ..stage.part.clone() };
        let draft = Draft {
            group_id: vec![7; 255],
            room: Name::new(ROOM).unwrap(),
            packet_size: size,
            parts: vec![part],
        };
        let plain = draft.encode().unwrap();
        assert!(Draft::decode(&plain).is_ok());
        let secret = ModerationSecret::from_seed([6; 32]).unwrap();
        let file = secret.key().seal(&crate::keys::secret::Secret::wrap(plain)).unwrap();
        assert!(file.len() <= MAX_FILE);
        // What is in it proves nothing, but its size is no reason to refuse it.
        let why = secret.open(&file, NOW, &[]).unwrap_err();
        assert!(!matches!(why, Rejected::TooLarge | Rejected::Malformed | Rejected::Sealed), "{why}");
    }
}
