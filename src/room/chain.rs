//! Following a Chain: from a host and an office that are known to those that came after (SPEC
//! section 7, rules E2 and R7).

use crate::{
    id::IdentityKey,
    law::{GroupId, Office, Statement, statement::Content as _},
    wire::{message::MAX_CHAIN, statements::Statements},
};

/// Follows the hand-overs of a Chain, which come without their rest, from the host and office that
/// are known to those that they lead to.
pub(super) fn follow(
    chain: &mut Vec<(IdentityKey, Office)>,
    anchor: (IdentityKey, Office),
    statements: &Statements,
    group_id: &GroupId,
) {
    let tables = statements.iter().filter_map(|bytes| match Statement::decode(bytes) {
        Ok(Statement::Table(table)) => Some(table),
        _ => None,
    });
    for table in tables.take(MAX_CHAIN) {
        let (host, office) = chain.last().copied().unwrap_or(anchor);
        let said = table.claimed();
        if *said.signer() != host || said.office() != office || !said.is_hand_over() || said.is_closing() {
            continue;
        }
        // One forged table ends it: a Chain that somebody made up costs one check.
        let Ok(genuine) = table.verify(group_id) else { return };
        if chain.len() < MAX_CHAIN {
            chain.push((*genuine.content().host(), Office::from(genuine.id())));
        }
    }
}

/// Whether one of the hand-overs says that the room is closed. Nothing is checked.
pub(super) fn closes(statements: &Statements) -> bool {
    statements.iter().any(|bytes| match Statement::decode(bytes) {
        Ok(Statement::Table(table)) => table.claimed().is_closing(),
        _ => false,
    })
}
