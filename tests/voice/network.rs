//! What a listener does when the path or a sender's clock changes for good, and when a sender
//! pauses.

use std::time::Duration;

use sottovoce::voice::{ReceiverOptions, StreamStats};
use sottovoce_testkit::line::{Line, Network, speech, unsigned};
use sottovoce_testkit::stage;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn network(delay: u32) -> Network {
    Network { delay: delay * MS, jitter: 5 * MS, loss: 0.0 }
}

fn stats(line: &Line) -> StreamStats {
    line.listener.talkers().next().unwrap().stats
}

fn waits_ms(line: &Line) -> u128 {
    line.listener.talkers().next().unwrap().waits.as_millis()
}

#[test]
fn a_path_that_becomes_longer_for_good_is_followed_within_a_second() {
    for extra in [200, 300, 399, 450, 600, 900, 1_300, 1_900, 2_000] {
        let mut line = Line::new(4, vec![speech(40)], network(20));
        line.run(10 * SECOND);
        line.network = network(20 + extra);
        line.run(extra * MS + SECOND);
        let before = line.made_up_ms();
        line.run(8 * SECOND);
        let made_up = line.made_up_ms() - before;
        assert!(made_up < 100, "{extra} ms longer: {made_up} of 8,000 ms made up, and no packet lost");
        assert!(waits_ms(&line) < 40, "{extra} ms longer: {} ms of delay", waits_ms(&line));
    }
}

#[test]
fn a_path_that_becomes_longer_and_shorter_again_and_again_is_followed_each_time() {
    let mut line = Line::new(5, vec![speech(60)], network(20));
    line.run(5 * SECOND);
    for extra in [800, 250, 1_500, 0, 450] {
        line.network = network(20 + extra);
        line.run(3 * SECOND);
        let before = line.made_up_ms();
        line.run(3 * SECOND);
        assert!(line.made_up_ms() - before < 100, "{extra} ms: {}", line.made_up_ms() - before);
    }
}

#[test]
fn a_wall_clock_that_is_set_in_a_pause_costs_nothing() {
    for wrong_by in [-3_600_000, -1_900, -1_200, -500, -300, 300, 700, 1_900, 3_600_000] {
        for pause in [300, 1_000, 5_000] {
            let mut line = Line::new(6, vec![speech(40)], network(20));
            line.run(5 * SECOND);
            line.set_live(0, false, 0);
            line.run(pause * MS);
            line.set_live(0, true, wrong_by);
            let before = line.made_up_ms();
            line.run(6 * SECOND);
            let made_up = line.made_up_ms() - before;
            assert!(made_up < 100, "{wrong_by} ms in a pause of {pause} ms: {made_up} ms made up");
            assert!(waits_ms(&line) < 40, "{wrong_by} ms: {} ms of delay", waits_ms(&line));
        }
    }
}

#[test]
fn pauses_of_somebody_who_pushes_to_talk_cost_nothing_in_rooms_of_either_kind() {
    for pause in [150, 250, 400, 700, 1_500, 4_000] {
        for profile in [unsigned(), stage::Profile { size: 400, ..stage::signed() }] {
            let signed = profile.authenticity;
            let options = ReceiverOptions::default();
            let mut line = Line::with(7, vec![speech(60)], network(20), profile, options);
            line.run(5 * SECOND);
            for _ in 0..5 {
                line.set_live(0, false, 0);
                line.run(pause * MS);
                line.set_live(0, true, 0);
                line.run(3 * SECOND);
            }
            // While nobody can know yet that it is a pause, 120 ms fade away.
            assert!(line.made_up_ms() < 5 * 200, "{pause} ms, {signed:?}: {} ms", line.made_up_ms());
            assert_eq!(stats(&line).late, 0, "{pause} ms, {signed:?}");
        }
    }
}

#[test]
fn the_end_of_talk_is_no_loss_and_costs_no_delay() {
    for profile in [unsigned(), stage::Profile { size: 400, ..stage::signed() }] {
        let mut line = Line::with(8, vec![speech(60)], network(20), profile, ReceiverOptions::default());
        line.run(5 * SECOND);
        let waited = waits_ms(&line);
        for pause in [200, 350, 700, 2_000, 200, 300, 400, 500] {
            line.set_live(0, false, 0);
            line.run(pause * MS);
            line.set_live(0, true, 0);
            line.run(2 * SECOND);
        }
        let stats = stats(&line);
        assert_eq!((stats.concealed, stats.recovered, stats.late), (0, 0, 0), "{stats:?}");
        assert!(waits_ms(&line) < waited + 10, "{} ms and {waited} before", waits_ms(&line));
    }
}

#[test]
fn packets_that_are_lost_for_longer_than_the_sound_takes_to_fade_are_counted() {
    for profile in [unsigned(), stage::Profile { size: 400, ..stage::signed() }] {
        let mut line = Line::with(9, vec![speech(20)], network(20), profile, ReceiverOptions::default());
        line.run(5 * SECOND);
        line.network.loss = 100.0;
        line.run(240 * MS);
        line.network.loss = 0.0;
        line.run(2 * SECOND);
        assert!(line.talking[0].lost >= 5);
        assert!(stats(&line).concealed >= 3, "{:?}", stats(&line));
    }
}

#[test]
fn after_a_network_that_froze_the_delay_is_soon_what_it_was() {
    for frozen in [900, 1_900, 3_000] {
        let mut line = Line::new(10, vec![speech(60)], network(20));
        line.run(10 * SECOND);
        let waited = waits_ms(&line);
        // Everything of the time that it was frozen comes at its end.
        for left in (0..frozen / 10).rev() {
            line.network = network(20 + left * 10);
            line.run(10 * MS);
        }
        line.network = network(20);
        for _ in 0..8 {
            line.run(SECOND);
            println!("{frozen} {:?} {}", stats(&line), waits_ms(&line));
        }
        assert!(waits_ms(&line) < waited + 10, "{frozen} ms: {} ms and {waited} before", waits_ms(&line));
        let before = line.made_up_ms();
        line.run(5 * SECOND);
        assert!(line.made_up_ms() - before < 50, "{frozen} ms");
    }
}
