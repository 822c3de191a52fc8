//! A session over each shipped client waits by waking (SPEC section 8.1), on tokio and with no
//! runtime at all: whoever is tired of waiting gives up on time, and other work goes on meanwhile.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    Seed, Stamp,
    driver::{Next, Session},
    group::{Identity, Name, Role},
    room::{Admission, InviteOptions, RoomOptions, UnixTime},
    transport::{Transport, TransportError, block_on},
};
use tokio::sync::oneshot;

use super::{
    places,
    waiting::{LONG, SHORT, SLACK, either, runtimes},
};

/// Runs the story with one client on either runtime of tokio, and on none.
macro_rules! sessions {
    ($client:ident) => {
        mod $client {
            use super::*;

            #[test]
            fn next_is_given_up_on_time_in_tokio() {
                for runtime in runtimes() {
                    let Some(place) = places::$client() else { return };
                    let (_relay, member) = (place.relay, place.member);
                    let story = given_up_on_time(member, Executor::Tokio);
                    runtime.block_on(runtime.spawn(story)).unwrap();
                }
            }

            #[test]
            fn next_is_given_up_on_time_without_a_runtime() {
                let Some(place) = places::$client() else { return };
                let (_relay, member) = (place.relay, place.member);
                block_on(given_up_on_time(member, Executor::Thread));
            }
        }
    };
}

sessions!(loopback);
sessions!(tcp_udp);
sessions!(split);
#[cfg(feature = "quic")]
sessions!(quic);
#[cfg(feature = "moq")]
sessions!(moq);
#[cfg(feature = "janus")]
sessions!(janus);
#[cfg(feature = "rtpengine")]
sessions!(rtpengine);

/// What runs futures.
#[derive(Clone, Copy)]
enum Executor {
    Tokio,
    /// A thread, and [`block_on`].
    Thread,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Executor {
    fn sleep(self, lasts: Duration) -> Work {
        if let Self::Tokio = self {
            return Box::pin(tokio::time::sleep(lasts));
        }
        let (done, wait) = oneshot::channel::<()>();
        thread::spawn(move || {
            thread::sleep(lasts);
            drop(done);
        });
        Box::pin(async { drop(wait.await) })
    }

    fn spawn(self, work: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Tokio => drop(tokio::spawn(work)),
            Self::Thread => drop(thread::spawn(|| block_on(work))),
        }
    }

    /// Awaits `work`, which never ends, until a task beside it has ended.
    async fn until(self, task: Work, work: impl Future<Output = ()> + Send) {
        let first = match self {
            Self::Tokio => either(work, tokio::spawn(task)).await.map_err(Result::unwrap),
            Self::Thread => either(work, task).await,
        };
        assert_eq!(first, Err(()));
    }

    /// `None` if it takes longer than that.
    async fn timeout<T>(self, lasts: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
        match self {
            Self::Tokio => tokio::time::timeout(lasts, work).await.ok(),
            Self::Thread => either(work, self.sleep(lasts)).await.ok(),
        }
    }
}

/// Ben talks; Ada hears him, and waits in vain when he has stopped.
async fn given_up_on_time<T: Transport + 'static>(member: impl Fn() -> T, executor: Executor) {
    let (ben, mut ada) = a_room(member).await;
    let talking = Arc::new(AtomicBool::new(true));
    executor.spawn(talk(ben, Arc::clone(&talking)));
    let heard = executor.timeout(LONG, hear(&mut ada)).await;
    assert_eq!(heard, Some(Ok(())), "{:?}", ada.why_deaf());
    talking.store(false, Ordering::Relaxed);
    let until = ada.now() + 10 * LONG;
    // What was on its way comes first.
    while executor.timeout(SHORT, ada.next(until)).await.is_some() {}

    let start = Instant::now();
    assert_eq!(executor.timeout(SHORT, ada.next(until)).await, None);
    let took = start.elapsed();
    assert!((SHORT..SHORT + SLACK).contains(&took), "{took:?}");
    // Another task has its turns while one call waits.
    let task = Box::pin(async move {
        for _ in 0..10 {
            executor.sleep(SHORT / 20).await;
        }
    });
    let wait = async { while ada.next(until).await.unwrap() != Next::Idle {} };
    executor.timeout(LONG, executor.until(task, wait)).await.expect("another task did not run");
    // A time of its own is kept as well.
    let start = Instant::now();
    let until = ada.now() + SHORT;
    while ada.next(until).await.unwrap() != Next::Idle {}
    let took = start.elapsed();
    assert!((SHORT - SHORT / 10..SHORT + SLACK).contains(&took), "{took:?}");
    ada.close().await.unwrap();
}

/// Two people in a room, the first of whom has made it.
async fn a_room<T: Transport>(member: impl Fn() -> T) -> (Session<T>, Session<T>) {
    let person = |name| Identity::from_seed(rand::random(), Name::new(name).unwrap());
    let (unix, seed) = (UnixTime::from(SystemTime::now()), || Seed::generate().unwrap());
    let client = member();
    let relays: Vec<_> = Transport::relays(&client).into_iter().cloned().collect();
    let mut options = RoomOptions::new(Name::new("room").unwrap(), relays);
    (options.admission, options.default_role) = (Admission::Open, Role::Speaker);
    let mut ben = Session::create_with(client, person("Ben"), options, seed(), unix).await.unwrap();
    let now = ben.now();
    let invite = ben.room_mut().invite(InviteOptions::default(), now).unwrap();
    let mut ada = Session::join_with(member(), person("Ada"), invite, seed(), unix).await.unwrap();
    let late = Instant::now() + LONG;
    while ben.room().roster().len() < 2 || ada.room().roster().len() < 2 {
        assert!(Instant::now() < late, "{:?}, {:?}", ben.room(), ada.room());
        for session in [&mut ben, &mut ada] {
            let until = session.now() + SHORT / 20;
            session.next(until).await.unwrap();
        }
    }
    (ben, ada)
}

/// Stays in the room, and speaks for as long as it is told to.
async fn talk<T: Transport>(mut session: Session<T>, talking: Arc<AtomicBool>) {
    loop {
        if talking.load(Ordering::Relaxed) {
            // The room says in a moment that a newcomer may speak.
            let _ = session.speak(&[0xfc, 0xff, 0xfe], Stamp::default());
        }
        let until = session.now() + SHORT / 10;
        while session.now() < until {
            // The other one may leave first, and its relay go with it.
            if session.next(until).await.is_err() {
                return;
            }
        }
    }
}

async fn hear<T: Transport>(session: &mut Session<T>) -> Result<(), TransportError> {
    let until = session.now() + 10 * LONG;
    while !matches!(session.next(until).await?, Next::Packet(_)) {}
    Ok(())
}
