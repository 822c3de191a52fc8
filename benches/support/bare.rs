//! The same changes of the membership with openmls and nothing around it: what a room can at best
//! cost.
//!
//! The cryptography, the cipher suite, who commits, the shape of the tree, and the sizes of
//! credentials and of the group context are those of the room beside it. Storage is what openmls
//! brings. Messages are handed over as they are.
//!
//! MLS leaves to the application whether a credential belongs to a leaf (RFC 9420 section 5.3.1),
//! and no application can go without that: so there are two of these, one that checks the signature
//! of an identity in each credential at the points at which a room does, and one that believes
//! everybody.

use std::{collections::BTreeMap, time::Duration};

use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, Credential, CredentialType, CredentialWithKey, Extension,
    ExtensionType, Extensions, GroupContext, GroupId, KeyPackage, LeafNode, LeafNodeIndex, MlsGroup,
    MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, OpenMlsProvider,
    PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent, ProposalType, ProtocolVersion,
    RequiredCapabilitiesExtension, StagedWelcome, UnknownExtension,
};
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::{
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sottovoce::group::KeyExchange;
use tls_codec::{DeserializeBytes, Serialize};

use super::{
    clock::spent,
    party::{Cost, Failed, crowds},
};

/// All members of one group, by leaf.
pub struct Bare {
    suite: Ciphersuite,
    checks: Checks,
    members: BTreeMap<u32, Member>,
    /// Whether every member is there. Else the committer, the first who came and the newest are,
    /// and of the others there are leaves with real keys.
    whole: bool,
    /// How often the group context was another: each time by another number.
    contexts: u32,
    next: u32,
}

/// Whether credentials are checked: all of a tree that somebody enters, those of leaves that are
/// added or replaced after that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    Identities,
    Nothing,
}

struct Member {
    checks: Checks,
    provider: OpenMlsRustCrypto,
    key: LeafKey,
    group: MlsGroup,
}

/// Somebody who is about to come in.
struct Newcomer {
    checks: Checks,
    provider: OpenMlsRustCrypto,
    key: LeafKey,
    key_package: Vec<u8>,
    spent: Duration,
}

/// A commit as it goes to the others.
struct Committed {
    commit: Vec<u8>,
    welcome: Option<Vec<u8>>,
    spent: Duration,
}

impl Bare {
    /// A group of `size`, made as the room of `Party::new` is.
    pub fn new(key_exchange: KeyExchange, size: u32, checks: Checks, whole: bool) -> Result<Self, Failed> {
        let suite = Ciphersuite::try_from(key_exchange.id())?;
        let (provider, key) = (OpenMlsRustCrypto::default(), LeafKey::new(0, &identity(0)?)?);
        let group = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(&GROUP))
            .ciphersuite(suite)
            .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .number_of_resumption_psks(0)
            .with_capabilities(capabilities(suite))
            .with_group_context_extensions(context(0)?)
            .build(&provider, &key, key.credential())?;
        let mut bare = Self { suite, checks, members: BTreeMap::new(), whole, contexts: 0, next: 1 };
        bare.members.insert(0, Member { checks, provider, key, group });
        for crowd in crowds(size) {
            bare.bring_in(0, crowd, size)?;
        }
        Ok(bare)
    }

    /// `crowd` newcomers are added by one commit of the leaf `committer`, without an update path.
    pub fn join(&mut self, committer: u32, crowd: u32) -> Result<Cost, Failed> {
        self.bring_in(committer, crowd, 0)
    }

    /// Whoever comes in before there are `size` is no more than a leaf, if not all are to be there.
    fn bring_in(&mut self, committer: u32, crowd: u32, size: u32) -> Result<Cost, Failed> {
        let first = self.next;
        let newcomers: Vec<Newcomer> = (0..crowd).map(|_| self.newcomer()).collect::<Result<_, Failed>>()?;
        let packages: Vec<&[u8]> = newcomers.iter().map(|newcomer| newcomer.key_package.as_slice()).collect();
        let made = self.commit(committer, &packages, None, None)?;
        let welcome = made.welcome.as_deref().ok_or("an Add yields a Welcome")?;
        let mut cost = self.follow(committer, &made, None)?;
        for (number, newcomer) in (first..).zip(newcomers) {
            if !self.whole && number > 1 && number + 1 < size {
                continue;
            }
            let (member, spent) = newcomer.enter(welcome)?;
            cost.entering = Some(spent);
            self.members.insert(member.group.own_leaf_index().u32(), member);
        }
        Ok(cost)
    }

    /// The leaf `committer` removes the leaf `leaver`.
    pub fn remove(&mut self, committer: u32, leaver: u32) -> Result<Cost, Failed> {
        let made = self.commit(committer, &[], Some(leaver), None)?;
        self.follow(committer, &made, Some(leaver))
    }

    /// The leaf `committer` removes the leaf `banned`, and puts another group context in force.
    pub fn ban(&mut self, committer: u32, banned: u32) -> Result<Cost, Failed> {
        self.contexts += 1;
        let made = self.commit(committer, &[], Some(banned), Some(self.contexts))?;
        self.follow(committer, &made, Some(banned))
    }

    /// The leaf `committer` puts another group context in force.
    pub fn change_context(&mut self, committer: u32) -> Result<Cost, Failed> {
        self.contexts += 1;
        let made = self.commit(committer, &[], None, Some(self.contexts))?;
        self.follow(committer, &made, None)
    }

    /// Bytes of one member's group as its storage has it.
    pub fn stored(&self) -> usize {
        let Some(member) = self.members.values().next_back() else { return 0 };
        let values = member.provider.storage().values.read();
        values.map_or(0, |values| values.iter().map(|(key, value)| key.len() + value.len()).sum())
    }

    /// Drops one member.
    pub fn drop_last(&mut self) {
        self.members.pop_last();
    }

    fn newcomer(&mut self) -> Result<Newcomer, Failed> {
        let number = self.next;
        self.next += 1;
        let identity = identity(number)?;
        let start = spent();
        let (provider, key) = (OpenMlsRustCrypto::default(), LeafKey::new(number, &identity)?);
        let bundle = KeyPackage::builder().leaf_node_capabilities(capabilities(self.suite)).build(
            self.suite,
            &provider,
            &key,
            key.credential(),
        )?;
        let key_package = MlsMessageOut::from(bundle.key_package().clone()).tls_serialize_detached()?;
        Ok(Newcomer { checks: self.checks, provider, key, key_package, spent: spent() - start })
    }

    fn commit(
        &mut self,
        committer: u32,
        adds: &[&[u8]],
        remove: Option<u32>,
        contexts: Option<u32>,
    ) -> Result<Committed, Failed> {
        let Member { checks, provider, key, group } =
            self.members.get_mut(&committer).ok_or("the committer is not there")?;
        let start = spent();
        let mut packages = vec![];
        for bytes in adds {
            let MlsMessageBodyIn::KeyPackage(package) = received(bytes)?.extract() else {
                return Err("not a KeyPackage".into());
            };
            let package = package.validate(provider.crypto(), ProtocolVersion::Mls10)?;
            checks.leaf(package.leaf_node())?;
            packages.push(package);
        }
        let mut builder =
            group.commit_builder().propose_adds(packages).propose_removals(remove.map(LeafNodeIndex::new));
        if let Some(number) = contexts {
            builder = builder.propose_group_context_extensions(context(number)?)?;
        }
        let bundle = builder
            .load_psks(provider.storage())?
            .build(provider.rand(), provider.crypto(), key, |_| true)?
            .stage_commit(provider)?;
        let commit = bundle.commit().tls_serialize_detached()?;
        let welcome = match bundle.to_welcome_msg() {
            Some(welcome) => Some(welcome.tls_serialize_detached()?),
            None => None,
        };
        group.merge_pending_commit(provider)?;
        export(provider, group)?;
        Ok(Committed { commit, welcome, spent: spent() - start })
    }

    /// Everybody but the committer and the removed takes the commit.
    fn follow(&mut self, committer: u32, made: &Committed, removed: Option<u32>) -> Result<Cost, Failed> {
        if let Some(removed) = removed {
            self.members.remove(&removed);
        }
        let mut following = vec![];
        for (_, member) in self.members.iter_mut().filter(|(leaf, _)| **leaf != committer) {
            following.push(member.follow(&made.commit)?);
        }
        following.sort_unstable();
        Ok(Cost {
            committer,
            committing: made.spent,
            following: following.get(following.len() / 2).copied().unwrap_or_default(),
            entering: None,
            sent: made.commit.len() + made.welcome.as_ref().map_or(0, Vec::len),
        })
    }
}

impl Member {
    fn follow(&mut self, commit: &[u8]) -> Result<Duration, Failed> {
        let Self { checks, provider, group, .. } = self;
        let start = spent();
        let message = received(commit)?.try_into_protocol_message()?;
        let ProcessedMessageContent::StagedCommitMessage(staged) =
            group.process_message(provider, message)?.into_content()
        else {
            return Err("not a commit".into());
        };
        for added in staged.add_proposals() {
            checks.leaf(added.add_proposal().key_package().leaf_node())?;
        }
        if let Some(leaf) = staged.update_path_leaf_node() {
            checks.leaf(leaf)?;
        }
        group.merge_staged_commit(provider, *staged)?;
        export(provider, group)?;
        Ok(spent() - start)
    }
}

impl Newcomer {
    fn enter(self, welcome: &[u8]) -> Result<(Member, Duration), Failed> {
        let Self { checks, provider, key, spent: knocked, .. } = self;
        let start = spent();
        let MlsMessageBodyIn::Welcome(welcome) = received(welcome)?.extract() else {
            return Err("not a Welcome".into());
        };
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .number_of_resumption_psks(0)
            .build();
        let staged = StagedWelcome::build_from_welcome(&provider, &config, welcome)?
            .skip_lifetime_validation()
            .build()?;
        for member in staged.members() {
            checks.credential(&member.credential, &member.signature_key)?;
        }
        let mut group = staged.into_group(&provider)?;
        export(&provider, &mut group)?;
        Ok((Member { checks, provider, key, group }, knocked + (spent() - start)))
    }
}

impl Checks {
    fn leaf(self, leaf: &LeafNode) -> Result<(), Failed> {
        self.credential(leaf.credential(), leaf.signature_key().as_slice())
    }

    /// Whether the identity in a credential has signed for the leaf key.
    fn credential(self, credential: &Credential, leaf_key: &[u8]) -> Result<(), Failed> {
        if self == Self::Nothing {
            return Ok(());
        }
        let bytes = credential.serialized_content();
        let (said, signature) = bytes.split_at_checked(CREDENTIAL - 64).ok_or("the credential is cut")?;
        let (key, name) = said.split_at_checked(33).ok_or("the credential is cut")?;
        let identity = UnparsedPublicKey::new(&ED25519, &key[1..]);
        identity.verify(&signed(leaf_key, name), signature).map_err(|_| "a forged credential")?;
        Ok(())
    }
}

/// What an identity signs for a leaf key, as in a room.
fn signed(leaf_key: &[u8], name: &[u8]) -> Vec<u8> {
    [&b"sottovoce 2 leaf"[..], &GROUP, leaf_key, name].concat()
}

/// Takes the epoch's secret, as a room does.
fn export(provider: &OpenMlsRustCrypto, group: &mut MlsGroup) -> Result<(), Failed> {
    let secret = group.safe_export_secret(provider.crypto(), provider.storage(), COMPONENT)?;
    std::hint::black_box(secret);
    Ok(())
}

/// A group context of as many bytes as a room's, which mean nothing.
fn context(number: u32) -> Result<Extensions<GroupContext>, Failed> {
    let mut state = vec![0x5a; STATE];
    state[..4].copy_from_slice(&number.to_be_bytes());
    let required = RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(STATE_EXTENSION)],
        &[],
        &[CredentialType::Basic],
    );
    Ok(Extensions::from_vec(vec![
        Extension::RequiredCapabilities(required),
        Extension::Unknown(STATE_EXTENSION, UnknownExtension(state)),
    ])?)
}

fn capabilities(suite: Ciphersuite) -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[suite]),
        Some(&[ExtensionType::Unknown(STATE_EXTENSION)]),
        Some(&[] as &[ProposalType]),
        Some(&[CredentialType::Basic]),
    )
}

/// A leaf's signature key, by `ring` as in a room.
struct LeafKey {
    pair: Ed25519KeyPair,
    credential: Vec<u8>,
}

impl LeafKey {
    fn new(number: u32, identity: &Ed25519KeyPair) -> Result<Self, Failed> {
        let pair = pair_of(number, 0x1f)?;
        let made = 1_790_000_000_000_u64.to_be_bytes();
        let name = [&[11][..], format!("member {number:04}").as_bytes(), &made].concat();
        let signature = identity.sign(&signed(pair.public_key().as_ref(), &name));
        let credential = [&[2][..], identity.public_key().as_ref(), &name, signature.as_ref()].concat();
        assert_eq!(credential.len(), CREDENTIAL);
        Ok(Self { pair, credential })
    }

    fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(self.credential.clone()).into(),
            signature_key: self.pair.public_key().as_ref().into(),
        }
    }
}

fn identity(number: u32) -> Result<Ed25519KeyPair, Failed> {
    pair_of(number, 0x1d)
}

fn pair_of(number: u32, use_: u8) -> Result<Ed25519KeyPair, Failed> {
    let mut seed = [use_; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    Ok(Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| "32 bytes are a seed")?)
}

impl Signer for LeafKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.pair.sign(payload).as_ref().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

fn received(bytes: &[u8]) -> Result<MlsMessageIn, Failed> {
    Ok(MlsMessageIn::tls_deserialize_exact_bytes(bytes)?)
}

/// Component and extension, in the ranges for private use.
const COMPONENT: u16 = 0xF50A;
const STATE_EXTENSION: u16 = 0xF50A;
/// Bytes of a room's credential with a name of eleven bytes, and of its context.
const CREDENTIAL: usize = 117;
const GROUP: [u8; 48] = [0x60; 48];
const STATE: usize = 49;
