//! The fuzz target `voice`: a member seals whatever it likes, at whatever time, and a listener
//! plays it.
//!
//! ```text
//! input    [ what | length | packet ] ...       what: how time goes on, what the stamp says
//! ```

use std::{cell::RefCell, time::Duration};

use sottovoce::{
    CaptureTime, Stamp,
    media::{HEADROOM, Level, Proof, TAILROOM},
    voice::{Frame, Receiver, ReceiverOptions},
};

use crate::stage::{Profile, Stage, signed};

/// The leaf that listens.
const LISTENER: u32 = 0;

thread_local! {
    /// Keys take long to make, and are the same for every input.
    static STAGE: RefCell<Stage> = RefCell::new(Stage::of(2, Profile { size: 240, ..signed() }));
}

/// Seals the packets in `data` with good keys, and plays them.
pub fn voice(data: &[u8]) {
    STAGE.with_borrow_mut(|stage| play(stage, data));
}

fn play(stage: &mut Stage, mut data: &[u8]) {
    let mut now = stage.now;
    let mut options = ReceiverOptions::default();
    options.speakers = 2;
    let mut listener = Receiver::new(options, now).unwrap();
    let mut captured = 1_790_000_000_000_u64;
    let mut pcm = [0.0; 480];
    for _ in 0..64 {
        let [what, len, rest @ ..] = data else { break };
        let len = usize::from(*len).min(rest.len());
        let (packet, rest) = rest.split_at(len);
        data = rest;
        // The speaker's clock goes on as it should, stands still, jumps ahead, or goes back.
        captured = match what & 7 {
            0..=3 => captured + 40,
            4 => captured,
            5 => captured + 1_000,
            6 => captured.wrapping_sub(200) & 0xffff_ffff_ffff,
            _ => u64::from(*what) << 40,
        };
        let stamp = Stamp {
            captured: CaptureTime::from_millis(captured),
            level: Level::from_byte(*what),
            ..Stamp::default()
        };
        let mut buffer = [0; HEADROOM + 1_000 + TAILROOM];
        buffer[HEADROOM..HEADROOM + len].copy_from_slice(packet);
        if let Ok(sealed) = stage.member(1).sealer.seal(&mut buffer, len, Stamp::default()) {
            let mut sealed = sealed.to_vec();
            // Under one key there are 65,280 packets: a later input may find it used up.
            if let Ok(opened) = stage.member(LISTENER).opener.open(&mut sealed) {
                let mut frame = Frame::from(&opened);
                // Our sealer would not sign a capture time that stands still. Others can.
                frame.proof = Proof::Signed(stamp);
                let _ = listener.hear(frame, now);
            }
        } else if stage.member(1).sealer.remaining() == 0 {
            stage.pass(Duration::from_secs(10));
        }
        for _ in 0..what >> 6 {
            now += Duration::from_millis(10);
            listener.render(now, &mut pcm);
            assert!(pcm.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
        }
        assert!(listener.talkers().count() <= 2);
    }
}
