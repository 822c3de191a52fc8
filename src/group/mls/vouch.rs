//! What a report needs of the tree: leaf keys, credentials, and our leaf's signature (SPEC section 12.2).

use openmls::prelude::LeafNodeIndex;

use super::Group;
use crate::{group::announce::Place, id::Leaf, keys::speaker::epoch_context};

/// A leaf as the tree has it.
pub(crate) struct LeafKey {
    pub(crate) key: [u8; 32],
    /// The credential of that key, as it stands in the tree.
    pub(crate) credential: Vec<u8>,
}

impl Group {
    /// Where the speaker of `leaf` announces its key in this epoch.
    pub(crate) fn place_of(&self, leaf: Leaf) -> Place<'_> {
        Place {
            group_id: self.id(),
            room: &self.state.terms.name,
            epoch: self.epoch(),
            epoch_context: epoch_context(self.id(), self.epoch(), self.authenticator()),
            leaf: leaf.0,
        }
    }

    /// The key and the credential of a leaf.
    pub(crate) fn leaf_key_of(&self, leaf: Leaf) -> Option<LeafKey> {
        let member = self.mls.member_at(LeafNodeIndex::new(leaf.0))?;
        let key = member.signature_key.as_slice().try_into().ok()?;
        Some(LeafKey { key, credential: member.credential.serialized_content().to_vec() })
    }

    /// Signs with our leaf key. What is signed begins with a label of ours, which no label of MLS does.
    pub(crate) fn sign_as_leaf(&self, labelled: &[u8]) -> [u8; 64] {
        self.leaf_key.sign(labelled)
    }
}
