//! What outlives a restart.

mod corpus;
mod restarts;
mod snapshots;
