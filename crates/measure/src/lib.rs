//! Counts what a program allocates, and times batches of operations.

pub mod alloc;
pub mod batch;
