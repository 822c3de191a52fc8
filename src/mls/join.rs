//! Coming in: a KeyPackage that is made for one knock or return, and the Welcome that answers it
//! (RFC 9420 sections 10 and 12.4.3.1, `spec/mls.md`, M24 to M27).

use openmls::{
    messages::group_info::VerifiableGroupInfo,
    prelude::{
        Extension, KeyPackage, KeyPackageBundle, KeyPackageIn, KeyPackageRef, KeyPackageVerifyError,
        MlsGroup, MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, ProtocolVersion,
        StagedWelcome, UnknownExtension, Welcome,
    },
};
use openmls_traits::{OpenMlsProvider, storage::StorageProvider};
use rand::CryptoRng;
use tls_codec::{DeserializeBytes, Serialize};

use super::{
    Context, Credential, Failure, Group, LAW_EXTENSION, MAX_LAW, Occupant, Violation, ciphersuite,
    has_duplicate, inspect,
    provider::{Crypto, Provider},
};
use crate::{
    Seed,
    group::{Identity, KeyExchange, Name, signing::SigningKey},
    id::{Epoch, IdentityKey, Leaf, MemberId},
};

/// Somebody who waits to be let in: one KeyPackage and the keys behind it.
pub(crate) struct Applicant {
    provider: Provider,
    leaf_key: SigningKey,
    key_exchange: KeyExchange,
    group_id: [u8; 32],
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    made_ms: u64,
    bundle: KeyPackageBundle,
    /// The KeyPackageRef, as openmls has it and in bytes.
    kept_under: KeyPackageRef,
    reference: [u8; 32],
    encoded: Vec<u8>,
}

/// A group that a Welcome leads into, in the form of a room. Nothing of it is trusted before the
/// law has judged it.
pub(crate) struct Entry {
    /// The identity whose leaf signed the Welcome.
    pub(crate) sender: IdentityKey,
    /// The leaves of the tree, ascending.
    pub(crate) roster: Vec<Occupant>,
    pub(crate) context: Context,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) epoch: Epoch,
    /// The group id in MLS: that of the room, then 16 bytes of the branch.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) mls_id: [u8; 48],
    /// What the Welcome brings for newcomers: terms and epoch law, at most 512 KiB.
    pub(crate) law: Vec<u8>,
    reference: [u8; 32],
    mls: MlsGroup,
    /// The keys of this group alone: those of the applicant stay where they are.
    provider: Provider,
}

impl Applicant {
    /// Makes a leaf key and a KeyPackage for one way into the room.
    ///
    /// `made_ms` is the time that the KeyPackage says, in milliseconds since 1970.
    pub(crate) fn new(
        identity: &Identity,
        group_id: &[u8; 32],
        key_exchange: KeyExchange,
        made_ms: u64,
        generator: &mut impl CryptoRng,
    ) -> Result<Self, Failure> {
        let suite = ciphersuite(key_exchange);
        let leaf_key = SigningKey::from_seed(Seed::drawn(generator));
        let provider = Provider::new(Seed::drawn(generator));
        let credential = Credential::issue(identity, group_id, leaf_key.public(), made_ms);
        let bundle = KeyPackage::builder()
            .key_package_lifetime(inspect::lifetime(made_ms))
            .leaf_node_capabilities(inspect::capabilities(suite))
            .build(suite, &provider, &leaf_key, inspect::credential_with_key(&credential, &leaf_key))
            .map_err(Failure::of)?;
        let kept_under = bundle.key_package().hash_ref(provider.crypto()).map_err(Failure::of)?;
        let reference = kept_under.as_slice().try_into().map_err(Failure::of)?;
        let encoded = MlsMessageOut::from(bundle.key_package().clone())
            .tls_serialize_detached()
            .map_err(Failure::of)?;
        let group_id = *group_id;
        Ok(Self {
            provider,
            leaf_key,
            key_exchange,
            group_id,
            made_ms,
            bundle,
            kept_under,
            reference,
            encoded,
        })
    }

    /// The KeyPackageRef (RFC 9420 section 5.2).
    pub(crate) fn reference(&self) -> &[u8; 32] {
        &self.reference
    }

    /// The KeyPackage as an MLSMessage.
    pub(crate) fn key_package(&self) -> &[u8] {
        &self.encoded
    }

    /// The time that the KeyPackage says, in milliseconds since 1970.
    #[cfg(test)]
    pub(crate) fn made_ms(&self) -> u64 {
        self.made_ms
    }

    #[cfg(test)]
    pub(crate) fn key_exchange(&self) -> KeyExchange {
        self.key_exchange
    }

    /// Reads a Welcome and checks the form of the group behind it, in the order of SPEC section
    /// 14.4.
    ///
    /// The applicant stays as it was, whatever comes of it: a false Welcome does not use its keys
    /// up.
    pub(crate) fn open(&self, welcome: &[u8]) -> Result<Entry, EntryError> {
        let welcome = parse_welcome(welcome).ok_or(EntryError::Malformed)?;
        if !welcome.secrets().iter().any(|secret| secret.new_member().as_slice() == self.reference) {
            return Err(EntryError::NotForUs);
        }
        // openmls takes the keys out of storage even for a Welcome that it refuses, so it gets a
        // storage of its own.
        let provider = Provider::new(self.provider.seed());
        provider.storage().write_key_package(&self.kept_under, &self.bundle).map_err(EntryError::mls)?;
        let builder = StagedWelcome::build_from_welcome(&provider, &join_config(), welcome)
            .map_err(EntryError::mls)?
            // How old a leaf may be is for the law, and leaves that are in the tree were judged
            // when they came.
            .skip_lifetime_validation();
        let info = builder.processed_welcome().unverified_group_info();
        let mls_id = self.read_mls_id(info)?;
        // What is read here is believed once `build` has checked the signature over it.
        let law = read_law(info)?;
        let staged = builder.build().map_err(EntryError::mls)?;
        let sender = Leaf(staged.welcome_sender_index().u32());
        let mls = staged.into_group(&provider).map_err(EntryError::mls)?;
        let context = inspect::read_context(mls.extensions()).map_err(EntryError::Form)?;
        let roster = self.read_roster(&mls)?;
        let sender = roster.iter().find(|occupant| occupant.leaf == sender).map(|occupant| occupant.key);
        let sender = sender.ok_or(EntryError::Form(Violation::UnknownLeaf))?;
        let epoch = Epoch(mls.epoch().as_u64());
        let reference = self.reference;
        Ok(Entry { sender, roster, context, epoch, mls_id, law, reference, mls, provider })
    }

    /// Enters the group of an [`Entry`] that the law admitted.
    ///
    /// # Errors
    /// [`Failure`] if the entry was opened by another applicant.
    pub(crate) fn enter(self, entry: Entry) -> Result<Group, Failure> {
        if entry.reference != self.reference {
            return Err(Failure::of("the Welcome was opened by another applicant"));
        }
        let Entry { roster, context, mls, provider, .. } = entry;
        let (leaf_key, key_exchange, group_id) = (self.leaf_key, self.key_exchange, self.group_id);
        Ok(Group { mls, provider, leaf_key, key_exchange, group_id, context, roster, pending: None })
    }

    /// The group id in MLS, if it is one of this room and the cipher suite is the room's.
    fn read_mls_id(&self, info: &VerifiableGroupInfo) -> Result<[u8; 48], EntryError> {
        let mls_id: [u8; 48] = info.group_id().as_slice().try_into().map_err(|_| EntryError::OtherGroup)?;
        let ours = mls_id.starts_with(&self.group_id) && info.ciphersuite() == ciphersuite(self.key_exchange);
        if ours { Ok(mls_id) } else { Err(EntryError::OtherGroup) }
    }

    /// The leaves of the tree, each checked by itself, no identity twice, and ours where it
    /// belongs.
    fn read_roster(&self, mls: &MlsGroup) -> Result<Vec<Occupant>, EntryError> {
        let own_leaf = mls.own_leaf_index();
        let mut roster = Vec::new();
        for (index, leaf) in mls.treesync().full_leaves() {
            if roster.len() == self.key_exchange.max_members() {
                return Err(EntryError::Form(Violation::TooMany));
            }
            let (credential, leaf_key) =
                inspect::read_leaf(leaf, mls.ciphersuite(), &self.group_id).map_err(EntryError::Form)?;
            roster.push(Occupant::new(Leaf(index.u32()), credential, leaf_key, index == own_leaf));
        }
        if has_duplicate(roster.iter().map(|occupant| occupant.key)) {
            return Err(EntryError::Form(Violation::Duplicate));
        }
        let ours = mls.own_leaf_node() == Some(self.bundle.key_package().leaf_node());
        if ours { Ok(roster) } else { Err(EntryError::OtherLeaf) }
    }
}

/// The law for newcomers in the GroupInfo of a Welcome, beside which the GroupInfo has nothing but
/// the tree.
fn read_law(info: &VerifiableGroupInfo) -> Result<Vec<u8>, EntryError> {
    let mut law = None;
    for extension in info.extensions().iter() {
        match extension {
            Extension::RatchetTree(_) => {}
            Extension::Unknown(LAW_EXTENSION, UnknownExtension(bytes)) if bytes.len() <= MAX_LAW => {
                law = Some(bytes.clone());
            }
            Extension::Unknown(LAW_EXTENSION, _) => return Err(EntryError::Law),
            _ => return Err(EntryError::Form(Violation::ForeignExtension)),
        }
    }
    law.ok_or(EntryError::Law)
}

/// Why a Welcome is not entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryError {
    /// The bytes are not a Welcome.
    Malformed,
    /// The Welcome names other KeyPackages than ours.
    NotForUs,
    /// The Welcome leads into another room, or into a group with another cipher suite.
    OtherGroup,
    /// The Welcome brings no law for newcomers, or one above 512 KiB.
    Law,
    /// The leaf that the tree gives us is not the one of our KeyPackage.
    OtherLeaf,
    /// The tree or the group context is not in the form of a room.
    Form(Violation),
    /// MLS refuses the Welcome.
    Mls(Failure),
}

impl EntryError {
    fn mls(error: impl std::fmt::Display) -> Self {
        Self::Mls(Failure::of(error))
    }
}

/// Somebody else's KeyPackage, checked as far as possible before an Add.
pub(crate) struct Candidate {
    pub(crate) key: IdentityKey,
    pub(crate) id: MemberId,
    pub(crate) name: Name,
    /// The time that the KeyPackage says, in milliseconds since 1970.
    pub(crate) made_ms: u64,
    /// The KeyPackageRef (RFC 9420 section 5.2).
    pub(crate) reference: [u8; 32],
    pub(super) key_package: KeyPackage,
}

impl Candidate {
    /// Checks a KeyPackage: its signatures, its form, and that its identity vouches for it in this
    /// room.
    pub(crate) fn vet(
        bytes: &[u8],
        group_id: &[u8; 32],
        key_exchange: KeyExchange,
    ) -> Result<Self, Violation> {
        let crypto = Crypto::default();
        let key_package = parse_key_package(bytes)
            .ok_or(Violation::KeyPackage)?
            .validate(&crypto, ProtocolVersion::Mls10)
            .map_err(|error| match error {
                KeyPackageVerifyError::LifetimeError(_) => Violation::Lifetime,
                _ => Violation::KeyPackage,
            })?;
        let credential = inspect::read_key_package(&key_package, ciphersuite(key_exchange), group_id)?;
        let reference = key_package.hash_ref(&crypto).map_err(|_| Violation::KeyPackage)?;
        let reference = reference.as_slice().try_into().map_err(|_| Violation::KeyPackage)?;
        let (id, made_ms) = (credential.id(), credential.made_ms);
        Ok(Self { key: credential.key, id, name: credential.name, made_ms, reference, key_package })
    }
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(super::WIRE_FORMAT)
        .use_ratchet_tree_extension(true)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .build()
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
