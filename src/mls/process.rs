//! Messages of others: application messages, and commits that are staged before anything of them
//! counts.

use std::cmp::Ordering;

use openmls::prelude::{
    MlsMessageBodyIn, MlsMessageIn, ProcessMessageError, ProcessedMessageContent, ProtocolMessage, Sender,
    StageCommitError, StagedCommit,
};
use openmls_traits::OpenMlsProvider;
use tls_codec::DeserializeBytes;

use super::{
    Aad, Context, Failure, Group, NewLeaf, Path, Summary, Violation, branch, inspect, inspect::Change,
};
use crate::id::{Epoch, Leaf};

/// A message of another member, authenticated by MLS as from the leaf `from`.
pub(crate) enum Incoming {
    Application { from: Leaf, bytes: Vec<u8> },
    Commit { staged: Box<Staged> },
}

/// A commit in the form of a room that is not merged yet.
pub(crate) struct Staged {
    pub(crate) by: Leaf,
    pub(crate) adds: Vec<NewLeaf>,
    /// Ascending.
    pub(crate) removes: Vec<Leaf>,
    /// The committer's new leaf, if the commit has an update path.
    pub(crate) path: Option<Path>,
    /// The context after the commit.
    pub(crate) context: Context,
    pub(crate) aad: Aad,
    /// The epoch that the commit ends.
    epoch: Epoch,
    commit: Box<StagedCommit>,
}

impl Staged {
    /// Whether the commit removes our leaf.
    #[cfg(test)]
    pub(crate) fn removes_us(&self) -> bool {
        self.commit.self_removed()
    }

    /// The branch that the commit leads to; `None` if the commit removes us.
    pub(crate) fn branch(&self) -> Option<[u8; 32]> {
        self.commit.epoch_authenticator().map(|authenticator| branch(authenticator.as_slice()))
    }
}

impl Group {
    /// The epoch that a message says it is of.
    pub(crate) fn epoch_of(bytes: &[u8]) -> Option<Epoch> {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok()?;
        let MlsMessageBodyIn::PrivateMessage(message) = message.extract() else { return None };
        Some(Epoch(ProtocolMessage::from(message).epoch().as_u64()))
    }

    /// Takes an MLS message. A commit is staged, to be judged and then merged or dropped.
    pub(crate) fn process(&mut self, bytes: &[u8]) -> Result<Incoming, ProcessError> {
        let message =
            MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| ProcessError::Malformed)?;
        let message = match message.extract() {
            MlsMessageBodyIn::PrivateMessage(message) => ProtocolMessage::from(message),
            MlsMessageBodyIn::PublicMessage(message) => {
                let external = ProtocolMessage::from(message).is_external();
                let refused = ProcessError::Violation(None, Violation::External);
                return Err(if external { refused } else { ProcessError::Malformed });
            }
            _ => return Err(ProcessError::Malformed),
        };
        if message.group_id() != self.mls.group_id() {
            return Err(ProcessError::OtherGroup);
        }
        let epoch = message.epoch().as_u64();
        match epoch.cmp(&self.epoch().0) {
            Ordering::Less => return Err(ProcessError::Stale),
            Ordering::Greater => return Err(ProcessError::Future(Epoch(epoch))),
            Ordering::Equal => {}
        }
        self.provider.crypto().forget_signer();
        let processed = self.mls.process_message(&self.provider, message).map_err(|error| match error {
            // openmls checks the signature of a commit before anything else in it.
            ProcessMessageError::InvalidCommit(error) => broken(self.signer(), &error),
            _ => ProcessError::Undecryptable,
        })?;
        let Sender::Member(from) = processed.sender() else {
            return Err(ProcessError::Violation(None, Violation::External));
        };
        let from = Leaf(from.u32());
        let aad = processed.aad().to_vec();
        let refuse = |violation| ProcessError::Violation(Some(from), violation);
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(_) if !aad.is_empty() => {
                Err(refuse(Violation::MalformedAad))
            }
            ProcessedMessageContent::ApplicationMessage(message) => {
                Ok(Incoming::Application { from, bytes: message.into_bytes() })
            }
            ProcessedMessageContent::StagedCommitMessage(commit) => self.read_commit(from, commit, &aad),
            ProcessedMessageContent::UnresolvedAppDataCommit(unresolved) => {
                let entry = inspect::one_update(unresolved.app_data_update_proposals()).map_err(refuse)?;
                let mut updater = self.mls.app_data_dictionary_updater();
                updater.set(entry);
                let changes = updater.changes();
                let commit = self
                    .mls
                    .stage_app_data_commit(&self.provider, *unresolved, changes)
                    .map_err(|error| broken(Some(from), &error))?;
                self.read_commit(from, Box::new(commit), &aad)
            }
            ProcessedMessageContent::OwnPendingCommit | ProcessedMessageContent::OwnPrivateMessage => {
                Err(ProcessError::Own)
            }
            ProcessedMessageContent::ProposalMessage(_)
            | ProcessedMessageContent::ExternalJoinProposalMessage(_) => {
                Err(refuse(Violation::ForeignProposal))
            }
        }
    }

    /// Checks the form of a commit that MLS could stage.
    fn read_commit(&self, by: Leaf, commit: Box<StagedCommit>, aad: &[u8]) -> Result<Incoming, ProcessError> {
        let refuse = |violation| ProcessError::Violation(Some(by), violation);
        let aad = Aad::decode(aad).map_err(|_| refuse(Violation::MalformedAad))?;
        let change = inspect::change(&commit, by, &self.group_id).map_err(refuse)?;
        self.check_tree(by, &change).map_err(refuse)?;
        let Change { adds, removes, path, context } = change;
        let path = path.map(|(credential, _)| credential.into());
        let epoch = self.epoch();
        let staged = Staged { by, adds, removes, path, context, aad, epoch, commit };
        Ok(Incoming::Commit { staged: Box::new(staged) })
    }

    /// Merges a commit of this epoch. If it removes us, the group is of no use afterwards.
    ///
    /// # Errors
    /// [`Failure`] if the commit was staged in another epoch.
    pub(crate) fn merge(&mut self, staged: Staged) -> Result<Summary, Failure> {
        let Staged { adds, removes, context, epoch, commit, .. } = staged;
        if epoch != self.epoch() {
            return Err(Failure::of("the commit was staged in another epoch"));
        }
        let removed_self = commit.self_removed();
        self.mls.merge_staged_commit(&self.provider, *commit).map_err(Failure::of)?;
        if removed_self {
            let removed = removes.iter().filter_map(|leaf| self.occupant_at(*leaf).cloned()).collect();
            return Ok(Summary { removed, added: adds, removed_self });
        }
        Ok(self.settle(Change { adds, removes, path: None, context }))
    }

    /// The leaf whose signature was the first to hold since the message was taken.
    fn signer(&self) -> Option<Leaf> {
        let signer = self.provider.crypto().signer()?;
        let by = self.mls.members().find(|member| member.signature_key == signer)?;
        Some(Leaf(by.index.u32()))
    }
}

/// The answer to a commit that MLS cannot process.
///
/// The signature covers all but the confirmation tag. Every member could have replaced the tag, so
/// nobody is blamed for a false one.
fn broken(by: Option<Leaf>, error: &StageCommitError) -> ProcessError {
    let by = match error {
        StageCommitError::ConfirmationTagMismatch | StageCommitError::ConfirmationTagMissing => None,
        _ => by,
    };
    ProcessError::Violation(by, Violation::BrokenCommit)
}

/// Why an MLS message does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessError {
    /// The bytes are not an MLS PrivateMessage.
    Malformed,
    /// The message belongs to another group.
    OtherGroup,
    /// The epoch of the message is over.
    Stale,
    /// The epoch of the message has not begun here.
    Future(Epoch),
    /// Our own message came back.
    Own,
    /// The message was altered, replayed, or is from another branch.
    Undecryptable,
    /// The message is authentic, and not in the form of a room. It is from this leaf, if that is
    /// known for certain.
    Violation(Option<Leaf>, Violation),
}
