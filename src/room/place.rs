//! The order of keepers (SPEC section 7, rule K1).
//!
//! It is a function of the law alone: rank first, then who is admitted by the host's table, then a
//! draw that only the host moves.

use std::cmp::Reverse;

use crate::{
    id::IdentityKey,
    keys::derive::sha256,
    law::{Law, Rank, RoleWord},
};

/// A member's place in the order of keepers: the least comes first (K1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    rank: Reverse<Rank>,
    /// Admitted by standings alone.
    by_standing: bool,
    draw: Reverse<[u8; 32]>,
}

impl Place {
    /// The place without the draw: rank, and whether standings alone admit the member.
    pub(super) fn seniority(self) -> (Reverse<Rank>, bool) {
        (self.rank, self.by_standing)
    }

    pub(super) fn of(law: &Law, key: &IdentityKey) -> Self {
        let tag = law.tag(key);
        let listed = law.rest().entry(&tag).is_some_and(|entry| entry.role != RoleWord::OUT && !entry.banned);
        // A key can be ground once the table is known; what admits it was signed later, and nobody
        // knew it before.
        let word = if listed { None } else { law.role_word(&tag) };
        let (table, signature) = (law.table_id(), word.map(|word| *word.signature()));
        let draw = law.drawn(&tag, (table, signature), || {
            let table = table.map_or([0; 32], |id| id.0);
            let signature: &[u8] = signature.as_ref().map_or(&[], |signature| signature);
            sha256(&[b"sottovoce 2 turn", &table, signature, &tag.0])
        });
        Self { rank: Reverse(law.rank_of(key)), by_standing: !listed, draw: Reverse(draw) }
    }
}
