//! An epoch secret, and what a schedule starts from, have no form that could reach a log.

use sottovoce::{EpochSecret, EpochStart};

fn log(secret: &EpochSecret, start: &EpochStart<'_>) {
    println!("{secret:?}");
    println!("{start:?}");
    println!("{secret}");
}

fn main() {}
