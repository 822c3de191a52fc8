//! The MLS group of a room (RFC 9420, SPEC section 14). Only this directory names openmls, and none
//! of its types leave it.
//!
//! ```text
//! bytes > process > Incoming::Commit { Staged } > the law judges > merge > epoch secret
//! Draft > commit > bytes for the others, and the new epoch
//! Applicant > KeyPackage > Candidate > Welcome > open > Entry > the law judges > enter
//! ```
//!
//! What passes here is in the form of a room: authentic, of known kinds, every credential verified,
//! no identity twice. Rights are for the law, which sees each change before it is merged.

mod commit;
mod context;
mod credential;
#[cfg(test)]
pub(crate) mod forge;
mod hpke;
mod inspect;
mod join;
mod leaf;
mod leaf_pair;
pub(crate) mod moderation;
mod process;
mod provider;
mod storage;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod vectors;
mod violation;

use std::{collections::BTreeSet, fmt};

use openmls::prelude::{
    Ciphersuite, GroupId, MlsGroup, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, WireFormatPolicy,
};
use openmls_traits::OpenMlsProvider;
use rand::CryptoRng;

#[cfg(test)]
pub(crate) use commit::Committed;
pub(crate) use commit::{CommitError, Draft, Summary};
pub(crate) use context::{Aad, Context};
pub(crate) use credential::Credential;
pub(crate) use hpke::{Purpose, Sealed, SealingKey, SealingSecret};
pub(crate) use join::{Applicant, Candidate, Entry, EntryError};
pub(crate) use leaf::LeafKey;
pub(crate) use process::{Incoming, ProcessError, Staged};
pub(crate) use violation::Violation;

use crate::{
    Seed,
    group::{Identity, KeyExchange, Name, signing::SigningKey},
    id::{Epoch, IdentityKey, Leaf, MemberId},
    keys::{EpochSecret, derive::sha256},
};
use inspect::Change;
use provider::Provider;

/// One member's view of the group: the tree, the context, and the secrets of the current epoch.
pub(crate) struct Group {
    mls: MlsGroup,
    provider: Provider,
    leaf_key: SigningKey,
    key_exchange: KeyExchange,
    group_id: [u8; 32],
    context: Context,
    /// The leaves of the tree, ascending.
    roster: Vec<Occupant>,
    /// The changes of the own commit that waits for the keeper's word.
    pending: Option<Change>,
}

/// A leaf of the tree that is not blank, and the identity behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occupant {
    pub(crate) leaf: Leaf,
    pub(crate) key: IdentityKey,
    pub(crate) id: MemberId,
    pub(crate) name: Name,
    /// When the leaf was made, in milliseconds since 1970, as its credential says.
    pub(crate) made_ms: u64,
    pub(crate) is_self: bool,
    /// The signature key of the leaf.
    pub(crate) leaf_key: [u8; 32],
}

/// A leaf that a commit adds. The number of the leaf is known once the commit is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewLeaf {
    pub(crate) key: IdentityKey,
    pub(crate) id: MemberId,
    pub(crate) name: Name,
    /// The time that the KeyPackage says, in milliseconds since 1970.
    pub(crate) made_ms: u64,
}

/// The new leaf of a committer whose commit has an update path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) made_ms: u64,
    pub(crate) name: Name,
}

impl Group {
    /// Founds a branch of the room: a group of one, under an MLS group id that nobody had before.
    ///
    /// `made_ms` is the time that the own leaf says, in milliseconds since 1970.
    pub(crate) fn found(
        identity: &Identity,
        group_id: &[u8; 32],
        key_exchange: KeyExchange,
        context: Context,
        made_ms: u64,
        generator: &mut impl CryptoRng,
    ) -> Result<Self, Failure> {
        let suite = ciphersuite(key_exchange);
        let leaf_key = SigningKey::from_seed(Seed::drawn(generator));
        let provider = Provider::new(Seed::drawn(generator));
        let mut branch = [0; 16];
        generator.fill_bytes(&mut branch);
        let credential = Credential::issue(identity, group_id, leaf_key.public(), made_ms);
        let mls = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(&[&group_id[..], &branch].concat()))
            .ciphersuite(suite)
            .with_wire_format_policy(WIRE_FORMAT)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .number_of_resumption_psks(0)
            .with_capabilities(inspect::capabilities(suite))
            .with_group_context_extensions(inspect::write_context(&context)?)
            .lifetime(inspect::lifetime(made_ms))
            .build(&provider, &leaf_key, inspect::credential_with_key(&credential, &leaf_key))
            .map_err(Failure::of)?;
        let group_id = *group_id;
        let (roster, pending) = (Vec::new(), None);
        let mut group = Self { mls, provider, leaf_key, key_exchange, group_id, context, roster, pending };
        group.read_roster();
        Ok(group)
    }

    /// The id of the room.
    /// Mixes entropy into what the group draws its secrets from.
    pub(crate) fn stir(&self, entropy: &[u8]) {
        self.provider.stir(entropy);
    }

    /// The room.
    pub(crate) fn group_id(&self) -> &[u8; 32] {
        &self.group_id
    }

    /// The group id in MLS: that of the room, then 16 bytes that whoever founded the branch drew.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn mls_id(&self) -> &[u8] {
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

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The leaves of the tree, ascending.
    pub(crate) fn roster(&self) -> &[Occupant] {
        &self.roster
    }

    pub(crate) fn occupant_at(&self, leaf: Leaf) -> Option<&Occupant> {
        let at = self.roster.binary_search_by_key(&leaf, |occupant| occupant.leaf).ok()?;
        self.roster.get(at)
    }

    pub(crate) fn occupant(&self, id: MemberId) -> Option<&Occupant> {
        self.roster.iter().find(|occupant| occupant.id == id)
    }

    /// Equal at two members only if they are in the same epoch of the same branch (RFC 9420 section
    /// 8.7).
    pub(crate) fn authenticator(&self) -> &[u8] {
        self.mls.epoch_authenticator().as_slice()
    }

    /// The public name of this epoch in this branch, which gives nothing of the authenticator away.
    pub(crate) fn branch(&self) -> [u8; 32] {
        branch(self.authenticator())
    }

    /// Takes the epoch's secret, which can be taken once: the exporter's node is punctured.
    pub(crate) fn take_epoch_secret(&mut self) -> Result<EpochSecret, Failure> {
        let storage = self.provider.storage();
        let secret = self
            .mls
            .safe_export_secret(self.provider.crypto(), storage, SECRET_COMPONENT)
            .map(EpochSecret::new);
        secret.map_err(Failure::of)?.map_err(Failure::of)
    }

    /// An MLS application message to everybody in this epoch.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        use tls_codec::Serialize;
        let message = self.mls.create_message(&self.provider, &self.leaf_key, bytes).map_err(Failure::of)?;
        message.tls_serialize_detached().map_err(Failure::of)
    }

    /// Checks the changes of a commit against the tree of this epoch.
    fn check_tree(&self, by: Leaf, change: &Change) -> Result<(), Violation> {
        let removes: BTreeSet<Leaf> = change.removes.iter().copied().collect();
        if removes.iter().any(|leaf| self.occupant_at(*leaf).is_none()) {
            return Err(Violation::UnknownLeaf);
        }
        let stays = self.roster.iter().filter(|occupant| !removes.contains(&occupant.leaf));
        let after: Vec<_> =
            stays.map(|occupant| occupant.key).chain(change.adds.iter().map(|leaf| leaf.key)).collect();
        if after.len() > self.key_exchange().max_members() {
            return Err(Violation::TooMany);
        }
        if has_duplicate(after) {
            return Err(Violation::Duplicate);
        }
        let Some((path, leaf_key)) = &change.path else { return Ok(()) };
        let before = self.occupant_at(by).ok_or(Violation::UnknownLeaf)?;
        if path.key != before.key {
            Err(Violation::OtherIdentity)
        } else if *leaf_key != before.leaf_key {
            Err(Violation::OtherLeafKey)
        } else if path.made_ms < before.made_ms {
            Err(Violation::Backdated)
        } else {
            Ok(())
        }
    }

    /// Reads the new epoch after a merge, and says what is different.
    fn settle(&mut self, change: Change) -> Summary {
        let removed = change.removes.iter().filter_map(|leaf| self.occupant_at(*leaf).cloned()).collect();
        self.context = change.context;
        self.pending = None;
        self.read_roster();
        Summary { removed, added: change.adds, removed_self: false }
    }

    fn read_roster(&mut self) {
        let own_leaf = self.mls.own_leaf_index();
        self.roster = self
            .mls
            .members()
            .filter_map(|member| {
                // Every leaf was verified before it was merged, so none is left out here.
                let credential = Credential::decode(member.credential.serialized_content()).ok()?;
                let leaf_key = member.signature_key.as_slice().try_into().ok()?;
                let is_self = member.index == own_leaf;
                Some(Occupant::new(Leaf(member.index.u32()), credential, leaf_key, is_self))
            })
            .collect();
    }
}

impl Occupant {
    fn new(leaf: Leaf, credential: Credential, leaf_key: [u8; 32], is_self: bool) -> Self {
        let id = credential.id();
        let Credential { key, name, made_ms, .. } = credential;
        Self { leaf, key, id, name, made_ms, is_self, leaf_key }
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

fn ciphersuite(key_exchange: KeyExchange) -> Ciphersuite {
    match key_exchange {
        KeyExchange::X25519 => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        KeyExchange::MlKem768X25519 => Ciphersuite::MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
    }
}

/// The public name of an epoch with this authenticator.
fn branch(authenticator: &[u8]) -> [u8; 32] {
    sha256(&[b"sottovoce 2 branch", authenticator])
}

fn has_duplicate(keys: impl IntoIterator<Item = IdentityKey>) -> bool {
    let mut seen = BTreeSet::new();
    !keys.into_iter().all(|key| seen.insert(key))
}

/// How many bytes the law for newcomers in a Welcome has at most.
pub(crate) const MAX_LAW: usize = 1_536 * 1024;
const WIRE_FORMAT: WireFormatPolicy = PURE_CIPHERTEXT_WIRE_FORMAT_POLICY;
/// The component of the safe exporter, in the range for private use.
const SECRET_COMPONENT: u16 = 0xF50A;
/// The GroupInfo extension with the law for newcomers, in the range for private use.
const LAW_EXTENSION: u16 = 0xF50C;
