//! A session with a Janus that is a few lines here, on virtual time.

use serde_json::Value;

use super::*;

const HERE: ([u8; 4], u16) = ([127, 0, 0, 1], 1_000);
const JANUS: ([u8; 4], u16) = ([127, 0, 0, 1], 2_000);
const OWN: u64 = 5;

struct Play {
    session: Session,
    now: Instant,
}

impl Play {
    /// A session that has just begun.
    fn begin() -> Self {
        let now = Instant::now();
        Self { session: Session::new(RoomHandle::from_bytes([1; 16]), HERE.into(), now), now }
    }

    /// One that is in a room in which these speak.
    fn joined(feeds: &[u64]) -> Self {
        let mut play = Self::begin();
        play.come_in();
        let join = play.asked("join");
        let publishers: Vec<Value> = feeds.iter().map(|feed| json!({ "id": feed })).collect();
        play.tell(&join, json!({ "videoroom": "joined", "publishers": publishers }));
        assert_eq!(play.session.state(), State::Joined);
        play
    }

    /// Up to the question to join.
    fn come_in(&mut self) {
        let create = self.asked("create");
        self.succeed(&create, 1);
        let attach = self.asked("attach");
        assert_eq!((&attach["session_id"], &attach["plugin"]), (&json!(1), &json!(PLUGIN)));
        self.succeed(&attach, OWN);
    }

    /// The next question, which must be this one.
    fn asked(&mut self, request: &str) -> Value {
        let text = self.session.poll_text().unwrap_or_else(|| panic!("no {request}"));
        let asked: Value = serde_json::from_str(&text).unwrap();
        let what = if asked["janus"] == "message" { &asked["body"]["request"] } else { &asked["janus"] };
        assert_eq!(what, request, "{asked}");
        asked
    }

    fn nothing_asked(&mut self) {
        assert_eq!(self.session.poll_text(), None);
    }

    fn hear(&mut self, said: Value) {
        self.session.handle_text(&said.to_string(), self.now);
    }

    fn succeed(&mut self, asked: &Value, id: u64) {
        self.hear(json!({ "janus": "success", "transaction": asked["transaction"], "data": { "id": id } }));
    }

    /// The answer of the VideoRoom to this.
    fn tell(&mut self, asked: &Value, data: Value) {
        self.hear(json!({
            "janus": "event", "transaction": asked["transaction"], "sender": asked["handle_id"],
            "plugindata": { "data": data },
        }));
    }

    fn refuse(&mut self, asked: &Value, code: i64) {
        self.tell(asked, json!({ "videoroom": "event", "error_code": code }));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now, |_| {});
    }
}

#[test]
fn whoever_finds_no_room_makes_it_and_joins_even_if_somebody_was_faster() {
    for faster in [false, true] {
        let mut play = Play::begin();
        play.come_in();
        let join = play.asked("join");
        assert!(join["body"].get("display").is_none());
        play.refuse(&join, NO_SUCH_ROOM);
        let make = play.asked("create");
        assert_eq!(
            (&make["body"]["require_e2ee"], &make["body"]["room"]),
            (&json!(true), &join["body"]["room"])
        );
        match faster {
            true => play.refuse(&make, ROOM_EXISTS),
            false => play.tell(&make, json!({ "videoroom": "created" })),
        }
        let join = play.asked("join");
        play.tell(&join, json!({ "videoroom": "joined", "publishers": [] }));
        assert_eq!(play.session.state(), State::Joined);
    }
    // A relay in which it is gone each time is none.
    let mut play = Play::begin();
    play.come_in();
    for _ in 0..TRIES {
        let join = play.asked("join");
        play.refuse(&join, NO_SUCH_ROOM);
        let make = play.asked("create");
        play.refuse(&make, ROOM_EXISTS);
    }
    let join = play.asked("join");
    play.refuse(&join, NO_SUCH_ROOM);
    assert_eq!(play.session.state(), State::Over(TransportError::Refused));
}

#[test]
fn a_question_that_is_not_answered_and_a_member_that_was_put_out_end_the_session() {
    let mut play = Play::joined(&[]);
    play.pass(KEEP_ALIVE);
    let alive = play.asked("keepalive");
    play.hear(json!({ "janus": "ack", "transaction": alive["transaction"] }));
    play.pass(KEEP_ALIVE);
    play.asked("keepalive");
    play.pass(Duration::from_millis(4_999));
    assert_eq!(play.session.state(), State::Joined);
    play.pass(Duration::from_millis(1));
    assert!(matches!(play.session.state(), State::Over(_)));
    let data = json!({ "videoroom": "event", "leaving": "ok", "reason": "kicked" });
    for end in [
        json!({ "janus": "event", "sender": OWN, "plugindata": { "data": data } }),
        json!({ "janus": "detached", "sender": OWN }),
        json!({ "janus": "timeout", "session_id": 1 }),
    ] {
        let mut play = Play::joined(&[]);
        play.hear(end);
        assert_eq!(play.session.state(), State::Over(TransportError::Closed));
    }
}

#[test]
fn a_speaker_that_is_not_there_yet_is_asked_for_again_and_one_that_left_is_not() {
    let mut play = Play::joined(&[7]);
    for failures in 1..=21u32 {
        let attach = play.asked("attach");
        play.succeed(&attach, 100 + u64::from(failures));
        let subscribe = play.asked("join");
        assert_eq!(subscribe["body"]["streams"], json!([{ "feed": 7 }]));
        play.refuse(&subscribe, 428);
        let detach = play.asked("detach");
        assert_eq!(detach["handle_id"], subscribe["handle_id"]);
        let wait = Duration::from_millis(50 << failures.min(5));
        play.pass(wait - Duration::from_millis(1));
        while let Some(text) = play.session.poll_text() {
            let asked: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(asked["janus"], "keepalive");
            play.hear(json!({ "janus": "ack", "transaction": asked["transaction"] }));
        }
        play.pass(Duration::from_millis(1));
    }
    play.nothing_asked();
    // It begins to speak after all, and leaves before there is a handle for it.
    let event = |data: Value| json!({ "janus": "event", "sender": OWN, "plugindata": { "data": data } });
    play.hear(event(json!({ "videoroom": "event", "publishers": [{ "id": 7 }] })));
    let attach = play.asked("attach");
    play.hear(event(json!({ "videoroom": "event", "unpublished": 7 })));
    play.succeed(&attach, 200);
    assert_eq!(play.asked("detach")["handle_id"], 200);
    play.nothing_asked();
}

#[test]
fn a_room_that_was_ended_is_entered_again() {
    let mut play = Play::joined(&[7]);
    let attach = play.asked("attach");
    play.hear(json!({
        "janus": "event", "sender": OWN, "plugindata": { "data": { "videoroom": "destroyed" } },
    }));
    assert_eq!(play.asked("detach")["handle_id"], OWN);
    let again = play.asked("attach");
    // What was asked in the old room is answered by nobody, or too late.
    play.succeed(&attach, 99);
    play.succeed(&again, OWN + 1);
    let join = play.asked("join");
    assert_eq!(join["handle_id"], OWN + 1);
    play.refuse(&join, NO_SUCH_ROOM);
    let make = play.asked("create");
    play.tell(&make, json!({ "videoroom": "created" }));
    let join = play.asked("join");
    play.tell(&join, json!({ "videoroom": "joined", "publishers": [{ "id": 8 }] }));
    play.asked("attach");
    assert_eq!(play.session.state(), State::Joined);
}

#[test]
fn a_member_speaks_once_it_has_something_to_say_and_no_longer_than_30_seconds_after_that() {
    let mut play = Play::joined(&[]);
    play.pass(Duration::from_secs(1));
    play.nothing_asked();
    play.session.send(b"lost", play.now, |_| {});
    let publish = play.asked("publish");
    assert_eq!((&publish["jsep"]["e2ee"], &publish["jsep"]["type"]), (&json!(true), &json!("offer")));
    let offer = publish["jsep"]["sdp"].as_str().unwrap();
    for absent in ["candidate", "useinbandfec", "a=extmap:", "127.0.0.1"] {
        assert!(!offer.contains(absent), "{absent} in {offer}");
    }
    let (mut janus, answer) = Peer::listener(JANUS.into(), offer, play.now).unwrap();
    play.hear(json!({
        "janus": "event", "transaction": publish["transaction"], "sender": OWN,
        "jsep": { "type": "answer", "sdp": answer },
        "plugindata": { "data": { "videoroom": "event", "configured": "ok" } },
    }));
    let (mut heard, mut to_here) = (Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
    let start = play.now;
    while play.now < start + Duration::from_secs(31) {
        play.now += Duration::from_millis(20);
        let Play { session, now, .. } = &mut play;
        let mut to_janus = Vec::new();
        let mut keep = |brought: Brought<'_>| {
            if let Brought::Datagram(bytes, _) = brought {
                to_janus.push(bytes.to_vec());
            }
        };
        if heard.is_empty() && *now > start + Duration::from_secs(1) {
            session.send(b"heard", *now, &mut keep);
        }
        for bytes in std::mem::take(&mut to_here) {
            session.handle_datagram(JANUS.into(), &bytes, *now, &mut keep);
        }
        session.handle_timeout(*now, &mut keep);
        for bytes in to_janus {
            let receive = Receive::new(Protocol::Udp, HERE.into(), JANUS.into(), &bytes).unwrap();
            janus.handle_datagram(Input::Receive(*now, receive));
            janus.drain(*now, |brought| match brought {
                Brought::Datagram(bytes, _) => to_here.push(bytes.to_vec()),
                Brought::Packet(packet) => heard.push(packet.to_vec()),
            });
        }
        janus.handle_timeout(*now);
        janus.drain(*now, |brought| {
            if let Brought::Datagram(bytes, _) = brought {
                to_here.push(bytes.to_vec());
            }
        });
        if let Some(text) = session.poll_text() {
            let asked: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(asked["janus"], "keepalive", "{asked}");
            play.hear(json!({ "janus": "ack", "transaction": asked["transaction"] }));
        }
    }
    assert_eq!(heard, [b"heard"]);
    play.pass(Duration::from_millis(300));
    play.asked("unpublish");
    // Again, from the beginning.
    play.session.send(b"lost", play.now, |_| {});
    play.asked("publish");
}

#[test]
fn whoever_leaves_ends_the_room_if_nobody_is_left() {
    for empty in [true, false] {
        let mut play = Play::joined(&[]);
        play.session.leave(play.now, |_| {});
        let leave = play.asked("leave");
        play.tell(&leave, json!({ "videoroom": "event", "leaving": "ok" }));
        let list = play.asked("listparticipants");
        let there = if empty { json!([]) } else { json!([{ "id": 3 }]) };
        play.tell(&list, json!({ "videoroom": "participants", "participants": there }));
        if empty {
            let destroy = play.asked("destroy");
            assert!(destroy["body"]["secret"].is_string());
            play.tell(&destroy, json!({ "videoroom": "destroyed" }));
        }
        let end = play.asked("destroy");
        assert!(end.get("body").is_none() && end.get("handle_id").is_none());
        play.hear(json!({ "janus": "success", "transaction": end["transaction"] }));
        assert!(matches!(play.session.state(), State::Over(_)));
    }
    // A Janus that does not answer holds up nobody.
    let mut play = Play::joined(&[]);
    play.session.leave(play.now, |_| {});
    play.pass(Duration::from_millis(400));
    assert!(matches!(play.session.state(), State::Over(_)));
}
