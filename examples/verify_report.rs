//! For a moderator: opens a report, and says who said it, when, how long and what is missing, or
//! why it proves nothing.
//!
//! ```text
//! cargo run --release --example verify_report -- keygen moderation.secret moderation.public
//! cargo run --release --example verify_report -- check --key moderation.secret --received-at 2026-11-24T20:15:00Z \
//!     --wav said.wav report.bin
//! ```
//!
//! It needs the moderation key, the file and the time of its arrival, and nothing of the room.
//! Either every packet is proved to be that device's, or none: exit status 0 or 1, and 2 for a
//! command line that is wrong. Given two reports it compares them; 3 says that the speaker told the
//! two reporters two things. SPEC.md section 12.4 has the rule.

use std::{process::ExitCode, time::SystemTime};

use sottovoce::room::UnixTime;
use sottovoce_examples::verify_report::run;

fn main() -> ExitCode {
    let now = UnixTime::from(SystemTime::now());
    match run(std::env::args_os().skip(1), now) {
        Ok(done) => {
            print!("{}", done.text);
            ExitCode::from(done.status)
        }
        Err(failed) => {
            eprintln!("{}", failed.text);
            ExitCode::from(failed.status)
        }
    }
}
