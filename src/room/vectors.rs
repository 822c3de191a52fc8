//! `tests/vectors/entering.txt`, derived a second time by `tests/vectors/entering.py` from
//! `spec/room.md`, E4 to E8.

use super::{
    error::WelcomeError,
    violation::Violation,
    welcome::{Entered, Sought, check_newcomer, receipt_for},
};
use crate::{
    id::IdentityKey,
    keys::vectors::{Case, cases},
    law::Office,
    media::Sound,
    mls::{EntryError, vectors::bob},
    wire::answer::AnswerContent,
};

/// What Bob makes of the Welcome of a case, with the receipts that came for his KeyPackage.
fn enter(case: &Case, sound: Sound) -> Result<Entered, WelcomeError> {
    let (bob, bobs) = bob(1);
    let group_id = bobs.array("group_id");
    let own = crate::group::Identity::from_seed(
        bobs.array("seed"),
        crate::group::Name::new(bobs.text("name")).unwrap(),
    );
    let entry = bob.open(&case.bytes("message"))?;
    let receipts: Vec<_> = case
        .list("receipts")
        .iter()
        .filter_map(|bytes| match AnswerContent::decode(bytes) {
            Ok(AnswerContent::Receipt(receipt)) => receipt_for(receipt, bob.reference(), &group_id),
            _ => panic!("every case has receipts in the right form"),
        })
        .collect();
    let sought = Sought {
        group_id: &group_id,
        sound,
        office: Office(case.array("office")),
        least_no: case.number("least"),
    };
    let receipts = receipts.iter().map(|receipt| receipt.content());
    check_newcomer(&entry, &sought, receipts, IdentityKey::from_bytes(*own.public()))
}

#[test]
fn a_newcomer_enters_by_what_holds_and_knows_both_laws() {
    for case in cases("entering.txt", "takes", 6) {
        let entered =
            enter(&case, Sound::Speech).unwrap_or_else(|error| panic!("{}: {error:?}", case.text("why")));
        assert_eq!(entered.epoch_law.hash(), case.array("law"), "{}", case.text("why"));
        assert_eq!(entered.store.known().hash(), case.array("known"), "{}", case.text("why"));
    }
}

#[test]
fn e6_a_newcomer_refuses_a_room_of_another_sound_than_its_invite_says() {
    for case in cases("entering.txt", "takes", 6) {
        for sound in [Sound::StereoSpeech, Sound::Music] {
            let refused = enter(&case, sound).err();
            assert_eq!(refused, Some(WelcomeError::Join(EntryError::OtherGroup)), "{}", case.text("why"));
        }
    }
}

#[test]
fn a_newcomer_refuses_each_welcome_for_its_reason() {
    for case in cases("entering.txt", "refused", 21) {
        let why = case.text("why");
        let error = match enter(&case, Sound::Speech) {
            Ok(_) => panic!("{why}: was taken"),
            Err(WelcomeError::NoReceipt) => "NoReceipt",
            Err(WelcomeError::Rule(Violation::Law)) => "Law",
            Err(WelcomeError::Rule(Violation::Keeping)) => "Keeping",
            Err(WelcomeError::Rule(Violation::HandOver)) => "HandOver",
            Err(WelcomeError::Rule(Violation::NotAdmitted)) => "NotAdmitted",
            Err(error) => panic!("{why}: {error:?}"),
        };
        assert_eq!(error, case.text("error"), "{why}");
    }
}
