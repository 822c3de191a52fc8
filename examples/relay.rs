//! Runs the reference relay until it is killed: `cargo run --release --example relay -- --listen ADDR`.
//!
//! It passes sealed bytes between the members of a room and holds no key (SPEC section 8.2).

use std::{fs::File, io::Write, net::SocketAddr, process::ExitCode, thread, time::Duration};

use sottovoce::relay::{Options, Relay, log};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match parse(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("relay: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Serves for ever, and prints what happened every ten seconds if anything did.
fn run((address, options): (SocketAddr, Options)) -> Result<(), String> {
    let relay =
        Relay::start(address, options).map_err(|error| format!("cannot listen at {address}: {error}"))?;
    println!("listening at {}, TCP and UDP", relay.name());
    let mut printed = relay.counts();
    loop {
        thread::sleep(Duration::from_secs(10));
        let counts = relay.counts();
        if counts != printed {
            // Whoever reads this may have gone away, which is no reason to stop.
            let _ = writeln!(std::io::stdout(), "{counts:?}");
            printed = counts;
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(SocketAddr, Options), String> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 4433));
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        let value = || value.ok_or_else(|| format!("{name} needs a value, see --help"));
        match name.as_str() {
            "--listen" => address = of("an address and port", &value()?)?,
            "--loss" => options.media_loss = of("a percentage", &value()?)?,
            "--seed" => options.seed = of("a number", &value()?)?,
            "--log" => {
                let path = value()?;
                let file = File::create(&path).and_then(log::Writer::new);
                options.log = Some(file.map_err(|error| format!("cannot write {path}: {error}"))?);
            }
            _ => return Err(format!("there is no option {name}, see --help")),
        }
    }
    Ok((address, options))
}

fn of<T: std::str::FromStr>(what: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value} is not {what}"))
}

const USAGE: &str = "\
options:
  --listen ADDR    address and port, TCP and UDP (127.0.0.1:4433)
  --log FILE       write everything that members send, for an audit
  --loss PERCENT   lose this share of packet copies on purpose (0)
  --seed N         makes the same packets get lost again (0)";
