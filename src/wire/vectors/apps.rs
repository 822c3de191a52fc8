//! App messages (`spec/messages.md`, section 2).

use crate::{
    Seed,
    group::KeyExchange,
    id::Leaf,
    keys::{
        EpochSecret,
        vectors::{Case, cases},
    },
    mls::{Purpose, Sealed, SealingSecret},
    wire::{
        app::{Again, AgainKey, App, Content, Note, ToSome},
        saying::Saying,
    },
};

use super::{FILE, group_id};

fn note(case: &Case) -> Note {
    Note { kind: case.number("kind").try_into().unwrap(), body: case.bytes("body") }
}

fn open_of(case: &Case) -> App {
    App { run: case.array("run"), number: case.number("number"), content: Content::Open(note(case)) }
}

#[test]
fn app_messages() {
    for case in cases(FILE, "app", 8) {
        let saying = Saying::decode(&case.bytes("saying")).unwrap();
        assert_eq!(saying.encode(), case.bytes("saying"));
        match (case.text("what"), saying) {
            ("open", saying) => assert_eq!(saying, Saying::App(open_of(&case))),
            ("sealed", Saying::App(app)) => sealed(&case, &app),
            ("again", Saying::Again(again)) => {
                let secret = EpochSecret::new(case.bytes("epoch_secret")).unwrap();
                let key = AgainKey::derive(&secret);
                assert_eq!(again.open(&key), Ok(open_of(&case)));
                let (run, number, branch) = (case.array("run"), case.number("number"), case.array("branch"));
                let ours = Again::new(&run, number, &note(&case), branch, &key, case.array("salt"));
                assert_eq!(again, ours);
            }
            (what, saying) => panic!("{what}: {saying:?}"),
        }
    }
}

/// Each recipient opens its key, and what it opens gives the note.
fn sealed(case: &Case, app: &App) {
    let Content::Sealed { keys, sealed } = &app.content else { panic!("it is to all") };
    let key_exchange = KeyExchange::from_id(case.number("suite").try_into().unwrap()).unwrap();
    let (branch, from) = (case.array("branch"), Leaf(case.number("sender").try_into().unwrap()));
    let (leaves, inputs) = (case.numbers("leaves"), case.list("inputs"));
    assert_eq!((keys.len(), inputs.len()), (leaves.len(), leaves.len()));
    let expected = ToSome { audience: case.number("audience").try_into().unwrap(), note: note(case) };
    for (n, input) in inputs.iter().enumerate() {
        let pair =
            SealingSecret::derive(key_exchange, &Seed::from_bytes(&mut input.clone().try_into().unwrap()))
                .unwrap();
        let to = Leaf(leaves[n].try_into().unwrap());
        let aad = App::aad(&group_id(), &branch, from, to, &app.run, app.number);
        for (of, key) in keys.iter().enumerate() {
            let key = Sealed { kem_output: key.kem.clone(), sealed: key.key.to_vec() };
            let opened = pair.open(Purpose::App, &key, &aad);
            assert_eq!(opened.is_some(), of == n);
            let Some(content_key) = opened else { continue };
            assert_eq!(content_key, case.bytes("content_key"));
            let content_key = content_key.try_into().unwrap();
            assert_eq!(ToSome::open(&content_key, sealed), Ok(expected.clone()));
            assert_eq!(&expected.seal(&content_key), sealed);
        }
    }
}
