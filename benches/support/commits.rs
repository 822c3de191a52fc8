//! Real MLS commits of a large group: one member makes them, ours processes and merges them.
//!
//! Only these two members have state; the others are leaves that the commits are encrypted to. The
//! committer is always the same, so the tree is a star and the commits are as large as they get.

use std::{collections::VecDeque, error::Error};

use openmls::prelude::{
    BasicCredential, Ciphersuite, CredentialWithKey, KeyPackage, LeafNodeParameters, MlsGroup,
    MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, OpenMlsProvider,
    PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent, StagedWelcome,
};
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::{
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use sottovoce::{EpochSecret, Leaf};
use tls_codec::{Deserialize, Serialize};

pub type Failed = Box<dyn Error + Send + Sync>;

/// A group with one member that commits and one that follows: ours.
pub struct Commits {
    committer: Member,
    ours: Member,
    /// Made and not yet processed.
    stock: VecDeque<Vec<u8>>,
}

/// What an epoch gives to the media plane.
pub struct EpochKeys {
    pub secret: Vec<u8>,
    pub group_id: Vec<u8>,
    pub epoch: u64,
    pub authenticator: Vec<u8>,
    pub own_leaf: Leaf,
}

struct Member {
    provider: OpenMlsRustCrypto,
    key: LeafKey,
    group: MlsGroup,
}

impl Commits {
    /// Makes a group of `members`, ours among them.
    pub fn new(members: u8) -> Result<Self, Failed> {
        let provider = OpenMlsRustCrypto::default();
        let key = LeafKey::new(0)?;
        let mut group = MlsGroup::builder()
            .ciphersuite(SUITE)
            .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .build(&provider, &key, key.credential())?;

        // Ours is the first leaf that is added; the others' private keys are dropped at once.
        let (our_provider, our_key) = (OpenMlsRustCrypto::default(), LeafKey::new(1)?);
        let mut packages = vec![key_package(&our_provider, &our_key)?];
        for number in 2..members {
            packages.push(key_package(&OpenMlsRustCrypto::default(), &LeafKey::new(number)?)?);
        }
        let (_, welcome, _) = group.add_members(&provider, &key, &packages)?;
        group.merge_pending_commit(&provider)?;

        let MlsMessageBodyIn::Welcome(welcome) = received(&welcome.tls_serialize_detached()?)?.extract()
        else {
            return Err("adding members did not yield a Welcome".into());
        };
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .build();
        let joined = StagedWelcome::new_from_welcome(&our_provider, &config, welcome, None)?
            .into_group(&our_provider)?;
        let committer = Member { provider, key, group };
        let ours = Member { provider: our_provider, key: our_key, group: joined };
        Ok(Self { committer, ours, stock: VecDeque::new() })
    }

    /// The committer makes commits until there are `count` to process.
    pub fn stock(&mut self, count: usize) -> Result<(), Failed> {
        let Member { provider, key, group } = &mut self.committer;
        while self.stock.len() < count {
            let bundle = group.self_update(provider, key, LeafNodeParameters::default())?;
            let message: MlsMessageOut = bundle.into_commit();
            group.merge_pending_commit(provider)?;
            self.stock.push_back(message.tls_serialize_detached()?);
        }
        Ok(())
    }

    /// Bytes of the next commit.
    pub fn next_size(&self) -> Option<usize> {
        self.stock.front().map(Vec::len)
    }

    /// Our member takes the next commit, `None` if there is none: decrypts, verifies, merges, and
    /// exports the epoch's secret.
    pub fn process(&mut self) -> Result<Option<EpochKeys>, Failed> {
        let Some(commit) = self.stock.pop_front() else { return Ok(None) };
        let Member { provider, group, .. } = &mut self.ours;
        let message = received(&commit)?.try_into_protocol_message()?;
        let processed = group.process_message(provider, message)?;
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
            return Err("the message is not a commit".into());
        };
        group.merge_staged_commit(provider, *staged)?;
        let secret = group.safe_export_secret(provider.crypto(), provider.storage(), COMPONENT)?;
        Ok(Some(EpochKeys {
            secret,
            group_id: group.group_id().to_vec(),
            epoch: group.epoch().as_u64(),
            authenticator: group.epoch_authenticator().as_slice().to_vec(),
            own_leaf: Leaf(group.own_leaf_index().u32()),
        }))
    }
}

impl EpochKeys {
    /// The secret, for one member's key schedule.
    pub fn secret(&self) -> EpochSecret {
        EpochSecret::new(self.secret.clone()).expect("the exporter yields 32 bytes")
    }
}

/// A leaf's signature key, by `ring` as everywhere in the library.
struct LeafKey {
    pair: Ed25519KeyPair,
    number: u8,
}

impl LeafKey {
    fn new(number: u8) -> Result<Self, Failed> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).map_err(|_| "32 bytes are a seed")?;
        Ok(Self { pair, number })
    }

    fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(vec![self.number]).into(),
            signature_key: self.pair.public_key().as_ref().into(),
        }
    }
}

impl Signer for LeafKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.pair.sign(payload).as_ref().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

fn key_package(provider: &OpenMlsRustCrypto, key: &LeafKey) -> Result<KeyPackage, Failed> {
    let bundle = KeyPackage::builder().build(SUITE, provider, key, key.credential())?;
    Ok(bundle.key_package().clone())
}

fn received(mut bytes: &[u8]) -> Result<MlsMessageIn, Failed> {
    Ok(MlsMessageIn::tls_deserialize(&mut bytes)?)
}

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// The component that the secret is exported for (draft-ietf-mls-extensions), in the private range.
const COMPONENT: u16 = 0xF50A;
