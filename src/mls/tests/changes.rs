//! Commits in the form of a room: what they change, what they cost, and what others see before they
//! merge.

use super::*;
use crate::{
    mls::{provider, storage},
    wire::envelope::MAX_MESSAGE,
};
use openmls_traits::OpenMlsProvider;

#[test]
fn a_commit_that_only_adds_has_no_path_and_one_size_in_every_room() {
    let mut sizes = Vec::new();
    for members in [10, 100] {
        let mut party = Party::new(members);
        let newcomer = party.candidate(200);
        let (adds, aad) = ([&newcomer], Aad::new(1, vec![[1; 32]]).unwrap());
        let draft = Draft { adds: &adds, context: Some(context(1)), aad, ..draft() };
        let committed = party.groups[0].commit(&draft).unwrap();
        assert!(party.stage(1, &committed.commit).path.is_none());
        println!("{members} members: commit of one add and the context: {} bytes", committed.commit.len());
        sizes.push(committed.commit.len());
    }
    assert_eq!(sizes[0], sizes[1]);
}

#[test]
fn others_see_all_that_a_commit_changes_before_they_merge() {
    let mut party = Party::new(4);
    let (first, second) = (party.candidate(20), party.candidate(21));
    let (adds, removes) = ([&first, &second], [Leaf(1), Leaf(3)]);
    let aad = Aad::new(77, vec![[2; 32], [1; 32]]).unwrap();
    let law_for_newcomers = b"law";
    let draft = Draft {
        adds: &adds,
        removes: &removes,
        context: Some(context(9)),
        aad,
        law_for_newcomers,
        ..draft()
    };
    let committed = party.groups[0].commit(&draft).unwrap();
    let staged = party.stage(2, &committed.commit);
    let added = [&first, &second].map(|candidate| NewLeaf {
        key: candidate.key,
        id: candidate.id,
        name: candidate.name.clone(),
        made_ms: candidate.made_ms,
    });
    assert_eq!((staged.by, &staged.adds[..]), (Leaf(0), &added[..]));
    assert_eq!(staged.removes, removes);
    assert_eq!(staged.context, context(9));
    assert_eq!((staged.aad.said_ms(), staged.aad.adds()), (77, &[[1; 32], [2; 32]][..]));
    assert_eq!(staged.branch(), Some(party.groups[0].branch()));
    assert!(staged.path.is_some() && !staged.removes_us());
    let before = party.groups[2].roster().to_vec();
    assert_eq!((party.groups[2].epoch(), *party.groups[2].context()), (Epoch(1), context(0)));
    assert_eq!(before.len(), 4, "nothing counts before the merge");

    assert!(party.stage(1, &committed.commit).removes_us());
    let summary = party.groups[2].merge(staged).unwrap();
    assert_eq!(summary.removed, [before[1].clone(), before[3].clone()]);
    assert_eq!((summary.added.as_slice(), summary.removed_self), (&added[..], false));
    assert_eq!(*party.groups[2].context(), context(9));
    let ids: Vec<_> = party.groups[2].roster().iter().map(|occupant| occupant.id).collect();
    let expected = [0, 20, 2, 21].map(|n| identity(n).id());
    assert_eq!(ids, expected, "the new leaves take the places of those that went");
    assert_eq!(party.groups[0].branch(), party.groups[2].branch());
    assert_eq!(party.groups[2].occupant(identity(2).id()).unwrap().leaf, Leaf(2));
}

#[test]
fn a_removed_member_learns_of_it_and_can_go_no_further() {
    let mut party = Party::new(3);
    let committed = party.groups[0].commit(&Draft { removes: &[Leaf(1)], ..draft() }).unwrap();
    assert_eq!(committed.summary.removed.len(), 1);
    let staged = party.stage(1, &committed.commit);
    assert_eq!((staged.removes_us(), staged.branch()), (true, None));
    let summary = party.groups[1].merge(staged).unwrap();
    assert!(summary.removed_self);
    assert_eq!(summary.removed[0].id, identity(1).id());
    assert!(party.groups[1].seal(b"still here").is_err());
}

#[test]
fn the_context_changes_alone_or_stays() {
    let mut party = Party::new(2);
    party.commit(0, &Draft { context: Some(context(4)), ..draft() });
    assert_eq!((*party.groups[0].context(), *party.groups[1].context()), (context(4), context(4)));
    party.commit(1, &draft());
    assert_eq!((*party.groups[0].context(), *party.groups[1].context()), (context(4), context(4)));
}

#[test]
fn a_renewal_waits_for_its_word_and_brings_a_new_name() {
    let mut party = Party::new(3);
    let before = party.groups[0].roster()[2].clone();
    let renamed = Identity::from_seed([2; 32], Name::new("renamed").unwrap());
    let commit = party.groups[2].prepare(&Draft { renew: Some(&renamed), ..draft() }).unwrap();
    let staged = party.stage(0, &commit);
    let expected = Path { made_ms: before.made_ms, name: renamed.name().clone() };
    assert_eq!(staged.path.as_ref(), Some(&expected));
    assert_eq!(staged.branch(), party.groups[2].prepared_branch());
    assert!(staged.adds.is_empty() && staged.removes.is_empty());
    assert_eq!(party.groups[2].epoch(), Epoch(1));
    party.groups[0].merge(staged).unwrap();
    party.groups[2].merge_prepared().unwrap();
    for n in [0, 2] {
        let after = &party.groups[n].roster()[2];
        assert_eq!((after.name.as_str(), after.made_ms), ("renamed", before.made_ms));
        assert_eq!((after.key, after.leaf_key), (before.key, before.leaf_key));
    }
    assert!(party.groups[2].merge_prepared().is_err());
    assert_eq!(party.groups[2].prepared_branch(), None);
}

#[test]
fn a_waiting_renewal_gives_way_to_the_commit_of_another() {
    let mut party = Party::new(3);
    party.groups[2].prepare(&Draft { renew: Some(&identity(2)), ..draft() }).unwrap();
    party.commit(0, &Draft { context: Some(context(4)), ..draft() });
    assert_eq!(party.groups[2].prepared_branch(), None);
    assert!(party.groups[2].merge_prepared().is_err());
    assert_eq!(party.groups[2].branch(), party.groups[0].branch());
}

#[test]
fn a_commit_that_is_too_large_changes_nothing() {
    let mut party = Party::new(3);
    let newcomer = party.candidate(20);
    let adds = [&newcomer];
    let storage = |group: &Group| group.provider.storage().names();
    let before = (party.groups[0].branch(), party.groups[0].roster().to_vec(), storage(&party.groups[0]));
    let large = Draft { adds: &adds, removes: &[Leaf(1)], context: Some(context(1)), ..draft() };
    for max_message in [0, 600] {
        let draft = Draft { max_message, ..large.clone() };
        assert_eq!(party.groups[0].commit(&draft).err(), Some(CommitError::TooLarge));
        assert_eq!(party.groups[0].prepare(&draft).err(), Some(CommitError::TooLarge));
    }
    let long = vec![0; MAX_LAW + 1];
    let draft = Draft { law_for_newcomers: &long, ..large };
    assert_eq!(party.groups[0].commit(&draft).err(), Some(CommitError::TooLarge));
    assert_eq!(party.groups[0].prepared_branch(), None);
    let after = (party.groups[0].branch(), party.groups[0].roster().to_vec(), storage(&party.groups[0]));
    assert_eq!(before, after);

    let message = party.groups[0].seal(b"hello").unwrap();
    assert!(
        matches!(party.groups[1].process(&message), Ok(Incoming::Application { from: Leaf(0), bytes }) if bytes == b"hello")
    );
    let committed = party.commit(0, &Draft { adds: &adds, ..super::draft() });
    let limit = committed.commit.len().max(committed.welcome.unwrap().len());
    assert!(limit > 600);
}

#[test]
fn the_limit_is_the_longest_message_that_passes() {
    let commit_with = |max_message| {
        let mut party = Party::new(2);
        let newcomer = party.candidate(20);
        party.groups[0].commit(&Draft { adds: &[&newcomer], max_message, ..draft() })
    };
    let committed = commit_with(usize::MAX).unwrap();
    let longest = committed.welcome.unwrap().len().max(committed.commit.len());
    assert!(commit_with(longest).is_ok());
    assert_eq!(commit_with(longest - 1).err(), Some(CommitError::TooLarge));
}

#[test]
fn what_cannot_be_committed_leaves_no_trace() {
    let mut party = Party::new(3);
    let (present, first, second) = (party.candidate(1), party.candidate(20), party.candidate(20));
    let cases: [(&[&Candidate], &[Leaf], Option<Violation>); 4] = [
        (&[&present], &[], Some(Violation::Duplicate)),
        (&[&first, &second], &[], Some(Violation::Duplicate)),
        (&[], &[Leaf(0)], None),
        (&[], &[Leaf(9)], None),
    ];
    for (adds, removes, violation) in cases {
        let before = party.groups[0].branch();
        let draft = Draft { adds, removes, aad: Aad::new(5, vec![[1; 32]]).unwrap(), ..draft() };
        match (party.groups[0].commit(&draft).err(), violation) {
            (Some(error), Some(violation)) => assert_eq!(error, CommitError::Violation(violation)),
            (Some(CommitError::Mls(_)), None) => {}
            (other, _) => panic!("{removes:?}: {other:?}"),
        }
        assert_eq!(party.groups[0].branch(), before);
        let message = party.groups[0].seal(b"hello").unwrap();
        assert!(party.groups[1].process(&message).is_ok(), "the message has authenticated data left over");
    }
    party.commit(0, &Draft { removes: &[Leaf(1)], adds: &[&present], ..draft() });
    assert_eq!(party.groups[0].roster().len(), 3, "an identity may come back as it goes");
}

#[test]
fn a_commit_that_was_staged_before_another_merge_is_not_merged() {
    let mut party = Party::new(3);
    let late = party.groups[2].prepare(&Draft { renew: Some(&identity(2)), ..draft() }).unwrap();
    let late = party.stage(0, &late);
    let first = party.groups[1].commit(&Draft { context: Some(context(1)), ..draft() }).unwrap();
    let first = party.stage(0, &first.commit);
    party.groups[0].merge(first).unwrap();
    let before = party.groups[0].branch();
    assert!(party.groups[0].merge(late).is_err());
    assert_eq!(party.groups[0].branch(), before);
}

#[test]
fn application_messages_come_from_the_leaf_that_sealed_them() {
    let mut party = Party::new(3);
    let message = party.groups[2].seal(b"hello").unwrap();
    assert_eq!(Group::epoch_of(&message), Some(Epoch(1)));
    let Ok(Incoming::Application { from, bytes }) = party.groups[1].process(&message) else { panic!() };
    assert_eq!((from, &bytes[..]), (Leaf(2), &b"hello"[..]));
    assert_eq!(party.refusal(1, &message), ProcessError::Undecryptable, "a replay");
    assert_eq!(party.refusal(2, &message), ProcessError::Own);
    let next = party.groups[2].seal(b"again").unwrap();
    party.commit(0, &Draft { context: Some(context(1)), ..draft() });
    assert_eq!(party.refusal(1, &next), ProcessError::Stale);
    let ahead = party.groups[0].commit(&draft()).unwrap();
    let message = party.groups[0].seal(b"early").unwrap();
    assert_eq!(party.refusal(1, &message), ProcessError::Future(Epoch(3)));
    let staged = party.stage(1, &ahead.commit);
    party.groups[1].merge(staged).unwrap();
    assert!(party.groups[1].process(&message).is_ok());
    assert_eq!(party.refusal(1, b"nonsense"), ProcessError::Malformed);
    let mut other_room =
        Group::found(&identity(0), &[8; 32], KeyExchange::X25519, context(0), now_ms(), &mut generator(3))
            .unwrap();
    let elsewhere = other_room.seal(b"elsewhere").unwrap();
    assert_eq!(party.refusal(1, &elsewhere), ProcessError::OtherGroup);
}

#[test]
fn a_room_with_ml_kem_lives_the_same_life() {
    let mut party = Party::with(KeyExchange::MlKem768X25519, 3);
    assert_eq!(party.groups[2].key_exchange(), KeyExchange::MlKem768X25519);
    let newcomer = party.applicant(20);
    let candidate = vet(&newcomer);
    let committed = party.commit(0, &Draft { adds: &[&candidate], context: Some(context(1)), ..draft() });
    let entry = newcomer.open(&committed.welcome.unwrap()).unwrap();
    party.groups.push(newcomer.enter(entry).unwrap());
    party.commit(1, &Draft { removes: &[Leaf(2)], ..draft() });
    let renewal = party.groups[3].prepare(&Draft { renew: Some(&identity(20)), ..draft() }).unwrap();
    let staged = party.stage(0, &renewal);
    party.groups[0].merge(staged).unwrap();
    party.groups[3].merge_prepared().unwrap();
    assert_eq!(party.groups[0].branch(), party.groups[3].branch());
    let classic = Party::new(1).applicant(30);
    let refused = Candidate::vet(classic.key_package(), &GROUP, KeyExchange::MlKem768X25519);
    assert_eq!(refused.err(), Some(Violation::ForeignExtension));
}

#[test]
fn a_group_leaves_nothing_in_storage_but_the_private_keys_of_its_epoch() {
    let mut party = Party::new(2);
    for n in 0..3 {
        party.commit(0, &Draft { context: Some(context(n)), renew: Some(&identity(0)), ..draft() });
        for group in &party.groups {
            let names = group.provider.storage().names();
            assert_eq!(names.len(), 1, "epoch {n}: {names:?}");
            assert_eq!(names[0][0], storage::EPOCH_KEY_PAIRS);
        }
    }
}

#[test]
fn broken_paths_are_blamed_on_who_made_them() {
    for spoil in [provider::Spoil::Garbage, provider::Spoil::Another] {
        for with_context in [false, true] {
            let mut party = Party::new(4);
            party.groups[1].spoil_paths_to(&[Leaf(2)], false, spoil);
            let context = with_context.then(|| context(1));
            let commit =
                party.groups[1].prepare(&Draft { renew: Some(&identity(1)), context, ..draft() }).unwrap();
            let blamed = ProcessError::Violation(Some(Leaf(1)), Violation::BrokenCommit);
            assert_eq!(party.refusal(2, &commit), blamed, "{spoil:?} {with_context}");
            assert_eq!(party.groups[2].epoch(), Epoch(1));
            party.stage(0, &commit);
        }
    }
}

#[test]
fn a_key_that_nothing_can_be_sealed_to_stops_no_commit() {
    for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
        let len = hpke::public_len(key_exchange);
        // The zero point of X25519, coefficients of ML-KEM above its prime, and other lengths.
        for key in [vec![0; len], vec![0xFF; len], vec![9; len - 1], Vec::new(), vec![9; 70_000]] {
            let mut party = Party::with(key_exchange, 3);
            let keys = [None, Some(key.clone())];
            let bad = forge::key_package_with_keys(&identity(9), &GROUP, key_exchange, now_ms(), 9, keys);
            let Ok(bad) = Candidate::vet(&bad, &GROUP, key_exchange) else { continue };
            let newcomer = party.applicant(20);
            let candidate = vet(&newcomer);
            let committed = party.commit(0, &Draft { adds: &[&bad, &candidate], ..draft() });
            let entry = newcomer.open(&committed.welcome.unwrap()).unwrap();
            party.groups.push(newcomer.enter(entry).unwrap());
            let renewed = party.commit(1, &Draft { renew: Some(&identity(1)), ..draft() });
            assert!(renewed.welcome.is_none());
            party.commit(0, &Draft { removes: &[Leaf(2)], ..draft() });
            assert_eq!(party.groups[0].roster().len(), 4, "{key_exchange:?}, {} bytes", key.len());
        }
    }
}

/// How many bytes a newcomer is told in a group of so many members, where everybody has renewed its
/// leaf and no law is told.
fn welcome_of(key_exchange: KeyExchange, members: u8) -> usize {
    let mut party = Party::with(key_exchange, members);
    for by in 0..usize::from(members) {
        let identity = identity(by as u8);
        party.commit(by, &Draft { renew: Some(&identity), ..draft() });
    }
    let newcomer = party.candidate(100);
    party.groups[0].commit(&Draft { adds: &[&newcomer], ..draft() }).unwrap().welcome.unwrap().len()
}

#[test]
fn a_full_room_of_either_suite_fits_into_its_messages() {
    for (key_exchange, enough) in [(KeyExchange::X25519, 1_000), (KeyExchange::MlKem768X25519, 750)] {
        let (few, many) = (welcome_of(key_exchange, 4), welcome_of(key_exchange, 8));
        // A name may be longer by 60 bytes, and a leaf stands in ten lists of unmerged leaves.
        let member = (many - few).div_ceil(4) + 60 + 10 * 4;
        let most = key_exchange.max_members();
        let room = few + most * member + MAX_LAW;
        assert!(room <= MAX_MESSAGE - 16, "{key_exchange:?}: {room} bytes, {member} a member");
        assert!(most >= enough, "{key_exchange:?} carries more members than it is let");
        println!("{key_exchange:?}: {member} bytes a member, {room} in all");
        // An update path over blank parents is sealed to every other leaf.
        let sealed = match key_exchange {
            KeyExchange::X25519 => 32 + 48,
            KeyExchange::MlKem768X25519 => 1_120 + 48,
        };
        let path = most * (sealed + 4) + 12 * member + 10_240 * 32;
        assert!(path <= MAX_MESSAGE - 16, "{key_exchange:?}: {path} bytes");
    }
}
