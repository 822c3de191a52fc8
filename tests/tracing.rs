//! What a subscriber is told at info and above, of a room of three with a removal and a ban: enough
//! to follow what happens, and nothing that tells who it happens to.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    MemberId, Seed, Stamp,
    driver::policy::{Call, CallNext, State},
    group::{Identity, Name, Role},
    relay::{Relay, RelayOptions},
    room::{Admission, InviteOptions, RoomOptions, UnixTime},
    transport::{RelayName, block_on, tcp_udp::TcpUdpClient},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Keeps the text of every event at info and above, and of every span.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("sottovoce")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Line(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        write!(text, "{} {}", event.metadata().level(), event.metadata().target()).unwrap();
        event.record(&mut Line(&mut text));
        text.push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

type Closure = Box<dyn FnMut(&RelayName) -> Option<TcpUdpClient> + Send>;
type Member = Call<Closure>;

fn connector() -> Closure {
    Box::new(|relay| Some(TcpUdpClient::new(relay.clone())))
}

fn until(people: &mut [&mut Member], what: &str, done: impl Fn(&[&mut Member]) -> bool) {
    let start = Instant::now();
    while !done(people) {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        for call in &mut *people {
            while block_on(call.next(call.now())) != CallNext::Idle {}
            // Whether it is heard is not what is tried here.
            let _ = call.speak(&[0xfc, 0xff, 0xfe], Stamp::default());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn nothing_at_info_or_above_tells_who_or_where() {
    let collector = Collector::default();
    tracing::subscriber::set_global_default(collector.clone()).unwrap();
    let relay = Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default()).unwrap();
    let (name, address) = (relay.name(), relay.address());
    let unix = UnixTime::from(SystemTime::now());
    let names = ["Adelheid", "Benedikt", "Cemile"];
    let identity = |n: u8| Identity::from_seed([n; 32], Name::new(names[usize::from(n)]).unwrap());
    let mut options = RoomOptions::new(Name::new("Abendrunde").unwrap(), [name.clone()]);
    (options.default_role, options.admission) = (Role::Speaker, Admission::Open);
    let seed = || Seed::generate().unwrap();
    let mut host = Call::create_with(connector(), identity(0), options, seed(), unix).unwrap();
    let now = host.now();
    let link = host.room_mut().invite(InviteOptions::default(), now).unwrap().to_string();
    let guest = |n| Call::join_with(connector(), identity(n), link.parse().unwrap(), seed(), unix).unwrap();
    let [mut ben, mut cem] = [1, 2].map(guest);
    until(&mut [&mut host, &mut ben, &mut cem], "three are in", |people| {
        people.iter().all(|call| call.room().roster().len() == 3)
    });
    let handle = *host.room().handle().as_bytes();
    let code = host.room().code().unwrap().to_string();
    let ids = [0, 1, 2].map(|n| identity(n).id());
    let now = host.now();
    host.room_mut().remove(ids[1], now).unwrap();
    host.room_mut().ban(ids[2], now).unwrap();
    until(&mut [&mut host, &mut ben, &mut cem], "two are out", |people| {
        people.iter().skip(1).all(|call| matches!(call.state(), State::Out { .. }))
    });
    relay.stop().unwrap();
    until(&mut [&mut host], "the relay is gone", |people| {
        matches!(people[0].state(), State::Reconnecting { attempt: 2, .. })
    });
    block_on(host.close());

    let text = collector.0.lock().unwrap().clone();
    println!("{text}");
    for told in [
        "the relay listens",
        "relay connect",
        "joined",
        "changed",
        "removed",
        "banned",
        "reconnecting",
        "the relay stops",
    ] {
        assert!(text.contains(told), "{told}");
    }
    assert!(!text.contains("DEBUG") && !text.contains("TRACE"));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut secrets: Vec<String> = names.map(str::to_owned).to_vec();
    secrets.extend([
        "Abendrunde".to_owned(),
        name.to_string(),
        address.port().to_string(),
        link.clone(),
        code,
    ]);
    secrets.extend([hex(&handle), format!("{handle:?}"), "127.0.0.1".to_owned()]);
    secrets.extend(link.split(':').map(str::to_owned));
    for id in ids {
        secrets.extend([id.to_string(), format!("{id:?}"), start_of(id)]);
    }
    // Keys, in whatever form: no number and no word is as long as one.
    let longest = text.split(|letter: char| !letter.is_ascii_alphanumeric()).map(str::len).max();
    assert!(longest < Some(16), "{text}");
    for secret in secrets.iter().filter(|secret| *secret != "sottovoce") {
        assert!(!text.contains(secret.as_str()), "{secret} is told:\n{text}");
    }
}

/// Four characters of a fingerprint are enough to tell two people of a room apart.
fn start_of(id: MemberId) -> String {
    id.to_string().chars().take(4).collect()
}
