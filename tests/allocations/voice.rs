//! The voice endpoint allocates nothing once it is made, whatever comes: counted by an allocator
//! that counts.

use std::time::Duration;

use crate::CALLS;
use sottovoce::{
    Sealer,
    media::Loss,
    voice::{Frame, Receiver, ReceiverOptions, Sender, SenderOptions, Tuning, capture, playback},
};
use sottovoce_testkit::line::{LISTENER, UNIX_MS, speech};
use sottovoce_testkit::stage::{Profile, Stage, name, signed};

/// What a media thread or a callback does: one call of the allocator, either way, and the test
/// fails.
fn silently<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let before = CALLS.get();
    let out = act();
    let calls = CALLS.get() - before;
    assert_eq!(calls, 0, "{what} called the allocator {calls} times");
    out
}

#[test]
fn nothing_between_microphone_and_loudspeaker_allocates() {
    for (rate, channels) in [(48_000, 1), (44_100, 2), (96_000, 2)] {
        let mut stage = Stage::of(3, Profile { size: 240, ..signed() });
        let mut now = stage.now;
        let mut options = SenderOptions::default();
        (options.size, options.rate, options.channels) =
            (sottovoce::PacketSize::new(240).unwrap(), rate, channels);
        let mut speakers = [1, 2].map(|leaf| (leaf, Sender::new(options).unwrap()));
        let mut options = ReceiverOptions::default();
        (options.rate, options.channels, options.loudest) = (rate, channels, 1);
        let mut listener = Receiver::new(options, now).unwrap();
        let (mut microphone, mut captured) = capture(96_000);
        let (mut played, mut loudspeaker) = playback(96_000);
        let block = rate as usize / 100 * usize::from(channels);
        let track = speech(6);
        let mut pcm = vec![0.0; block];
        let mut sealed = Vec::with_capacity(8);
        speakers.iter_mut().for_each(|(_, speaker)| speaker.set_live(true, now, UNIX_MS));
        for tick in 0..500_usize {
            for (n, sample) in pcm.iter_mut().enumerate() {
                *sample = track[(tick * block + n) % track.len()];
            }
            if tick == 200 {
                pcm.fill(f32::NAN);
            }
            silently("the callbacks", || {
                microphone.write(&pcm);
                loudspeaker.fill(&mut pcm);
            });
            let read = silently("reading", || captured.read(&mut pcm));
            for (leaf, speaker) in &mut speakers {
                silently("capturing", || speaker.capture(&pcm[..read]).unwrap());
                silently("reports and mute", || {
                    speaker.handle_report([Loss::Below1, Loss::Worse][tick / 100 % 2], now);
                    speaker.set_muted(tick / 150 % 2 == 1);
                });
                let sealer: &mut Sealer = &mut stage.member(*leaf).sealer;
                if let Some(packet) = silently("the tick", || speaker.seal_next(now, sealer)) {
                    sealed.push(packet.unwrap().to_vec());
                }
            }
            for mut frame in sealed.drain(..) {
                // One in five is lost, one in ten comes too late.
                if tick % 20 < 4 {
                    continue;
                }
                let late = if tick % 40 == 4 { Duration::from_millis(300) } else { Duration::ZERO };
                let opener = &mut stage.member(LISTENER).opener;
                silently("hearing", || {
                    let opened = opener.open(&mut frame).unwrap();
                    let _ = listener.hear(Frame::from(&opened), now + late);
                });
            }
            silently("tuning", || {
                let volume = [0.1, 0.5, 4.0][tick / 50 % 3];
                let tuning = Tuning::default().with_volume(volume).unwrap().with_pan(-0.5).unwrap();
                listener.tune(name(1 + tick as u32), tuning).unwrap();
                listener.tune(name(1), tuning.with_mute(tick / 70 % 5 == 4)).unwrap();
                listener.set_deafened(tick / 50 % 10 == 9);
            });
            silently("rendering", || {
                listener.render(now, &mut pcm);
                played.write(&pcm);
                assert!(listener.talkers().count() < 3);
                listener.loss()
            });
            now += Duration::from_millis(10);
            stage.pass(Duration::from_millis(10));
        }
        // One of the two is mixed at a time: 5 s of its packets, but for the half second in which
        // nobody is heard.
        assert!(listener.totals().expected > 75, "{:?}", listener.totals());
    }
}
