//! The HPKE keys of leaves, to seal something to one member (`spec/messages.md`, section 2).

use openmls::prelude::LeafNodeIndex;
use openmls_traits::{
    OpenMlsProvider,
    storage::{CURRENT_VERSION, Entity, StorageProvider, traits},
};
use serde::{Deserialize, Serialize};

use super::{Group, SealingKey, SealingSecret};
use crate::{id::Leaf, keys::secret::Secret};

impl Group {
    /// The encryption key of a leaf.
    pub(crate) fn sealing_key_of(&self, leaf: Leaf) -> Option<SealingKey> {
        let member = self.mls.member_at(LeafNodeIndex::new(leaf.0))?;
        SealingKey::from_bytes(self.key_exchange, &member.encryption_key)
    }

    /// The pair of our own leaf in this epoch, wiped when it is dropped.
    pub(crate) fn own_pair(&self) -> Option<SealingSecret> {
        let own = self.mls.own_leaf_index();
        let public = self.mls.member_at(own)?.encryption_key;
        let storage = self.provider.storage();
        let pairs: Vec<Pair> =
            storage.encryption_epoch_key_pairs(self.mls.group_id(), &self.mls.epoch(), own.u32()).ok()?;
        // The others are of the path above; all of them wipe themselves.
        let pair = pairs.into_iter().find(|pair| pair.public == public)?;
        SealingSecret::of_pair(self.key_exchange, pair.private.0, &public)
    }
}

/// A key pair in the form in which openmls stores it.
#[derive(Deserialize, Serialize)]
struct Pair {
    public: Vec<u8>,
    private: Private,
}

/// The private half, wiped on drop.
struct Private(Secret);

impl Entity<CURRENT_VERSION> for Pair {}
impl traits::HpkeKeyPair<CURRENT_VERSION> for Pair {}

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(|bytes| Self(Secret::wrap(bytes)))
    }
}

/// Nothing is stored by this type.
impl Serialize for Private {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("the pair of a leaf is stored by MLS"))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        group::KeyExchange,
        id::Leaf,
        mls::{
            Context, Purpose,
            tests::{Party, draft},
        },
    };

    #[test]
    fn what_is_sealed_to_a_leaf_opens_with_its_pair_alone_in_every_epoch() {
        for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
            let mut party = Party::with(key_exchange, 4);
            // Leaves whose keys came by founding, by a Welcome, and by their own path.
            for by in [None, Some(0), Some(2)] {
                if let Some(by) = by {
                    let context = Some(Context { keeper: [by as u8; 16], law: [1; 32] });
                    party.commit(by, &crate::mls::Draft { context, ..draft() });
                }
                for to in 0..4u32 {
                    let from = (to as usize + 1) % 4;
                    let key = party.groups[from].sealing_key_of(Leaf(to)).unwrap();
                    let sealed = key.seal(Purpose::App, b"hello", b"aad").unwrap();
                    for (at, group) in party.groups.iter().enumerate() {
                        let opened = group.own_pair().unwrap().open(Purpose::App, &sealed, b"aad");
                        assert_eq!(opened.is_some(), at == to as usize, "{key_exchange:?} {by:?} {to} {at}");
                    }
                    let own = party.groups[to as usize].own_pair().unwrap();
                    assert_eq!(own.open(Purpose::App, &sealed, b"other"), None);
                    assert_eq!(own.open(Purpose::Show, &sealed, b"aad"), None);
                }
            }
            assert!(party.groups[0].sealing_key_of(Leaf(9)).is_none());
        }
    }
}
