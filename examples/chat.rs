//! Three people in one process write to each other and raise their hands.
//!
//! ```text
//! cargo run --example chat
//! ```

use std::{error::Error, time::Duration};

use sottovoce::driver::{Next, Session};
use sottovoce::group::{Identity, Name};
use sottovoce::room::{Admission, Audience, Event, InviteOptions, MessageKind, RoomOptions};
use sottovoce::transport::{
    block_on,
    loopback::{Hub, LoopbackClient},
};

type Person = Session<LoopbackClient>;

fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new("loopback".parse()?);
    let mut options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
    options.admission = Admission::Open;
    let ada = Identity::generate(Name::new("Ada")?)?;
    let mut ada = block_on(Session::create(hub.client(), ada, options))?;
    let link = ada.invite(InviteOptions::default())?.to_string();
    let mut people = vec![ada];
    for name in ["Ben", "Cleo"] {
        let identity = Identity::generate(Name::new(name)?)?;
        people.push(block_on(Session::join(hub.client(), identity, link.parse()?))?);
    }
    until(&mut people, |people| people.iter().all(|person| person.room().roster().len() == 3))?;

    // To all, to whoever has rank, and to one. Muted members and listeners may write too.
    let (now, to) = (people[0].now(), Audience::Member(people[2].room().id()));
    people[0].room_mut().send_message(Audience::All, MessageKind::TEXT, "Good evening!".as_bytes(), now)?;
    people[0].room_mut().send_message(to, MessageKind::TEXT, "Cleo, can you hear me?".as_bytes(), now)?;
    let rank = Audience::Role(sottovoce::group::Role::Moderator);
    let now = people[1].now();
    people[1].room_mut().send_message(rank, MessageKind::TEXT, "It is loud here".as_bytes(), now)?;
    people[1].room_mut().send_message(Audience::All, MessageKind::REACTION, "\u{1f44f}".as_bytes(), now)?;
    // Kinds of your own are numbered by you.
    let slide = MessageKind::app(1).ok_or("kinds go to 0x7fff")?;
    people[1].room_mut().send_message(Audience::All, slide, &7u16.to_be_bytes(), now)?;

    // Hands are in the order of asking, the same for everybody.
    for person in [2, 1] {
        let now = people[person].now();
        people[person].room_mut().raise_hand(now)?;
    }
    until(&mut people, |people| people.iter().all(|person| person.room().hands().len() == 2))?;
    let first = people[0].room().hands()[0];
    println!("{} asked first", name_of(&people[0], first));
    let now = people[0].now();
    people[0].room_mut().lower_hand(first, now)?;
    until(&mut people, |people| people.iter().all(|person| person.room().hands().len() == 1))?;
    Ok(())
}

/// Lets everybody send and receive until something is so.
fn until(people: &mut [Person], done: impl Fn(&[Person]) -> bool) -> Result<(), Box<dyn Error>> {
    while !done(people) {
        for person in &mut *people {
            let soon = person.now() + Duration::from_millis(5);
            match block_on(person.next(soon))? {
                Next::Event(Event::Message(message)) => {
                    let (reader, from) = (name_of(person, person.room().id()), name_of(person, message.from));
                    // What others wrote may hold anything: `{:?}` keeps it from moving the cursor.
                    let said =
                        message.text().map_or(format!("{:02x?}", message.body), |text| format!("{text:?}"));
                    println!("{reader} reads {} from {from}: {said}", message.kind);
                }
                Next::Event(Event::Hand { member, raised, .. })
                    if person.room().host() == Some(person.room().id()) =>
                {
                    println!(
                        "{} {}",
                        name_of(person, member),
                        if raised { "raises a hand" } else { "is asked to speak" }
                    );
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn name_of(person: &Person, member: sottovoce::MemberId) -> String {
    let member = person.room().roster().iter().find(|other| other.id == member);
    member.map_or("somebody".into(), |member| member.name.to_string())
}
