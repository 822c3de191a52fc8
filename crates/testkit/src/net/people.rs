//! Whose devices there are, and whether they are on.

use sottovoce::{
    Opener, Sealer, Seed,
    group::{Identity, Name, Role},
    room::{Event, Invite, InviteOptions, Room, RoomOptions},
    transport::RelayName,
};

use super::{Net, Peer};

impl Net {
    pub fn create(&mut self, name: &str, options: RoomOptions) -> Peer {
        let (identity, seed) = (self.identity(name), self.bytes());
        let room =
            Room::create(identity, options, Seed::from_bytes(&mut { seed }), self.now, self.unix_now())
                .unwrap();
        self.add(room)
    }

    pub fn knock(&mut self, name: &str, invite: &str) -> Peer {
        let identity = self.identity(name);
        self.knock_as(identity, invite)
    }

    pub fn knock_as(&mut self, identity: Identity, invite: &str) -> Peer {
        let invite: Invite = invite.parse().unwrap();
        let seed = self.bytes();
        let room =
            Room::join(identity, invite, Seed::from_bytes(&mut { seed }), self.now, self.unix_now()).unwrap();
        self.add(room)
    }

    pub fn identity(&mut self, name: &str) -> Identity {
        let (seed, name) = (self.bytes(), Name::new(name).unwrap());
        let identity = Identity::from_seed(seed, name.clone());
        self.identities.insert(identity.id(), (seed, name));
        identity
    }

    /// The identity of a device, as its application has stored it.
    pub fn identity_of(&self, peer: Peer) -> Identity {
        let (seed, name) = &self.identities[&self.id(peer)];
        Identity::from_seed(*seed, name.clone())
    }

    /// A link into the host's room, for any number and a day.
    pub fn invite(&mut self, host: Peer) -> String {
        self.invite_with(host, InviteOptions::default())
    }

    pub fn invite_with(&mut self, host: Peer, options: InviteOptions) -> String {
        let now = self.now;
        self.device(host).room.invite(options, now).unwrap().to_string()
    }

    /// Admits everybody who waits at `host`, and says how many that were.
    pub fn admit_all(&mut self, host: Peer, role: Option<Role>) -> usize {
        let device = &mut self.devices[host.0];
        device.events.retain(|event| !matches!(event, Event::Knocked { .. }));
        let knocks: Vec<_> = device.room.waiting().map(|(knock, ..)| knock).collect();
        for knock in &knocks {
            self.with(host, |room, now| match role {
                Some(role) => room.admit_as(*knock, role, now).unwrap(),
                None => room.admit(*knock, now).unwrap(),
            });
        }
        knocks.len()
    }

    /// A device falls asleep: it does nothing, and what is sent to it waits.
    pub fn sleep(&mut self, peer: Peer) {
        self.asleep.insert(peer);
    }

    /// A device wakes up. Its room is told how late it is before another packet is sealed.
    pub fn wake(&mut self, peer: Peer) {
        if self.asleep.remove(&peer) && !self.off.contains(&peer) {
            let now = self.now;
            self.devices[peer.0].room.handle_timeout(now);
            self.drain(peer);
        }
    }

    pub fn is_asleep(&self, peer: Peer) -> bool {
        self.asleep.contains(&peer)
    }

    /// Whether somebody speaks into a device.
    pub fn speaks(&self, peer: Peer) -> bool {
        self.devices[peer.0].speaks_at.is_some()
    }

    pub fn is_off(&self, peer: Peer) -> bool {
        self.off.contains(&peer)
    }

    /// Switches a device off, without a word.
    pub fn switch_off(&mut self, peer: Peer) {
        self.off.insert(peer);
    }

    /// Switches a device on again: it goes on in its room with nothing but what it had stored.
    pub fn switch_on(&mut self, peer: Peer, room: Room) {
        self.off.remove(&peer);
        let device = &mut self.devices[peer.0];
        (device.room, device.sealer, device.opener) = (room, Sealer::new(), Opener::new());
        device.news = self.now;
        // Nobody remembers how long its messages took, nor it how long others' did (T1).
        self.shortest.retain(|(from, to), _| *from != peer && *to != peer);
        self.drain(peer);
    }
}

/// Options of a room called `name`, on one relay.
pub fn options(name: &str) -> RoomOptions {
    RoomOptions::new(Name::new(name).unwrap(), [RelayName::new("relay.test:443").unwrap()])
}

/// A room where everybody of `names` is in, with the first as host.
pub fn room_of(net: &mut Net, names: &[&str]) -> Vec<Peer> {
    let host = net.create(names[0], options("a room"));
    let invite = net.invite(host);
    let mut peers = vec![host];
    for name in &names[1..] {
        let peer = net.knock(name, &invite);
        peers.push(peer);
    }
    let mut admitted = 0;
    net.run_until("all have knocked and are in", |net| {
        admitted += net.admit_all(host, None);
        peers.iter().all(|peer| net.is_present(*peer))
    });
    net.run_until("all are in one epoch", |net| {
        let epoch = net.room(host).epoch();
        peers.iter().all(|peer| net.devices[peer.0].room.epoch() == epoch)
    });
    assert_eq!(admitted, names.len() - 1);
    peers
}
