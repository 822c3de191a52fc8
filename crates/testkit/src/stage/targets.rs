//! What the fuzzer drives: one function a target. `tests/media/corpus.rs` replays the corpus
//! through the same functions, so that whatever the fuzzer has found stays found without it.
//!
//! Each function takes any bytes, panics when a rule is broken, and starts from the same state
//! every time.

use std::{collections::VecDeque, time::Duration};

use sottovoce::{
    Authenticity, Leaf, OpenError, Opener, PacketSize, SealError,
    media::{Early, OpusPacket, Proof, capacity},
};

use super::{
    Heard, Profile, Stage, group,
    insider::{self, Insider},
    opus, signed,
};

/// What the fuzzer calls with every input.
pub type Target = fn(&[u8]);

/// A target's name, which is that of its corpus too, and its function.
pub const ALL: [(&str, Target); 5] =
    [("header", header), ("opus", opus), ("opener", opener), ("insider", insider), ("early", early)];

/// The longest frame that is looked at.
const MAX_FRAME: usize = 1_100;

/// Any bytes as a frame: refused as malformed exactly when a second decoder refuses
/// its header or no key may use its counter.
pub fn header(data: &[u8]) {
    let expected = match insider::decode(data) {
        _ if data.len() > MAX_FRAME => OpenError::TooLarge,
        None => OpenError::Malformed,
        Some((_, counter, _)) if !(0x100..=0xffff).contains(&counter) => OpenError::Malformed,
        Some(_) => OpenError::UnknownKey,
    };
    let mut frame = data.to_vec();
    assert_eq!(Opener::new().open(&mut frame), Err(expected));
    assert_eq!(frame, data, "a refusal before the tag leaves the frame alone");
}

/// Any bytes as an Opus packet: taken exactly when a second parser takes them, and then sealed at
/// one size and opened with every frame as it was. First two bytes: signature or none, and the
/// room's size.
pub fn opus(data: &[u8]) {
    let Some(([a, b], packet)) = data.split_first_chunk() else { return };
    let size = 16 + u16::from_be_bytes([*a, *b]) % 985;
    let profile = if a & 0x80 == 0 { Profile { size, ..group() } } else { Profile { size, ..signed() } };
    let frames = opus::frames(packet);
    assert_eq!(OpusPacket::parse(packet).is_ok(), frames.is_some());
    let Some(frames) = frames else { return };
    let mut stage = Stage::of(2, profile);
    let sealed = stage.member(0).seal(packet);
    let fits = capacity(PacketSize::new(size).unwrap(), profile.authenticity);
    match sealed {
        Err(why) => {
            assert_eq!(why, SealError::TooLarge);
            assert!(packet.len() > fits, "there was room");
        }
        Ok(sealed) => {
            // What has a count byte, and what has padding already, needs less of its own.
            assert!(packet.len() <= fits + if packet[0] & 3 == 3 { 2 } else { 0 });
            assert_eq!(sealed.len(), usize::from(size) + 23);
            let heard = stage.hear(1, &sealed).unwrap();
            assert_eq!(heard.packet.len(), usize::from(size));
            assert_eq!(opus::frames(&heard.packet), Some(frames));
            assert_eq!(heard.packet[0] & !3, packet[0] & !3);
        }
    }
}

/// A relay that holds no key: it makes up frames, alters, repeats and delays real ones while time
/// passes.
///
/// Nothing but what was sealed opens, that once, and nobody's next packet suffers.
pub fn opener(data: &[u8]) {
    let mut data = data.iter().copied();
    let Some(first) = data.next() else { return };
    let mut stage = Stage::of(3, if first & 1 == 0 { group() } else { signed() });
    let mut sent: Vec<(Vec<u8>, bool)> = Vec::new();
    // Signing is slow: a long input adds nothing but time.
    for _ in 0..64 {
        let Some(what) = data.next() else { break };
        let mut number = || usize::from(data.next().unwrap_or(0));
        match what % 6 {
            0 => {
                let frame: Vec<u8> = (0..number()).map(|_| number() as u8).collect();
                assert!(stage.hear(2, &frame).is_err(), "an invented frame was opened");
            }
            1 => {
                let (frame, heard) = (stage.say((what / 6 % 2).into(), &opus::packet(b"said")), what >= 128);
                if heard {
                    stage.hear(2, &frame).unwrap();
                }
                sent.push((frame, heard));
            }
            2 => {
                let (index, at, bits) = (number(), number(), number());
                if let Some((frame, _)) = sent.get(index % sent.len().max(1)) {
                    let mut frame = frame.clone();
                    let at = at % frame.len();
                    frame[at] ^= bits.max(1) as u8;
                    assert!(stage.hear(2, &frame).is_err(), "an altered frame was opened");
                }
            }
            3 => {
                let index = number();
                let count = sent.len().max(1);
                if let Some((frame, heard)) = sent.get_mut(index % count) {
                    let again = stage.hear(2, frame);
                    assert!(!*heard || again.is_err(), "a frame was opened twice");
                    *heard |= again.is_ok();
                }
            }
            4 => stage.pass(Duration::from_millis(100) * number() as u32),
            _ => {
                let (index, length) = (number(), number());
                if let Some((frame, _)) = sent.get(index % sent.len().max(1)) {
                    let cut = &frame[..length % frame.len()];
                    assert!(stage.hear(2, cut).is_err(), "a cut frame was opened");
                }
            }
        }
    }
    for leaf in [0, 1] {
        let frame = stage.say(leaf, &opus::packet(b"still here"));
        assert_eq!(stage.hear(2, &frame).unwrap().leaf, Leaf(leaf), "an honest packet was refused");
    }
}

/// A member with every key in hand but, unless the first byte says so, the speaker's own: any
/// plaintext, sealed validly, so that the fuzzer gets past authentication.
pub fn insider(data: &[u8]) {
    let Some(([flags, a, b, c], text)) = data.split_first_chunk() else { return };
    let profile = if flags & 1 == 0 { group() } else { signed() };
    let mut stage = Stage::of(2, profile);
    let counter = u64::from(u32::from_be_bytes([0, *a, *b, *c]));
    let keys = stage.insider().keys(Leaf(0), u32::from(flags >> 1 & 1));
    let plaintext = sign_or_not(&stage, &stage.insider(), flags, &keys, counter, text);
    let frame = keys.seal(counter, &plaintext);
    let heard = stage.hear(1, &frame);

    let (own_key, unusable) = (flags & 4 != 0, !(0x100..=0xffff).contains(&counter));
    // The last byte, the notes, has four bits that are to be 0 (SPEC section 5.2).
    let stamped = matches!(text, [.., 0xc2, _, _, _, _, _, _, _, notes] if notes & 0x78 == 0);
    let opus = opus::frames(&plaintext).is_some();
    let expected = match profile.authenticity {
        _ if frame.len() > MAX_FRAME => Err(OpenError::TooLarge),
        _ if unusable => Err(OpenError::Malformed),
        Authenticity::Signed if !stamped || !own_key => Err(OpenError::Unsigned),
        _ if !opus => Err(OpenError::NotOpus),
        Authenticity::Signed if opus::padding(&plaintext) < 73 => Err(OpenError::Unsigned),
        Authenticity::Signed if plaintext.len() != usize::from(profile.size) => Err(OpenError::WrongSize),
        _ => Ok(plaintext),
    };
    assert_eq!(heard.clone().map(|heard| heard.packet), expected);
    match heard {
        Ok(Heard { proof: Proof::Signed(_), .. }) => assert!(own_key),
        Ok(Heard { proof: Proof::Group, .. }) => assert_eq!(profile.authenticity, Authenticity::Group),
        Err(_) if profile.authenticity == Authenticity::Signed || unusable => {
            let honest = stage.say(0, &opus::packet(b"still here"));
            stage.hear(1, &honest).expect("what was refused left nothing behind");
        }
        Err(_) => {}
    }
}

fn sign_or_not(
    stage: &Stage,
    insider: &Insider,
    flags: &u8,
    keys: &insider::Keys,
    counter: u64,
    text: &[u8],
) -> Vec<u8> {
    let seed = if flags & 4 == 0 { [7; 32] } else { stage.seed(Leaf(0)) };
    match flags & 1 {
        0 => text.to_vec(),
        _ => insider.signed(&seed, Leaf(0), keys, counter, text),
    }
}

/// The buffer of early packets against a plain queue of them.
///
/// Two openers look into it: one without keys, one that knows the speaker at leaf 0 but not the one
/// at leaf 1.
pub fn early(data: &[u8]) {
    let mut data = data.iter().copied();
    let Some(first) = data.next() else { return };
    let room = usize::from(first % 5);
    let mut stage = Stage::of(3, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    stage.announce_one(Leaf(0));
    let insider = stage.insider();
    let kids = [0, 1].map(|leaf| [0, 1].map(|step| insider.kid(Leaf(leaf), step)));
    let opener = &mut stage.member(2).opener;
    let mut deaf = Opener::new();
    let mut early = Early::new(room);
    let mut model: VecDeque<Option<Vec<u8>>> = VecDeque::new();
    let knows = |frame: &[u8]| insider::decode(frame).is_some_and(|(kid, _, _)| kids[0].contains(&kid));
    while let Some(what) = data.next() {
        match what % 8 {
            0..4 => {
                let kid = kids[usize::from(what & 1)][usize::from(what >> 3 & 1)];
                let mut frame = if what & 2 == 0 { insider::header(kid, 0x100) } else { Vec::new() };
                frame.extend((0..what >> 4).filter_map(|_| data.next()));
                if what == 0xfb {
                    frame.resize(MAX_FRAME + 1, 0);
                }
                early.hold(&frame);
                if room > 0 && frame.len() <= MAX_FRAME {
                    model.push_back(Some(frame));
                }
                while model.len() > room {
                    model.pop_front();
                }
            }
            4 => assert_eq!(early.next_known(&mut deaf), None),
            7 => {
                early.clear();
                model.clear();
            }
            _ => {
                let expected = model.iter_mut().find(|held| held.as_deref().is_some_and(knows));
                let expected = expected.and_then(Option::take);
                assert_eq!(early.next_known(opener).map(|frame| frame.to_vec()), expected);
            }
        }
    }
}
