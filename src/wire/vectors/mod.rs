//! `tests/vectors/control.txt`, derived a second time by `tests/vectors/control.py` from
//! `spec/control.md`.

mod apps;
#[cfg(feature = "net")]
mod names;
mod outside;
mod sealed;
mod stored;

use super::{
    answer::AnswerContent,
    door::{Badge, Door, door_name},
    heartbeat::{Beat, Heartbeat},
    knock::KnockContent,
    leave::Leave,
    message::Message,
    saying::Saying,
    show::ShowContent,
    signed::{Genuine, Signed},
    statements::Statements,
};
use crate::{
    Seed,
    group::{Identity, Name, codec::Malformed, codec::Writer, signing::SigningKey},
    id::{Epoch, IdentityKey, Leaf},
    keys::{
        aead::EnvelopeKey,
        derive::{hkdf_sha256, sha256},
        vectors::{Case, cases},
    },
};

const FILE: &str = "control.txt";

fn room() -> Case {
    cases(FILE, "room", 1).remove(0)
}

fn group_id() -> [u8; 32] {
    room().array("group_id")
}

fn identity(seed: [u8; 32]) -> Identity {
    Identity::from_seed(seed, Name::new("any").unwrap())
}

fn key(identity: &Identity) -> IdentityKey {
    IdentityKey::from_bytes(*identity.public())
}

fn list(case: &Case, name: &str) -> Vec<Vec<u8>> {
    case.list(name).into_iter().filter(|item| !item.is_empty()).collect()
}

fn statements(case: &Case, name: &str) -> Statements {
    Statements::new(list(case, name)).unwrap()
}

/// The badge that somebody signed with this seed, and whoever believes it.
fn badge(case: &Case) -> Genuine<Badge> {
    let host = identity(case.array("seed"));
    let badge =
        Badge { answer_key: case.array("answer_key"), office: case.array("office"), no: case.number("no") };
    let signed = Signed::badge(badge, &host, &group_id());
    assert_eq!(signed.encode(), case.bytes("badge"));
    signed.verify(&group_id(), &key(&host)).unwrap()
}

#[test]
fn badges_and_doors() {
    for (badge_case, case) in cases(FILE, "badge", 2).iter().zip(cases(FILE, "door", 2)) {
        let answer = SigningKey::from_seed(Seed::from_bytes(&mut case.array("answer_seed")));
        let signed = Signed::door(badge(badge_case), case.bytes("hpke_key"), &answer, &group_id());
        assert_eq!(signed.encode(), case.bytes("door"));
        let host = key(&identity(badge_case.array("seed")));
        let door = Signed::<Door>::decode(&case.bytes("door")).unwrap().verify(&group_id(), &host).unwrap();
        assert_eq!(door_name(&door.content().badge().answer_key), case.array("name"));
    }
}

#[test]
fn a_branch_is_named_by_the_hash_of_its_authenticator() {
    for case in cases(FILE, "branch", 1) {
        let name = sha256(&[b"sottovoce 2 branch", &case.bytes("authenticator")]);
        assert_eq!(name, case.array("branch"));
    }
}

/// A generator that gives back the salt of the vector.
struct Salt([u8; 32]);

impl rand::TryRng for Salt {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("a salt is drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("a salt is drawn as bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

fn beat_of(case: &Case) -> Beat {
    Beat {
        key: key(&identity(case.array("seed"))),
        epoch: Epoch(case.number("epoch")),
        branch: case.array("branch"),
        step_ms: case.number("step_ms"),
        time_ms: case.number("time_ms"),
        epoch_law: case.array("epoch_law"),
        known_law: case.array("known_law"),
        door_key: case.bytes("door_key"),
    }
}

fn doors(case: &Case) -> Vec<Signed<Door>> {
    list(case, "doors").iter().map(|door| Signed::decode(door).unwrap()).collect()
}

#[test]
fn heartbeats() {
    let salt = room().array("salt");
    for case in cases(FILE, "heartbeat", 3) {
        let keeper = identity(case.array("seed"));
        let mut rng = Salt(case.array("salt"));
        let made = Heartbeat::new(beat_of(&case), doors(&case), &keeper, &group_id(), &salt, &mut rng);
        assert_eq!(Message::Heartbeat(made).encode(), case.bytes("message"));
        let Ok(Message::Heartbeat(read)) = Message::decode(&case.bytes("message")) else { panic!() };
        assert_eq!(read.doors(), doors(&case));
        let beat = read.open(&salt).unwrap().verify(&group_id()).unwrap();
        assert_eq!(*beat.content(), beat_of(&case));
        assert_eq!(beat.into_signed().encode(), case.bytes("beat"));
    }
}

#[test]
fn messages_that_carry_bytes() {
    for case in cases(FILE, "message", 3) {
        let message = match case.text("what") {
            "mls" => Message::Mls(case.bytes("content")),
            "welcome" => Message::Welcome(case.bytes("content")),
            "call" => Message::Call,
            other => panic!("{other}"),
        };
        assert_eq!(message.encode(), case.bytes("message"));
        assert_eq!(Message::decode(&case.bytes("message")), Ok(message));
    }
    for case in cases(FILE, "chain", 2) {
        let message = Message::Chain(statements(&case, "tables"));
        assert_eq!(message.encode(), case.bytes("message"));
        assert_eq!(Message::decode(&case.bytes("message")), Ok(message));
    }
    for case in cases(FILE, "spent", 2) {
        let seeds = list(&case, "seeds").into_iter().map(|seed| seed.try_into().unwrap());
        let message = Message::Spent(seeds.collect());
        assert_eq!(message.encode(), case.bytes("message"));
        assert_eq!(Message::decode(&case.bytes("message")), Ok(message));
    }
}

#[test]
fn leaves() {
    for case in cases(FILE, "leave", 1) {
        let member = identity(case.array("seed"));
        let leave = Signed::leave(&member, &group_id(), case.number("time_ms"));
        assert_eq!(leave.encode(), case.bytes("leave"));
        assert!(leave.verify(&group_id()).is_ok());
    }
}

#[test]
fn sayings() {
    for case in cases(FILE, "saying", 14) {
        let saying = match case.text("what") {
            "speaker_key" => speaker_key(&case),
            "word" => Saying::Word {
                heard_ms: case.number("heard_ms"),
                at_ms: case.number("at_ms"),
                known_law: case.array("known_law"),
            },
            "statements" => Saying::Statements(statements(&case, "statements")),
            "ask_statements" => {
                let ids = list(&case, "ids").into_iter().map(|id| id.try_into().unwrap()).collect();
                Saying::AskStatements { ids }
            }
            "admit" => Saying::Admit { key_package: case.bytes("package") },
            "leave" => Saying::Leave(Signed::decode(&case.bytes("leave")).unwrap()),
            "missing" => {
                let leaf = |number: u64| Leaf(u32::try_from(number).unwrap());
                Saying::Missing(case.numbers("numbers").into_iter().map(leaf).collect())
            }
            "answer_key" => Saying::AnswerKey { answer_key: case.array("key") },
            "badge" => Saying::Badge(Signed::decode(&case.bytes("badge")).unwrap()),
            "door" => Saying::Door(Signed::decode(&case.bytes("door")).unwrap()),
            other => panic!("{other}"),
        };
        assert_eq!(saying.encode(), case.bytes("saying"));
        assert_eq!(Saying::decode(&case.bytes("saying")), Ok(saying));
    }
}

/// The signature covers what SPEC section 12.2 says, written out here once more.
fn speaker_key(case: &Case) -> Saying {
    let leaf = SigningKey::from_seed(Seed::from_bytes(&mut case.array("leaf_seed")));
    let content = Writer::new()
        .bytes(b"sottovoce 1 announcement")
        .vec8(&group_id())
        .vec8(&case.bytes("room_name"))
        .u64(case.number("epoch"))
        .bytes(&case.bytes("speaker_context"))
        .u64(case.number("announced"))
        .u32(case.number("holds").try_into().unwrap())
        .finish();
    Saying::SpeakerKey(crate::group::announce::SpeakerKey {
        public: case.array("key"),
        announced: crate::id::UnixTime(case.number("announced")),
        holds: case.number("holds").try_into().unwrap(),
        signature: leaf.sign(&content),
    })
}

/// Whether a damaged structure is refused by its form, and by nothing else.
fn is_malformed(what: &str, data: &[u8]) -> bool {
    match what {
        "message" => Message::decode(data) == Err(Malformed),
        "saying" => Saying::decode(data) == Err(Malformed),
        "knock_content" => KnockContent::decode(data) == Err(Malformed),
        "answer_content" => AnswerContent::decode(data) == Err(Malformed),
        "show_content" => Signed::<ShowContent>::decode(data) == Err(Malformed),
        other => panic!("{other}"),
    }
}

/// Whether a structure has its form, and a signature that does not hold.
fn is_forged(case: &Case) -> bool {
    let (data, group_id) = (case.bytes("data"), group_id());
    match case.text("what") {
        "badge" => {
            let signer = IdentityKey::from_bytes(case.array("signer"));
            Signed::<Badge>::decode(&data).unwrap().verify(&group_id, &signer).is_err()
        }
        "door" => {
            let host = key(&identity(cases(FILE, "badge", 2)[0].array("seed")));
            Signed::<Door>::decode(&data).unwrap().verify(&group_id, &host).is_err()
        }
        "beat" => seal(&data, &doors(case)).open(&[1; 32]).unwrap().verify(&group_id).is_err(),
        "leave" => Signed::<Leave>::decode(&data).unwrap().verify(&group_id).is_err(),
        "show_content" => {
            let (door_key, reference) = (case.bytes("door_key"), case.array("reference"));
            let content = Signed::<ShowContent>::decode(&data).unwrap();
            content.verify(&group_id, &door_key, &reference).is_err()
        }
        "answer_content" => {
            let signer = case.array("signer");
            match AnswerContent::decode(&data).unwrap() {
                AnswerContent::Receipt(receipt) => receipt.verify(&group_id).is_err(),
                AnswerContent::Refused(refused) => refused.verify(&group_id, &signer).is_err(),
                AnswerContent::Waiting(waiting) => waiting.verify(&group_id, &signer).is_err(),
                AnswerContent::Shown(_) => false,
            }
        }
        other => panic!("{other}"),
    }
}

/// A heartbeat that holds these bytes, sealed under a salt of terms that is all ones.
fn seal(beat: &[u8], doors: &[Signed<Door>]) -> Heartbeat {
    let mut key = [0; 32];
    hkdf_sha256(&[2; 32], &[1; 32], &[b"sottovoce 2 heartbeat"], &mut key);
    let mut text = beat.to_vec();
    let tag = EnvelopeKey::new(&key).seal_in_place(&mut text);
    let sealed = [&[2; 32][..], &text, &tag].concat();
    let out = Writer::new().u8(1).u8(doors.len() as u8);
    let out = doors.iter().fold(out, |out, door| out.bytes(&door.encode()));
    match Message::decode(&out.vec16(&sealed).finish()) {
        Ok(Message::Heartbeat(heartbeat)) => heartbeat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_structures_are_refused() {
    for case in cases(FILE, "refused", DAMAGED) {
        let (what, why) = (case.text("what"), case.text("why"));
        let refused = match case.text("error") {
            "Malformed" => is_malformed(what, &case.bytes("data")),
            "Signature" => is_forged(&case),
            "Sealed" => sealed::is_closed(&case),
            other => panic!("{other}"),
        };
        assert!(refused, "{what}: {why}");
    }
}

const DAMAGED: usize = 128;
