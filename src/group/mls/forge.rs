//! Commits and key packages that no honest member makes, for tests of what refuses them.

use openmls::prelude::{
    BasicCredential, CredentialWithKey, Extension, Extensions, GroupContext, GroupId, LeafNodeIndex,
    LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageIn, SignaturePublicKey,
};
use openmls_traits::OpenMlsProvider;
use tls_codec::{DeserializeBytes, Serialize};

pub(crate) use super::provider::Spoil;
use super::{
    Candidate, Group, inspect,
    provider::{Provider, Spoiled},
};
use crate::{
    group::{Identity, key_exchange::KeyExchange, state::RoomState},
    id::Leaf,
};

/// What a forged commit does. The policy is not asked.
pub(crate) enum Forgery {
    Add(Box<Candidate>),
    Remove(Leaf),
    State(RoomState),
    /// A new leaf of our own and nothing else.
    Update,
    /// A new leaf with this credential and our old key.
    Impersonate(Vec<u8>),
    /// A group context with one more extension than a room has.
    Extension,
}

/// A forged commit and what came of it: the commit, and the welcome if somebody was added.
pub(crate) struct Forged {
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
}

impl Group {
    /// Makes a commit whatever the rules say. It is not merged here.
    pub(crate) fn forge(&mut self, forgeries: Vec<Forgery>) -> Forged {
        let leaf_key = SignaturePublicKey::from(self.leaf_key.public().as_slice());
        let mut builder = self.mls.commit_builder();
        for forgery in forgeries {
            builder = match forgery {
                Forgery::Add(candidate) => builder.propose_adds([candidate.key_package]),
                Forgery::Remove(leaf) => builder.propose_removals([LeafNodeIndex::new(leaf.0)]),
                Forgery::State(state) => {
                    builder.propose_group_context_extensions(inspect::write_state(&state).unwrap()).unwrap()
                }
                Forgery::Update => builder.force_self_update(true),
                Forgery::Impersonate(credential) => builder.leaf_node_parameters(
                    LeafNodeParameters::builder()
                        .with_credential_with_key(CredentialWithKey {
                            credential: BasicCredential::new(credential).into(),
                            signature_key: leaf_key.clone(),
                        })
                        .build(),
                ),
                Forgery::Extension => {
                    let mut extensions: Extensions<GroupContext> = inspect::write_state(&self.state).unwrap();
                    extensions.add(Extension::ExternalSenders(Vec::new())).unwrap();
                    builder.propose_group_context_extensions(extensions).unwrap()
                }
            };
        }
        let bundle = builder
            .load_psks(self.provider.storage())
            .unwrap()
            .build(self.provider.rand(), self.provider.crypto(), &self.leaf_key, |_| true)
            .unwrap()
            .stage_commit(&self.provider)
            .unwrap();
        let commit = bundle.commit().tls_serialize_detached().unwrap();
        let welcome = bundle.to_welcome_msg().map(|welcome| welcome.tls_serialize_detached().unwrap());
        self.mls.clear_pending_commit(self.provider.storage()).unwrap();
        Forged { commit, welcome }
    }

    /// A proposal of its own, outside a commit: to remove `leaf`.
    pub(crate) fn forge_proposal(&mut self, leaf: Leaf) -> Vec<u8> {
        let (message, _) = self
            .mls
            .propose_remove_member(&self.provider, &self.leaf_key, LeafNodeIndex::new(leaf.0))
            .unwrap();
        self.mls.clear_pending_proposals(self.provider.storage()).unwrap();
        message.tls_serialize_detached().unwrap()
    }

    /// A commit by which somebody outside brings itself in, made with a group info that we leak.
    pub(crate) fn forge_external_commit(&self, identity: &Identity) -> Vec<u8> {
        let info = self.mls.export_group_info(self.provider.crypto(), &self.leaf_key, true).unwrap();
        let info =
            MlsMessageIn::tls_deserialize_exact_bytes(&info.tls_serialize_detached().unwrap()).unwrap();
        let MlsMessageBodyIn::GroupInfo(info) = info.extract() else { unreachable!() };
        let provider = Provider::new([11; 32]);
        let leaf_key = super::SigningKey::from_seed([12; 32]);
        let credential = identity.credential(self.id(), leaf_key.public());
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

    /// From now on our update paths are wrong where they are encrypted to these leaves, or where they are encrypted to
    /// `others`: nodes above leaves too.
    pub(crate) fn spoil_paths_to(&self, leaves: &[Leaf], others: bool, spoil: Spoil) {
        let key_of = |leaf: &Leaf| self.mls.member_at(LeafNodeIndex::new(leaf.0)).unwrap().encryption_key;
        let keys = leaves.iter().map(key_of).collect();
        *self.provider.crypto().spoiled.lock().unwrap() = Some(Spoiled { keys, others, spoil });
    }

    /// What `identity` would say about our leaf.
    pub(crate) fn credential_by(&self, identity: &Identity) -> Vec<u8> {
        identity.credential(self.id(), self.leaf_key.public()).encode()
    }

    /// The credential of a member, as it stands in the tree.
    pub(crate) fn credential_of(&self, leaf: Leaf) -> Vec<u8> {
        self.mls.member(LeafNodeIndex::new(leaf.0)).unwrap().serialized_content().to_vec()
    }
}

/// A group under another's id, made by somebody who shows this credential.
pub(crate) fn group_with_credential(
    group_id: &[u8],
    state: &RoomState,
    credential: impl FnOnce(&[u8; 32]) -> Vec<u8>,
) -> Group {
    let suite = super::ciphersuite(KeyExchange::default());
    let provider = Provider::new([9; 32]);
    let leaf_key = super::SigningKey::from_seed([10; 32]);
    let credential = CredentialWithKey {
        credential: BasicCredential::new(credential(leaf_key.public())).into(),
        signature_key: SignaturePublicKey::from(leaf_key.public().as_slice()),
    };
    let mls = MlsGroup::builder()
        .with_group_id(GroupId::from_slice(group_id))
        .ciphersuite(suite)
        .with_wire_format_policy(super::WIRE_FORMAT)
        .use_ratchet_tree_extension(true)
        .with_capabilities(inspect::capabilities(suite))
        .with_group_context_extensions(inspect::write_state(state).unwrap())
        .build(&provider, &leaf_key, credential)
        .unwrap();
    let key_exchange = KeyExchange::default();
    let (roster, leaving) = (Vec::new(), Default::default());
    let state = state.clone();
    Group {
        mls,
        provider,
        leaf_key,
        key_exchange,
        state,
        roster,
        leaving,
        believed: Vec::new(),
        made: Default::default(),
        pending: None,
    }
}
