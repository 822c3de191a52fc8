//! Knocks, answers and shows: what is sealed to one key, in an ordinary room and in a hybrid one.

use crate::{
    Seed,
    group::KeyExchange,
    id::{IdentityKey, UnixTime},
    keys::vectors::{Case, cases},
    mls::{Purpose, Sealed, SealingSecret},
    wire::{
        answer::{Answer, AnswerContent, Receipt, RefuseReason, Refused},
        invite::InviteId,
        knock::{Knock, KnockContent},
        message::Message,
        show::{Broken, Show, ShowContent, Wish},
        signed::Signed,
    },
};

use super::{FILE, Heartbeat, group_id, identity, key, room, seal, statements};

fn key_exchange(case: &Case) -> KeyExchange {
    KeyExchange::from_id(case.number("suite").try_into().unwrap()).unwrap()
}

fn pair(case: &Case, name: &str, key_exchange: KeyExchange) -> SealingSecret {
    SealingSecret::derive(key_exchange, &Seed::from_bytes(&mut case.array(name))).unwrap()
}

fn sealed(kem: &[u8], sealed: &[u8]) -> Sealed {
    Sealed { kem_output: kem.to_vec(), sealed: sealed.to_vec() }
}

#[test]
fn knocks() {
    for case in cases(FILE, "knock", 2) {
        let door = pair(&case, "hpke_input", key_exchange(&case));
        let (answer_key, reference) = (case.array("answer_key"), case.array("reference"));
        let Ok(Message::Knock(knock)) = Message::decode(&case.bytes("message")) else { panic!() };
        assert_eq!(Message::Knock(knock.clone()).encode(), case.bytes("message"));
        assert!(knock.is_at(&answer_key));
        assert_eq!(knock.reference, reference);
        let aad = Knock::aad(&group_id(), &answer_key, &reference);
        let content = door.open(Purpose::Knock, &sealed(&knock.kem, &knock.sealed), &aad).unwrap();
        let expected = KnockContent {
            invite: InviteId(case.array("invite")),
            expires: UnixTime(case.number("expiry")),
            uses: case.number("uses").try_into().unwrap(),
            one_use: case.bytes("one_use"),
            key_package: case.bytes("package"),
        };
        assert_eq!((content, &expected.encode()), (case.bytes("content"), &case.bytes("content")));
        assert_eq!(KnockContent::decode(&case.bytes("content")), Ok(expected));
    }
}

#[test]
fn answers() {
    for case in cases(FILE, "answer", 15) {
        let (what, reference) = (case.text("what"), case.array("reference"));
        let one_use = pair(&case, "one_use_input", key_exchange(&case));
        let Ok(Message::Answer(answer)) = Message::decode(&case.bytes("message")) else { panic!() };
        assert_eq!(answer.reference, reference);
        let aad = Answer::aad(&group_id(), &reference);
        let content = one_use.open(Purpose::Answer, &sealed(&answer.kem, &answer.sealed), &aad).unwrap();
        let expected = match what {
            "receipt" => {
                let signer = identity(case.array("seed"));
                let (office, no) = (case.array("office"), case.number("no"));
                let standings = statements(&case, "statements");
                let receipt = Receipt { key: key(&signer), reference, office, no, standings };
                AnswerContent::Receipt(Signed::receipt(receipt, &signer, &group_id()))
            }
            "refused" => {
                let reason = REASONS[usize::try_from(case.number("reason")).unwrap()];
                let answer =
                    crate::group::signing::SigningKey::from_seed(Seed::from_bytes(&mut case.array("seed")));
                AnswerContent::Refused(Signed::refused(Refused { reference, reason }, &answer, &group_id()))
            }
            "waiting" => {
                let answer =
                    crate::group::signing::SigningKey::from_seed(Seed::from_bytes(&mut case.array("seed")));
                AnswerContent::Waiting(Signed::waiting(reference, &answer, &group_id()))
            }
            "shown" => AnswerContent::Shown(statements(&case, "statements")),
            other => panic!("{other}"),
        };
        assert_eq!((&content, &expected.encode()), (&case.bytes("content"), &content), "{what}");
        assert_eq!(AnswerContent::decode(&content), Ok(expected));
    }
}

/// In the order of their codes (`spec/control.md`, section 14.7).
const REASONS: [RefuseReason; 9] = [
    RefuseReason::Declined,
    RefuseReason::Expired,
    RefuseReason::UsedUp,
    RefuseReason::Banned,
    RefuseReason::Present,
    RefuseReason::Full,
    RefuseReason::Revoked,
    RefuseReason::Locked,
    RefuseReason::Clock,
];

#[test]
fn shows() {
    let Ok(leave) = Signed::decode(&cases(FILE, "leave", 1)[0].bytes("leave")) else { panic!() };
    for case in cases(FILE, "show", 5) {
        let (what, reference) = (case.text("what"), case.array("reference"));
        let (keeper, sender) = (pair(&case, "door_input", key_exchange(&case)), identity(case.array("seed")));
        let door_key = keeper.public().as_bytes();
        let Ok(Message::Show(show)) = Message::decode(&case.bytes("message")) else { panic!() };
        assert!(show.is_at(door_key));
        let aad = Show::aad(&group_id(), door_key, &reference);
        let content = keeper.open(Purpose::Show, &sealed(&show.kem, &show.sealed), &aad).unwrap();
        assert_eq!(content, case.bytes("content"));
        let package = || cases(FILE, "knock", 2)[usize::from(case.number("suite") != 1)].bytes("package");
        let wish = match what {
            "nothing" => Wish::Nothing,
            "return" => Wish::Return { key_package: package(), broken: None },
            "return_broken" => {
                let by =
                    IdentityKey::from_bytes(*identity(cases(FILE, "badge", 2)[0].array("seed")).public());
                let broken = Some(Broken { by, epoch: crate::Epoch(77) });
                Wish::Return { key_package: package(), broken }
            }
            "leave" => Wish::Leave(leave.clone()),
            other => panic!("{other}"),
        };
        let statements = statements(&case, "statements");
        let (one_use, time_ms) = (case.bytes("one_use"), case.number("time_ms"));
        let expected = ShowContent { key: key(&sender), one_use, time_ms, wish, statements };
        let signed = Signed::show(expected, &sender, &group_id(), door_key, &reference);
        assert_eq!(signed.encode(), content, "{what}");
        let read = Signed::<ShowContent>::decode(&content).unwrap();
        assert!(read.verify(&group_id(), door_key, &reference).is_ok());
    }
}

/// Whether what is sealed does not open.
pub(super) fn is_closed(case: &Case) -> bool {
    let (data, group_id, x25519) = (case.bytes("data"), group_id(), KeyExchange::X25519);
    match case.text("what") {
        "knock" => {
            let (door, answer_key) = (pair(case, "hpke_input", x25519), case.array("answer_key"));
            let Ok(Message::Knock(knock)) = Message::decode(&data) else { panic!() };
            let aad = Knock::aad(&group_id, &answer_key, &knock.reference);
            door.open(Purpose::Knock, &sealed(&knock.kem, &knock.sealed), &aad).is_none()
        }
        "answer" => {
            let one_use = pair(case, "hpke_input", x25519);
            let Ok(Message::Answer(answer)) = Message::decode(&data) else { panic!() };
            let aad = Answer::aad(&group_id, &answer.reference);
            one_use.open(Purpose::Answer, &sealed(&answer.kem, &answer.sealed), &aad).is_none()
        }
        "show" => {
            let keeper = pair(case, "hpke_input", x25519);
            let Ok(Message::Show(show)) = Message::decode(&data) else { panic!() };
            let aad = Show::aad(&group_id, keeper.public().as_bytes(), &show.reference);
            keeper.open(Purpose::Show, &sealed(&show.kem, &show.sealed), &aad).is_none()
        }
        "beat_sealed" => heartbeat_of(&data).open(&room().array("salt")).is_err(),
        other => panic!("{other}"),
    }
}

/// A heartbeat without doors around a sealed beat.
fn heartbeat_of(sealed: &[u8]) -> Heartbeat {
    // `seal` gives the frame; only what is sealed is another.
    assert!(seal(b"any", &[]).doors().is_empty());
    let length = u16::try_from(sealed.len()).unwrap().to_be_bytes();
    match Message::decode(&[&[1, 0][..], &length, sealed].concat()) {
        Ok(Message::Heartbeat(heartbeat)) => heartbeat,
        other => panic!("{other:?}"),
    }
}
