//! What a store has to hold of a room is written by another thread than that of the room.

use std::{sync::mpsc, thread, time::Duration};

use sottovoce::{
    room::{Admission, Status},
    store::{MemoryStore, Snapshot, Store, StoreError},
};
use sottovoce_testkit::net::{Net, options};

#[test]
fn snapshots_written_elsewhere_leave_what_keeping_leaves() {
    let mut net = Net::new(601);
    let mut open = options("room");
    open.admission = Admission::Open;
    let host = net.create("host", open);
    let invite = net.invite(host);
    let (snapshots, queue) = mpsc::channel::<Snapshot>();
    let writer = thread::spawn(move || {
        let mut store = MemoryStore::default();
        let mut held = Vec::new();
        for snapshot in queue {
            store.write(&snapshot)?;
            let membership = store.membership(snapshot.room())?;
            held.push(membership.map(|membership| membership.as_bytes().to_vec()));
        }
        Ok::<_, StoreError>(held)
    });
    let mut kept = MemoryStore::default();
    let mut expected = Vec::new();
    let mut guest = None;
    for step in 0..8 {
        match step {
            1 => guest = Some(net.knock("guest", &invite)),
            5 => net.with(guest.unwrap(), |room, _| room.leave()).unwrap(),
            _ => {}
        }
        net.run_for(Duration::from_secs(3));
        for peer in [Some(host), guest].into_iter().flatten() {
            let room = &net.devices[peer.0].room;
            kept.keep(room).unwrap();
            let membership = kept.membership(room.handle()).unwrap();
            expected.push(membership.map(|membership| membership.as_bytes().to_vec()));
            snapshots.send(Snapshot::of(room)).unwrap();
        }
    }
    assert_eq!(net.room(guest.unwrap()).status(), Status::Over);
    drop(snapshots);
    let held = writer.join().unwrap().unwrap();
    assert_eq!(held, expected);
    assert!(held.iter().any(Option::is_none) && held.iter().any(Option::is_some));
    assert_eq!(format!("{:?}", Snapshot::of(net.room(host))), "Snapshot(in the room)");
}
