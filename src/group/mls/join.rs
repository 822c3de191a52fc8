//! Coming in: a KeyPackage made for one knock, and the Welcome that answers it (RFC 9420 sections 10 and
//! 12.4.3.1, SPEC section 6.4).

use openmls::prelude::{
    KeyPackage, KeyPackageBundle, KeyPackageIn, KeyPackageRef, MlsGroupJoinConfig, MlsMessageBodyIn,
    MlsMessageIn, MlsMessageOut, ProtocolVersion, StagedWelcome, Welcome,
};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::{OpenMlsProvider, storage::StorageProvider};
use tls_codec::{DeserializeBytes, Serialize};

use super::{Failure, Group, ciphersuite, inspect, provider::Provider};
use crate::{
    group::{
        Identity,
        identity::{CredentialError, Name},
        invite::UnixTime,
        key_exchange::KeyExchange,
        order::Order,
        policy::{MAX_MEMBERS, Violation},
        signing::SigningKey,
        state::RoomState,
    },
    id::MemberId,
};

/// Somebody who waits at the door: one KeyPackage and the keys behind it.
pub(crate) struct Applicant {
    provider: Provider,
    leaf_key: SigningKey,
    key_exchange: KeyExchange,
    bundle: KeyPackageBundle,
    /// The KeyPackageRef, as openmls has it and in bytes.
    kept_under: KeyPackageRef,
    reference: [u8; 32],
    encoded: Vec<u8>,
}

/// A Welcome that was checked, to be entered.
pub(crate) struct Entry(StagedWelcome);

/// What the Welcome must agree with.
pub(crate) struct Expected<'a> {
    pub(crate) group_id: &'a [u8],
    pub(crate) own: MemberId,
    pub(crate) because: Because<'a>,
}

/// Why a Welcome is believed.
pub(crate) enum Because<'a> {
    /// An invite names this host; the room may have passed to others since, each by the word of the one before.
    Invite(MemberId),
    /// We were in the room before, and it was so; we asked this member to let us in again.
    Before { state: &'a RoomState, keeper: MemberId },
}

impl Applicant {
    pub(crate) fn new(
        identity: &Identity,
        group_id: &[u8],
        key_exchange: KeyExchange,
        leaf_seed: [u8; 32],
        seed: [u8; 32],
        now: UnixTime,
    ) -> Result<Self, Failure> {
        let suite = ciphersuite(key_exchange);
        let provider = Provider::new(seed);
        let leaf_key = SigningKey::from_seed(leaf_seed);
        let credential = identity.credential(group_id, leaf_key.public());
        let bundle = KeyPackage::builder()
            .key_package_lifetime(inspect::lifetime(now))
            .leaf_node_capabilities(inspect::capabilities(suite))
            .build(suite, &provider, &leaf_key, inspect::credential_with_key(&credential, &leaf_key))
            .map_err(Failure::of)?;
        let kept_under = bundle.key_package().hash_ref(provider.crypto()).map_err(Failure::of)?;
        let reference = kept_under.as_slice().try_into().map_err(Failure::of)?;
        let encoded = MlsMessageOut::from(bundle.key_package().clone())
            .tls_serialize_detached()
            .map_err(Failure::of)?;
        Ok(Self { provider, leaf_key, key_exchange, bundle, kept_under, reference, encoded })
    }

    /// The KeyPackageRef (RFC 9420 section 5.2).
    pub(crate) fn reference(&self) -> &[u8; 32] {
        &self.reference
    }

    pub(crate) fn key_exchange(&self) -> KeyExchange {
        self.key_exchange
    }

    /// The KeyPackage as an MLSMessage.
    pub(crate) fn key_package(&self) -> &[u8] {
        &self.encoded
    }

    /// Checks a Welcome against the invite, in the order of SPEC section 6.4.
    pub(crate) fn check(&self, welcome: &[u8], expected: &Expected<'_>) -> Result<Entry, JoinError> {
        let welcome = parse_welcome(welcome).ok_or(JoinError::Malformed)?;
        if !welcome.secrets().iter().any(|secret| secret.new_member().as_slice() == self.reference) {
            return Err(JoinError::NotForUs);
        }
        // openmls takes the keys out of storage even for a Welcome that turns out to be false.
        let storage = self.provider.storage();
        if !storage.has_key_package(&self.kept_under).map_err(JoinError::mls)? {
            storage.write_key_package(&self.kept_under, &self.bundle).map_err(JoinError::mls)?;
        }
        let staged = StagedWelcome::build_from_welcome(&self.provider, &join_config(), welcome)
            .map_err(JoinError::mls)?
            // Old leaves have no lifetime that says anything; new ones were checked when they were added.
            .skip_lifetime_validation()
            .build()
            .map_err(JoinError::mls)?;
        check_room(&staged, self.key_exchange, expected)?;
        Ok(Entry(staged))
    }

    /// Enters the room that was checked.
    pub(crate) fn enter(self, entry: Entry) -> Result<Group, Failure> {
        let mls = entry.0.into_group(&self.provider).map_err(Failure::of)?;
        Group::adopt(mls, self.provider, self.leaf_key, self.key_exchange)
    }
}

fn check_room(
    staged: &StagedWelcome,
    key_exchange: KeyExchange,
    expected: &Expected<'_>,
) -> Result<(), JoinError> {
    let context = staged.group_context();
    let suite = ciphersuite(key_exchange);
    if context.group_id().as_slice() != expected.group_id || context.ciphersuite() != suite {
        return Err(JoinError::OtherGroup);
    }
    let sender_leaf = staged.welcome_sender().map_err(JoinError::mls)?;
    let sender = inspect::read_leaf(sender_leaf, suite, expected.group_id).map_err(JoinError::Room)?;
    let sender_key = sender_leaf.signature_key().as_slice();
    let state = inspect::read_state(context.extensions()).map_err(JoinError::Room)?;
    check_state(&state, sender.member(), expected)?;
    let mut seen = Vec::new();
    for member in staged.members() {
        // That of the sender was verified above.
        let id = if member.signature_key == sender_key && member.credential == *sender_leaf.credential() {
            sender.member()
        } else {
            inspect::read_credential(&member.credential, &member.signature_key, expected.group_id)
                .map_err(|error| JoinError::Room(Violation::Credential(error)))?
                .member()
        };
        if state.is_banned(id) {
            return Err(JoinError::Room(Violation::Banned));
        }
        if id == expected.own && member.index != staged.own_leaf_index() {
            return Err(JoinError::Room(Violation::Duplicate));
        }
        seen.push(id);
    }
    if seen.len() > MAX_MEMBERS {
        return Err(JoinError::Room(Violation::TooMany));
    }
    seen.sort_unstable();
    if !seen.is_sorted_by(|a, b| a < b) {
        return Err(JoinError::Room(Violation::Duplicate));
    }
    if seen.binary_search(&expected.own).is_err() {
        return Err(JoinError::Room(Violation::Succession));
    }
    Ok(())
}

/// Whether the room is the one that we know of, and its keeper somebody who may let us in.
fn check_state(state: &RoomState, sender: MemberId, expected: &Expected<'_>) -> Result<(), JoinError> {
    match expected.because {
        Because::Invite(host) => {
            // Cheap, and of the two only this says that somebody else made the room.
            if !state.was_host(host) || !state.role(sender).may_admit() || sender != state.keeper {
                return Err(JoinError::NotTheHost);
            }
            state.verify(expected.group_id, None).map_err(JoinError::Room)
        }
        Because::Before { state: before, keeper } => {
            if sender != keeper || sender != state.keeper {
                return Err(JoinError::NotTheHost);
            }
            if state.terms != before.terms {
                return Err(JoinError::Room(Violation::FixedTerms));
            }
            state.verify(expected.group_id, Some(before)).map_err(JoinError::Room)?;
            let kept = |order: &&Order| {
                state.order(order.target).is_some_and(|newer| newer == *order || newer.serial > order.serial)
            };
            // An order of somebody who has lost its rank since does not bind the room any more.
            let binds = |order: &&Order| state.role(order.issuer()).outranks(state.role(order.target));
            if !before.orders().iter().filter(binds).all(|order| kept(&order)) {
                return Err(JoinError::Room(Violation::Order));
            }
            Ok(())
        }
    }
}

/// Why a Welcome is not entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// It is not a Welcome.
    Malformed,
    /// It is for other knocks.
    NotForUs,
    /// It leads into another group than the invite.
    OtherGroup,
    /// It was not made by the host of the invite, by one of its moderators, or by whom we asked.
    NotTheHost,
    /// The room behind it breaks a rule.
    Room(Violation),
    /// MLS refuses it.
    Mls(Failure),
}

impl JoinError {
    fn mls(error: impl std::fmt::Display) -> Self {
        Self::Mls(Failure::of(error))
    }
}

/// Somebody else's KeyPackage, checked as far as it can be before an Add.
pub(crate) struct Candidate {
    pub(super) key_package: KeyPackage,
    pub(crate) reference: [u8; 32],
    pub(crate) member: MemberId,
    pub(crate) name: Name,
    /// When the KeyPackage was made, by the clock of whoever made it.
    pub(crate) made: UnixTime,
}

impl Candidate {
    /// Checks a KeyPackage: signatures, form, lifetime, and that its identity vouches for it in this group.
    pub(crate) fn vet(
        bytes: &[u8],
        group_id: &[u8],
        key_exchange: KeyExchange,
        now: UnixTime,
    ) -> Result<Self, Violation> {
        const MALFORMED: Violation = Violation::Credential(CredentialError::Malformed);
        let suite = ciphersuite(key_exchange);
        let crypto = RustCrypto::default();
        let key_package = parse_key_package(bytes)
            .ok_or(MALFORMED)?
            .validate(&crypto, ProtocolVersion::Mls10)
            .map_err(|_| MALFORMED)?;
        let plain = key_package.extensions().iter().next().is_none();
        if key_package.ciphersuite() != suite || key_package.last_resort() || !plain {
            return Err(Violation::ForeignExtension);
        }
        inspect::check_lifetime(&key_package, now)?;
        let credential = inspect::read_leaf(key_package.leaf_node(), suite, group_id)?;
        let reference = reference(&key_package, &crypto).map_err(|_| MALFORMED)?;
        let made = inspect::made(&key_package);
        Ok(Self { reference, member: credential.member(), name: credential.name, made, key_package })
    }
}

pub(super) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(super::WIRE_FORMAT)
        .use_ratchet_tree_extension(true)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .build()
}

fn reference(key_package: &KeyPackage, crypto: &RustCrypto) -> Result<[u8; 32], Failure> {
    let reference = key_package.hash_ref(crypto).map_err(Failure::of)?;
    reference.as_slice().try_into().map_err(Failure::of)
}

fn parse_welcome(bytes: &[u8]) -> Option<Welcome> {
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?.extract() {
        MlsMessageBodyIn::Welcome(welcome) => Some(welcome),
        _ => None,
    }
}

fn parse_key_package(bytes: &[u8]) -> Option<KeyPackageIn> {
    match MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?.extract() {
        MlsMessageBodyIn::KeyPackage(key_package) => Some(key_package),
        _ => None,
    }
}
