//! The law of a room: whatever gives or takes a right, as a pure function of signed statements
//! (`spec/law.md`).
//!
//! ```text
//! bytes > Signed<T>: form checked > Genuine<T>: signature checked, once
//!                                        |
//! LiveSet::union(statements, Pins) > LiveSet > Law: host, moderators, roles, bans, invites, lock
//!                                        ^
//! acts::sign(Act, Identity, Store) > new statements > Store::merge
//! ```
//!
//! `statement`, `table` and `standing` hold the bytes, `function` and `offices` the function, `set`
//! the canonical set that the law hash covers, `store` and `checks` what one member keeps, `acts`
//! and `draft` what an honest person of rank signs. Nothing here reads a clock, draws randomness or
//! sends: these are arguments and results.
//!
//! Five rules are not the obvious ones:
//!
//! - Of one issuer the standings about the 256 least tags of each register count, not "Bans first".
//!   An order that looks at the word lets an Unban push itself out of the bound and wake the Ban
//!   that it took back; an order by tag alone gives the same set whatever was merged first.
//! - A chain has at most 1,024 hand-overs, so that two hosts who hand an office to and fro cannot
//!   grow what every member keeps. The last host can still close the room.
//! - A hand-over without its rest counts if something that counts follows it, and only then.
//! - The terms name the role that a door gives where neither invite nor user names one.
//! - The all-zero key is refused as founder and as moderator: as a host key it closes the room.

mod act;
pub(crate) mod acts;
pub(crate) mod answers;
#[cfg(test)]
mod behaviour;
mod checks;
mod draft;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod edges;
pub(crate) mod function;
#[cfg(test)]
mod insiders;
#[cfg(test)]
mod keeping;
mod offices;
mod places;
#[cfg(test)]
mod properties;
mod rules;
pub(crate) mod set;
pub(crate) mod standing;
pub(crate) mod statement;
pub(crate) mod store;
pub(crate) mod table;
mod tags;
pub(crate) mod terms;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod world;

pub(crate) use act::Act;
pub(crate) use acts::{ActError, Recent, renewals, sign};
pub(crate) use answers::Law;
pub(crate) use places::{Anchor, InviteState, Rank};
pub(crate) use set::{LiveSet, Pins};
pub(crate) use standing::{Register, Role, RoleWord, Word};
pub(crate) use statement::{GenuineStatement, Statement, StatementId};
pub(crate) use store::Store;
pub(crate) use table::Office;
pub use terms::Unattended;
pub(crate) use terms::{DefaultRole, GroupId, Tag, Terms};
#[cfg(test)]
pub(crate) use {
    places::Position,
    standing::Standing,
    statement::Genuine,
    store::Merged,
    table::{Entry, Moderator, Rest, Table, Term},
};
