//! What can be read at a relay: `cargo run --release --example audit -- FILE [--canary TEXT]...`
//!
//! FILE is a capture of the relay's own traffic (pcap or pcapng, whole packets: `tcpdump -s 0 -w
//! FILE`), or the log of our relay. It prints what each protocol shows in clear, sizes and spacing,
//! whether the rest looks like what a cipher puts out, and a verdict.
//!
//! Exit status: 0 nothing but sealed packets, 1 something readable, 2 unusable input.

use std::{fs, io::Write, process::ExitCode};

use sottovoce_audit::report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(report) => {
            // Whoever reads this may have gone away; the status stands.
            let _ = writeln!(std::io::stdout(), "{report}");
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(message) => {
            eprintln!("audit: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<report::Report, String> {
    let (mut file, mut canaries) = (None, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--canary" => canaries.push(arguments.next().ok_or("--canary needs a text")?.clone()),
            option if option.starts_with("--") => {
                return Err(format!("there is no option {option}, see --help"));
            }
            path if file.is_none() => file = Some(path),
            _ => return Err("one file at a time, see --help".to_owned()),
        }
    }
    let path = file.ok_or("which file? see --help")?;
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    report::audit(&bytes, &canaries).map_err(|error| format!("{path}: {error}"))
}

const USAGE: &str = "\
audit FILE [--canary TEXT]...
  FILE            pcap, pcapng, or the log of our relay
  --canary TEXT   a name or id of 6 bytes or more that must not be found, in any form";
