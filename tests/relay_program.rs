//! The relay's program as an operator runs it: settings, a room of two, signals.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use sottovoce::{
    Stamp,
    driver::{Next, Session},
    group::{Identity, Name, Role},
    room::{Event, InviteOptions, RoomOptions},
    transport::{RelayName, block_on, tcp_udp::TcpUdpClient},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sottovoce-relay");

/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a config file, removed with it.
struct Config(PathBuf);

impl Config {
    fn new(name: &str, text: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("sottovoce-relay-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("relay.toml"), text).unwrap();
        Self(directory)
    }

    fn path(&self) -> String {
        self.0.join("relay.toml").display().to_string()
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// A relay that runs, and what it printed so far. It is killed if the test fails.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    printed: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, printed: String::new() }
    }

    /// Waits for a line that starts so, and gives the word behind it.
    fn word_after(&mut self, start: &str) -> String {
        loop {
            let from = self.printed.len();
            assert_ne!(self.output.read_line(&mut self.printed).unwrap(), 0, "{}", self.printed);
            if let Some(rest) = self.printed[from..].strip_prefix(start) {
                let end = rest.find([',', ' ', '\n']).unwrap();
                return rest[..end].to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// What it printed from the start to its end, and its status.
    fn end(mut self) -> (String, Option<i32>) {
        self.output.read_to_string(&mut self.printed).unwrap();
        (self.printed.clone(), self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_and_version_end_with_status_0_and_name_every_setting() {
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for name in ["--config FILE", "--check", "--listen ADDR", "--drain SECONDS", "--issuer KEY"] {
        assert!(text.contains(name), "{name} is not in:\n{text}");
    }
    let version = run(&["--version"]);
    assert_eq!(String::from_utf8(version.stdout).unwrap(), "sottovoce-relay 0.1.0\n");
    assert_eq!(version.status.code(), Some(0));
}

#[test]
fn a_mistake_in_the_config_file_is_reported_with_its_line_and_key() {
    for (text, message) in [
        ("listen = \"127.0.0.1:0\"\n\nmembers = \"many\"\n", ":3: members takes a whole number"),
        ("members = -1\n", ":1: members takes a whole number"),
        ("members = 0x10\n", ":1: members takes a whole number"),
        ("listen = 4433\n", ":1: listen takes an IP address and a port"),
        ("drain = 1\nreport = 4294967296\n", ":2: report takes a whole number of seconds"),
        ("loss = 100.5\n", ":1: loss takes a percentage"),
        ("issuer = \"abc\"\n", ":1: issuer takes a public key of 64 hex digits"),
        ("# a relay\nrooms = 4\nmebers = 3\n", ":3: there is no setting mebers"),
        ("[limits]\nmembers = 3\n", ":1: there is no setting limits"),
        ("rooms = 4\nrooms = 5\n", ":2: duplicate key"),
        ("rooms = 4\nmembers =\n", ":2: "),
        ("zoo = 1\nmembers = \"many\"\n", ":1: there is no setting zoo"),
    ] {
        let config = Config::new("mistake", text);
        let output = run(&["--config", &config.path()]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = format!("sottovoce-relay: {}{message}", config.path());
        assert!(stderr.starts_with(&expected), "{stderr}, not {expected}");
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{text}");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_reported_with_its_flag() {
    for (arguments, message) in [
        (&["--listen", "here"][..], "--listen takes an IP address and a port\n"),
        (&["--mebers", "3"], "there is no flag --mebers; see --help\n"),
        (&["--rooms"], "missing argument for option '--rooms'; see --help\n"),
        (&["now"], "unexpected argument \"now\"; see --help\n"),
        (&["--config", "/nowhere/relay.toml"], "cannot open /nowhere/relay.toml: "),
    ] {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(&format!("sottovoce-relay: {message}")), "{stderr}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn check_says_whether_the_settings_are_good_and_starts_nothing() {
    let config = Config::new("check", "listen = \"127.0.0.1:0\"\nloss = 2.5\nreport = 0\n");
    let output = run(&["--check", "--config", &config.path()]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the settings are good\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_shipped_config_file_is_good() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/relay.toml");
    assert_eq!(run(&["--check", "--config", config]).status.code(), Some(0));
    // What it leaves as a comment is a setting too, though not a value that fits anybody.
    let names = fs::read_to_string(config).unwrap();
    let names: Vec<_> = names.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = ")).collect();
    assert!(names.len() > 5, "{names:?}");
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for (name, _) in names {
        assert!(help.contains(&format!("--{name} ")), "{name}");
    }
}

#[test]
fn a_port_that_is_taken_ends_it_with_status_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(&format!("sottovoce-relay: cannot listen at {address}: ")), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn two_people_talk_through_it_and_sigterm_ends_it_with_status_0() {
    // The file's port is one that nobody may have; the flag takes precedence.
    let config = "listen = \"127.0.0.1:1\"\nmetrics = \"127.0.0.1:0\"\ndrain = 5\nmembers = 2\n";
    let config = Config::new("room", config);
    let mut relay = Running::start(&["--config", &config.path(), "--listen", "127.0.0.1:0"]);
    let metrics = relay.word_after("metrics at http://");
    let name = relay.word_after("listening at ").parse().unwrap();
    let (ada, ben) = talk(name);

    // Two are all that it takes.
    assert!(get(&metrics, "/metrics").contains("\nsottovoce_relay_members 2\n"));
    assert!(get(&metrics, "/").starts_with("HTTP/1.1 404 "));
    relay.signal("USR1");
    assert_eq!(relay.word_after("sottovoce_relay_members "), "2");
    relay.signal("TERM");
    assert_eq!(relay.word_after("draining"), "");
    drop((ada, ben));
    let (printed, status) = relay.end();
    assert_eq!(status, Some(0), "{printed}");
    assert!(printed.contains("Counts { connections: 2, refused: 0,"), "{printed}");
    // Its own addresses are in three lines, and nobody else's in any.
    let own = ["metrics at ", "listening at "];
    let others: Vec<_> =
        printed.lines().filter(|line| !own.iter().any(|own| line.starts_with(own))).collect();
    assert!(others.iter().all(|line| !line.contains("127.0.0.1")), "{others:?}");
}

/// Lets two people meet in a room at the relay, until one has heard the other.
fn talk(relay: RelayName) -> (Session<TcpUdpClient>, Session<TcpUdpClient>) {
    let [ada, ben] = ["Ada", "Ben"].map(|name| Identity::generate(Name::new(name).unwrap()).unwrap());
    let mut options = RoomOptions::new(Name::new("Evening room").unwrap(), [relay.clone()]);
    options.default_role = Role::Speaker;
    let client = || TcpUdpClient::new(relay.clone());
    let mut ada = block_on(Session::create(client(), ada, options)).unwrap();
    let invite = ada.invite(InviteOptions::default()).unwrap();
    let mut ben = block_on(Session::join(client(), ben, invite)).unwrap();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let soon = ada.now() + Duration::from_millis(20);
        if let Next::Event(Event::Knocked { knock, .. }) = block_on(ada.next(soon)).unwrap() {
            ada.admit(knock).unwrap();
        }
        if ada.room().roster().len() == 2 {
            ada.speak(&[0xfc, 0xff, 0xfe], Stamp::default()).unwrap();
        }
        let soon = ben.now() + Duration::from_millis(20);
        if let Next::Packet(_) = block_on(ben.next(soon)).unwrap() {
            return (ada, ben);
        }
    }
    panic!("nobody heard anybody");
}

fn get(address: &str, path: &str) -> String {
    let address = address.strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
