//! Parts of the room example: its options, its members, what they heard.

pub mod args;
pub mod hearing;
pub mod member;
pub mod out;
pub mod tap;
