//! Who is heard among many, and what is shown of those who stopped, were muted, left or crashed.

use std::time::Duration;

use sottovoce::{media::Loss, voice::ReceiverOptions};
use sottovoce_testkit::line::{self, Line, Network, noise, speech, tone, unsigned};
use sottovoce_testkit::stage::{self, Profile, name};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A room of so many who are live before the last one comes, who speaks.
fn late_speaker(before: usize, profile: Profile, track: fn(usize) -> Vec<f32>, muted: bool) -> Line {
    let mut tracks: Vec<Vec<f32>> = (0..before).map(track).collect();
    tracks.push(tone(220.0, 0.4, 10));
    let options = ReceiverOptions::default();
    let mut line = Line::with(1, tracks, Network::default(), profile, options);
    line.talking.iter_mut().take(before).for_each(|talking| talking.speaker.set_muted(muted));
    line.set_live(before, false, 0);
    line.run(SECOND);
    line.set_live(before, true, 0);
    line.run(2 * SECOND);
    line
}

fn small() -> Profile {
    Profile { size: 240, ..stage::signed() }
}

#[test]
fn whoever_comes_late_into_a_room_of_many_muted_members_is_heard() {
    // An opener opens packets of 128 members in one step (SPEC section 5.5).
    for before in [50, 120] {
        let line = late_speaker(before, small(), |_| vec![], true);
        let last = line.listener.talkers().find(|talker| talker.member == name(before as u32 + 1));
        let last = last.unwrap_or_else(|| panic!("{before} before: no place"));
        assert!(last.mixed && last.level.is_voice(), "{before} before: {last:?}");
        let sound = &line.heard[line.heard.len() - 48_000..];
        assert!(sound.iter().map(|sample| sample * sample).sum::<f32>() > 48_000.0 * 0.05);
    }
}

#[test]
fn whoever_comes_late_among_many_who_are_soft_is_heard_and_nobody_louder_gives_way() {
    let line = late_speaker(
        60,
        small(),
        |n| if n < 5 { tone(300.0, 0.3, 5) } else { noise(n as u64, 0.001, 5) },
        false,
    );
    for loud in [1, 2, 3, 4, 5, 61] {
        let talker = line.listener.talkers().find(|talker| talker.member == name(loud));
        assert!(talker.is_some_and(|talker| talker.mixed), "{loud}: {talker:?}");
    }
}

#[test]
fn whoever_stopped_in_any_way_is_not_shown_as_speaking_half_a_second_later() {
    type Stop = fn(&mut Line);
    let ways: [(&str, Stop); 5] = [
        ("it stops", |line| line.set_live(0, false, 0)),
        ("it mutes its microphone", |line| line.talking[0].speaker.set_muted(true)),
        ("its device crashes or leaves", |line| drop(line.talking.remove(0))),
        ("its packets are lost", |line| line.network.loss = 100.0),
        ("it may not speak any more", |line| {
            let seats = [stage::seat(line::LISTENER, false), stage::seat(1, false)];
            line.stage.enter(&seats, &[]);
            drop(line.talking.remove(0));
        }),
    ];
    for profile in [small(), Profile { size: 240, ..unsigned() }] {
        for (what, stop) in ways {
            let mut line =
                Line::with(3, vec![speech(20)], Network::default(), profile, ReceiverOptions::default());
            line.run(2_300 * MS);
            assert!(line.listener.talkers().any(|talker| talker.level.is_voice()), "{what}");
            stop(&mut line);
            line.run(700 * MS);
            for talker in line.listener.talkers() {
                assert!(!talker.level.is_voice(), "{what}: {talker:?}");
                assert!(talker.level.below_overload() > 90, "{what}: {talker:?}");
            }
        }
    }
}

#[test]
fn what_somebody_reported_who_is_gone_protects_nobody_any_more() {
    let mut line = Line::new(4, vec![speech(10)], Network::default());
    line.talking[0].speaker.report(Loss::Worse);
    line.run(2 * SECOND);
    assert_eq!(line.listener.reported_loss(), Loss::Worse);
    line.set_live(0, false, 0);
    line.run(6 * SECOND);
    assert_eq!(line.listener.reported_loss(), Loss::Unknown);
}
