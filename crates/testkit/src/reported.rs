//! What the fuzzer drives for reports, and what replays its corpus: the file of SPEC section 12.3,
//! written on `ring`.
//!
//! The first byte says what the rest is: a file, the inside of one, or what a speaker says about
//! itself, validly signed.

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{HpkeAeadType, HpkeConfig, HpkeKdfType, HpkeKemType},
};
use ring::{
    digest::{Context, SHA256},
    signature::{Ed25519KeyPair, KeyPair},
};
use sottovoce::{
    report::{MAX_FILE, ModerationSecret, Rejected, Report},
    room::UnixTime,
};

/// When every report here is announced and arrives.
const NOW: u64 = 1_790_000_000;
const SIZE: usize = 90;
const GROUP_ID: &[u8] = &[0x46; 32];

/// Any bytes as a report: a typed refusal or a report whose parts agree, and what a speaker signed
/// is judged by its numbers and its form.
pub fn report(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 3 {
        0 => look_at(open(data)),
        1 => look_at(open(&sealed(data))),
        _ => signed(data),
    }
}

/// Packets as the fuzzer wants them, each signed by its speaker.
fn signed(data: &[u8]) {
    let frames: Vec<Frame> = data.chunks_exact(4).take(40).map(Frame::new).collect();
    let outcome = open(&sealed(&written(&frames)));
    let ascending = frames.is_sorted_by(|a, b| (a.step, a.counter) < (b.step, b.counter));
    let one_kid = |pair: &[Frame]| pair[0].step != pair[1].step || pair[0].kid == pair[1].kid;
    let wrong = frames.iter().enumerate().find_map(|(index, frame)| {
        let kid_changes = index > 0 && !one_kid(&frames[index - 1..=index]);
        match () {
            () if kid_changes || frame.counter < 256 => Some("Numbers"),
            () if !frame.plays => Some("NotOpus"),
            () => None,
        }
    });
    match outcome {
        Ok(report) => {
            assert!(ascending && !frames.is_empty() && wrong.is_none());
            assert_eq!(report.packets().count(), frames.len());
            look_at(Ok(report));
        }
        Err(Rejected::Malformed) => assert!(!ascending || frames.is_empty()),
        Err(why) => {
            let name = format!("{why:?}");
            assert!(ascending && name.starts_with(wrong.unwrap_or("nothing")), "{name} is not {wrong:?}");
        }
    }
}

/// Whatever holds for every report that proves something.
fn look_at(outcome: Result<Report, Rejected>) {
    let Ok(report) = outcome else { return };
    let places: Vec<_> = report.packets().map(|packet| packet.place).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "packets are in the order of their numbers");
    let between: u64 = places
        .windows(2)
        .filter(|pair| (pair[0].epoch, pair[0].step) == (pair[1].epoch, pair[1].step))
        .map(|pair| pair[1].counter.0 - pair[0].counter.0 - 1)
        .sum();
    let (mut missing, gaps) = (0, report.gaps());
    for gap in &gaps {
        assert!(gap.after > std::time::Duration::ZERO && gap.after < report.duration());
        missing += if gap.key_changed { 0 } else { u64::from(gap.packets) };
    }
    assert_eq!(missing, between, "every number that is left out is shown");
    assert_eq!(report.compare(&report).unwrap().same, places.len());
}

fn open(file: &[u8]) -> Result<Report, Rejected> {
    let outcome = moderator().open(file, UnixTime::from_secs(NOW), &[]);
    assert!(file.len() <= MAX_FILE || outcome.is_err());
    outcome
}

fn moderator() -> ModerationSecret {
    ModerationSecret::from_seed([1; 32]).unwrap()
}

/// The file with these bytes inside.
fn sealed(plain: &[u8]) -> Vec<u8> {
    let config = HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);
    let key = moderator().key();
    let sealed =
        RustCrypto::default().hpke_seal(config, key.as_bytes(), b"sottovoce 1 report", &[], plain).unwrap();
    let (enc, ciphertext) = (sealed.kem_output.as_slice(), sealed.ciphertext.as_slice());
    [&b"sottovoce 1 sealed report"[..], enc, ciphertext].concat()
}

struct Frame {
    step: u32,
    kid: u32,
    counter: u16,
    body: Vec<u8>,
    plays: bool,
}

impl Frame {
    /// Four bytes: step and KID, counter in two bytes, and the form of the packet.
    fn new(bytes: &[u8]) -> Self {
        let &[what, high, low, form] = bytes else { unreachable!("chunks of four") };
        let counter = u16::from_be_bytes([high, low]);
        // Code 3, padded: a count, a padding length that leaves two bytes for frames of one packet,
        // tail and filler.
        let mut body = vec![0x78 | 3, 0x41, (SIZE - 3 - 2) as u8];
        body.resize(SIZE - 73, 1);
        body[1] = if form == 0 { 0x40 } else { 0x41 };
        let captured = NOW * 1_000 + u64::from(counter) * u64::from(form);
        body.push(0xc2);
        body.extend(&captured.to_be_bytes()[2..]);
        body.extend([form, 0]);
        let step = u32::from(what >> 2);
        Self { step, kid: 0x8000_0000 | u32::from(what & 2), counter, body, plays: form != 0 }
    }
}

/// A report of these packets, in which every signature holds.
fn written(frames: &[Frame]) -> Vec<u8> {
    let [identity, leaf, speaker] =
        [2, 3, 4].map(|n: u8| Ed25519KeyPair::from_seed_unchecked(&[n; 32]).unwrap());
    let public = |pair: &Ed25519KeyPair| pair.public_key().as_ref().to_vec();
    let sized = |bytes: &[u8]| [&[bytes.len() as u8], bytes].concat();
    let (group_id, room, epoch_context) = (sized(GROUP_ID), sized(b"room"), [5; 32]);
    let name = sized(b"Ada");
    let made = 1_789_999_000_000u64.to_be_bytes();
    let vouched = [&b"sottovoce 2 leaf"[..], GROUP_ID, &public(&leaf), &name, &made].concat();
    let credential = [&[2][..], &public(&identity), &name, &made, identity.sign(&vouched).as_ref()].concat();
    let context = sha256(&[b"sottovoce 1 speaker", &epoch_context, &[0; 4], &public(&speaker)]);
    let times = [&NOW.to_be_bytes()[..], &1_800u32.to_be_bytes()].concat();
    let said =
        [&b"sottovoce 1 announcement"[..], &group_id, &room, &7u64.to_be_bytes(), &context, &times].concat();
    let mut out = [&b"sottovoce 1 report"[..], &group_id, &room, &(SIZE as u16).to_be_bytes(), &[1]].concat();
    out.extend([&7u64.to_be_bytes()[..], &epoch_context, &[0; 4], &public(&leaf)].concat());
    out.extend([&(credential.len() as u16).to_be_bytes()[..], &credential, &public(&speaker)].concat());
    out.extend([&times, leaf.sign(&said).as_ref(), &(frames.len() as u32).to_be_bytes()].concat());
    for frame in frames {
        let (step, kid, counter) =
            (frame.step.to_be_bytes(), frame.kid.to_be_bytes(), frame.counter.to_be_bytes());
        let (salt, zeros) = ([6; 16], [0; 8]);
        let content = sha256(&[&salt, &frame.body]);
        let numbers = [&step[..], &zeros[..4], &kid, &zeros[..6], &counter].concat();
        let message = [&b"sottovoce 1 frame"[..], &context, &numbers, &content].concat();
        out.extend([&step[..], &kid, &counter, &salt, &frame.body, speaker.sign(&message).as_ref()].concat());
    }
    out
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().unwrap()
}
