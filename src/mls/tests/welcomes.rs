//! Welcomes: what a newcomer learns before it enters, and which it refuses.

use openmls::prelude::{AppDataDictionary, AppDataDictionaryExtension, Extension, Extensions, GroupContext};

use super::*;
use crate::{
    group::CredentialError,
    mls::forge::{Forgery, Founding, key_package},
};

#[test]
fn a_welcome_shows_the_room_before_it_is_entered() {
    let mut party = Party::new(3);
    let newcomer = party.applicant(20);
    let candidate = vet(&newcomer);
    assert_eq!((candidate.reference, candidate.made_ms), (*newcomer.reference(), newcomer.made_ms()));
    let (adds, law_for_newcomers) = ([&candidate], &[5; 70_000][..]);
    let draft = Draft { adds: &adds, context: Some(context(4)), law_for_newcomers, ..draft() };
    let committed = party.commit(1, &draft);
    let entry = newcomer.open(&committed.welcome.unwrap()).unwrap();
    assert_eq!(entry.sender, IdentityKey::from_bytes(*identity(1).public()));
    assert_eq!((entry.context, entry.epoch), (context(4), Epoch(2)));
    assert_eq!(entry.mls_id[..], *party.groups[0].mls_id());
    assert_eq!(entry.law, law_for_newcomers);
    let ours = entry.roster.iter().filter(|occupant| occupant.is_self).collect::<Vec<_>>();
    assert_eq!((ours.len(), ours[0].id, ours[0].made_ms), (1, identity(20).id(), newcomer.made_ms()));
    let mut group = newcomer.enter(entry).unwrap();
    assert_eq!(group.branch(), party.groups[0].branch());
    let others = |roster: &[Occupant]| -> Vec<_> {
        roster.iter().map(|occupant| (occupant.leaf, occupant.id, occupant.leaf_key)).collect()
    };
    assert_eq!(others(group.roster()), others(party.groups[0].roster()));
    let message = party.groups[2].seal(b"hello").unwrap();
    assert!(group.process(&message).is_ok());
    let secret = group.take_epoch_secret().unwrap();
    assert_eq!(secret.0.bytes(), party.groups[0].take_epoch_secret().unwrap().0.bytes());
}

#[test]
fn a_refused_welcome_does_not_use_the_keys_up() {
    let mut party = Party::new(2);
    let newcomer = party.applicant(20);
    let forged =
        party.groups[1].forge(vec![Forgery::Add(Box::new(vet(&newcomer))), Forgery::GroupInfo(Vec::new())]);
    let welcome = forged.welcome.unwrap();
    for _ in 0..2 {
        assert_eq!(newcomer.open(&welcome).err(), Some(EntryError::Law));
    }
    let mut altered = party.groups[1].forge(vec![Forgery::Add(Box::new(vet(&newcomer)))]).welcome.unwrap();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(newcomer.open(&altered), Err(EntryError::Mls(_))));
    let candidate = vet(&newcomer);
    let welcome = party.commit(0, &Draft { adds: &[&candidate], ..draft() }).welcome.unwrap();
    let first = newcomer.open(&welcome).unwrap();
    drop(first);
    let entry = newcomer.open(&welcome).unwrap();
    let group = newcomer.enter(entry).unwrap();
    assert_eq!(group.branch(), party.groups[0].branch());
    assert_eq!(group.provider.storage().names().len(), 1, "only the keys of the epoch are left");
}

#[test]
fn a_welcome_for_somebody_else_is_not_entered() {
    let mut party = Party::new(2);
    let (newcomer, other) = (party.applicant(20), party.applicant(21));
    let candidate = vet(&other);
    let welcome = party.commit(0, &Draft { adds: &[&candidate], ..draft() }).welcome.unwrap();
    assert_eq!(newcomer.open(&welcome).err(), Some(EntryError::NotForUs));
    assert_eq!(newcomer.open(b"nonsense").err(), Some(EntryError::Malformed));
    assert_eq!(newcomer.open(newcomer.key_package()).err(), Some(EntryError::Malformed));
    for len in 0..welcome.len() {
        assert!(other.open(&welcome[..len]).is_err(), "{len} bytes");
    }
    let entry = other.open(&welcome).unwrap();
    assert!(newcomer.enter(entry).is_err(), "an entry belongs to the applicant that opened it");
}

/// A forged group of member 0, and the reason for which member 20 does not enter it.
fn refusal(founding: Founding<'_>, expected: EntryError) {
    let mut group = founding.found();
    let newcomer = Party::new(1).applicant(20);
    let candidate = Candidate::vet(newcomer.key_package(), &GROUP, KeyExchange::X25519).unwrap();
    let forged = group.forge(vec![Forgery::Add(Box::new(candidate))]);
    assert_eq!(newcomer.open(&forged.welcome.unwrap()).err(), Some(expected));
}

fn of_room(context: &Context) -> Extensions<GroupContext> {
    inspect::write_context(context).unwrap()
}

fn founding<'a>(identity: &'a Identity, mls_id: &'a [u8], context: Extensions<GroupContext>) -> Founding<'a> {
    Founding { identity, mls_id, context, made_ms: now_ms(), signed_for: GROUP }
}

fn with_dictionary(change: impl FnOnce(&mut AppDataDictionary)) -> Extensions<GroupContext> {
    let mut extensions = of_room(&context(1));
    let mut dictionary = extensions.app_data_dictionary().unwrap().dictionary().clone();
    change(&mut dictionary);
    extensions
        .add_or_replace(Extension::AppDataDictionary(AppDataDictionaryExtension::new(dictionary)))
        .unwrap();
    extensions
}

#[test]
fn a_welcome_into_another_group_is_not_entered() {
    let host = identity(0);
    let other = [&[8; 32][..], &[0; 16]].concat();
    let room = [&GROUP[..], &[0; 16]].concat();
    refusal(founding(&host, &other, of_room(&context(1))), EntryError::OtherGroup);
    refusal(founding(&host, &room[..47], of_room(&context(1))), EntryError::OtherGroup);
    refusal(founding(&host, &[&room[..], &[0]].concat(), of_room(&context(1))), EntryError::OtherGroup);
    refusal(founding(&host, &GROUP, of_room(&context(1))), EntryError::OtherGroup);
}

#[test]
fn a_welcome_into_a_group_in_another_form_is_not_entered() {
    let host = identity(0);
    let room = [&GROUP[..], &[0; 16]].concat();
    let form = EntryError::Form;
    let foreign = with_dictionary(|dictionary| drop(dictionary.insert(0xF50D, vec![1])));
    refusal(founding(&host, &room, foreign), form(Violation::ForeignExtension));
    let empty = with_dictionary(|dictionary| drop(dictionary.remove(&inspect::CONTEXT_COMPONENT)));
    refusal(founding(&host, &room, empty), form(Violation::MalformedContext));
    let short =
        with_dictionary(|dictionary| drop(dictionary.insert(inspect::CONTEXT_COMPONENT, vec![2; 48])));
    refusal(founding(&host, &room, short), form(Violation::MalformedContext));
    let mut senders = of_room(&context(1));
    senders.add(Extension::ExternalSenders(Vec::new())).unwrap();
    refusal(founding(&host, &room, senders), form(Violation::ForeignExtension));
    let mut bare = of_room(&context(1));
    bare.remove(openmls::prelude::ExtensionType::RequiredCapabilities).unwrap();
    refusal(founding(&host, &room, bare), form(Violation::ForeignExtension));
}

#[test]
fn every_leaf_of_a_tree_is_checked_before_it_is_entered() {
    let host = identity(0);
    let room = [&GROUP[..], &[0; 16]].concat();
    let copied = Founding { signed_for: [8; 32], ..founding(&host, &room, of_room(&context(1))) };
    refusal(copied, EntryError::Form(Violation::Credential(CredentialError::Forged)));
    let newcomer_too = identity(20);
    let twice = founding(&newcomer_too, &room, of_room(&context(1)));
    refusal(twice, EntryError::Form(Violation::Duplicate));

    // A leaf that is not the sender's is in another form.
    let mut party = Party::new(2);
    let newcomer = party.applicant(20);
    let (_, long) = key_package(&identity(30), &GROUP, KeyExchange::X25519, now_ms(), |builder| {
        builder.key_package_lifetime(inspect::lifetime(now_ms() + 5000))
    });
    let (_, elsewhere) =
        key_package(&identity(30), &[8; 32], KeyExchange::X25519, now_ms(), |builder| builder);
    let forged = Violation::Credential(CredentialError::Forged);
    for (ghost, violation) in [(long, Violation::Lifetime), (elsewhere, forged)] {
        let adds = vec![Forgery::Add(Box::new(vet(&newcomer))), Forgery::Add(Box::new(ghost))];
        let welcome = party.groups[0].forge(adds).welcome.unwrap();
        assert_eq!(newcomer.open(&welcome).err(), Some(EntryError::Form(violation)));
    }
}

#[test]
fn the_law_in_a_welcome_is_there_once_and_bounded() {
    let mut party = Party::new(2);
    let newcomer = party.applicant(20);
    let mut open = |extensions: Vec<(u16, Vec<u8>)>| {
        let add = Forgery::Add(Box::new(vet(&newcomer)));
        let welcome = party.groups[0].forge(vec![add, Forgery::GroupInfo(extensions)]).welcome.unwrap();
        newcomer.open(&welcome).map(|entry| entry.law.len())
    };
    assert_eq!(open(vec![(LAW_EXTENSION, vec![1; MAX_LAW])]), Ok(MAX_LAW));
    assert_eq!(open(vec![(LAW_EXTENSION, vec![1; MAX_LAW + 1])]), Err(EntryError::Law));
    assert_eq!(open(vec![]), Err(EntryError::Law));
    let foreign = EntryError::Form(Violation::ForeignExtension);
    assert_eq!(open(vec![(LAW_EXTENSION, vec![1]), (0xF50D, vec![1])]), Err(foreign));
}

#[test]
fn two_welcomes_for_one_key_package_lead_into_one_group_each() {
    let (mut here, mut there) = (Party::new(2), Party::new(1));
    let newcomer = here.applicant(20);
    let candidate = vet(&newcomer);
    let first = here.commit(0, &Draft { adds: &[&candidate], ..draft() }).welcome.unwrap();
    let second = there.commit(0, &Draft { adds: &[&candidate], ..draft() }).welcome.unwrap();
    let (first, second) = (newcomer.open(&first).unwrap(), newcomer.open(&second).unwrap());
    assert_eq!((first.roster.len(), second.roster.len()), (3, 2));
    let group = newcomer.enter(first).unwrap();
    assert_eq!(group.branch(), here.groups[0].branch());
}
