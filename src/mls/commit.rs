//! Commits of our own: made, checked as everybody else will check them, and merged at once or on
//! the keeper's word.

use std::fmt;

use openmls::prelude::{
    Extension, KeyPackage, LeafNodeIndex, LeafNodeParameters, Proposal, UnknownExtension,
};
use openmls_traits::OpenMlsProvider;
use tls_codec::Serialize;

use super::{
    Aad, Candidate, Context, Credential, Failure, Group, LAW_EXTENSION, MAX_LAW, NewLeaf, Occupant,
    Violation, branch, inspect, inspect::Change,
};
use crate::{group::Identity, id::Leaf};

/// What a commit of our own is to do.
#[derive(Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) adds: &'a [&'a Candidate],
    pub(crate) removes: &'a [Leaf],
    /// The new context, if it changes.
    pub(crate) context: Option<Context>,
    /// New keys for our leaf and its path, and the name that this identity has.
    pub(crate) renew: Option<&'a Identity>,
    /// The time that our leaf says once it is renewed, in Unix milliseconds, if it does not say a
    /// later one already.
    pub(crate) made_ms: u64,
    pub(crate) aad: Aad,
    /// What the Welcome brings for newcomers: terms and epoch law, at most 512 KiB.
    pub(crate) law_for_newcomers: &'a [u8],
    /// How many bytes the commit and the Welcome may have, each.
    pub(crate) max_message: usize,
}

impl Draft<'_> {
    /// A draft that changes nothing yet.
    pub(crate) fn new(aad: Aad, max_message: usize) -> Self {
        let (adds, removes, law_for_newcomers) = (&[], &[], &[]);
        Self { adds, removes, context: None, renew: None, made_ms: 0, aad, law_for_newcomers, max_message }
    }
}

/// A commit of our own, merged, and what the others need to follow.
pub(crate) struct Committed {
    pub(crate) commit: Vec<u8>,
    /// One Welcome for all who were added.
    pub(crate) welcome: Option<Vec<u8>>,
    pub(crate) summary: Summary,
}

/// What a merged commit changed in the tree.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) removed: Vec<Occupant>,
    pub(crate) added: Vec<NewLeaf>,
    /// Our own leaf was removed, and the group is of no use any more.
    pub(crate) removed_self: bool,
}

/// A commit of our own that is not merged yet.
struct Proposed {
    commit: Vec<u8>,
    welcome: Option<Vec<u8>>,
    change: Change,
}

impl Group {
    /// Makes a commit and merges it.
    ///
    /// The commit has an update path only if it removes somebody, renews our leaf, or does nothing
    /// else.
    ///
    /// # Errors
    /// See [`CommitError`]. The group is in the epoch that it was in, and another commit can be
    /// made.
    pub(crate) fn commit(&mut self, draft: &Draft<'_>) -> Result<Committed, CommitError> {
        let Proposed { commit, welcome, change } = self.propose(draft)?;
        self.mls.merge_pending_commit(&self.provider).map_err(CommitError::mls)?;
        let summary = self.settle(change);
        Ok(Committed { commit, welcome, summary })
    }

    /// Makes a commit that waits for the keeper's word. It takes the place of one that waits
    /// already.
    ///
    /// # Errors
    /// See [`CommitError`]. No commit waits then.
    pub(crate) fn prepare(&mut self, draft: &Draft<'_>) -> Result<Vec<u8>, CommitError> {
        let Proposed { commit, change, .. } = self.propose(draft)?;
        self.pending = Some(change);
        Ok(commit)
    }

    /// The branch that our waiting commit leads to.
    pub(crate) fn prepared_branch(&self) -> Option<[u8; 32]> {
        self.pending.as_ref()?;
        let authenticator = self.mls.pending_commit()?.epoch_authenticator()?;
        Some(branch(authenticator.as_slice()))
    }

    /// Merges our waiting commit.
    pub(crate) fn merge_prepared(&mut self) -> Result<Summary, Failure> {
        let change = self.pending.take().ok_or_else(|| Failure::of("no commit waits"))?;
        self.mls.merge_pending_commit(&self.provider).map_err(Failure::of)?;
        Ok(self.settle(change))
    }

    /// Makes a commit of our own and checks it, without merging it. On an error none is pending.
    fn propose(&mut self, draft: &Draft<'_>) -> Result<Proposed, CommitError> {
        if draft.law_for_newcomers.len() > MAX_LAW {
            return Err(CommitError::TooLarge);
        }
        self.discard()?;
        let proposed = self.build(draft);
        if proposed.is_err() {
            self.discard()?;
        }
        proposed
    }

    /// Drops a commit that is not merged, and the authenticated data of one that was not made.
    fn discard(&mut self) -> Result<(), CommitError> {
        self.pending = None;
        self.mls.set_aad(Vec::new());
        self.mls.clear_pending_commit(self.provider.storage()).map_err(CommitError::mls)
    }

    fn build(&mut self, draft: &Draft<'_>) -> Result<Proposed, CommitError> {
        let own_leaf = self.own_leaf();
        let renewed = draft.renew.map(|identity| self.renewed(identity, draft.made_ms)).transpose()?;
        let key_packages: Vec<KeyPackage> =
            draft.adds.iter().map(|candidate| candidate.key_package.clone()).collect();
        self.mls.set_aad(draft.aad.encode());
        let mut builder = self
            .mls
            .commit_builder()
            .propose_adds(key_packages)
            .propose_removals(draft.removes.iter().map(|leaf| LeafNodeIndex::new(leaf.0)));
        if let Some(parameters) = renewed {
            builder = builder.force_self_update(true).leaf_node_parameters(parameters);
        }
        if let Some(context) = &draft.context {
            let update = Proposal::AppDataUpdate(Box::new(inspect::write_update(context)));
            builder = builder.add_proposals([update]);
        }
        let mut builder = builder.load_psks(self.provider.storage()).map_err(CommitError::mls)?;
        if let Some(context) = &draft.context {
            let mut updater = builder.app_data_dictionary_updater();
            updater.set(inspect::write_entry(context));
            let changes = updater.changes();
            builder.with_app_data_dictionary_updates(changes);
        }
        if !draft.adds.is_empty() {
            let law = UnknownExtension(draft.law_for_newcomers.to_vec());
            builder = builder
                .create_group_info_with_extensions([Extension::Unknown(LAW_EXTENSION, law)])
                .map_err(CommitError::mls)?;
        }
        // The bundle has the GroupInfo in the clear too. It brings the law for newcomers, and stays
        // here.
        let bundle = builder
            .build(self.provider.rand(), self.provider.crypto(), &self.leaf_key, |_| true)
            .map_err(CommitError::mls)?
            .stage_commit(&self.provider)
            .map_err(CommitError::mls)?;
        let commit = bundle.commit().tls_serialize_detached().map_err(CommitError::mls)?;
        let welcome = match bundle.to_welcome_msg() {
            Some(welcome) => Some(welcome.tls_serialize_detached().map_err(CommitError::mls)?),
            None => None,
        };
        if commit.len().max(welcome.as_ref().map_or(0, Vec::len)) > draft.max_message {
            return Err(CommitError::TooLarge);
        }
        let pending = self.mls.pending_commit().ok_or_else(|| CommitError::mls("no commit is pending"))?;
        let change = inspect::change(pending, own_leaf, &self.group_id).map_err(CommitError::Violation)?;
        self.check_tree(own_leaf, &change).map_err(CommitError::Violation)?;
        Ok(Proposed { commit, welcome, change })
    }

    /// Our leaf with the name that this identity has now, and a time that is not before the one
    /// that it says already.
    fn renewed(&self, identity: &Identity, made_ms: u64) -> Result<LeafNodeParameters, CommitError> {
        let own = self.occupant_at(self.own_leaf()).ok_or_else(|| CommitError::mls("our leaf is blank"))?;
        let made_ms = own.made_ms.max(made_ms);
        let credential = Credential::issue(identity, &self.group_id, self.leaf_key.public(), made_ms);
        let credential = inspect::credential_with_key(&credential, &self.leaf_key);
        Ok(LeafNodeParameters::builder().with_credential_with_key(credential).build())
    }
}

/// Why a commit of our own was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitError {
    /// The commit or the Welcome would be longer than a message may be. With fewer adds it may fit.
    TooLarge,
    /// The commit would not be in the form of a room.
    Violation(Violation),
    /// MLS refuses the commit.
    Mls(Failure),
}

impl CommitError {
    fn mls(error: impl fmt::Display) -> Self {
        Self::Mls(Failure::of(error))
    }
}
