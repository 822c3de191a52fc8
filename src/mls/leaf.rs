//! What a report needs of the tree: leaf keys, credentials, and the signature of the own leaf (SPEC
//! section 12.2).

use openmls::prelude::LeafNodeIndex;

use super::Group;
use crate::{
    group::{Name, announce::Place},
    id::Leaf,
    keys::speaker::epoch_context,
};

/// The signature key of a leaf, and the credential that vouches for it.
pub(crate) struct LeafKey {
    pub(crate) key: [u8; 32],
    /// The credential as it stands in the tree.
    pub(crate) credential: Vec<u8>,
}

impl Group {
    /// The place where the speaker of `leaf` announces its key in this epoch, in a room of this
    /// name.
    pub(crate) fn place_of<'a>(&'a self, leaf: Leaf, room: &'a Name) -> Place<'a> {
        Place {
            group_id: self.group_id(),
            room,
            epoch: self.epoch(),
            epoch_context: epoch_context(self.group_id(), self.epoch(), self.authenticator()),
            leaf: leaf.0,
        }
    }

    /// The key and the credential of a leaf; `None` if the leaf is blank.
    pub(crate) fn leaf_key_of(&self, leaf: Leaf) -> Option<LeafKey> {
        let member = self.mls.member_at(LeafNodeIndex::new(leaf.0))?;
        let key = member.signature_key.as_slice().try_into().ok()?;
        Some(LeafKey { key, credential: member.credential.serialized_content().to_vec() })
    }

    /// Signs with the own leaf key. `labelled` begins with a label of this library, which no label
    /// of MLS does.
    pub(crate) fn sign_as_leaf(&self, labelled: &[u8]) -> [u8; 64] {
        self.leaf_key.sign(labelled)
    }
}
