//! A stage room with its audience: a story on real sockets, or a measurement on virtual time.
//!
//! cargo run --release --example stage
//!
//! 200 people hear a stage through a relay on this machine, with real speech. One of them raises
//! its hand and speaks, one is banned, and a crowd comes late. It ends with a table and a page of
//! pictures.
//!
//! cargo run --release --example stage -- --listeners 1000 --minutes 2 --joins-per-s 5
//! --leaves-per-s 5 --json
//!
//! The same without sockets, for audiences that one machine cannot have: every listener is real,
//! network and clock are not. Progress goes to standard error, one JSON object to standard output.
//!
//! cargo run --release --example stage --features moq -- --cluster 300
//!
//! A cluster of three real moq-relay nodes carries a stage to 300 listeners; one node is killed,
//! and its listeners find another.

mod args;
mod cast;
#[cfg(feature = "moq")]
mod cluster;
mod cpu;
mod hear;
mod live;
mod page;
mod picture;
mod receivers;
mod report;
mod sim;
#[path = "../room/spectrogram.rs"]
#[allow(dead_code, reason = "pictures of the room show more of it")]
mod spectrogram;
mod stubborn;
#[cfg(feature = "moq")]
mod table;

use std::process::ExitCode;

use args::Command;
use sottovoce_measure::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Story(options)) => live::run(&options).map(|report| report.broken().is_empty()),
        Ok(Command::Simulation(plan)) => return ExitCode::from(sim::main(&plan)),
        Ok(Command::Receivers(receivers)) => receivers::run(receivers),
        #[cfg(feature = "moq")]
        Ok(Command::Cluster { options, listeners, kill }) => cluster::run(&options, listeners, kill),
        #[cfg(not(feature = "moq"))]
        Ok(Command::Cluster { .. }) => Err("--cluster wants --features moq".into()),
        Ok(Command::Help) => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("stage: {wrong}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stage: {error}");
            ExitCode::FAILURE
        }
    }
}
