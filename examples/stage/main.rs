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

mod args;
mod cast;
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

use std::process::ExitCode;

use args::Command;
use sottovoce_measure::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let options = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Story(options)) => options,
        Ok(Command::Simulation(plan)) => return ExitCode::from(sim::main(&plan)),
        Ok(Command::Receivers(receivers)) => {
            return match receivers::run(receivers) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("stage: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        Ok(Command::Help) => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("stage: {wrong}");
            return ExitCode::from(2);
        }
    };
    match live::run(&options) {
        Ok(report) if report.broken().is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stage: {error}");
            ExitCode::FAILURE
        }
    }
}
