//! In tokio, in whichever flavour: a call is spawned, selected and timed out as any future.

use std::{
    sync::{Arc, Mutex, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use sottovoce::{
    MemberId, Stamp,
    driver::{
        Apart, Session,
        policy::{Call, CallNext, State},
    },
    relay::{Relay, RelayOptions},
    report::ModerationKey,
    room::{Invite, InviteOptions},
    transport::{RelayName, tcp_udp::TcpUdpClient},
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use crate::people::{SECOND, by, identity, room, seed, unix};

type Heard = Arc<Mutex<Vec<Instant>>>;

/// Somebody with an audio thread, in a task.
async fn person(
    n: u8,
    list: Vec<RelayName>,
    invite: Option<Invite>,
    link: Option<std::sync::mpsc::Sender<Invite>>,
    heard: Heard,
) {
    let mut call = match invite {
        None => Call::create_with(by(list.clone()), identity(n), room(list), seed(), unix()).unwrap(),
        Some(invite) => Call::join_with(by(list), identity(n), invite, seed(), unix()).unwrap(),
    };
    // A wait that is given up is on time, whatever the relay does.
    let start = Instant::now();
    let _ =
        timeout(SECOND / 10, async { while call.next(call.now() + 60 * SECOND).await != CallNext::Idle {} })
            .await;
    assert!(start.elapsed() < SECOND);
    let (mut call, mut media) = call.split();
    thread::spawn(move || {
        loop {
            media.hear(Instant::now(), |_| heard.lock().unwrap().push(Instant::now()));
            // Why we are silent is not what is tried here.
            let _ = media.speak(&[0xfc, 0xff, 0xfe], Stamp::default());
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut ticks = 0;
    let mut link = link;
    loop {
        if call.state() == &State::In
            && let Some(link) = link.take()
        {
            let now = call.now();
            link.send(call.room_mut().invite(InviteOptions::default(), now).unwrap()).unwrap();
        }
        let until = call.now() + 3_600 * SECOND;
        tokio::select! {
            next = call.next(until) => assert_ne!(next, CallNext::Idle),
            () = sleep(Duration::from_millis(10)) => ticks += 1,
        }
        assert!(ticks < 6_000);
    }
}

fn runs_in(runtime: &Runtime) {
    let mut relay = Some(Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default()).unwrap());
    let (name, address) = (relay.as_ref().unwrap().name(), relay.as_ref().unwrap().address());
    let heard: [Heard; 2] = Default::default();
    let (link, invite) = channel();
    let last = |heard: &Heard| heard.lock().unwrap().last().copied();
    runtime.spawn(person(1, vec![name.clone()], None, Some(link), Arc::clone(&heard[0])));
    runtime.block_on(async {
        let invite = loop {
            match invite.try_recv() {
                Ok(invite) => break invite,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        };
        tokio::spawn(person(2, vec![name], Some(invite), None, Arc::clone(&heard[1])));
        let hear_since = |since: Instant| {
            let heard = heard.clone();
            async move {
                while !heard.iter().all(|heard| last(heard).is_some_and(|at| at > since)) {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        };
        timeout(10 * SECOND, hear_since(Instant::now())).await.expect("both are heard");
        relay.take().unwrap().stop().unwrap();
        sleep(SECOND).await;
        let _relay = Relay::start(address, RelayOptions::default()).unwrap();
        let back = Instant::now();
        timeout(10 * SECOND, hear_since(back)).await.expect("both are heard again");
        println!("heard again after {:?}", back.elapsed());
        assert!(back.elapsed() < 2 * SECOND, "{:?}", back.elapsed());
    });
}

/// It compiles: whatever is awaited can be spawned.
#[expect(dead_code, reason = "nothing has to run")]
fn futures_can_move(session: &mut Session<TcpUdpClient, Apart>, member: MemberId, key: &ModerationKey) {
    fn can_move(_: impl Send) {}
    let now = session.now();
    can_move(session.next(now));
    can_move(session.report(member, SECOND, key));
}

#[test]
fn a_call_survives_its_relay_in_tokio_on_one_thread() {
    runs_in(&Builder::new_current_thread().enable_time().build().unwrap());
}

#[test]
fn a_call_survives_its_relay_in_tokio_on_many_threads() {
    runs_in(&Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap());
}
