//! Commits that are not in the form of a room, each with the reason for which it is refused.

use openmls::prelude::{
    Capabilities, CredentialType, Extension, ExtensionType, Extensions, LeafNode, LeafNodeParameters,
    ProposalType, UnknownExtension,
};

use super::*;
use crate::{
    group::CredentialError,
    mls::forge::{Forgery, key_package},
};

impl Party {
    /// Member 1 makes this commit, and member 2 refuses it for this reason and blames member 1.
    fn refuses(&mut self, forgeries: Vec<Forgery>, violation: Violation) {
        let commit = self.groups[1].forge(forgeries).commit;
        let before = self.groups[2].branch();
        assert_eq!(self.refusal(2, &commit), ProcessError::Violation(Some(Leaf(1)), violation));
        assert_eq!(self.groups[2].branch(), before);
        let message = self.groups[0].seal(b"hello").unwrap();
        assert!(self.groups[2].process(&message).is_ok(), "the refused commit did no harm");
    }
}

fn context_update(n: u8) -> Forgery {
    Forgery::Component(inspect::CONTEXT_COMPONENT, Some(context(n).encode()))
}

#[test]
fn the_harness_forges_commits_that_are_taken() {
    let mut party = Party::new(3);
    let made_ms = now_ms();
    let renewed = party.groups[1].leaf_by(&identity(1), made_ms);
    let newcomer = Box::new(party.candidate(20));
    let forgeries =
        vec![Forgery::Add(newcomer), Forgery::Remove(Leaf(0)), context_update(3), Forgery::Update(renewed)];
    let commit = party.groups[1].forge(forgeries).commit;
    let staged = party.stage(2, &commit);
    assert_eq!((staged.adds.len(), staged.removes.len(), staged.context), (1, 1, context(3)));
    assert_eq!(staged.path.unwrap().made_ms, made_ms);
}

#[test]
fn proposals_that_rooms_do_not_use_are_refused() {
    let mut party = Party::new(3);
    party.refuses(vec![Forgery::SameExtensions], Violation::ForeignProposal);
    party.refuses(vec![Forgery::ExternalSenders], Violation::ForeignProposal);
    party.refuses(vec![Forgery::ExternalSenders, context_update(1)], Violation::ForeignProposal);
    // MLS itself asks for the key.
    party.refuses(vec![Forgery::Psk], Violation::BrokenCommit);
}

#[test]
fn only_the_context_of_the_room_can_be_updated_and_once() {
    let mut party = Party::new(3);
    let own = inspect::CONTEXT_COMPONENT;
    party.refuses(vec![Forgery::Component(own + 1, Some(vec![1]))], Violation::ForeignExtension);
    // 2 is SafeAad, which would change how all authenticated data is read.
    party.refuses(vec![Forgery::Component(2, Some(vec![0]))], Violation::ForeignExtension);
    party.refuses(vec![Forgery::Component(own, None)], Violation::MalformedContext);
    party.refuses(vec![Forgery::Component(own, Some(vec![2; 48]))], Violation::MalformedContext);
    party.refuses(vec![Forgery::Component(own, Some(vec![2; 50]))], Violation::MalformedContext);
    party.refuses(vec![Forgery::Component(own, Some(vec![1; 49]))], Violation::MalformedContext);
    party.refuses(vec![context_update(1), context_update(2)], Violation::MalformedContext);
    let foreign = Forgery::Component(own + 1, Some(vec![1]));
    party.refuses(vec![context_update(1), foreign], Violation::ForeignExtension);
}

#[test]
fn authenticated_data_in_another_form_is_refused() {
    let mut party = Party::new(3);
    let aad = Aad::new(1, vec![[1; 32]]).unwrap().encode();
    let longer = [&aad[..], &[0]].concat();
    for bytes in [Vec::new(), aad[1..].to_vec(), longer, vec![2; 11]] {
        party.refuses(vec![Forgery::Aad(bytes.clone())], Violation::MalformedAad);
        party.refuses(vec![Forgery::Aad(bytes), context_update(1)], Violation::MalformedAad);
    }
    let message = party.groups[1].forge_application(&aad);
    let refused = ProcessError::Violation(Some(Leaf(1)), Violation::MalformedAad);
    assert_eq!(party.refusal(2, &message), refused);
}

#[test]
fn a_new_leaf_of_a_committer_keeps_identity_key_and_time() {
    let mut party = Party::new(3);
    let made_ms = party.groups[1].roster()[1].made_ms;
    let leaf = |party: &Party, n, made_ms| party.groups[1].leaf_by(&identity(n), made_ms);
    let (other, earlier) = (leaf(&party, 9, made_ms), leaf(&party, 1, made_ms - 1));
    party.refuses(vec![Forgery::Update(other)], Violation::OtherIdentity);
    party.refuses(vec![Forgery::Update(earlier)], Violation::Backdated);
    party.refuses(vec![Forgery::NewLeafKey(Box::new(identity(1)))], Violation::OtherLeafKey);
    party.refuses(vec![Forgery::NewLeafKey(Box::new(identity(9)))], Violation::OtherIdentity);
    let victim = leaf(&party, 2, made_ms);
    party.refuses(vec![Forgery::Update(victim)], Violation::OtherIdentity);
    let later = leaf(&party, 1, made_ms + 1);
    let commit = party.groups[1].forge(vec![Forgery::Update(later)]).commit;
    assert_eq!(party.stage(2, &commit).path.unwrap().made_ms, made_ms + 1);
}

#[test]
fn a_new_leaf_of_a_committer_is_in_the_form_of_a_room() {
    let mut party = Party::new(3);
    let made_ms = now_ms();
    let credential = Credential::issue(&identity(1), &[8; 32], party.groups[1].leaf_key.public(), made_ms);
    let elsewhere = party.groups[1].leaf_with(credential.encode());
    let forged = Violation::Credential(CredentialError::Forged);
    party.refuses(vec![Forgery::Update(elsewhere)], forged);
    let nonsense = party.groups[1].leaf_with(b"nonsense".to_vec());
    let malformed = Violation::Credential(CredentialError::Malformed);
    party.refuses(vec![Forgery::Update(nonsense)], malformed);
    let parameters = LeafNodeParameters::builder().with_capabilities(more_capabilities()).build();
    party.refuses(vec![Forgery::Update(parameters)], Violation::ForeignExtension);
    let extension = Extension::AppDataDictionary(Default::default());
    let parameters =
        LeafNodeParameters::builder().with_extensions(Extensions::single(extension).unwrap()).build();
    party.refuses(vec![Forgery::Update(parameters)], Violation::ForeignExtension);
}

/// KeyPackages that are valid in MLS and not in the form of a room, and the reason.
fn foreign_key_packages() -> Vec<(Vec<u8>, Candidate, Violation)> {
    let package = |shape: fn(openmls::prelude::KeyPackageBuilder) -> openmls::prelude::KeyPackageBuilder| {
        key_package(&identity(20), &GROUP, KeyExchange::X25519, now_ms(), shape)
    };
    let elsewhere = key_package(&identity(20), &[8; 32], KeyExchange::X25519, now_ms(), |builder| builder);
    let cases = [
        (
            package(|builder| builder.leaf_node_capabilities(more_capabilities()).mark_as_last_resort()),
            Violation::ForeignExtension,
        ),
        (
            package(|builder| {
                let extension = Extension::Unknown(0xF50A, UnknownExtension(vec![1]));
                builder
                    .leaf_node_capabilities(more_capabilities())
                    .key_package_extensions(Extensions::single(extension).unwrap())
            }),
            Violation::ForeignExtension,
        ),
        (
            package(|builder| {
                let extension = Extension::AppDataDictionary(Default::default());
                builder.leaf_node_extensions(Extensions::<LeafNode>::single(extension).unwrap())
            }),
            Violation::ForeignExtension,
        ),
        (package(|builder| builder.leaf_node_capabilities(more_capabilities())), Violation::ForeignExtension),
        (
            package(|builder| builder.key_package_lifetime(inspect::lifetime(now_ms() + 5000))),
            Violation::Lifetime,
        ),
        (elsewhere, Violation::Credential(CredentialError::Forged)),
    ];
    cases.into_iter().map(|((bytes, candidate), violation)| (bytes, candidate, violation)).collect()
}

fn more_capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[ciphersuite(KeyExchange::X25519)]),
        Some(&[ExtensionType::AppDataDictionary, ExtensionType::Unknown(0xF50A), ExtensionType::LastResort]),
        Some(&[ProposalType::AppDataUpdate]),
        Some(&[CredentialType::Basic]),
    )
}

#[test]
fn foreign_key_packages_are_refused_at_the_door_and_in_commits() {
    let mut party = Party::new(3);
    for (bytes, candidate, violation) in foreign_key_packages() {
        assert_eq!(Candidate::vet(&bytes, &GROUP, KeyExchange::X25519).err(), Some(violation));
        let adds = [&candidate];
        let refused = party.groups[0].commit(&Draft { adds: &adds, ..draft() });
        assert_eq!(refused.err(), Some(CommitError::Violation(violation)));
        party.refuses(vec![Forgery::Add(Box::new(candidate))], violation);
    }
    let (bytes, candidate) = key_package(&identity(20), &GROUP, KeyExchange::X25519, now_ms(), |it| it);
    let vetted = Candidate::vet(&bytes, &GROUP, KeyExchange::X25519).unwrap();
    assert_eq!((vetted.reference, vetted.id), (candidate.reference, identity(20).id()));
    for len in 0..bytes.len() {
        assert!(Candidate::vet(&bytes[..len], &GROUP, KeyExchange::X25519).is_err(), "{len} bytes");
    }
}

#[test]
fn one_identity_has_one_leaf() {
    let mut party = Party::new(3);
    let add = |party: &Party, n| Forgery::Add(Box::new(party.candidate(n)));
    let present = add(&party, 0);
    party.refuses(vec![present], Violation::Duplicate);
    let (_, second) = key_package(&identity(20), &GROUP, KeyExchange::X25519, now_ms(), |builder| builder);
    let twice = vec![add(&party, 20), Forgery::Add(Box::new(second))];
    party.refuses(twice, Violation::Duplicate);
    let back = vec![add(&party, 0), Forgery::Remove(Leaf(0))];
    let commit = party.groups[1].forge(back).commit;
    assert_eq!(party.stage(2, &commit).adds.len(), 1);
}

#[test]
fn proposals_outside_commits_are_refused_and_never_kept() {
    let mut party = Party::new(3);
    let proposal = party.groups[0].forge_update_proposal();
    let refused = ProcessError::Violation(Some(Leaf(0)), Violation::ForeignProposal);
    assert_eq!(party.refusal(2, &proposal), refused);
    // Member 1 commits the Update of member 0, which nobody else has kept.
    party.refuses(vec![Forgery::Reference(proposal)], Violation::BrokenCommit);
}

#[test]
fn nobody_comes_in_by_an_external_commit() {
    let mut party = Party::new(3);
    let commit = party.groups[1].forge_external_commit(&identity(20), now_ms());
    assert_eq!(party.refusal(2, &commit), ProcessError::Violation(None, Violation::External));
}

#[test]
fn a_false_confirmation_tag_is_nobodys_fault() {
    let mut party = Party::new(3);
    for forgeries in [vec![Forgery::FalseTag], vec![Forgery::FalseTag, context_update(1)]] {
        let commit = party.groups[1].forge(forgeries).commit;
        let refused = ProcessError::Violation(None, Violation::BrokenCommit);
        assert_eq!(party.refusal(2, &commit), refused, "every member could have replaced the tag");
    }
}

#[test]
fn altered_and_shortened_commits_are_refused() {
    let mut party = Party::new(3);
    let commit = party.groups[1].forge(vec![context_update(1)]).commit;
    for at in 0..commit.len() {
        let mut altered = commit.clone();
        altered[at] ^= 1;
        assert!(party.groups[2].process(&altered).is_err(), "byte {at}");
        assert!(party.groups[2].process(&commit[..at]).is_err(), "{at} bytes");
    }
    party.stage(2, &commit);
}

#[test]
fn a_group_has_as_many_members_as_its_suite_carries_at_most() {
    for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
        has_members_at_most(key_exchange, key_exchange.max_members() as u32);
    }
}

fn has_members_at_most(key_exchange: KeyExchange, most: u32) {
    let mut group = Party::with(key_exchange, 1).groups.remove(0);
    let only = group.roster[0].clone();
    group.roster = (0..most)
        .map(|n: u32| Occupant {
            leaf: Leaf(n),
            key: IdentityKey::from_bytes(sha256(&[&n.to_be_bytes()])),
            ..only.clone()
        })
        .collect();
    let newcomer = NewLeaf { key: only.key, id: only.id, name: only.name, made_ms: 0 };
    let change = |adds: &[&NewLeaf], removes: &[Leaf]| Change {
        adds: adds.iter().map(|leaf| (*leaf).clone()).collect(),
        removes: removes.to_vec(),
        path: None,
        context: context(0),
    };
    assert_eq!(group.check_tree(Leaf(0), &change(&[], &[])), Ok(()));
    assert_eq!(group.check_tree(Leaf(0), &change(&[&newcomer], &[])), Err(Violation::TooMany));
    assert_eq!(group.check_tree(Leaf(0), &change(&[&newcomer], &[Leaf(3)])), Ok(()));
    assert_eq!(group.check_tree(Leaf(0), &change(&[], &[Leaf(most)])), Err(Violation::UnknownLeaf));
}
