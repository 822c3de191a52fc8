//! What can be read at a relay: `cargo run --release --example audit -- FILE [--canary TEXT]...`
//!
//! FILE is a capture of the relay's own traffic (pcap or pcapng, whole packets: `tcpdump -s 0 -w
//! FILE`), or the log of our relay. It prints what each protocol shows in clear, sizes and spacing,
//! whether the rest looks like what a cipher puts out, and a verdict.
//!
//! Exit status: 0 nothing but sealed packets, 1 something readable, 2 unusable input.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use lexopt::{
    Parser, ValueExt,
    prelude::{Long, Short, Value},
};
use sottovoce_audit::report;

fn main() -> ExitCode {
    match asked(&mut Parser::from_env()).map_err(|why| why.to_string()) {
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Some((path, canaries))) => match run(&path, &canaries) {
            Ok(report) => {
                // Whoever reads this may have gone away; the status stands.
                let _ = writeln!(std::io::stdout(), "{report}");
                if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) }
            }
            Err(why) => refuse(&why),
        },
        Err(why) => refuse(&format!("{why}, see --help")),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("audit: {why}");
    ExitCode::from(2)
}

/// The file and the canaries; `None` if only help is wanted.
fn asked(parser: &mut Parser) -> Result<Option<(PathBuf, Vec<String>)>, lexopt::Error> {
    let (mut file, mut canaries) = (None, Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("canary") => canaries.push(parser.value()?.string()?),
            Value(path) if file.is_none() => file = Some(path.into()),
            Value(_) => return Err("one file at a time".into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some((file.ok_or("which file?")?, canaries)))
}

fn run(path: &Path, canaries: &[String]) -> Result<report::Report, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    report::audit(&bytes, canaries).map_err(|error| format!("{}: {error}", path.display()))
}

const USAGE: &str = "\
audit FILE [--canary TEXT]...
  FILE            pcap, pcapng, or the log of our relay
  --canary TEXT   a name or id of 6 bytes or more that must not be found, in any form";
