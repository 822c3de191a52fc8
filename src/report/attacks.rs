//! Reporters who lie, speakers who deny, and files that are no reports.
//!
//! Everything here is done to the bytes inside the seal: whoever has a moderation key's public half
//! can seal what it likes.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{file::MAX_FILE, *};
use crate::{
    Authenticity, CaptureTime, Epoch, EpochSecret, EpochStart, Leaf, MemberId, Opener, PacketSize, Rekey,
    Schedule, Sealer, Seed, Speaker, Stamp, Step, Suite,
    group::{
        CredentialError, Identity, Name,
        announce::{self, SpeakerKey},
        signing::SigningKey,
    },
    id::{Counter, KeyId, UnixTime},
    keys::{
        derive::sha256,
        secret::Secret,
        speaker::{Signer, epoch_context, frame_message},
    },
    media::{HEADROOM, Level, TAILROOM},
    mls::Credential,
};

const ROOM: &str = "tea";
const MADE_MS: u64 = 1_789_999_000_000;

/// The group id of a room of this name.
fn room_id(room: &str) -> [u8; 32] {
    sha256(&[b"group", room.as_bytes()])
}
const SIZE: u16 = 120;
const HOLDS: u32 = 1_800;
/// When everything here is announced.
const NOW: UnixTime = UnixTime(1_790_000_000);

/// What somebody does to a report.
type Edit = fn(&mut Draft);

fn moderator() -> ModerationSecret {
    ModerationSecret::from_seed([77; 32]).unwrap()
}

fn identity(who: u8) -> Identity {
    Identity::from_seed([who + 1; 32], Name::new(["Ada", "Ben", "Cem"][usize::from(who)]).unwrap())
}

fn leaf_key(who: u8) -> SigningKey {
    SigningKey::from_seed(Seed::from_bytes(&mut [who + 101; 32]))
}

/// The seed of somebody's speaker key.
fn seed(room: &str, epoch: u64, who: u8) -> [u8; 32] {
    sha256(&[b"seed", room.as_bytes(), &epoch.to_be_bytes(), &[who]])
}

fn authenticator(room: &str, epoch: u64) -> [u8; 32] {
    sha256(&[b"authenticator", room.as_bytes(), &epoch.to_be_bytes()])
}

fn schedule(room: &str, epoch: u64, own: u32, now: Instant) -> Schedule {
    let speakers = [0, 1].map(|who: u8| Speaker { leaf: Leaf(who.into()), member: identity(who).id() });
    let start = EpochStart {
        secret: EpochSecret::new(sha256(&[b"secret", room.as_bytes(), &epoch.to_be_bytes()]).to_vec())
            .unwrap(),
        group_id: &room_id(room),
        epoch: Epoch(epoch),
        authenticator: &authenticator(room, epoch),
        suite: Suite::default(),
        authenticity: Authenticity::Signed,
        packet_size: PacketSize::new(SIZE).unwrap(),
        own_leaf: Leaf(own),
        speakers: &speakers,
        removed: &[],
        seed: &seed(room, epoch, own as u8),
    };
    Schedule::start(start, now).unwrap()
}

/// What `who` says in one epoch of one room, `count` packets of 20 ms in each step, as a listener
/// opened it.
fn said(room: &str, epoch: u64, who: u8, steps: u32, count: u32) -> Part {
    let mut now = Instant::now();
    let (mut speaks, mut listens) = (schedule(room, epoch, who.into(), now), schedule(room, epoch, 9, now));
    let public = speaks.speaker_key().unwrap();
    listens.handle_speaker(Leaf(who.into()), public).unwrap();
    let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
    let name = Name::new(room).unwrap();
    let epoch_context = epoch_context(&room_id(room), Epoch(epoch), &authenticator(room, epoch));
    let mut part = Part {
        epoch: Epoch(epoch),
        epoch_context,
        leaf: who.into(),
        leaf_key: *leaf_key(who).public(),
        credential: Credential::issue(&identity(who), &room_id(room), leaf_key(who).public(), MADE_MS)
            .encode(),
        key: SpeakerKey { public, announced: NOW, holds: HOLDS, signature: [0; 64] },
        frames: Vec::new(),
    };
    part.key = announced(&part, &room_id(room), &name, who);
    let mut captured = NOW.0 * 1_000 + epoch * 60_000;
    for step in 0..steps {
        for schedule in [&mut speaks, &mut listens] {
            schedule.handle_timeout(now);
        }
        while let Some(rekey) = speaks.poll_rekey() {
            if let Rekey::Seal(rekey) = rekey {
                drop(sealer.install(rekey));
            }
        }
        while let Some(rekey) = listens.poll_rekey() {
            if let Rekey::Open(rekey) = rekey {
                drop(opener.install(rekey));
            }
        }
        for index in 0..count {
            let mut buffer = [0; HEADROOM + SIZE as usize + TAILROOM];
            let said = sha256(&[
                &room_id(room),
                &epoch.to_be_bytes(),
                &[who],
                &step.to_be_bytes(),
                &index.to_be_bytes(),
            ]);
            buffer[HEADROOM] = 0x78;
            buffer[HEADROOM + 1..HEADROOM + 33].copy_from_slice(&said);
            let stamp =
                Stamp { captured: CaptureTime(captured), level: Level::from_byte(9), ..Stamp::default() };
            captured += 20;
            let opened = opener.open(sealer.seal(&mut buffer, 33, stamp).unwrap()).unwrap();
            let evidence = opened.evidence.unwrap();
            part.frames.push(Taken {
                step: opened.step,
                kid: evidence.kid,
                counter: opened.counter,
                salt: evidence.salt,
                packet: opened.packet.as_bytes().to_vec(),
            });
        }
        now += Duration::from_secs(10);
    }
    part
}

fn announced(part: &Part, group_id: &[u8], room: &Name, who: u8) -> SpeakerKey {
    let SpeakerKey { public, announced, holds, .. } = part.key;
    SpeakerKey::new(public, announced, holds, &part.place(group_id, room), |text| leaf_key(who).sign(text))
}

fn report(room: &str, parts: Vec<Part>) -> Draft {
    let packet_size = PacketSize::new(SIZE).unwrap();
    Draft { group_id: room_id(room).to_vec(), room: Name::new(room).unwrap(), packet_size, parts }
}

/// Ada in two epochs, two steps in the first.
fn honest() -> Draft {
    report(ROOM, vec![said(ROOM, 4, 0, 2, 3), said(ROOM, 5, 0, 1, 2)])
}

fn file(draft: &Draft) -> Vec<u8> {
    file_of(draft.encode().unwrap())
}

fn file_of(plain: Vec<u8>) -> Vec<u8> {
    moderator().key().seal(&Secret::wrap(plain)).unwrap()
}

/// What a moderator makes of a draft that somebody sealed.
fn open(draft: &Draft) -> Result<Report, Rejected> {
    open_at(draft, NOW)
}

fn open_at(draft: &Draft, received: UnixTime) -> Result<Report, Rejected> {
    moderator().open(&file(draft), received, &[])
}

/// Signs a packet as whoever has the seed, wherever it is to stand.
fn sign(part: &Part, draft: &Draft, seed: &[u8; 32], frame: &mut Taken) {
    let context = part.key.context(&part.place(&draft.group_id, &draft.room));
    let signer = Signer::new(seed, b"any", Epoch(0), b"any", Leaf(0));
    let body = frame.packet.len() - 64;
    let content = sha256(&[&frame.salt, &frame.packet[..body]]);
    let signature = signer.sign(&frame_message(&context, frame.step, frame.kid, frame.counter, &content));
    frame.packet[body..].copy_from_slice(&signature);
}

fn place(epoch: u64, step: u32, counter: u64) -> Place {
    Place { epoch: Epoch(epoch), step: Step(step), counter: Counter(counter) }
}

#[test]
fn an_honest_report_says_who_where_when_and_how_long() {
    let report = open(&honest()).unwrap();
    assert_eq!((report.member(), report.name().as_str()), (identity(0).id(), "Ada"));
    assert_eq!((report.room_id(), report.room().as_str()), (&room_id(ROOM)[..], ROOM));
    assert_eq!(report.captured(), CaptureTime(NOW.0 * 1_000 + 240_000));
    assert_eq!(report.duration(), Duration::from_millis(8 * 20));
    let places: Vec<Place> = report.packets().map(|packet| packet.place).collect();
    let expected = [
        (4, 0, 256),
        (4, 0, 257),
        (4, 0, 258),
        (4, 1, 256),
        (4, 1, 257),
        (4, 1, 258),
        (5, 0, 256),
        (5, 0, 257),
    ];
    assert_eq!(places, expected.map(|(epoch, step, counter)| place(epoch, step, counter)));
    assert_eq!(report.proves_until(), Some(UnixTime(NOW.0 + 1_500)));
    let gaps = report.gaps();
    assert_eq!(gaps.len(), 1, "only between the epochs does the clock run on: {gaps:?}");
    assert_eq!((gaps[0].packets, gaps[0].key_changed, gaps[0].clock_ms), (0, true, 60_000 - 6 * 20));
}

#[test]
fn every_bit_of_what_is_sealed_counts() {
    let plain = honest().encode().unwrap();
    let verify = |bytes: &[u8]| {
        let draft = Draft::decode(bytes).map_err(|_| Rejected::Malformed)?;
        let report = Report::verify(draft)?;
        report.check_time(NOW)?;
        Ok::<_, Rejected>(report)
    };
    assert!(verify(&plain).is_ok());
    for bit in 0..plain.len() * 8 {
        let mut altered = plain.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&altered).is_err(), "bit {bit} of {} is not covered", plain.len() * 8);
    }
    for len in 0..plain.len() {
        assert!(Draft::decode(&plain[..len]).is_err());
    }
    assert!(Draft::decode(&[&plain[..], &[0]].concat()).is_err());
}

#[test]
fn every_bit_of_the_file_counts() {
    let sealed = file(&report(ROOM, vec![said(ROOM, 4, 0, 1, 1)]));
    let (moderator, other) = (moderator(), ModerationSecret::from_seed([78; 32]).unwrap());
    assert!(moderator.open(&sealed, NOW, &[]).is_ok());
    assert_eq!(other.open(&sealed, NOW, &[]).unwrap_err(), Rejected::Sealed);
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let why = moderator.open(&altered, NOW, &[]).unwrap_err();
        assert!(matches!(why, Rejected::Sealed | Rejected::NotAReport), "{why}");
    }
    for len in 0..sealed.len() {
        let why = moderator.open(&sealed[..len], NOW, &[]).unwrap_err();
        assert!(matches!(why, Rejected::Sealed | Rejected::NotAReport), "{why}");
    }
    assert_eq!(moderator.open(&vec![0; MAX_FILE + 1], NOW, &[]).unwrap_err(), Rejected::TooLarge);
}

#[test]
fn what_is_left_out_is_seen() {
    let whole = || report(ROOM, vec![said(ROOM, 4, 0, 2, 10)]);
    assert_eq!(open(&whole()).unwrap().gaps(), [], "nothing is missing");
    let ms = Duration::from_millis;

    let mut draft = whole();
    draft.parts[0].frames.drain(3..6);
    let gap = Gap { after: ms(60), packets: 3, missing: ms(60), clock_ms: 0, key_changed: false };
    assert_eq!(open(&draft).unwrap().gaps(), [gap]);

    // The first packets of the next step have numbers from 256 on, so that these are missing is
    // certain.
    let mut draft = whole();
    draft.parts[0].frames.drain(10..12);
    let gap = Gap { after: ms(200), packets: 2, missing: ms(40), clock_ms: 0, key_changed: true };
    assert_eq!(open(&draft).unwrap().gaps(), [gap]);

    // The last packets before it have no number that is missed, but the speaker's clock misses
    // them.
    let mut draft = whole();
    draft.parts[0].frames.drain(9..10);
    let gap = Gap { after: ms(180), packets: 0, missing: ms(0), clock_ms: 20, key_changed: true };
    assert_eq!(open(&draft).unwrap().gaps(), [gap]);
}

#[test]
fn what_is_moved_or_doubled_is_refused() {
    let whole = || report(ROOM, vec![said(ROOM, 4, 0, 2, 4), said(ROOM, 5, 0, 1, 4)]);
    let changes: [Edit; 5] = [
        |draft| draft.parts[0].frames.swap(0, 1),
        |draft| draft.parts[0].frames.swap(1, 5),
        |draft| draft.parts[0].frames.extend_from_within(7..),
        |draft| draft.parts.swap(0, 1),
        |draft| draft.parts[1].frames.clear(),
    ];
    for change in changes {
        let mut draft = whole();
        change(&mut draft);
        assert_eq!(open(&draft).unwrap_err(), Rejected::Malformed);
    }
    // Moved with new numbers, so that the order is kept: each number is signed.
    let mut draft = whole();
    let frames = &mut draft.parts[0].frames;
    (frames[0].packet, frames[1].packet) = (frames[1].packet.clone(), frames[0].packet.clone());
    (frames[0].salt, frames[1].salt) = (frames[1].salt, frames[0].salt);
    assert_eq!(open(&draft).unwrap_err(), Rejected::Forged(place(4, 0, 256)));
    let mut draft = whole();
    draft.parts[0].frames[3].counter = Counter(300);
    assert_eq!(open(&draft).unwrap_err(), Rejected::Forged(place(4, 0, 300)));
    let mut draft = whole();
    draft.parts[0].frames.iter_mut().skip(4).for_each(|frame| frame.step = Step(2));
    assert_eq!(open(&draft).unwrap_err(), Rejected::Forged(place(4, 2, 256)));
}

#[test]
fn what_was_said_elsewhere_is_not_spliced_in() {
    // Packets of another epoch, another room, another speaker, under the announcement of this one.
    let here = said(ROOM, 4, 0, 1, 3);
    for other in [said(ROOM, 5, 0, 1, 6), said("coffee", 4, 0, 1, 6), said(ROOM, 4, 1, 1, 6)] {
        let mut part = here.clone();
        part.frames.extend(
            other.frames[3..].iter().cloned().map(|frame| Taken { kid: here.frames[0].kid, ..frame }),
        );
        assert_eq!(open(&report(ROOM, vec![part])).unwrap_err(), Rejected::Forged(place(4, 0, 259)));
        // With the other key besides, the announcement does not hold.
        let part = Part { key: other.key, frames: other.frames.clone(), ..here.clone() };
        assert_eq!(open(&report(ROOM, vec![part])).unwrap_err(), Rejected::Announcement { epoch: Epoch(4) });
    }
    // Whole parts.
    let mixed = report(ROOM, vec![said(ROOM, 4, 0, 1, 3), said(ROOM, 5, 1, 1, 3)]);
    assert_eq!(open(&mixed).unwrap_err(), Rejected::Speakers);
    let mixed = report(ROOM, vec![said(ROOM, 4, 0, 1, 3), said("coffee", 5, 0, 1, 3)]);
    let why = CredentialError::Forged;
    assert_eq!(open(&mixed).unwrap_err(), Rejected::Credential { epoch: Epoch(5), why });
    // Two windows of one epoch, on the other hand, are true, and the gap between them shows.
    let mut part = said(ROOM, 4, 0, 1, 9);
    part.frames.drain(2..7);
    assert_eq!(open(&report(ROOM, vec![part])).unwrap().gaps()[0].packets, 5);
}

#[test]
fn what_was_never_said_is_not_attributed() {
    let draft = || report(ROOM, vec![said(ROOM, 4, 0, 1, 3)]);
    // A member has every key of the room but Ada's speaker key, and signs with its own.
    let mut invented = draft();
    let ben = seed(ROOM, 4, 1);
    let mut frame = invented.parts[0].frames[1].clone();
    frame.packet[5..20].fill(0xaa);
    sign(&invented.parts[0].clone(), &invented, &ben, &mut frame);
    invented.parts[0].frames[1] = frame;
    assert_eq!(open(&invented).unwrap_err(), Rejected::Forged(place(4, 0, 257)));

    // Its own key under Ada's name: announced by its own leaf, or by nobody.
    let mut own = said(ROOM, 4, 1, 1, 3);
    own.credential = draft().parts[0].credential.clone();
    let refused = Rejected::Credential { epoch: Epoch(4), why: CredentialError::Forged };
    assert_eq!(open(&report(ROOM, vec![own.clone()])).unwrap_err(), refused);
    own.leaf_key = draft().parts[0].leaf_key;
    assert_eq!(open(&report(ROOM, vec![own])).unwrap_err(), Rejected::Announcement { epoch: Epoch(4) });

    // The same identity key as leaf key would make every credential an announcement.
    let mut odd = said(ROOM, 4, 0, 1, 3);
    odd.leaf_key = *identity(0).public();
    let refused = Rejected::Credential { epoch: Epoch(4), why: CredentialError::IdentityAsLeaf };
    assert_eq!(open(&report(ROOM, vec![odd])).unwrap_err(), refused);
}

#[test]
fn what_a_reporter_edits_is_refused() {
    let edits: [(&str, Edit); 6] = [
        ("audio", |draft| draft.parts[0].frames[1].packet[10] ^= 1),
        ("capture time", |draft| draft.parts[0].frames[1].packet[SIZE as usize - 72] ^= 1),
        ("level", |draft| draft.parts[0].frames[1].packet[SIZE as usize - 66] ^= 0x80),
        ("salt", |draft| draft.parts[0].frames[1].salt[0] ^= 1),
        ("signature", |draft| draft.parts[0].frames[1].packet[SIZE as usize - 1] ^= 0x10),
        ("somebody else's signature", |draft| {
            let other = draft.parts[0].frames[2].packet[SIZE as usize - 64..].to_vec();
            draft.parts[0].frames[1].packet[SIZE as usize - 64..].copy_from_slice(&other);
        }),
    ];
    for (what, edit) in edits {
        let mut draft = report(ROOM, vec![said(ROOM, 4, 0, 1, 3)]);
        edit(&mut draft);
        assert_eq!(open(&draft).unwrap_err(), Rejected::Forged(place(4, 0, 257)), "{what}");
    }
    let edits: [(&str, Edit); 5] = [
        ("the room's name", |draft| draft.room = Name::new("war council").unwrap()),
        ("the epoch", |draft| draft.parts[0].epoch = Epoch(400)),
        ("the leaf", |draft| draft.parts[0].leaf = 7),
        ("the time", |draft| draft.parts[0].key.announced = UnixTime(NOW.0 + 60)),
        ("the promise", |draft| draft.parts[0].key.holds = 0),
    ];
    for (what, edit) in edits {
        let mut draft = report(ROOM, vec![said(ROOM, 4, 0, 1, 3)]);
        edit(&mut draft);
        let epoch = draft.parts[0].epoch;
        assert_eq!(open(&draft).unwrap_err(), Rejected::Announcement { epoch }, "{what}");
    }
}

#[test]
fn a_speaker_has_one_kid_in_a_step_and_counters_from_256() {
    let mut draft = report(ROOM, vec![said(ROOM, 4, 0, 1, 3)]);
    let ada = seed(ROOM, 4, 0);
    let signed = |draft: &Draft, change: fn(&mut Taken)| {
        let mut frame = draft.parts[0].frames[1].clone();
        change(&mut frame);
        sign(&draft.parts[0], draft, &ada, &mut frame);
        frame
    };
    let other_kid = signed(&draft, |frame| frame.kid = KeyId(frame.kid.0 ^ 4));
    let early = signed(&draft, |frame| frame.counter = Counter(255));
    draft.parts[0].frames[1] = other_kid;
    assert_eq!(open(&draft).unwrap_err(), Rejected::Numbers(place(4, 0, 257)));
    draft.parts[0].frames = vec![early];
    assert_eq!(open(&draft).unwrap_err(), Rejected::Numbers(place(4, 0, 255)));
}

#[test]
fn what_no_decoder_plays_is_refused_though_it_is_signed() {
    let mut draft = report(ROOM, vec![said(ROOM, 4, 0, 1, 2)]);
    let mut frame = draft.parts[0].frames[1].clone();
    frame.packet[1] = 0; // A count of no frames.
    sign(&draft.parts[0], &draft, &seed(ROOM, 4, 0), &mut frame);
    draft.parts[0].frames[1] = frame;
    assert_eq!(open(&draft).unwrap_err(), Rejected::NotOpus(place(4, 0, 257)));
}

#[test]
fn a_report_proves_something_only_in_its_time() {
    let draft = honest();
    let at = |seconds: i64| open_at(&draft, UnixTime(NOW.0.saturating_add_signed(seconds))).map(|_| ());
    assert_eq!(at(-601), Err(Rejected::Early { announced: NOW }));
    assert_eq!(at(-600), Ok(()));
    assert_eq!(at(1_500), Ok(()));
    let until = UnixTime(NOW.0 + 1_500);
    assert_eq!(at(1_501), Err(Rejected::Expired { until }));
    assert_eq!(at(1_000_000_000), Err(Rejected::Expired { until }));

    // A promise to keep the key for ever is signed like any other.
    let mut part = said(ROOM, 4, 0, 1, 3);
    part.key.holds = 0;
    part.key = announced(&part, &room_id(ROOM), &Name::new(ROOM).unwrap(), 0);
    assert!(open_at(&report(ROOM, vec![part]), UnixTime(u64::MAX)).is_ok());
}

#[test]
fn after_publication_anybody_makes_a_report_and_nobody_believes_it() {
    let mut forged = honest();
    let published = seed(ROOM, 4, 0);
    for index in 0..forged.parts[0].frames.len() {
        let mut frame = forged.parts[0].frames[index].clone();
        frame.packet[4..30].fill(0x5a);
        sign(&forged.parts[0].clone(), &forged, &published, &mut frame);
        forged.parts[0].frames[index] = frame;
    }
    // Its signatures are as good as Ada's own: that is what makes hers deniable from then on.
    assert!(Report::verify(forged.clone()).is_ok());
    // It cannot be made before the key is out, half an hour after the epoch at the earliest; by
    // then it is late, even for a moderator whose clock is five minutes slow.
    let made = UnixTime(NOW.0 + u64::from(HOLDS));
    assert!(matches!(open_at(&forged, made), Err(Rejected::Expired { .. })));
    assert!(matches!(open_at(&forged, UnixTime(made.0 - 299)), Err(Rejected::Expired { .. })));
    // And where the private half is known, the time does not matter.
    let keys = [PublishedKey::from_bytes([1; 32]), PublishedKey::from_bytes(published)];
    let refused = moderator().open(&file(&forged), NOW, &keys).unwrap_err();
    assert_eq!(refused, Rejected::Published { epoch: Epoch(4) });
    assert!(moderator().open(&file(&forged), NOW, &keys[..1]).is_ok());
}

#[test]
fn a_published_key_does_not_extend_its_own_time() {
    // With the speaker key alone nobody makes a newer announcement: that takes the leaf key.
    let mut draft = report(ROOM, vec![said(ROOM, 4, 0, 1, 3)]);
    let late = UnixTime(NOW.0 + 7_200);
    let speaker = SigningKey::from_seed(Seed::from_bytes(&mut seed(ROOM, 4, 0)));
    let place = draft.parts[0].place(&draft.group_id, &draft.room);
    draft.parts[0].key = SpeakerKey::new(*speaker.public(), late, 0, &place, |text| speaker.sign(text));
    assert_eq!(open_at(&draft, late).unwrap_err(), Rejected::Announcement { epoch: Epoch(4) });
}

#[test]
fn reports_of_one_moment_agree_and_two_versions_convict_the_speaker() {
    let whole = said(ROOM, 4, 0, 1, 10);
    let part = |range: std::ops::Range<usize>| {
        let frames = whole.frames[range].to_vec();
        report(ROOM, vec![Part { frames, ..whole.clone() }])
    };
    let (first, second) = (open(&part(0..8)).unwrap(), open(&part(5..10)).unwrap());
    let agreed = first.compare(&second).unwrap();
    assert_eq!((agreed.same, agreed.only_first, agreed.only_second), (3, 5, 2));
    assert_eq!(agreed.equivocations, []);

    // Ada tells the second reporter something else under the same number.
    let mut other = part(5..10);
    let mut frame = other.parts[0].frames[1].clone();
    frame.packet[8..20].fill(1);
    sign(&other.parts[0].clone(), &other, &seed(ROOM, 4, 0), &mut frame);
    other.parts[0].frames[1] = frame;
    let other = open(&other).unwrap();
    let convicted = [Equivocation::Packet(place(4, 0, 262))];
    assert_eq!(first.compare(&other).unwrap().equivocations, convicted);
    assert_eq!(other.compare(&first).unwrap().equivocations, convicted);
    assert_eq!(first.compare(&other).unwrap().same, 2);

    // Or announces another key to it.
    let mut two = said(ROOM, 4, 0, 1, 2);
    let room = Name::new(ROOM).unwrap();
    let second_seed = [9; 32];
    two.key.public = *SigningKey::from_seed(Seed::from_bytes(&mut { second_seed })).public();
    two.key = announced(&two, &room_id(ROOM), &room, 0);
    let mut draft = report(ROOM, vec![two]);
    for index in 0..2 {
        let mut frame = draft.parts[0].frames[index].clone();
        sign(&draft.parts[0].clone(), &draft, &second_seed, &mut frame);
        draft.parts[0].frames[index] = frame;
    }
    let outcome = first.compare(&open(&draft).unwrap()).unwrap();
    assert_eq!(outcome.equivocations, [Equivocation::SpeakerKey(Epoch(4))]);
    assert_eq!(outcome.same, 2, "the same words under both keys");

    // Other speakers and other rooms have nothing to do with it.
    assert_eq!(first.compare(&open(&report(ROOM, vec![said(ROOM, 4, 1, 1, 3)])).unwrap()), None);
    assert_eq!(first.compare(&open(&report("coffee", vec![said("coffee", 4, 0, 1, 3)])).unwrap()), None);
}

#[test]
fn an_identity_or_leaf_that_anybody_signs_for_is_nobody() {
    // Under the neutral point everything is signed by R = neutral, S = 0.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut anybody = [0; 64];
    anybody[0] = 1;
    let mut part = said(ROOM, 4, 0, 1, 2);
    part.credential[1..33].copy_from_slice(&neutral);
    let at = part.credential.len() - 64;
    part.credential[at..].copy_from_slice(&anybody);
    let refused = Rejected::Credential { epoch: Epoch(4), why: CredentialError::Forged };
    assert_eq!(open(&report(ROOM, vec![part])).unwrap_err(), refused);

    let mut part = said(ROOM, 4, 0, 1, 2);
    part.leaf_key = neutral;
    part.credential = Credential::issue(&identity(0), &room_id(ROOM), &neutral, MADE_MS).encode();
    part.key.signature = anybody;
    assert_eq!(open(&report(ROOM, vec![part])).unwrap_err(), Rejected::Announcement { epoch: Epoch(4) });
}

#[test]
fn counts_that_promise_too_much_reserve_nothing() {
    let mut plain = report(ROOM, vec![said(ROOM, 4, 0, 1, 1)]).encode().unwrap();
    let count = plain.len() - (4 + 4 + 2 + 16 + usize::from(SIZE)) - 4;
    assert_eq!(plain[count..count + 4], [0, 0, 0, 1]);
    plain[count..count + 4].fill(0xff);
    assert_eq!(moderator().open(&file_of(plain), NOW, &[]).unwrap_err(), Rejected::Malformed);
    let one = said(ROOM, 4, 0, 1, 1);
    let many = report(ROOM, (0..256).map(|_| one.clone()).collect());
    assert!(many.encode().is_err());
    let wide = Part { frames: vec![one.frames[0].clone(); 70_000], ..one };
    assert!(report(ROOM, vec![wide]).encode().is_err());
}

#[test]
fn logs_name_nobody() {
    let report = open(&honest()).unwrap();
    assert_eq!(format!("{report:?}"), "Report(8 packets)");
    assert_eq!(format!("{:?}", moderator()), "ModerationSecret(..)");
    let (mut opener, now) = (Opener::new(), Instant::now());
    let mut recorder = Buffer::new(Retention::default(), PacketSize::default(), now);
    assert_eq!(format!("{recorder:?} {:?}", Excerpt::new(&recorder)), "Recorder(0 frames) Excerpt(0 frames)");
    recorder.handle_timeout(now);
    assert!(opener.open(&mut []).is_err());
    assert_eq!(recorder.kept(MemberId::from_bytes([0; 32])), 0);
    let place = announce::Place {
        group_id: b"",
        room: report.room(),
        epoch: Epoch(0),
        epoch_context: [0; 32],
        leaf: 0,
    };
    assert!(!honest().parts[0].key.is_from(&[3; 32], &place));
}

proptest! {
    #[test]
    fn garbage_is_a_typed_error(bytes in prop::collection::vec(any::<u8>(), 0..600), what in 0u8..3) {
        let plain = honest().encode().unwrap();
        let garbage = match what {
            0 => bytes,
            1 => [&b"sottovoce 1 report"[..], &bytes].concat(),
            _ => [&plain[..(bytes.len() * 3).min(plain.len() - 1)], &bytes].concat(),
        };
        prop_assert!(moderator().open(&file_of(garbage.clone()), NOW, &[]).is_err());
        prop_assert!(moderator().open(&garbage, NOW, &[]).is_err());
    }
}
