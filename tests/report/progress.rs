//! The check of a long report takes long: it says how far it is.

use std::ops::ControlFlow;

use sottovoce::report::{ModerationSecret, Rejected};
use sottovoce_testkit::table::{BEGAN, Table, speech};

const ADA: usize = 0;
const BEN: usize = 1;

#[test]
fn the_check_of_a_report_tells_how_far_it_is_and_can_be_stopped() {
    let moderator = ModerationSecret::from_seed([42; 32]).unwrap();
    let mut table = Table::of(&["Ada", "Ben"]);
    table.speak(ADA, &speech(), |_, _| Vec::new());
    let file = table.report(BEN, ADA, 30, &moderator.key()).unwrap();
    let mut told = Vec::new();
    let opened = moderator.open_with(&file, *BEGAN, &[], |progress| {
        told.push((progress.done, progress.total));
        ControlFlow::Continue(())
    });
    assert_eq!(opened.unwrap().packets().count(), 275);
    assert_eq!(told, [0, 64, 128, 192, 256, 275].map(|done| (done, 275)));
    // Not even a report that holds is one then.
    for stop_at in [0, 128, 275] {
        let stopped = moderator.open_with(&file, *BEGAN, &[], |progress| match progress.done {
            done if done == stop_at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert_eq!(stopped.err(), Some(Rejected::Stopped), "{stop_at}");
    }
}
