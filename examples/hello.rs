//! Two people, one process: Ada opens a room, Ben knocks, and one packet is heard.

use std::{error::Error, time::Duration};

use sottovoce::driver::{Next, Session};
use sottovoce::group::{Identity, Name, Role};
use sottovoce::room::{Event, InviteOptions, RoomOptions};
use sottovoce::transport::{block_on, loopback::Hub};

fn main() -> Result<(), Box<dyn Error>> {
    // Any relay will do; this one lives in the process. A room names those that may be contacted.
    let hub = Hub::new("loopback".parse()?);
    let mut options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
    options.default_role = Role::Speaker;
    let ada = Identity::generate(Name::new("Ada")?)?;
    let mut ada = block_on(Session::create(hub.client(), ada, options))?;

    // The link reaches Ben some other way: a chat, a QR code.
    let link = ada.invite(InviteOptions::default())?.to_string();
    let ben = Identity::generate(Name::new("Ben")?)?;
    let mut ben = block_on(Session::join(hub.client(), ben, link.parse()?))?;

    let opus = [0xfc, 0xff, 0xfe]; // what your encoder gives; here 20 ms of silence
    loop {
        let soon = ada.now() + Duration::from_millis(20);
        if let Next::Event(Event::Knocked { knock, .. }) = block_on(ada.next(soon))? {
            ada.admit(knock)?;
        }
        if ada.room().roster().len() == 2 {
            ada.speak(&opus, Default::default())?;
        }
        if let Next::Packet(heard) = block_on(ben.next(soon))? {
            println!("{} said {} bytes", heard.member, heard.packet.len());
            println!("both read {}", ben.room().code().ok_or("no room")?);
            return Ok(());
        }
    }
}
