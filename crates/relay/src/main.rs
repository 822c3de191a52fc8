//! The reference relay as a program: `sottovoce-relay --config FILE`.
//!
//! It passes sealed bytes between the members of a room and holds no key (SPEC section 8.2).
//! `docs/RELAY.md` has the steps for an operator, `--help` lists every setting. The program prints
//! its own addresses and counts: no address, handle or token of a member.
//!
//! | signal | what the program does |
//! | --- | --- |
//! | SIGTERM, SIGINT | drains: admits no more members, lets those present go on for `drain` seconds, then ends with status 0; a second one ends it at once, with status 1 |
//! | SIGUSR1 | prints all counts |

mod error;
mod metrics;
mod settings;

use std::{
    fs::File,
    io::Write,
    net::TcpListener,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::consts::{SIGINT, SIGTERM};
use sottovoce::relay::{Relay, RelayOptions, log};

use error::Error;
use settings::{Asked, Settings};

fn main() -> ExitCode {
    let asked = match Asked::from_args(std::env::args_os().skip(1)) {
        Ok(asked) => asked,
        Err(error) => return failed(&error),
    };
    let done = match asked {
        Asked::Help => {
            say(&settings::help());
            Ok(())
        }
        Asked::Version => {
            say(concat!("sottovoce-relay ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Asked::Check(settings) => options(&settings).map(|_| say("the settings are good")),
        Asked::Serve(settings) => options(&settings).and_then(|options| serve(&settings, options)),
    };
    done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

/// Prints an error. Status 2 says that the settings are wrong, so that starting again is no help;
/// every other failure is status 1.
fn failed(error: &Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "sottovoce-relay: {error}");
    ExitCode::from(if error.is_of_settings() { 2 } else { 1 })
}

/// Opens the files that the settings name.
fn options(settings: &Settings) -> Result<RelayOptions, Error> {
    let mut options = RelayOptions {
        media_loss: settings.loss,
        seed: settings.seed,
        issuer: settings.issuer,
        ..RelayOptions::default()
    };
    options.limits.connections = settings.members;
    options.limits.rooms = settings.rooms;
    options.limits.members = settings.room_members;
    add_quic(settings, &mut options)?;
    if let Some(path) = &settings.log {
        let file = File::create(path).and_then(log::Writer::new);
        options.log = Some(file.map_err(|error| Error::file(path, &error))?);
    }
    Ok(options)
}

#[cfg(feature = "quic")]
fn add_quic(settings: &Settings, options: &mut RelayOptions) -> Result<(), Error> {
    use sottovoce::relay::quic::{Certificate, Listen};

    let Some(address) = settings.quic else { return Ok(()) };
    let (chain, key) = match (&settings.certificate, &settings.key) {
        (Some(chain), Some(key)) => {
            let read = |path| std::fs::read(path).map_err(|error| Error::file(path, &error));
            (read(chain)?, read(key)?)
        }
        (None, None) => {
            say("no certificate is set: this one is new, and so is the relay's name, after every start");
            let made = rcgen::generate_simple_self_signed(["relay".to_owned()]);
            let made = made.map_err(|error| Error::Certificate(error.to_string()))?;
            (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes())
        }
        _ => return Err(Error::Certificate("certificate and key go together".to_owned())),
    };
    let certificate = Certificate::from_pem(&chain, &key);
    let certificate = certificate.map_err(|error| Error::Certificate(error.to_string()))?;
    options.quic = Some(Listen { address, certificate });
    Ok(())
}

#[cfg(not(feature = "quic"))]
fn add_quic(settings: &Settings, _: &mut RelayOptions) -> Result<(), Error> {
    let asked = settings.quic.is_some() || settings.certificate.is_some() || settings.key.is_some();
    if asked { Err(Error::BuiltWithoutQuic) } else { Ok(()) }
}

/// Serves until SIGTERM or SIGINT comes.
fn serve(settings: &Settings, options: RelayOptions) -> Result<(), Error> {
    let signals = Signals::watch()?;
    let cannot = |address| move |error: std::io::Error| Error::Listen(address, error.to_string());
    let relay = Relay::start(settings.listen, options).map_err(cannot(settings.listen))?;
    let metrics = settings.metrics.map(|address| metrics::listen(address).map_err(cannot(address)));
    let metrics = metrics.transpose()?;
    if let Some(address) = metrics.as_ref().and_then(|listener| listener.local_addr().ok()) {
        say(&format!("metrics at http://{address}/metrics"));
    }
    say(&format!("listening at {}, TCP and UDP", relay.name()));
    #[cfg(feature = "quic")]
    if let Some(name) = relay.quic_name() {
        say(&format!("listening at {name}"));
    }
    watch(&relay, settings.report, metrics.as_ref(), &signals);
    say(&format!("draining, {} s at most", settings.drain.as_secs()));
    let counts = relay.drain(settings.drain).map_err(|error| Error::Log(error.to_string()))?;
    say(&format!("{counts:?}"));
    Ok(())
}

/// Answers requests for metrics, and prints counts at intervals and on SIGUSR1, until a signal ends
/// it.
fn watch(relay: &Relay, report: Option<Duration>, metrics: Option<&TcpListener>, signals: &Signals) {
    let after = |report| Instant::now() + report;
    let (mut printed, mut next) = (relay.counts(), report.map(after));
    let mut told = false;
    while !signals.end.load(Ordering::Relaxed) {
        if signals.print.swap(false, Ordering::Relaxed) {
            for line in relay.metrics().lines().filter(|line| !line.starts_with('#')) {
                say(line);
            }
        }
        if let Some(Ok((stream, _))) = metrics.map(TcpListener::accept) {
            // A client that hangs up before its answer is no reason to stop.
            let _ = metrics::answer(stream, &relay.metrics());
            continue;
        }
        thread::sleep(POLL);
        if let Some(error) = relay.log_error()
            && !std::mem::replace(&mut told, true)
        {
            let _ =
                writeln!(std::io::stderr(), "sottovoce-relay: the log cannot be written any more: {error}");
        }
        if next.is_some_and(|next| Instant::now() >= next) {
            next = report.map(after);
            let counts = relay.counts();
            if counts != printed {
                say(&format!("{counts:?}"));
                printed = counts;
            }
        }
    }
}

/// What signals asked for since it was last looked at.
struct Signals {
    end: Arc<AtomicBool>,
    print: Arc<AtomicBool>,
}

impl Signals {
    fn watch() -> Result<Self, Error> {
        let signals = Self { end: Arc::default(), print: Arc::default() };
        let cannot = |error: std::io::Error| Error::Signals(error.to_string());
        for signal in [SIGTERM, SIGINT] {
            // The second one ends the process at once.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&signals.end))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&signals.end)))
                .map_err(cannot)?;
        }
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&signals.print))
            .map_err(cannot)?;
        Ok(signals)
    }
}

/// Prints a line. A reader of the output that has gone away is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// How long a signal or a request for metrics may wait.
const POLL: Duration = Duration::from_millis(50);
