//! Commits, KeyPackages and Welcomes that no honest member makes, for tests of what refuses them.

use openmls::component::ComponentData;
use openmls::prelude::{
    AppDataUpdateOperation, AppDataUpdateProposal, BasicCredential, CredentialWithKey, Extension, Extensions,
    GroupContext, GroupId, KeyPackage, KeyPackageBuilder, LeafNodeIndex, LeafNodeParameters, MlsGroup,
    MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, NewSignerBundle, PreSharedKeyProposal,
    ProcessedMessageContent, Proposal, SignaturePublicKey, UnknownExtension,
};
use openmls::schedule::PreSharedKeyId;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider;
use tls_codec::{DeserializeBytes, Serialize};

pub(crate) use super::provider::Spoil;
use super::{
    Aad, Candidate, Context, Credential, Group, LAW_EXTENSION, Occupant, SigningKey, ciphersuite, inspect,
    provider::{Provider, Spoiled},
};
use crate::{
    Seed,
    group::{Identity, KeyExchange},
    id::Leaf,
};

/// A part of a forged commit. No rule of this library is asked.
pub(crate) enum Forgery {
    Add(Box<Candidate>),
    Remove(Leaf),
    /// An AppDataUpdate of this component; without bytes its removal.
    Component(u16, Option<Vec<u8>>),
    /// A GroupContextExtensions proposal that adds a list of external senders.
    ExternalSenders,
    /// A GroupContextExtensions proposal that changes nothing.
    SameExtensions,
    /// A pre-shared key that nobody else has.
    Psk,
    /// A new leaf of our own.
    Update(LeafNodeParameters),
    /// A new leaf of our own with another signature key.
    NewLeafKey(Box<Identity>),
    /// Authenticated data other than that of an empty commit.
    Aad(Vec<u8>),
    /// A GroupInfo in the Welcome with these extensions, instead of an empty law.
    GroupInfo(Vec<(u16, Vec<u8>)>),
    /// A confirmation tag that does not hold.
    FalseTag,
    /// A proposal that a member sent outside a commit, by reference.
    Reference(Vec<u8>),
}

/// A forged commit, and the Welcome if somebody was added.
pub(crate) struct Forged {
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
}

impl Group {
    /// Makes a commit whatever the rules say. The group does not merge the commit.
    pub(crate) fn forge(&mut self, forgeries: Vec<Forgery>) -> Forged {
        let mut aad = Aad::new(0, Vec::new()).unwrap().encode();
        let mut info = vec![(LAW_EXTENSION, Vec::new())];
        let mut proposals: Vec<Proposal> = Vec::new();
        let (mut adds, mut removes, mut extensions) = (Vec::new(), Vec::new(), None);
        let mut update = None;
        let mut signer = None;
        let keeper = OpenMlsRustCrypto::default();
        for forgery in forgeries {
            match forgery {
                Forgery::Add(candidate) => adds.push(candidate.key_package),
                Forgery::Remove(leaf) => removes.push(LeafNodeIndex::new(leaf.0)),
                Forgery::Component(component, bytes) => {
                    let update = match bytes {
                        Some(bytes) => AppDataUpdateProposal::update(component, bytes),
                        None => AppDataUpdateProposal::remove(component),
                    };
                    proposals.push(Proposal::AppDataUpdate(Box::new(update)));
                }
                Forgery::ExternalSenders => {
                    let mut these = self.mls.extensions().clone();
                    these.add(Extension::ExternalSenders(Vec::new())).unwrap();
                    extensions = Some(these);
                }
                Forgery::SameExtensions => extensions = Some(self.mls.extensions().clone()),
                Forgery::Psk => {
                    let id = PreSharedKeyId::external(b"psk".to_vec(), vec![5; 32]);
                    id.store(&keeper, &[6; 32]).unwrap();
                    proposals.push(Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id))));
                }
                Forgery::Update(parameters) => update = Some(parameters),
                Forgery::NewLeafKey(identity) => signer = Some(identity),
                Forgery::Aad(bytes) => aad = bytes,
                Forgery::GroupInfo(extensions) => info = extensions,
                Forgery::FalseTag => *self.provider.crypto().false_tags.lock().unwrap() = true,
                Forgery::Reference(message) => self.store(&message),
            }
        }
        self.mls.set_aad(aad);
        let mut builder = self.mls.commit_builder();
        if let Some(extensions) = extensions {
            builder = builder.propose_group_context_extensions(extensions).unwrap();
        }
        builder = builder.propose_adds(adds).propose_removals(removes).add_proposals(proposals.clone());
        if let Some(parameters) = update {
            builder = builder.force_self_update(true).leaf_node_parameters(parameters);
        }
        let mut builder = builder.load_psks(keeper.storage()).unwrap();
        let mut updater = builder.app_data_dictionary_updater();
        for proposal in &proposals {
            let Proposal::AppDataUpdate(update) = proposal else { continue };
            match update.operation() {
                AppDataUpdateOperation::Update(bytes) => {
                    let data = bytes.as_slice().to_vec().into();
                    updater.set(ComponentData::from_parts(update.component_id(), data));
                }
                AppDataUpdateOperation::Remove => updater.remove(&update.component_id()),
            }
        }
        let changes = updater.changes();
        builder.with_app_data_dictionary_updates(changes);
        let extensions =
            info.into_iter().map(|(kind, bytes)| Extension::Unknown(kind, UnknownExtension(bytes)));
        let builder = builder.create_group_info_with_extensions(extensions).unwrap();
        let (rand, crypto) = (self.provider.rand(), self.provider.crypto());
        let complete = match signer {
            None => builder.build(rand, crypto, &self.leaf_key, |_| true).unwrap(),
            Some(identity) => {
                let new = SigningKey::from_seed(Seed::from_bytes(&mut [99; 32]));
                let made_ms = u64::MAX / 2;
                let credential = Credential::issue(&identity, &self.group_id, new.public(), made_ms);
                let credential_with_key = inspect::credential_with_key(&credential, &new);
                let bundle = NewSignerBundle { signer: &new, credential_with_key };
                builder.build_with_new_signer(rand, crypto, &self.leaf_key, bundle, |_| true).unwrap()
            }
        };
        let bundle = complete.stage_commit(&self.provider).unwrap();
        let commit = bundle.commit().tls_serialize_detached().unwrap();
        let welcome = bundle.to_welcome_msg().map(|welcome| welcome.tls_serialize_detached().unwrap());
        self.mls.clear_pending_commit(self.provider.storage()).unwrap();
        self.mls.clear_pending_proposals(self.provider.storage()).unwrap();
        *self.provider.crypto().false_tags.lock().unwrap() = false;
        Forged { commit, welcome }
    }

    /// Keeps a proposal of another member, as no room does.
    fn store(&mut self, message: &[u8]) {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(message).unwrap();
        let message = message.try_into_protocol_message().unwrap();
        let processed = self.mls.process_message(&self.provider, message).unwrap();
        let ProcessedMessageContent::ProposalMessage(proposal) = processed.into_content() else {
            panic!("the message is no proposal");
        };
        self.mls.store_pending_proposal(self.provider.storage(), *proposal).unwrap();
    }

    /// A proposal outside a commit: to renew our leaf.
    pub(crate) fn forge_update_proposal(&mut self) -> Vec<u8> {
        let parameters = LeafNodeParameters::default();
        let (message, _) = self.mls.propose_self_update(&self.provider, &self.leaf_key, parameters).unwrap();
        self.mls.clear_pending_proposals(self.provider.storage()).unwrap();
        message.tls_serialize_detached().unwrap()
    }

    /// A commit by which somebody outside comes in, made with a GroupInfo that we leak.
    pub(crate) fn forge_external_commit(&self, identity: &Identity, made_ms: u64) -> Vec<u8> {
        let info = self.mls.export_group_info(self.provider.crypto(), &self.leaf_key, true).unwrap();
        let info =
            MlsMessageIn::tls_deserialize_exact_bytes(&info.tls_serialize_detached().unwrap()).unwrap();
        let MlsMessageBodyIn::GroupInfo(info) = info.extract() else { unreachable!() };
        let provider = Provider::new(Seed::from_bytes(&mut [11; 32]));
        let leaf_key = SigningKey::from_seed(Seed::from_bytes(&mut [12; 32]));
        let credential = Credential::issue(identity, &self.group_id, leaf_key.public(), made_ms);
        let parameters = LeafNodeParameters::builder()
            .with_capabilities(inspect::capabilities(self.mls.ciphersuite()))
            .build();
        let (_, bundle) = MlsGroup::external_commit_builder()
            .build_group(&provider, info, inspect::credential_with_key(&credential, &leaf_key))
            .unwrap()
            .leaf_node_parameters(parameters)
            .load_psks(provider.storage())
            .unwrap()
            .build(provider.rand(), provider.crypto(), &leaf_key, |_| true)
            .unwrap()
            .finalize(&provider)
            .unwrap();
        bundle.commit().tls_serialize_detached().unwrap()
    }

    /// An application message with authenticated data, which no message of a room has.
    pub(crate) fn forge_application(&mut self, aad: &[u8]) -> Vec<u8> {
        self.mls.set_aad(aad.to_vec());
        self.seal(b"hello").unwrap()
    }

    /// From now on our update paths are wrong where they are encrypted to these leaves, or where
    /// they are encrypted to `others`: nodes above leaves too.
    pub(crate) fn spoil_paths_to(&self, leaves: &[Leaf], others: bool, spoil: Spoil) {
        let key_of = |leaf: &Leaf| self.mls.member_at(LeafNodeIndex::new(leaf.0)).unwrap().encryption_key;
        let keys = leaves.iter().map(key_of).collect();
        *self.provider.crypto().spoiled.lock().unwrap() = Some(Spoiled { keys, others, spoil });
    }

    /// The next key pairs that we derive show these public keys: those of the path from the lowest
    /// node on, then that of the leaf.
    pub(crate) fn show_keys(&self, keys: Vec<Option<Vec<u8>>>) {
        *self.provider.crypto().false_keys.lock().unwrap() = keys.into();
    }

    /// The public key that path secrets for a leaf are sealed to.
    pub(crate) fn encryption_key_of(&self, leaf: Leaf) -> Vec<u8> {
        self.mls.member_at(LeafNodeIndex::new(leaf.0)).unwrap().encryption_key
    }

    /// A new leaf of ours that shows what `identity` says, of this time.
    pub(crate) fn leaf_by(&self, identity: &Identity, made_ms: u64) -> LeafNodeParameters {
        let credential = Credential::issue(identity, &self.group_id, self.leaf_key.public(), made_ms);
        let credential = inspect::credential_with_key(&credential, &self.leaf_key);
        LeafNodeParameters::builder().with_credential_with_key(credential).build()
    }

    /// A new leaf of ours with these bytes as its credential.
    pub(crate) fn leaf_with(&self, credential: Vec<u8>) -> LeafNodeParameters {
        let credential = CredentialWithKey {
            credential: BasicCredential::new(credential).into(),
            signature_key: SignaturePublicKey::from(self.leaf_key.public().as_slice()),
        };
        LeafNodeParameters::builder().with_credential_with_key(credential).build()
    }
}

/// A KeyPackage that `shape` makes other than those of a room, as an MLSMessage and as a candidate
/// that was not vetted.
pub(crate) fn key_package(
    identity: &Identity,
    group_id: &[u8; 32],
    key_exchange: KeyExchange,
    made_ms: u64,
    shape: impl FnOnce(KeyPackageBuilder) -> KeyPackageBuilder,
) -> (Vec<u8>, Candidate) {
    build(
        identity,
        group_id,
        key_exchange,
        made_ms,
        Provider::new(Seed::from_bytes(&mut [13; 32])),
        14,
        shape,
    )
}

/// A KeyPackage of keys that nobody had before, but for those that it shows instead: of its init
/// key and of its leaf.
pub(crate) fn key_package_with_keys(
    identity: &Identity,
    group_id: &[u8; 32],
    key_exchange: KeyExchange,
    made_ms: u64,
    seed: u8,
    keys: [Option<Vec<u8>>; 2],
) -> Vec<u8> {
    let provider = Provider::new(Seed::from_bytes(&mut [seed; 32]));
    *provider.crypto().false_keys.lock().unwrap() = keys.into();
    build(identity, group_id, key_exchange, made_ms, provider, seed, |builder| builder).0
}

fn build(
    identity: &Identity,
    group_id: &[u8; 32],
    key_exchange: KeyExchange,
    made_ms: u64,
    provider: Provider,
    seed: u8,
    shape: impl FnOnce(KeyPackageBuilder) -> KeyPackageBuilder,
) -> (Vec<u8>, Candidate) {
    let suite = ciphersuite(key_exchange);
    let leaf_key = SigningKey::from_seed(Seed::from_bytes(&mut [seed; 32]));
    let credential = Credential::issue(identity, group_id, leaf_key.public(), made_ms);
    let builder = KeyPackage::builder()
        .key_package_lifetime(inspect::lifetime(made_ms))
        .leaf_node_capabilities(inspect::capabilities(suite));
    let bundle = shape(builder)
        .build(suite, &provider, &leaf_key, inspect::credential_with_key(&credential, &leaf_key))
        .unwrap();
    let key_package = bundle.key_package().clone();
    let reference = key_package.hash_ref(provider.crypto()).unwrap().as_slice().try_into().unwrap();
    let bytes = MlsMessageOut::from(key_package.clone()).tls_serialize_detached().unwrap();
    let (id, name) = (credential.id(), credential.name);
    (bytes, Candidate { key: credential.key, id, name, made_ms, reference, key_package })
}

/// How somebody founds a group that is not in the form of a room.
pub(crate) struct Founding<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) mls_id: &'a [u8],
    pub(crate) context: Extensions<GroupContext>,
    pub(crate) made_ms: u64,
    /// The room that the credential names.
    pub(crate) signed_for: [u8; 32],
}

impl Founding<'_> {
    pub(crate) fn found(self) -> Group {
        let suite = ciphersuite(KeyExchange::X25519);
        let provider = Provider::new(Seed::from_bytes(&mut [9; 32]));
        let leaf_key = SigningKey::from_seed(Seed::from_bytes(&mut [10; 32]));
        let credential = Credential::issue(self.identity, &self.signed_for, leaf_key.public(), self.made_ms);
        let mls = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(self.mls_id))
            .ciphersuite(suite)
            .with_wire_format_policy(super::WIRE_FORMAT)
            .use_ratchet_tree_extension(true)
            .with_capabilities(inspect::capabilities(suite))
            .with_group_context_extensions(self.context)
            .lifetime(inspect::lifetime(self.made_ms))
            .build(&provider, &leaf_key, inspect::credential_with_key(&credential, &leaf_key))
            .unwrap();
        let occupant = Occupant::new(Leaf(0), credential, *leaf_key.public(), true);
        Group {
            mls,
            provider,
            leaf_key,
            key_exchange: KeyExchange::X25519,
            group_id: self.signed_for,
            context: Context { keeper: [0; 16], law: [0; 32] },
            roster: vec![occupant],
            pending: None,
        }
    }
}
