//! Two people, one process: Ada opens a room, Ben knocks, and one packet is heard.

use std::{error::Error, time::Duration, time::SystemTime};

use sottovoce::driver::{Next, Session};
use sottovoce::group::{Identity, Name, Role};
use sottovoce::room::{Event, InviteOptions, RoomOptions, UnixTime};
use sottovoce::transport::{block_on, loopback::Hub};
use sottovoce::{Seed, Stamp, media::Level};

fn main() -> Result<(), Box<dyn Error>> {
    // Any relay will do; this one lives in the process. A room names the relays that may be
    // contacted.
    let hub = Hub::new("loopback".parse()?);
    let mut options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
    options.default_role = Role::Speaker;

    let unix = UnixTime::from(SystemTime::now());
    let ada = Identity::from_seed(rand::random(), Name::new("Ada")?);
    let mut ada = block_on(Session::create(hub.client(), ada, options, Seed::generate()?, unix))?;
    let now = ada.now();
    let link = ada.room_mut().invite(InviteOptions::default(), now)?.to_string();

    // The link reaches Ben some other way: a chat, a QR code.
    let ben = Identity::from_seed(rand::random(), Name::new("Ben")?);
    let mut ben = block_on(Session::join(hub.client(), ben, link.parse()?, Seed::generate()?, unix))?;

    let opus = [0xfc, 0xff, 0xfe]; // what your encoder gives; here 20 ms of silence
    loop {
        let soon = ada.now() + Duration::from_millis(20);
        if let Next::Event(Event::Knocked { knock, name, .. }) = block_on(ada.next(soon))? {
            println!("Ada: {name} knocks, come in");
            let now = ada.now();
            ada.room_mut().admit(knock, now)?;
        }
        if ada.room().roster().len() == 2 {
            // Each packet says when its own audio was captured.
            let captured = SystemTime::now().into();
            ada.speak(&opus, Stamp { captured, level: Level(40), ..Stamp::default() })?;
        }
        let soon = ben.now() + Duration::from_millis(20);
        match block_on(ben.next(soon))? {
            Next::Event(event) => println!("Ben: {event:?}"),
            Next::Packet(heard) => {
                let from = ben.room().roster().iter().find(|member| member.id == heard.member);
                let name = from.map(|member| member.name.as_str()).ok_or("not on the roster")?;
                println!("Ben: {name} said {} bytes, {:?}", heard.packet.len(), heard.proof);
                println!("both read {}", ben.room().code().ok_or("no room")?);
                assert_eq!(ada.room().code(), ben.room().code());
                return Ok(());
            }
            Next::Idle => {}
        }
    }
}
