//! The MLS group of a room (RFC 9420). Only this directory names openmls, and none of its types leave it.
//!
//! ```text
//! bytes > process > Incoming::Commit { Staged, Change } > policy::check > Permit > merge > epoch secret
//! candidates, removals, state > commit > policy::check on our own > merge > bytes for the others
//! ```

#[cfg(test)]
pub(crate) mod forge;
mod hpke;
mod inspect;
mod join;
pub(crate) mod moderation;
mod provider;
mod storage;
mod vouch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use openmls::prelude::{
    Ciphersuite, GroupId, KeyPackage, LeafNodeIndex, LeafNodeParameters, MlsGroup, MlsMessageBodyIn,
    MlsMessageIn, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProcessMessageError, ProcessedMessageContent,
    ProtocolMessage, Sender, StagedCommit, WireFormatPolicy,
};
use openmls_traits::OpenMlsProvider;
use tls_codec::{DeserializeBytes, Serialize};

pub(crate) use hpke::{JOIN_KEY_LEN, JoinKey, JoinSecret, Purpose, door_aad, knock_aad, petition_aad};
pub(crate) use join::{Applicant, Because, Candidate, Entry, Expected, JoinError};
pub(crate) use vouch::LeafKey;

use super::{
    Member,
    identity::{Credential, Identity},
    invite::UnixTime,
    key_exchange::KeyExchange,
    message,
    order::Order,
    policy::{self, Before, Change, Permit, Standing, Violation},
    signing::SigningKey,
    state::RoomState,
};
use crate::{
    id::{Epoch, Leaf, MemberId},
    keys::EpochSecret,
};
use provider::Provider;

/// One member's view of the group: tree, state, secrets of the current epoch.
pub(crate) struct Group {
    mls: MlsGroup,
    provider: Provider,
    leaf_key: SigningKey,
    key_exchange: KeyExchange,
    state: RoomState,
    /// The leaves of the tree, ascending: nothing else ever makes a roster.
    roster: Vec<Member>,
    /// Members who said that they leave, and are not removed yet.
    leaving: BTreeSet<MemberId>,
    /// Orders that are about to be committed, and whose signatures are known to hold.
    believed: Vec<Order>,
    /// When the KeyPackages were made by which members came in since we are here.
    made: BTreeMap<MemberId, UnixTime>,
    /// What our commit that waits for the keeper's word would change.
    pending: Option<Change>,
}

impl Group {
    /// Makes a group of one.
    pub(crate) fn create(
        identity: &Identity,
        group_id: &[u8],
        state: &RoomState,
        key_exchange: KeyExchange,
        leaf_seed: [u8; 32],
        seed: [u8; 32],
        now: UnixTime,
    ) -> Result<Self, Failure> {
        let suite = ciphersuite(key_exchange);
        let provider = Provider::new(seed);
        let leaf_key = SigningKey::from_seed(leaf_seed);
        let credential = identity.credential(group_id, leaf_key.public());
        let mls = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(group_id))
            .ciphersuite(suite)
            .with_wire_format_policy(WIRE_FORMAT)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .number_of_resumption_psks(0)
            .with_capabilities(inspect::capabilities(suite))
            .with_group_context_extensions(inspect::write_state(state)?)
            .lifetime(inspect::lifetime(now))
            .build(&provider, &leaf_key, inspect::credential_with_key(&credential, &leaf_key))
            .map_err(Failure::of)?;
        Self::adopt(mls, provider, leaf_key, key_exchange)
    }

    fn adopt(
        mls: MlsGroup,
        provider: Provider,
        leaf_key: SigningKey,
        key_exchange: KeyExchange,
    ) -> Result<Self, Failure> {
        let state = inspect::read_state(mls.extensions()).map_err(Failure::of)?;
        let (roster, leaving, made) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        let (pending, believed) = (None, Vec::new());
        let mut group =
            Self { mls, provider, leaf_key, key_exchange, state, roster, leaving, believed, made, pending };
        group.read_roster();
        Ok(group)
    }

    /// Mixes entropy into what the group draws its secrets from.
    pub(crate) fn stir(&self, entropy: &[u8]) {
        self.provider.stir(entropy);
    }

    pub(crate) fn id(&self) -> &[u8] {
        self.mls.group_id().as_slice()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.mls.epoch().as_u64())
    }

    pub(crate) fn own_leaf(&self) -> Leaf {
        Leaf(self.mls.own_leaf_index().u32())
    }

    pub(crate) fn key_exchange(&self) -> KeyExchange {
        self.key_exchange
    }

    pub(crate) fn state(&self) -> &RoomState {
        &self.state
    }

    pub(crate) fn roster(&self) -> &[Member] {
        &self.roster
    }

    pub(crate) fn member_at(&self, leaf: Leaf) -> Option<&Member> {
        self.roster.iter().find(|member| member.leaf == leaf)
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<&Member> {
        self.roster.iter().find(|member| member.id == id)
    }

    /// Equal at two members only if they are in the same epoch of the same branch (RFC 9420 section 8.7).
    pub(crate) fn authenticator(&self) -> &[u8] {
        self.mls.epoch_authenticator().as_slice()
    }

    /// What tells this epoch from the same epoch of other branches, to everybody.
    pub(crate) fn branch(&self) -> [u8; 32] {
        message::branch(self.authenticator())
    }

    /// What changes are held against.
    pub(crate) fn before(&self) -> Before<'_> {
        let Self { roster, state, leaving, believed, .. } = self;
        Before { group_id: self.id(), roster, state, leaving, believed }
    }

    /// Notes that the signature of an order was checked, or made: it is not checked again in this epoch.
    pub(crate) fn believe(&mut self, order: Order) {
        if self.believed.len() < MAX_BELIEVED {
            self.believed.push(order);
        }
    }

    /// Notes that a member said it leaves.
    pub(crate) fn note_leaving(&mut self, member: MemberId) {
        if self.member(member).is_some() {
            self.leaving.insert(member);
        }
    }

    /// When the KeyPackage of a member was made, if it came in after us.
    pub(crate) fn made(&self, member: MemberId) -> Option<UnixTime> {
        self.made.get(&member).copied()
    }

    /// Who said that they leave, and are here still.
    pub(crate) fn leaving(&self) -> &BTreeSet<MemberId> {
        &self.leaving
    }

    /// Takes the epoch's secret, which can be taken once: the exporter's node is punctured.
    pub(crate) fn take_epoch_secret(&mut self) -> Result<EpochSecret, Failure> {
        let storage = self.provider.storage();
        let secret =
            self.mls.safe_export_secret(self.provider.crypto(), storage, COMPONENT).map(EpochSecret::new);
        secret.map_err(Failure::of)?.map_err(Failure::of)
    }

    /// Makes a commit, checks it as everybody else will, and merges it.
    ///
    /// On an error nothing has changed.
    pub(crate) fn commit(&mut self, draft: &Draft<'_>) -> Result<Committed, CommitError> {
        let Proposed { commit, welcome, change, .. } = self.propose(draft)?;
        self.mls.merge_pending_commit(&self.provider).map_err(CommitError::mls)?;
        let summary = self.settle(&change);
        Ok(Committed { commit, welcome, summary })
    }

    /// Makes a commit that waits for the keeper's word. It takes the place of one that waits already.
    ///
    /// On an error none waits.
    pub(crate) fn prepare(&mut self, draft: &Draft<'_>) -> Result<Vec<u8>, CommitError> {
        let Proposed { commit, change, .. } = self.propose(draft)?;
        self.pending = Some(change);
        Ok(commit)
    }

    /// The branch that our waiting commit leads to.
    pub(crate) fn prepared_branch(&self) -> Option<[u8; 32]> {
        self.pending.as_ref()?;
        let authenticator = self.mls.pending_commit()?.epoch_authenticator()?;
        Some(message::branch(authenticator.as_slice()))
    }

    /// Merges our waiting commit.
    pub(crate) fn merge_prepared(&mut self) -> Result<Summary, Failure> {
        let change = self.pending.take().ok_or_else(|| Failure::of("no commit waits"))?;
        self.mls.merge_pending_commit(&self.provider).map_err(Failure::of)?;
        Ok(self.settle(&change))
    }

    /// Which of a commit's rules holds, and how it takes its place.
    pub(crate) fn check(&self, staged: &Staged) -> Result<(Permit, Standing), Violation> {
        policy::check(&staged.change, &self.before())
    }

    /// The epoch that a message says it is of.
    pub(crate) fn epoch_of(&self, bytes: &[u8]) -> Option<Epoch> {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?;
        let MlsMessageBodyIn::PrivateMessage(message) = message.extract() else { return None };
        Some(Epoch(ProtocolMessage::from(message).epoch().as_u64()))
    }

    /// Takes an MLS message. A commit is staged, to be checked and merged or dropped.
    pub(crate) fn process(&mut self, bytes: &[u8]) -> Result<Incoming, ProcessError> {
        let message =
            MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| ProcessError::Malformed)?;
        let MlsMessageBodyIn::PrivateMessage(message) = message.extract() else {
            return Err(ProcessError::Malformed);
        };
        let message = ProtocolMessage::from(message);
        if message.group_id() != self.mls.group_id() {
            return Err(ProcessError::OtherGroup);
        }
        let epoch = message.epoch().as_u64();
        match epoch.cmp(&self.epoch().0) {
            std::cmp::Ordering::Less => return Err(ProcessError::Stale),
            std::cmp::Ordering::Greater => return Err(ProcessError::Future(Epoch(epoch))),
            std::cmp::Ordering::Equal => {}
        }
        self.provider.crypto().forget_signer();
        let processed = self.mls.process_message(&self.provider, message).map_err(|error| match error {
            // All of what is wrong with a commit is found out after its signature was checked.
            ProcessMessageError::InvalidCommit(_) => self.broken_commit(),
            _ => ProcessError::Undecryptable,
        })?;
        let from = match processed.sender() {
            Sender::Member(leaf) => Leaf(leaf.u32()),
            _ => return Err(ProcessError::Violation(None, Violation::ExternalCommit)),
        };
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => {
                Ok(Incoming::Application { from, bytes: message.into_bytes() })
            }
            ProcessedMessageContent::StagedCommitMessage(commit) => {
                let change = inspect::change(&commit, Some(from), self.id());
                Ok(Incoming::Commit { from, staged: Box::new(Staged { commit, change }) })
            }
            ProcessedMessageContent::OwnPendingCommit | ProcessedMessageContent::OwnPrivateMessage => {
                Err(ProcessError::Own)
            }
            ProcessedMessageContent::ProposalMessage(_)
            | ProcessedMessageContent::ExternalJoinProposalMessage(_)
            | ProcessedMessageContent::UnresolvedAppDataCommit(_) => {
                Err(ProcessError::Violation(Some(from), Violation::ForeignProposal))
            }
        }
    }

    /// Somebody signed a commit that MLS cannot process.
    fn broken_commit(&self) -> ProcessError {
        let Some(signer) = self.provider.crypto().signer() else { return ProcessError::Undecryptable };
        let by = self.mls.members().find(|member| member.signature_key == signer);
        let by = by.map(|member| Leaf(member.index.u32()));
        ProcessError::Violation(by, Violation::BrokenCommit)
    }

    /// Merges what was permitted. If it removed us, the group is of no use afterwards.
    pub(crate) fn merge(&mut self, staged: Staged, _: Permit) -> Result<Summary, Failure> {
        let removed_self = staged.commit.self_removed();
        self.mls.merge_staged_commit(&self.provider, *staged.commit).map_err(Failure::of)?;
        if removed_self {
            return Ok(Summary { removed_self, added: staged.change.adds, ..Summary::default() });
        }
        Ok(self.settle(&staged.change))
    }

    /// An MLS application message to everybody in this epoch.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let message = self.mls.create_message(&self.provider, &self.leaf_key, bytes).map_err(Failure::of)?;
        message.tls_serialize_detached().map_err(Failure::of)
    }

    /// Makes a commit of our own and checks it, without merging it. On an error none is pending.
    fn propose(&mut self, draft: &Draft<'_>) -> Result<Proposed, CommitError> {
        self.pending = None;
        self.mls.clear_pending_commit(self.provider.storage()).map_err(CommitError::mls)?;
        let proposed = self.build(draft);
        if proposed.is_err() {
            self.mls.clear_pending_commit(self.provider.storage()).map_err(CommitError::mls)?;
        }
        proposed
    }

    fn build(&mut self, draft: &Draft<'_>) -> Result<Proposed, CommitError> {
        let own_leaf = self.own_leaf();
        let renewed = draft.renews.map(|identity| {
            let credential = identity.credential(self.id(), self.leaf_key.public());
            let credential = inspect::credential_with_key(&credential, &self.leaf_key);
            LeafNodeParameters::builder().with_credential_with_key(credential).build()
        });
        let key_packages: Vec<KeyPackage> =
            draft.adds.iter().map(|candidate| candidate.key_package.clone()).collect();
        let mut builder = self
            .mls
            .commit_builder()
            .propose_adds(key_packages)
            .propose_removals(draft.removes.iter().map(|leaf| LeafNodeIndex::new(leaf.0)));
        if let Some(parameters) = renewed {
            builder = builder.force_self_update(true).leaf_node_parameters(parameters);
        }
        if let Some(state) = draft.state {
            let extensions = inspect::write_state(state).map_err(CommitError::Mls)?;
            builder = builder.propose_group_context_extensions(extensions).map_err(CommitError::mls)?;
        }
        let bundle = builder
            .load_psks(self.provider.storage())
            .map_err(CommitError::mls)?
            .build(self.provider.rand(), self.provider.crypto(), &self.leaf_key, |_| true)
            .map_err(CommitError::mls)?
            .stage_commit(&self.provider)
            .map_err(CommitError::mls)?;
        let commit = bundle.commit().tls_serialize_detached().map_err(CommitError::mls)?;
        let welcome = match bundle.to_welcome_msg() {
            Some(welcome) => Some(welcome.tls_serialize_detached().map_err(CommitError::mls)?),
            None => None,
        };
        let pending = self.mls.pending_commit().ok_or_else(|| CommitError::mls("no commit is pending"))?;
        let change = inspect::own_change(pending, own_leaf);
        let (permit, _) = policy::check(&change, &self.before()).map_err(CommitError::Violation)?;
        Ok(Proposed { commit, welcome, change, _permit: permit })
    }

    /// Reads the new epoch after a merge, and says what is different.
    fn settle(&mut self, change: &Change) -> Summary {
        let removed = change.removes.iter().filter_map(|leaf| self.member_at(*leaf).cloned()).collect();
        if let Some(state) = &change.state {
            self.state = state.clone();
        }
        self.pending = None;
        self.believed.clear();
        self.read_roster();
        self.leaving.retain(|member| !change.adds.contains(member));
        let roster = &self.roster;
        self.made.extend(change.adds.iter().copied().zip(change.made.iter().copied()));
        self.made.retain(|member, _| roster.iter().any(|other| other.id == *member));
        self.leaving.retain(|leaving| roster.iter().any(|member| member.id == *leaving));
        Summary { removed, added: change.adds.clone(), removed_self: false }
    }

    fn read_roster(&mut self) {
        let own_leaf = self.mls.own_leaf_index();
        self.roster = self
            .mls
            .members()
            .map(|member| {
                let credential = Credential::decode(member.credential.serialized_content())
                    .expect("every leaf was verified before it was merged");
                let id = credential.member();
                Member {
                    id,
                    name: credential.name,
                    role: self.state.role(id),
                    muted: self.state.is_muted(id),
                    leaf: Leaf(member.index.u32()),
                    is_self: member.index == own_leaf,
                    key: credential.key,
                }
            })
            .collect();
    }
}

/// A message of another member, authenticated by MLS as from the leaf `from`.
pub(crate) enum Incoming {
    Application { from: Leaf, bytes: Vec<u8> },
    Commit { from: Leaf, staged: Box<Staged> },
}

/// A commit that is not merged yet.
pub(crate) struct Staged {
    commit: Box<StagedCommit>,
    pub(crate) change: Change,
}

impl Staged {
    /// The branch that it leads to; `None` if it leaves us out.
    pub(crate) fn branch(&self) -> Option<[u8; 32]> {
        self.commit.epoch_authenticator().map(|authenticator| message::branch(authenticator.as_slice()))
    }

    /// Whether it removes our leaf.
    pub(crate) fn removes_us(&self) -> bool {
        self.commit.self_removed()
    }
}

/// What a commit of our own is to do.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub(crate) adds: &'a [&'a Candidate],
    pub(crate) removes: &'a [Leaf],
    pub(crate) state: Option<&'a RoomState>,
    /// With new keys for our leaf and its path, and the name that this identity has.
    pub(crate) renews: Option<&'a Identity>,
}

/// A commit of our own that is not merged yet.
struct Proposed {
    commit: Vec<u8>,
    welcome: Option<Vec<u8>>,
    change: Change,
    /// Whoever merges it holds the proof.
    _permit: Permit,
}

/// A commit of our own, merged, and what the others need to follow.
pub(crate) struct Committed {
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
    pub(crate) summary: Summary,
}

/// What a merged commit changed in the tree.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) removed: Vec<Member>,
    pub(crate) added: Vec<MemberId>,
    pub(crate) removed_self: bool,
}

/// Why an MLS message does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessError {
    /// It is not an MLS PrivateMessage.
    Malformed,
    /// It belongs to another group.
    OtherGroup,
    /// Its epoch is over.
    Stale,
    /// Its epoch has not begun here.
    Future(Epoch),
    /// It came back to its sender.
    Own,
    /// It was altered, replayed, or is from another branch.
    Undecryptable,
    /// It is authentic and not permitted.
    Violation(Option<Leaf>, Violation),
}

/// Why a commit of our own was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitError {
    Violation(Violation),
    Mls(Failure),
}

impl CommitError {
    fn mls(error: impl fmt::Display) -> Self {
        Self::Mls(Failure::of(error))
    }
}

/// An error of the MLS library that this one has no name for, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

fn ciphersuite(key_exchange: KeyExchange) -> Ciphersuite {
    match key_exchange {
        KeyExchange::X25519 => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        KeyExchange::MlKem768X25519 => Ciphersuite::MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
    }
}

const WIRE_FORMAT: WireFormatPolicy = PURE_CIPHERTEXT_WIRE_FORMAT_POLICY;
/// Orders of which one commit is made at most without checking their signatures again.
const MAX_BELIEVED: usize = 16;
/// The component of the safe exporter, in the range for private use.
const COMPONENT: u16 = 0xF50A;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::group::{Name, state::tests::state};

    #[test]
    fn a_key_exchange_and_its_cipher_suite_have_one_number() {
        for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
            assert_eq!(u16::from(ciphersuite(key_exchange)), key_exchange.id());
            assert_eq!(KeyExchange::from_id(key_exchange.id()), Some(key_exchange));
        }
    }

    #[test]
    fn the_secret_of_an_epoch_is_taken_once() {
        let now = UnixTime::from(SystemTime::now());
        let host = Identity::from_seed([1; 32], Name::new("host").unwrap());
        let mut terms = state().terms;
        terms.founder = host.id();
        let state = RoomState::new(terms);
        let mut group =
            Group::create(&host, b"group", &state, KeyExchange::default(), [2; 32], [3; 32], now).unwrap();
        assert!(group.take_epoch_secret().is_ok());
        assert!(group.take_epoch_secret().is_err(), "a seized device could derive the epoch's keys again");
        let ban = Order::new(&host, b"group", MemberId::from_bytes([9; 32]), 1, true);
        let next = state.with_order(ban).unwrap();
        group.commit(&Draft { state: Some(&next), ..Draft::default() }).unwrap();
        assert!(group.take_epoch_secret().is_ok());
        assert_eq!(group.epoch(), Epoch(1));
    }
}
