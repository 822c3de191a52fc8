//! What reports of loss do to the bits of a packet whose size is fixed.

use sottovoce::{
    Authenticity, PacketSize,
    codec::{Decoder, Encoder, FrameLength, MAX_SAMPLES},
    media::OpusPacket,
};
use sottovoce_testkit::line::speech;

/// Samples of a frame of 40 ms.
const FRAME: usize = 1_920;
/// How far Opus looks ahead.
const AHEAD: usize = 309;

/// How many dB the loudness of what was heard is off, averaged over frames of 10 ms in which
/// something is said.
fn off_by(said: &[i16], heard: &[i16]) -> f64 {
    let level = |samples: &[i16]| {
        10.0 * samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>().max(480.0 * 30.0 * 30.0).log10()
    };
    let frames = said.chunks_exact(480).zip(heard.chunks_exact(480));
    let off: Vec<f64> = frames
        .map(|(said, heard)| (level(said), level(heard)))
        .filter(|(said, _)| *said > 10.0 * (480.0_f64 * 300.0 * 300.0).log10())
        .map(|(said, heard)| (said - heard).abs())
        .collect();
    off.iter().sum::<f64>() / off.len() as f64
}

/// The ratio of signal to difference in dB, averaged over frames of 20 ms in which something is
/// said.
fn likeness(said: &[i16], heard: &[i16]) -> f64 {
    let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|s| s * s).sum::<f64>();
    let frames = said.chunks_exact(960).zip(heard.chunks_exact(960)).filter_map(|(said, heard)| {
        let signal = power(&mut said.iter().map(|s| f64::from(*s)));
        let noise = power(&mut said.iter().zip(heard).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        (signal / 960.0 > 300.0_f64.powi(2)).then(|| 10.0 * (signal / noise.max(1.0)).log10())
    });
    let frames: Vec<f64> = frames.collect();
    frames.iter().sum::<f64>() / frames.len() as f64
}

/// What a listener hears of packets for which so much loss is expected: how like what was said all
/// of it is when nothing is lost, and what was recovered when every third packet is.
fn heard(said: &[i16], expected: u8) -> (f64, f64) {
    let (mut encoder, mut packet) =
        (Encoder::new(FrameLength::Ms40, PacketSize::default(), Authenticity::Signed).unwrap(), [0; 1_000]);
    encoder.expect_loss(expected).unwrap();
    let packets: Vec<Vec<u8>> = said
        .chunks_exact(FRAME)
        .map(|frame| {
            let len = encoder.encode(frame, &mut packet).unwrap();
            assert_eq!(len, encoder.packet_len());
            packet[..len].to_vec()
        })
        .collect();
    let parse = |n: usize| OpusPacket::parse(&packets[n]).unwrap();
    let play = |lost: &dyn Fn(usize) -> bool| -> Vec<i16> {
        let (mut decoder, mut pcm) = (Decoder::new().unwrap(), [0; MAX_SAMPLES]);
        let mut sound = Vec::new();
        for n in 0..packets.len() - 1 {
            let len = if lost(n) {
                decoder.recover(parse(n + 1), &mut pcm[..FRAME]).unwrap()
            } else {
                decoder.decode(parse(n), &mut pcm).unwrap()
            };
            sound.extend_from_slice(&pcm[..len]);
        }
        sound
    };
    let recovered = |sound: &[i16]| -> Vec<i16> {
        sound.chunks_exact(FRAME).skip(1).step_by(3).flatten().copied().collect()
    };
    let (whole, lossy) = (play(&|_| false), play(&|n| n % 3 == 1));
    let said: Vec<i16> = [&[0; AHEAD][..], said].concat();
    (likeness(&said, &whole), off_by(&recovered(&whole), &recovered(&lossy)))
}

#[test]
fn more_loss_moves_bits_from_each_packet_to_the_copy_of_the_one_before() {
    let said: Vec<i16> = speech(11).iter().map(|sample| (sample * 32_767.0) as i16).collect();
    let rows = [0, 2, 5, 10, 20, 40].map(|expected| (expected, heard(&said, expected)));
    for (expected, (all, off)) in rows {
        println!("{expected:>2} % expected: {all:.1} dB of all; what was recovered is off by {off:.1} dB");
    }
    let (_, (best, made_up)) = rows[0];
    for (expected, (all, off)) in &rows[1..] {
        assert!(*off < made_up - 2.5, "{expected} %: the copy is there: {off} {made_up}");
        assert!((best - 2.0..best).contains(all), "{expected} %: and costs little: {all} {best}");
    }
    assert!(rows[5].1.0 < rows[1].1.0 - 0.3, "the more is lost, the more bits the copies have");
}
