//! Statements on their way: from the law to messages of a bounded size, and back.

use crate::{
    id::IdentityKey,
    law::{GenuineStatement, LiveSet, Role, Statement, Tag, Word},
    wire::statements::Statements,
};

/// Statements in messages of at most 64 KiB, tables first: what a standing needs comes before it.
pub(super) fn parts(mut statements: Vec<Statement>) -> Vec<Statements> {
    statements.sort_by_key(|statement| matches!(statement, Statement::Standing(_)));
    let mut parts = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for bytes in statements.iter().map(Statement::encode) {
        if size + bytes.len() > MAX_PART && !part.is_empty() {
            parts.extend(Statements::new(std::mem::take(&mut part)));
            size = 0;
        }
        size += bytes.len();
        part.push(bytes);
    }
    if !part.is_empty() {
        parts.extend(Statements::new(part));
    }
    parts
}

/// All of a set, for one sealed message.
pub(super) fn all(set: &LiveSet) -> Statements {
    of(set.statements())
}

/// The statements that put a person out: its own, and the tables that they stand on.
pub(super) fn about(set: &LiveSet, key: &IdentityKey) -> Statements {
    let tag = set.law().tag(key);
    of(set.statements().filter(|statement| match statement {
        GenuineStatement::Table(_) => true,
        GenuineStatement::Standing(standing) => standing.content().about == tag,
    }))
}

/// The standings that put somebody out, for a receipt.
pub(super) fn that_put_out(set: &LiveSet) -> Statements {
    of(set.statements().filter(|statement| match statement {
        GenuineStatement::Table(_) => false,
        GenuineStatement::Standing(standing) => {
            let said = standing.content();
            said.about != Tag::LOCK
                && match said.word {
                    Word::Ban => true,
                    Word::Role(role) => role.role() == Role::Out,
                    Word::Unban => false,
                }
        }
    }))
}

/// The statements of a message that are in the form of the law; others are nothing.
pub(super) fn decode(statements: &Statements) -> Vec<Statement> {
    statements.iter().filter_map(|bytes| Statement::decode(bytes).ok()).collect()
}

fn of<'a>(statements: impl Iterator<Item = &'a GenuineStatement>) -> Statements {
    let entries = statements.map(|statement| statement.statement().encode()).collect();
    Statements::new(entries).unwrap_or_default()
}

const MAX_PART: usize = 64 * 1024;
