//! Whether the tree has a place for whoever knocks (SPEC section 7, rule D3, 10).

use crate::{
    group::KeyExchange,
    mls::{Candidate, Occupant},
    wire::answer::RefuseReason,
};

/// Whether the KeyPackage is in the tree already: another door let it in, and its Welcome is on the
/// way. It is not answered, for a refusal could end the room for a newcomer whose Welcome was lost.
pub(super) fn is_taken_by(tree: &[Occupant], candidate: &Candidate) -> bool {
    tree.iter().any(|leaf| leaf.key == candidate.key && leaf.made_ms == candidate.made_ms)
}

/// Whether a commit could add the KeyPackage: it takes the place of an older leaf of its identity,
/// or a free one.
pub(super) fn check(
    tree: &[Occupant],
    candidate: &Candidate,
    key_exchange: KeyExchange,
) -> Result<(), RefuseReason> {
    match tree.iter().find(|leaf| leaf.key == candidate.key) {
        Some(leaf) if leaf.made_ms > candidate.made_ms => Err(RefuseReason::Present),
        None if tree.len() >= key_exchange.max_members() => Err(RefuseReason::Full),
        _ => Ok(()),
    }
}
