//! `tests/vectors/report.txt`, written by `tests/vectors/report.py` from SPEC section 12 alone, and
//! a report of ours that it verifies.

use super::{ModerationSecret, PublishedKey, Rejected, Report};
use crate::{
    id::UnixTime,
    keys::vectors::{Case, cases},
};

fn open(case: &Case) -> Result<Report, Rejected> {
    let secret = ModerationSecret::from_seed(case.array("seed")).unwrap();
    let published: Vec<PublishedKey> = case
        .list("published")
        .into_iter()
        .map(|seed| PublishedKey::from_bytes(seed.try_into().unwrap()))
        .collect();
    secret.open(&case.bytes("file"), UnixTime(case.number("received")), &published)
}

fn check(case: &Case) {
    let report = match open(case) {
        Ok(report) => report,
        Err(why) => {
            let why = format!("{why:?}");
            let verdict = why.split([' ', '(']).next().unwrap();
            return assert_eq!(verdict, case.text("verdict"), "{why}");
        }
    };
    assert_eq!(case.text("verdict"), "Proved");
    assert_eq!(report.member().as_bytes().to_vec(), case.bytes("member"));
    assert_eq!(report.name().as_str().as_bytes(), case.bytes("name"));
    assert_eq!(report.room_id(), case.bytes("room_id"));
    assert_eq!(report.room().as_str().as_bytes(), case.bytes("room"));
    assert_eq!(report.packets().count() as u64, case.number("packets"));
    assert_eq!(report.duration().as_millis(), case.number("duration").into());
    assert_eq!(report.captured().0, case.number("captured"));
    assert_eq!(report.proves_until().map_or(0, |until| until.0), case.number("until"));
    let gaps: Vec<String> = report
        .gaps()
        .iter()
        .map(|gap| {
            let (after, missing) = (gap.after.as_millis(), gap.missing.as_millis());
            format!("{after}:{}:{missing}:{}:{}", gap.packets, gap.clock_ms, u8::from(gap.key_changed))
        })
        .collect();
    assert_eq!(gaps.join(","), case.text("gaps"));
}

#[test]
fn reports_of_another_implementation_prove_what_it_says() {
    cases("report.txt", "report", 53).iter().for_each(check);
}

#[test]
fn a_report_of_ours_says_what_another_implementation_read() {
    cases("report_sample.txt", "report", 1).iter().for_each(check);
}
