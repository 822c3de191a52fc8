//! Runs the reference relay: `cargo run --release --bin sottovoce-relay -- --listen ADDR`.
//!
//! It passes sealed bytes between the members of a room and holds no key (SPEC section 8.2).
//! SIGTERM and SIGINT make it drain: it lets nobody in, goes on for `--drain` seconds at most, then
//! writes what waits.
//!
//! With `--quic ADDR` (feature `quic`) it listens for QUIC as well, and prints the name to put into
//! invites: with `--certificate` and `--key`, which `openssl req -x509 -newkey ec -pkeyopt
//! ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=relay -keyout key.pem -out certificate.pem`
//! makes, the same name after every start.
//!
//! With `--metrics ADDR` it answers `GET /metrics` there in Prometheus' text format: bytes,
//! packets, members, rooms, refusals by reason, and nothing about people. Keep that address to
//! yourself.
//!
//! `crates/relay` has a systemd unit and a container recipe.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
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

/// What was asked for.
struct Wanted {
    listen: SocketAddr,
    metrics: Option<SocketAddr>,
    drain: Duration,
    options: RelayOptions,
}

/// Serves until a signal comes, and prints what happened every ten seconds if anything did.
fn run(wanted: Wanted) -> Result<(), String> {
    let Wanted { listen, metrics, drain, options } = wanted;
    let term = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&term))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&term)))
            .map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    let cannot = |address| move |error| format!("cannot listen at {address}: {error}");
    let relay = Relay::start(listen, options).map_err(cannot(listen))?;
    let metrics = metrics.map(|address| TcpListener::bind(address).map_err(cannot(address))).transpose()?;
    if let Some(metrics) = &metrics {
        metrics.set_nonblocking(true).map_err(|error| format!("cannot poll: {error}"))?;
        let address = metrics.local_addr().map_err(|error| error.to_string())?;
        say(&format!("metrics at http://{address}/metrics"));
    }
    say(&format!("listening at {}, TCP and UDP", relay.name()));
    #[cfg(feature = "quic")]
    if let Some(name) = relay.quic_name() {
        say(&format!("listening at {name}"));
    }
    let (mut printed, mut next) = (relay.counts(), Instant::now() + EVERY);
    let mut told = false;
    while !term.load(Ordering::Relaxed) {
        if let Some(Ok((stream, _))) = metrics.as_ref().map(TcpListener::accept) {
            // Whoever asks and does not listen is no reason to stop.
            let _ = answer(stream, &relay.metrics());
            continue;
        }
        thread::sleep(POLL);
        if let Some(error) = relay.log_error()
            && !std::mem::replace(&mut told, true)
        {
            eprintln!("relay: the log cannot be written any more: {error}");
        }
        if Instant::now() >= next {
            next = Instant::now() + EVERY;
            let counts = relay.counts();
            if counts != printed {
                say(&format!("{counts:?}"));
                printed = counts;
            }
        }
    }
    say(&format!("draining, {} s at most", drain.as_secs()));
    let counts = relay.drain(drain).map_err(|error| format!("the log is not whole: {error}"))?;
    say(&format!("{counts:?}"));
    Ok(())
}

/// Reads one HTTP request and answers it, in a second at most.
fn answer(mut stream: TcpStream, metrics: &str) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    let mut request = [0; 1_024];
    let length = match stream.read(&mut request) {
        Err(error) if error.kind() == ErrorKind::Interrupted => 0,
        length => length?,
    };
    let (status, body) = match request[..length].starts_with(b"GET /metrics ") {
        true => ("200 OK", metrics),
        false => ("404 Not Found", ""),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Prints a line. Whoever reads it may have gone away, which is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 4433));
    let mut wanted =
        Wanted { listen, metrics: None, drain: Duration::from_secs(20), options: RelayOptions::default() };
    let options = &mut wanted.options;
    let mut quic = Quic::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        let value = || value.ok_or_else(|| format!("{name} needs a value, see --help"));
        match name.as_str() {
            "--listen" => wanted.listen = of("an address and port", &value()?)?,
            "--metrics" => wanted.metrics = Some(of("an address and port", &value()?)?),
            "--quic" => quic.listen = Some(of("an address and port", &value()?)?),
            "--certificate" => quic.certificate = Some(read(&value()?)?),
            "--key" => quic.key = Some(read(&value()?)?),
            "--drain" => wanted.drain = Duration::from_secs(of("a number of seconds", &value()?)?),
            "--issuer" => options.issuer = Some(of("a key of 64 hex digits", &value()?)?),
            "--members" => options.limits.connections = of("a number", &value()?)?,
            "--rooms" => options.limits.rooms = of("a number", &value()?)?,
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
    quic.put_into(options)?;
    Ok(wanted)
}

/// What was asked for about QUIC.
#[derive(Default)]
struct Quic {
    listen: Option<SocketAddr>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Quic {
    #[cfg(feature = "quic")]
    fn put_into(self, options: &mut RelayOptions) -> Result<(), String> {
        use sottovoce::relay::quic::{Certificate, Listen};

        let Some(address) = self.listen else { return Ok(()) };
        let (chain, key) = match (self.certificate, self.key) {
            (Some(chain), Some(key)) => (chain, key),
            (None, None) => {
                say("no --certificate: this one is new, and so is the relay's name, after every start");
                let made = rcgen::generate_simple_self_signed(["relay".to_owned()]);
                let made = made.map_err(|error| format!("cannot make a certificate: {error}"))?;
                (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes())
            }
            _ => return Err("--certificate and --key go together".to_owned()),
        };
        let certificate = Certificate::from_pem(&chain, &key).map_err(|error| error.to_string())?;
        options.quic = Some(Listen { address, certificate });
        Ok(())
    }

    #[cfg(not(feature = "quic"))]
    fn put_into(self, _: &mut RelayOptions) -> Result<(), String> {
        let asked = self.listen.is_some() || self.certificate.is_some() || self.key.is_some();
        if asked { Err("this relay was built without the feature quic".to_owned()) } else { Ok(()) }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

fn of<T: std::str::FromStr>(what: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value} is not {what}"))
}

/// How often counts are printed, and how long a signal or a request for metrics may wait.
const EVERY: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

const USAGE: &str = "\
options:
  --listen ADDR    address and port, TCP and UDP (127.0.0.1:4433)
  --quic ADDR      address and port for QUIC as well; a UDP port of its own
  --certificate F  PEM file with the certificate for QUIC, and those that vouch for it
  --key F          PEM file with its private key
  --metrics ADDR   answer GET /metrics there, in Prometheus' text format
  --issuer KEY     let in only who has a token of this issuer: its public key, 64 hex digits
  --members N      members of all rooms together (256)
  --rooms N        rooms (64)
  --drain SECONDS  how long members may go on after SIGTERM (20)
  --log FILE       write everything that members send, for an audit
  --loss PERCENT   lose this share of packet copies on purpose (0)
  --seed N         makes the same packets get lost again (0)";
