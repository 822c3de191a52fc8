//! What openmls asks back while a room lives, and nothing else (SPEC section 9).
//!
//! openmls writes the whole group out at every step, so that it can be loaded again. A room is
//! never loaded: after a restart it comes in anew. So what only loading reads is not written at
//! all, and the epoch's secrets are in one place. Private keys of KeyPackages and of our path are
//! read back in every epoch: they are kept, and wiped when they are dropped.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use openmls_traits::storage::{CURRENT_VERSION as V, Entity, Key, StorageProvider, traits};
use postcard::{Error, experimental::serialized_size, from_bytes, to_extend, to_slice};

use crate::keys::secret::Secret;

#[derive(Default)]
pub(super) struct Storage(Mutex<HashMap<Vec<u8>, Secret>>);

/// Kinds of what is kept.
const KEY_PACKAGE: u8 = 0;
const KEY_PAIR: u8 = 1;
pub(super) const EPOCH_KEY_PAIRS: u8 = 2;

impl Storage {
    fn keep(&self, name: Vec<u8>, values: &[impl Entity<V>]) -> Result<(), Error> {
        let values = written(values)?;
        self.kept().insert(name, values);
        Ok(())
    }

    fn find<T: Entity<V>>(&self, name: &[u8]) -> Result<Vec<T>, Error> {
        self.kept().get(name).map_or(Ok(Vec::new()), |values| from_bytes(values.bytes()))
    }

    fn drop(&self, name: &[u8]) {
        self.kept().remove(name);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Secret>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What something is kept under.
fn name(kind: u8, key: &impl Key<V>) -> Result<Vec<u8>, Error> {
    to_extend(key, vec![kind])
}

fn name_of_epoch(
    group_id: &impl traits::GroupId<V>,
    epoch: &impl traits::EpochKey<V>,
    leaf: u32,
) -> Result<Vec<u8>, Error> {
    let mut name = to_extend(epoch, name(EPOCH_KEY_PAIRS, group_id)?)?;
    name.extend(leaf.to_be_bytes());
    Ok(name)
}

/// Counted before it is written: memory that grows leaves copies behind.
fn written(values: &[impl Entity<V>]) -> Result<Secret, Error> {
    let mut outcome = Ok(());
    let secret = Secret::filled(serialized_size(values)?, |out| outcome = to_slice(values, out).map(drop));
    outcome.map(|()| secret)
}

/// Parts of a group, which the group has in memory.
macro_rules! parts {
    ($($part:ident: $write:ident, $read:ident, $delete:ident;)*) => {
        $(
            fn $write<G: traits::GroupId<V>, T: traits::$part<V>>(&self, _: &G, _: &T) -> Result<(), Error> {
                Ok(())
            }

            fn $read<G: traits::GroupId<V>, T: traits::$part<V>>(&self, _: &G) -> Result<Option<T>, Error> {
                Ok(None)
            }

            fn $delete<G: traits::GroupId<V>>(&self, _: &G) -> Result<(), Error> {
                Ok(())
            }
        )*
    };
}

impl StorageProvider<V> for Storage {
    type Error = Error;

    parts! {
        MlsGroupJoinConfig: write_mls_join_config, mls_group_join_config, delete_group_config;
        TreeSync: write_tree, tree, delete_tree;
        InterimTranscriptHash:
            write_interim_transcript_hash, interim_transcript_hash, delete_interim_transcript_hash;
        GroupContext: write_context, group_context, delete_context;
        ConfirmationTag: write_confirmation_tag, confirmation_tag, delete_confirmation_tag;
        MessageSecrets: write_message_secrets, message_secrets, delete_message_secrets;
        ResumptionPskStore:
            write_resumption_psk_store, resumption_psk_store, delete_all_resumption_psk_secrets;
        LeafNodeIndex: write_own_leaf_index, own_leaf_index, delete_own_leaf_index;
        GroupEpochSecrets: write_group_epoch_secrets, group_epoch_secrets, delete_group_epoch_secrets;
    }

    fn write_group_state<T: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        _: &G,
        _: &T,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn group_state<T: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, Error> {
        Ok(None)
    }

    fn delete_group_state<G: traits::GroupId<V>>(&self, _: &G) -> Result<(), Error> {
        Ok(())
    }

    fn write_application_export_tree<G: traits::GroupId<V>, T: traits::ApplicationExportTree<V>>(
        &self,
        _: &G,
        _: &T,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn application_export_tree<G: traits::GroupId<V>, T: traits::ApplicationExportTree<V>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, Error> {
        Ok(None)
    }

    fn delete_application_export_tree<G: traits::GroupId<V>, T: traits::ApplicationExportTree<V>>(
        &self,
        _: &G,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, T: traits::LeafNode<V>>(
        &self,
        _: &G,
        _: &T,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, T: traits::LeafNode<V>>(&self, _: &G) -> Result<Vec<T>, Error> {
        Ok(Vec::new())
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, _: &G) -> Result<(), Error> {
        Ok(())
    }

    // Proposals outside commits are refused (SPEC section 7.4), so none is ever queued.

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, T: traits::QueuedProposal<V>>(
        &self,
        _: &G,
        _: &R,
        _: &T,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        _: &G,
    ) -> Result<Vec<R>, Error> {
        Ok(Vec::new())
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, T: traits::QueuedProposal<V>>(
        &self,
        _: &G,
    ) -> Result<Vec<(R, T)>, Error> {
        Ok(Vec::new())
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        _: &G,
        _: &R,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        _: &G,
    ) -> Result<(), Error> {
        Ok(())
    }

    // The room signs with a key of its own, and has no pre-shared keys.

    fn write_signature_key_pair<K: traits::SignaturePublicKey<V>, T: traits::SignatureKeyPair<V>>(
        &self,
        _: &K,
        _: &T,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn signature_key_pair<K: traits::SignaturePublicKey<V>, T: traits::SignatureKeyPair<V>>(
        &self,
        _: &K,
    ) -> Result<Option<T>, Error> {
        Ok(None)
    }

    fn delete_signature_key_pair<K: traits::SignaturePublicKey<V>>(&self, _: &K) -> Result<(), Error> {
        Ok(())
    }

    fn write_psk<K: traits::PskId<V>, T: traits::PskBundle<V>>(&self, _: &K, _: &T) -> Result<(), Error> {
        Ok(())
    }

    fn psk<T: traits::PskBundle<V>, K: traits::PskId<V>>(&self, _: &K) -> Result<Option<T>, Error> {
        Ok(None)
    }

    fn delete_psk<K: traits::PskId<V>>(&self, _: &K) -> Result<(), Error> {
        Ok(())
    }

    // What is kept.

    fn write_key_package<K: traits::HashReference<V>, T: traits::KeyPackage<V>>(
        &self,
        reference: &K,
        key_package: &T,
    ) -> Result<(), Error> {
        self.keep(name(KEY_PACKAGE, reference)?, std::slice::from_ref(key_package))
    }

    fn key_package<K: traits::HashReference<V>, T: traits::KeyPackage<V>>(
        &self,
        reference: &K,
    ) -> Result<Option<T>, Error> {
        Ok(self.find(&name(KEY_PACKAGE, reference)?)?.pop())
    }

    fn delete_key_package<K: traits::HashReference<V>>(&self, reference: &K) -> Result<(), Error> {
        self.drop(&name(KEY_PACKAGE, reference)?);
        Ok(())
    }

    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, T: traits::HpkeKeyPair<V>>(
        &self,
        public: &K,
        pair: &T,
    ) -> Result<(), Error> {
        self.keep(name(KEY_PAIR, public)?, std::slice::from_ref(pair))
    }

    fn encryption_key_pair<T: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(
        &self,
        public: &K,
    ) -> Result<Option<T>, Error> {
        Ok(self.find(&name(KEY_PAIR, public)?)?.pop())
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(&self, public: &K) -> Result<(), Error> {
        self.drop(&name(KEY_PAIR, public)?);
        Ok(())
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        E: traits::EpochKey<V>,
        T: traits::HpkeKeyPair<V>,
    >(
        &self,
        group_id: &G,
        epoch: &E,
        leaf: u32,
        pairs: &[T],
    ) -> Result<(), Error> {
        self.keep(name_of_epoch(group_id, epoch, leaf)?, pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        E: traits::EpochKey<V>,
        T: traits::HpkeKeyPair<V>,
    >(
        &self,
        group_id: &G,
        epoch: &E,
        leaf: u32,
    ) -> Result<Vec<T>, Error> {
        self.find(&name_of_epoch(group_id, epoch, leaf)?)
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, E: traits::EpochKey<V>>(
        &self,
        group_id: &G,
        epoch: &E,
        leaf: u32,
    ) -> Result<(), Error> {
        self.drop(&name_of_epoch(group_id, epoch, leaf)?);
        Ok(())
    }
}
#[cfg(test)]
impl Storage {
    /// The names of all that is kept, ascending.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        let mut names: Vec<_> = self.kept().keys().cloned().collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_before_it_is_written() {
        let storage = Storage::default();
        let values = [vec![1u8, 2, 3], Vec::new()];
        storage.keep(vec![KEY_PAIR], &values).unwrap();
        assert_eq!(storage.kept()[&vec![KEY_PAIR]].bytes(), b"\x02\x03\x01\x02\x03\0");
        assert_eq!(storage.find::<Vec<u8>>(&[KEY_PAIR]).unwrap(), values);
        storage.drop(&[KEY_PAIR]);
        assert!(storage.find::<Vec<u8>>(&[KEY_PAIR]).unwrap().is_empty());
    }
}
