//! `tests/vectors/stage.txt`: keys, envelopes and messages, as `stage.py` derives them from the
//! page alone.

use super::{
    card::Card,
    chain::Chain,
    envelope::{self, Use},
    epoch::{Base, EpochName},
    lane::{HallKey, HallLane},
    porter::{answer_aad, knock_aad},
    wire::{AnswerContent, Down, KnockContent, Message, Page, Say, Turn, UpContent},
};
use crate::{
    Seed,
    group::{Identity, KeyExchange, Name, RoomCode, codec::Writer},
    id::Leaf,
    keys::{
        secret::Secret,
        vectors::{Case, cases},
    },
    mls::{Purpose, Sealed, SealingSecret},
    wire::envelope::LaneKey,
};

const FILE: &str = "stage.txt";

/// The only case of a topic.
fn one(topic: &str) -> Case {
    cases(FILE, topic, 1).remove(0)
}

fn secret(bytes: Vec<u8>) -> Secret {
    Secret::wrap(bytes)
}

fn use_of(name: &str) -> Use {
    match name {
        "lane" => Use::Lane,
        "cell" => Use::Cell,
        "down" => Use::Down,
        "up" => Use::Up,
        other => panic!("{other} is no use"),
    }
}

#[test]
fn lanes() {
    let case = one("hall_key");
    let key = HallKey::of(&LaneKey::new(&case.array("lane")));
    assert_eq!(key.0.bytes(), case.bytes("key"));
    for case in cases(FILE, "handle", 6) {
        let (porter, own) = (case.array("porter"), case.array("number"));
        let lane = match case.text("lane") {
            "doors" => HallLane::Doors,
            "foyer" => HallLane::Foyer,
            "hall" => HallLane::Hall,
            "cell" => HallLane::Cell { porter, cell: 7 },
            "porter" => HallLane::Porter(porter),
            _ => HallLane::Own(own),
        };
        assert_eq!(key.handle(lane).as_bytes().as_slice(), case.bytes("handle"));
    }
}

#[test]
fn epochs_and_chains() {
    for case in cases(FILE, "epoch", 2) {
        let (hidden, group_id) = (secret(case.bytes("secret")), case.array("group_id"));
        let first = u32::try_from(case.number("first")).unwrap();
        let name = EpochName::of(&hidden, &group_id, case.number("n"), first, case.array("programme"));
        assert_eq!(name.authenticator, case.array::<32>("authenticator"));
        let mut base = Base::first(case.suite(), &hidden, &group_id, name);
        for (step, key) in (first..).zip(case.list("keys")) {
            base.advance(case.suite(), step);
            assert_eq!(base.key.bytes(), key);
        }
    }
    let case = one("code");
    let code = RoomCode::of_hall(&case.array("group_id"), &case.array("authenticator")).to_string();
    assert_eq!(code.replace(' ', ""), case.text("code"));
    let case = one("chain");
    let mut chain = Chain::new(0, secret(case.bytes("key")));
    for (step, key) in (1..).zip(case.list("keys")) {
        chain.advance(step);
        assert_eq!(chain.key().bytes(), key);
    }
}

#[test]
fn cards_and_programmes() {
    let case = one("card");
    let identity = Identity::from_seed(case.array("seed"), Name::new("Ada").unwrap());
    let group_id = case.array("group_id");
    let leaf = Leaf(u32::try_from(case.number("leaf")).unwrap());
    let card = Card::sign(&identity, leaf, case.array("voice"), case.number("made"), &group_id);
    assert_eq!(card.write(Writer::new()).finish(), case.bytes("card"));
    assert_eq!(card.voice(&group_id).context, case.array::<32>("context"));
    let case = one("programme");
    let message = Message::decode(&case.bytes("message")).unwrap();
    let Message::Programme(programme) = &message else { panic!("{message:?}") };
    assert_eq!(programme.hash(), case.array::<32>("hash"));
    assert!(programme.verify(&Default::default(), &group_id).is_ok());
    assert_eq!(message.encode(), case.bytes("message"));
}

#[test]
fn envelopes() {
    for case in cases(FILE, "envelope", 4) {
        let (key, sealed) = (secret(case.bytes("key")), case.bytes("envelope"));
        assert_eq!(sealed.len() as u64, case.number("size"));
        let opened = envelope::open(&key, use_of(case.text("use")), &sealed).unwrap();
        assert_eq!(opened.bytes(), case.bytes("content"));
    }
    let case = one("bare");
    let opened = envelope::open_bare(&secret(case.bytes("key")), Use::Up, &case.bytes("envelope")).unwrap();
    assert_eq!(opened.bytes(), case.bytes("content"));
}

#[test]
fn bundles() {
    let case = one("bundle");
    let message = Message::decode(&case.bytes("message")).unwrap();
    assert_eq!(message.encode(), case.bytes("message"));
    let Message::Bundle(bundle) = message else { panic!("no bundle") };
    for (slot, pair) in [0, 5].into_iter().zip(case.list("keys")) {
        let fresh = bundle.open(slot, &secret(pair)).unwrap();
        assert_eq!(fresh.bytes(), case.bytes("fresh"));
        let turn = envelope::open_bare(&fresh, Use::Cell, &bundle.turn).unwrap();
        assert_eq!(turn.bytes(), case.bytes("turn"));
        assert!(Turn::decode(turn.bytes()).is_ok());
    }
}

#[test]
fn beats_and_pages() {
    let case = one("beat");
    let message = Message::decode(&case.bytes("message")).unwrap();
    assert_eq!(message.encode(), case.bytes("message"));
    let Message::Beat(beat) = message else { panic!("no beat") };
    assert!(beat.verify(&case.array("key"), &case.array("group_id")).is_ok());
    let case = one("page");
    let Ok(Down::Page(page)) = Down::decode(&case.bytes("message")) else { panic!("no page") };
    assert_eq!(page.hash(), case.array::<32>("hash"));
    assert_eq!(Page::roster(&page.hashes), case.array::<32>("roster"));
}

#[test]
fn knocks_and_answers() {
    let open = |case: &Case, purpose, aad: Vec<u8>| {
        let message = Message::decode(&case.bytes("message")).unwrap();
        assert_eq!(message.encode(), case.bytes("message"));
        let (Message::Knock(sealed) | Message::Answer(sealed)) = message else { panic!("another message") };
        let mut ikm = case.array("ikm");
        let key = SealingSecret::derive(KeyExchange::X25519, &Seed::from_bytes(&mut ikm)).unwrap();
        let content = Sealed { kem_output: sealed.kem, sealed: sealed.sealed };
        assert_eq!(key.open(purpose, &content, &aad), Some(case.bytes("content")));
    };
    let case = one("knock");
    let (group_id, door) = (case.array("group_id"), case.array("door"));
    open(&case, Purpose::HallKnock, knock_aad(&group_id, &door));
    let knock = KnockContent::decode(&case.bytes("content")).unwrap();
    assert!(knock.verify(&door, &group_id).is_ok());
    assert!(knock.ticket.as_ref().unwrap().verify(&group_id).is_ok());
    assert_eq!(knock.encode(), case.bytes("content"));

    let case = one("answer");
    open(&case, Purpose::HallAnswer, answer_aad(&group_id, &knock.reply_to, &knock.one_use));
    let contents = std::iter::once(case).chain(cases(FILE, "answer_content", 3));
    for case in contents {
        let Ok(answer) = AnswerContent::decode(&case.bytes("content")) else { panic!("no answer") };
        assert_eq!(answer.encode().bytes(), case.bytes("content"));
    }
}

#[test]
fn contents() {
    for case in cases(FILE, "content", 14) {
        let bytes = case.bytes("bytes");
        let again = match case.text("what") {
            "up" => UpContent::decode(&bytes).ok().map(|content| content.encode()),
            "down" => Down::decode(&bytes).ok().map(|content| content.encode().bytes().to_vec()),
            _ => Say::decode(&bytes).ok().map(|content| content.encode().bytes().to_vec()),
        };
        assert_eq!(again, Some(bytes));
    }
}

#[test]
fn what_has_to_be_refused() {
    for case in cases(FILE, "refused", 9) {
        let (bytes, why) = (case.bytes("bytes"), case.text("why"));
        match case.text("what") {
            "envelope" => {
                let key = secret(one("chain").bytes("key"));
                assert!(envelope::open(&key, Use::Cell, &bytes).is_none(), "{why}");
            }
            _ => assert!(Message::decode(&bytes).is_err(), "{why}"),
        }
    }
}
