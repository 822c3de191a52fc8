//! What the types of the media plane do not let happen: copies of keys, keys in logs. See also
//! `crates/ui`.

use std::fmt::Debug;

use sottovoce::{
    EpochSecret, EpochStart, Leaf, Opened, Opener, Rekey, Schedule, Sealer, SilenceReason,
    media::{Early, OpenRekey, OpenStats, OpusPacket, Retired, Reused, SealRekey, SpeakerStats},
};
use sottovoce_testkit::stage::{Profile, Stage, group, opus::packet, signed};

/// Fails to compile if the type implements the trait: both impls would then apply.
macro_rules! never {
    ($trait:path: $($type:ty),+ $(,)?) => {
        const _: () = {
            trait Ambiguous<Both> {
                fn may() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<u8> for T {}
            $(let _ = <$type as Ambiguous<_>>::may;)+
        };
    };
}

never!(Clone: Sealer, Opener, Schedule, SealRekey, OpenRekey, Rekey, Retired, Reused, EpochSecret, EpochStart<'static>);
never!(Debug: EpochSecret, EpochStart<'static>);
never!(std::fmt::Display: EpochSecret, Sealer, Opener, Schedule, Rekey);
never!(PartialEq: EpochSecret, Rekey, Sealer, Opener, Schedule);
never!(AsRef<[u8]>: EpochSecret, Rekey, Sealer, Opener, Schedule);

/// The audio thread may be any thread, and keys are made on another.
const _: () = {
    const fn crosses_threads<T: Send + 'static>() {}
    crosses_threads::<Sealer>();
    crosses_threads::<Opener>();
    crosses_threads::<Schedule>();
    crosses_threads::<Rekey>();
    crosses_threads::<Retired>();
    crosses_threads::<Reused>();
    crosses_threads::<Early>();
    crosses_threads::<EpochSecret>();
};

/// The secrets of a stage in the forms in which a log would show them.
fn canaries(stage: &Stage) -> Vec<(String, String)> {
    let insider = stage.insider();
    let mut secrets = vec![("epoch secret".to_owned(), stage.secret())];
    for leaf in stage.leaves() {
        secrets.push((format!("seed of {leaf:?}"), stage.seed(leaf).to_vec()));
        for step in 0..3 {
            let keys = insider.keys(leaf, step);
            secrets.push((format!("key of {leaf:?} in step {step}"), keys.key));
            secrets.push((format!("salt of {leaf:?} in step {step}"), keys.salt.to_vec()));
            secrets.push((format!("content key of {leaf:?} in step {step}"), keys.content_key.to_vec()));
        }
    }
    secrets.extend((0..3).map(|step| (format!("base key {step}"), insider.base_key(step))));
    let mut forms = Vec::new();
    for (name, bytes) in secrets {
        // Four bytes of it are enough to be a leak.
        for four in bytes.chunks_exact(4) {
            let hex: String = four.iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{four:?}");
            forms.push((format!("{name} in hex"), hex));
            forms.push((format!("{name} in decimal"), list[1..list.len() - 1].to_owned()));
            forms.push((format!("{name} in hex, as a list"), format!("{four:02x?}")[1..15].to_owned()));
            forms.push((
                format!("{name} as a number"),
                u32::from_be_bytes(four.try_into().unwrap()).to_string(),
            ));
        }
    }
    forms
}

/// Checks both forms of `Debug` for the stage's secrets, and returns the short one.
fn shown(value: &impl Debug, canaries: &[(String, String)]) -> String {
    for text in [format!("{value:?}"), format!("{value:#?}"), format!("{value:x?}")] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for (name, form) in canaries {
            assert!(!flat.contains(form.as_str()), "{name} is in {text}");
        }
    }
    format!("{value:?}")
}

#[test]
fn the_search_for_secrets_finds_one_that_is_shown() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "shown by Debug")]
    struct Careless(Vec<u8>);
    let stage = Stage::of(2, group());
    let careless = Careless(stage.secret());
    assert!(std::panic::catch_unwind(|| shown(&careless, &canaries(&stage))).is_err());
}

#[test]
fn debug_shows_what_a_value_is_and_none_of_its_secrets() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let canaries = canaries(&stage);
        assert!(canaries.len() > 400);
        let seen: Vec<_> = {
            let mut schedule = stage.schedule_again(0);
            let mut seen = vec![shown(&schedule, &canaries)];
            if let Some(key) = stage.member(1).schedule.speaker_key() {
                schedule.handle_speaker(Leaf(1), key).unwrap();
            }
            schedule.handle_timeout(stage.now + std::time::Duration::from_secs(12));
            seen.extend(std::iter::from_fn(|| schedule.poll_rekey()).map(|rekey| shown(&rekey, &canaries)));
            seen.push(shown(&schedule, &canaries));
            seen
        };
        let announced = match profile.authenticity {
            sottovoce::Authenticity::Signed => &["Open(OpenRekey::Speaker(leaf 1))"][..],
            sottovoce::Authenticity::Group => &[],
        };
        let mut expected = vec![
            "Schedule(epoch 1, step 0, 2 speakers)",
            "Seal(SealRekey::Key(epoch 1, step 0))",
            "Open(OpenRekey::Epoch(1, 2 senders))",
        ];
        expected.extend(announced);
        expected.extend([
            "Open(OpenRekey::RetireEpoch)",
            "Seal(SealRekey::Key(epoch 1, step 1))",
            "Open(OpenRekey::Step(2))",
            "Open(OpenRekey::RetireSteps(before 1))",
            "Schedule(epoch 1, step 1, 2 speakers)",
        ]);
        assert_eq!(seen, expected);

        let frame = stage.say(0, &packet(b"audio that nobody may log"));
        let member = stage.member(1);
        assert_eq!(shown(&member.sealer, &canaries), "Sealer(epoch 1, step 0)");
        assert_eq!(shown(&member.opener, &canaries), "Opener(epoch 1, 2 senders)");
        let mut buffer = frame.clone();
        let opened: Opened<'_> = member.opener.open(&mut buffer).unwrap();
        let text = shown(&opened, &canaries);
        let audio = format!("{:?}", b"audio that nobody may log");
        assert!(!text.contains(&audio[1..audio.len() - 1]), "audio in {text}");
        assert!(text.contains("leaf: Leaf(0)") && text.contains("packet: OpusPacket(160 bytes)"), "{text}");
        for text in
            [shown(member.opener.stats(), &canaries), shown(&member.opener.sender_stats(Leaf(0)), &canaries)]
        {
            assert!(text.contains("opened: 1"), "{text}");
        }
    }
}

#[test]
fn debug_of_what_holds_no_keys_is_as_short() {
    let nothing = [].as_slice();
    assert_eq!(shown(&Sealer::new(), nothing), "Sealer(silent: no key has been installed yet)");
    assert_eq!(shown(&Opener::new(), nothing), "Opener(no keys)");
    assert_eq!(shown(&SealRekey::pause(SilenceReason::Forked), nothing), "SealRekey::Pause(Forked)");
    assert_eq!(shown(&SealRekey::resume(), nothing), "SealRekey::Resume");
    assert_eq!(shown(&SealRekey::stop(SilenceReason::Closed), nothing), "SealRekey::Stop(Closed)");
    assert_eq!(shown(&OpenRekey::close(), nothing), "OpenRekey::Close");
    assert_eq!(shown(&OpusPacket::parse(&[0x78, 1, 2]).unwrap(), nothing), "OpusPacket(3 bytes)");
    assert_eq!(shown(&(OpenStats::default().opened(), SpeakerStats::default().opened), nothing), "(0, 0)");

    let mut stage = Stage::of(2, group());
    let mut again = stage.schedule_again(0);
    let canaries = canaries(&stage);
    stage.pass(std::time::Duration::from_secs(10));
    let Some(Rekey::Seal(old)) = again.poll_rekey() else { panic!("the first change is the sealer's") };
    let refused = stage.member(0).sealer.install(old).unwrap_err();
    assert_eq!(shown(&refused, &canaries), "Reused(Retired)");
    let old = stage.member(1).opener.install(OpenRekey::close());
    assert_eq!(shown(&old, &canaries), "Retired");
    let mut stage = Stage::of(1, signed());
    let old = stage.member(0).sealer.install(SealRekey::stop(SilenceReason::Removed)).unwrap();
    assert_eq!(shown(&old, &canaries), "Retired");
    assert_eq!(shown(&stage.member(0).sealer, &canaries), "Sealer(silent: we were removed from the room)");
}
