//! No (key, nonce) pair is used twice, watched from outside: an oracle that needs no key.
//!
//! Every packet here has the same plaintext, so equal ciphertexts mean an equal key stream, which
//! AES-GCM gives only for an equal key and nonce. In 16 bytes another way to be equal is not to be
//! expected.

use std::{collections::HashSet, time::Duration};

use sottovoce::{
    Leaf, Rekey, Schedule, SealError, Sealer, SilenceReason,
    media::{Retired, Reused, SealRekey},
};
use sottovoce_testkit::stage::{self, Profile, Stage, group, insider, opus::packet, seal_with, signed};

/// Counters 256 to 65,535.
const PACKETS_A_KEY: u64 = 65_280;

/// Remembers the key streams of all packets it sees.
#[derive(Default)]
struct Oracle {
    streams: HashSet<[u8; 16]>,
    numbers: HashSet<(u64, u64)>,
}

impl Oracle {
    /// Seals one packet and fails if its key stream, or its (KID, CTR), has been there before.
    fn watch(&mut self, sealer: &mut Sealer) -> Result<(), SealError> {
        assert!(self.is_new(sealer)?, "a (key, nonce) pair came back");
        Ok(())
    }

    fn is_new(&mut self, sealer: &mut Sealer) -> Result<bool, SealError> {
        let frame = seal_with(sealer, &packet(&[0x5a; 32]))?;
        let (kid, counter, taken) = insider::decode(&frame).unwrap();
        // The padding length goes before the frame, which is the same each time: byte 8 on is known
        // text.
        let stream = frame[taken + 8..taken + 24].try_into().unwrap();
        let new = self.streams.insert(stream);
        assert_eq!(self.numbers.insert((kid, counter)), new, "both ways to look at it agree");
        Ok(new)
    }

    fn watch_many(&mut self, sealer: &mut Sealer, count: usize) {
        (0..count).for_each(|_| self.watch(sealer).unwrap());
    }
}

/// The sealer's changes of keys that are due.
fn seal_rekeys(schedule: &mut Schedule) -> impl Iterator<Item = SealRekey> + '_ {
    std::iter::from_fn(|| schedule.poll_rekey()).filter_map(|rekey| match rekey {
        Rekey::Seal(rekey) => Some(rekey),
        Rekey::Open(_) => None,
    })
}

fn install(sealer: &mut Sealer, schedule: &mut Schedule) {
    seal_rekeys(schedule).for_each(|rekey| drop(sealer.install(rekey).unwrap()));
}

#[test]
fn nonces_never_repeat_across_steps_epochs_and_pauses() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let mut oracle = Oracle::default();
        for epoch in 0..4 {
            for second in 0..25 {
                oracle.watch_many(&mut stage.member(0).sealer, 5);
                let sealer = &mut stage.member(0).sealer;
                drop(sealer.install(SealRekey::pause(SilenceReason::NoProofOfLife)).unwrap());
                assert_eq!(oracle.watch(sealer), Err(SealError::Silent(SilenceReason::NoProofOfLife)));
                stage.pass(Duration::from_secs(1));
                // The pause outlasts a change of step, and a second pause is as good as one.
                let sealer = &mut stage.member(0).sealer;
                assert_eq!(oracle.watch(sealer), Err(SealError::Silent(SilenceReason::NoProofOfLife)));
                drop(sealer.install(SealRekey::pause(SilenceReason::Forked)).unwrap());
                drop(sealer.install(SealRekey::resume()).unwrap());
                oracle.watch_many(sealer, 5);
                drop(sealer.install(SealRekey::resume()).unwrap());
                oracle.watch(sealer).unwrap_or_else(|why| panic!("epoch {epoch}, second {second}: {why}"));
            }
            stage.enter(&stage.seats(), &[]);
        }
        assert_eq!(oracle.streams.len(), 4 * 25 * 11);
    }
}

#[test]
fn a_key_that_is_installed_again_goes_on_counting() {
    for profile in [signed(), group()] {
        let mut stage = Stage::of(2, profile);
        let mut oracle = Oracle::default();
        for _ in 0..10 {
            oracle.watch_many(&mut stage.member(0).sealer, 3);
            let remaining = stage.member(0).sealer.remaining();
            let mut again = stage.schedule_again(0);
            install(&mut stage.member(0).sealer, &mut again);
            assert_eq!(stage.member(0).sealer.remaining(), remaining);
        }
        oracle.watch_many(&mut stage.member(0).sealer, 3);
    }
}

#[test]
fn a_key_that_was_replaced_or_stopped_never_comes_back() {
    let mut stage = Stage::of(2, group());
    let mut oracle = Oracle::default();
    let mut again = stage.schedule_again(0);
    let began = stage.now;
    let mut old_keys = Vec::new();
    // Sixty steps go by, and all their keys are kept by somebody who should not have them.
    for step in 0..60 {
        again.handle_timeout(began + Duration::from_secs(10) * step);
        old_keys.extend(seal_rekeys(&mut again));
        oracle.watch_many(&mut stage.member(0).sealer, 4);
        stage.pass(Duration::from_secs(10));
    }
    assert_eq!(old_keys.len(), 60);
    let sealer = &mut stage.member(0).sealer;
    for key in old_keys {
        let refused: Result<Retired, Reused> = sealer.install(key);
        assert_eq!(refused.unwrap_err().to_string(), "the key was in use before another one");
        oracle.watch(sealer).expect("the present key is still there");
    }

    // So does one that was stopped; only another key ends the silence.
    let (mut stage, mut oracle) = (Stage::of(2, group()), Oracle::default());
    let mut again = stage.schedule_again(0);
    let sealer = &mut stage.member(0).sealer;
    oracle.watch_many(sealer, 4);
    drop(sealer.install(SealRekey::stop(SilenceReason::Closed)).unwrap());
    assert_eq!(oracle.watch(sealer), Err(SealError::Silent(SilenceReason::Closed)));
    for key in seal_rekeys(&mut again) {
        assert!(sealer.install(key).is_err());
        assert_eq!(oracle.watch(sealer), Err(SealError::Silent(SilenceReason::Closed)));
    }
    drop(sealer.install(SealRekey::resume()).unwrap());
    assert_eq!(
        oracle.watch(sealer),
        Err(SealError::Silent(SilenceReason::Closed)),
        "a resume does not undo a stop"
    );
    assert_eq!((sealer.remaining(), sealer.position(), sealer.sealed_size()), (0, None, None));
    stage.pass(Duration::from_secs(10));
    oracle.watch(&mut stage.member(0).sealer).unwrap();
}

#[test]
fn a_key_seals_65280_packets_and_then_refuses_until_the_next_step() {
    let mut stage = Stage::of(2, group());
    let mut oracle = Oracle::default();
    let sealer = &mut stage.member(0).sealer;
    assert_eq!(sealer.remaining(), PACKETS_A_KEY);
    oracle.watch_many(sealer, PACKETS_A_KEY as usize);
    assert!(oracle.numbers.iter().all(|(_, counter)| (256..=65_535).contains(counter)));
    for _ in 0..1_000 {
        assert_eq!(oracle.watch(sealer), Err(SealError::Exhausted));
    }
    assert_eq!(sealer.remaining(), 0);
    // The same key again, or a pause, brings no new counter.
    let mut again = stage.schedule_again(0);
    let sealer = &mut stage.member(0).sealer;
    install(sealer, &mut again);
    assert_eq!(oracle.watch(sealer), Err(SealError::Exhausted));
    drop(sealer.install(SealRekey::pause(SilenceReason::Forked)).unwrap());
    drop(sealer.install(SealRekey::resume()).unwrap());
    assert_eq!(oracle.watch(sealer), Err(SealError::Exhausted));

    stage.pass(Duration::from_secs(10));
    let sealer = &mut stage.member(0).sealer;
    assert_eq!(sealer.remaining(), PACKETS_A_KEY);
    oracle.watch_many(sealer, 3);
}

#[test]
fn a_refused_packet_uses_up_no_counter() {
    let mut stage = Stage::of(2, signed());
    let sealer = &mut stage.member(0).sealer;
    for _ in 0..3 {
        assert_eq!(seal_with(sealer, &[]), Err(SealError::NotOpus));
        assert_eq!(seal_with(sealer, &[0x7b]), Err(SealError::NotOpus));
        assert_eq!(seal_with(sealer, &packet(&[0; 160])), Err(SealError::TooLarge));
        assert_eq!(
            seal_with(sealer, &packet(&[0; 90])),
            Err(SealError::TooLarge),
            "no room for the signature"
        );
        for size in [0, 1, 16, 17, 100, 189] {
            let mut short = vec![0x78; size];
            let why = sealer.seal(&mut short, 1, stage::STAMP).map(|_| ()).unwrap_err();
            assert_eq!(why, SealError::BufferTooSmall, "{size}");
        }
        let mut buffer = [0x78; 400];
        for length in [385, 400, usize::MAX - 16, usize::MAX] {
            assert!(sealer.seal(&mut buffer, length, stage::STAMP).is_err());
        }
    }
    assert_eq!(sealer.remaining(), PACKETS_A_KEY);
    // The buffer that will do for every packet: 16 + 160 + 16.
    let mut just_enough = [0x78; 192];
    assert_eq!(sealer.seal(&mut just_enough, 1, stage::STAMP).unwrap().len(), 183);
    assert_eq!(sealer.remaining(), PACKETS_A_KEY - 1);
}

/// Also the oracle's control: this is what it looks like when a pair does come back.
///
/// An epoch secret is for one schedule, and a schedule's keys are for one sealer: [`EpochSecret`]
/// is taken by value, a [`SealRekey`] cannot be copied, and no sealer can know of another. Whoever
/// keeps the secret's bytes and starts over, after a restart or from a copy of a virtual machine,
/// breaks AES-GCM.
///
/// [`EpochSecret`]: sottovoce::EpochSecret
#[test]
fn two_sealers_from_one_epoch_secret_do_repeat_nonces_so_a_secret_is_used_once() {
    let mut stage = Stage::of(2, group());
    let mut oracle = Oracle::default();
    oracle.watch_many(&mut stage.member(0).sealer, 3);
    let (mut other, mut again) = (Sealer::new(), stage.schedule_again(0));
    install(&mut other, &mut again);
    assert_eq!(oracle.is_new(&mut other), Ok(false));
    // Members of one room, with the same secret, never meet: their keys differ by KID.
    oracle.watch(&mut stage.member(1).sealer).unwrap();
    assert_eq!(stage.leaves(), [Leaf(0), Leaf(1)]);
}
