//! The words of Janus and its VideoRoom. What comes from a relay is not believed to be well-formed.

use serde_json::{Value, json};

use crate::{hex::Hex, keys::derive::hkdf_sha256, transport::RoomHandle};

/// What a room is called, and what lets in and ends it. All of it comes from the handle, so that
/// only who has that can join, and none of it tells the handle.
pub(super) struct Room {
    number: u64,
    pin: String,
    secret: String,
}

impl Room {
    pub(super) fn new(handle: RoomHandle) -> Self {
        let part = |label: &[u8]| {
            let mut bytes = [0; 16];
            hkdf_sha256(&[], handle.as_bytes(), &[b"sottovoce 1 janus ", label], &mut bytes);
            bytes
        };
        let [a, b, c, d, e, f, g, ..] = part(b"room");
        // A number that JavaScript can hold as well, and not 0.
        let number = u64::from_be_bytes([0, a & 0x0f, b, c, d, e, f, g]) | 1 << 52;
        Self { number, pin: Hex(&part(b"pin")).to_string(), secret: Hex(&part(b"secret")).to_string() }
    }

    pub(super) fn make(&self) -> Value {
        json!({
            "request": "create", "room": self.number, "pin": self.pin, "secret": self.secret, "description": "",
            "is_private": true, "permanent": false, "publishers": SPEAKERS, "require_e2ee": true,
            "audiocodec": "opus", "opus_fec": false, "opus_dtx": false, "audiolevel_ext": false,
            "transport_wide_cc_ext": false, "playoutdelay_ext": false, "record": false, "notify_joining": false,
        })
    }

    pub(super) fn join(&self) -> Value {
        json!({ "request": "join", "ptype": "publisher", "room": self.number, "pin": self.pin })
    }

    pub(super) fn subscribe(&self, feed: u64) -> Value {
        json!({
            "request": "join", "ptype": "subscriber", "room": self.number, "pin": self.pin,
            "autoupdate": false, "streams": [{ "feed": feed }],
        })
    }

    pub(super) fn list(&self) -> Value {
        json!({ "request": "listparticipants", "room": self.number })
    }

    pub(super) fn destroy(&self) -> Value {
        json!({ "request": "destroy", "room": self.number, "secret": self.secret, "permanent": false })
    }
}

/// A message of the relay.
pub(super) struct Said(Value);

impl Said {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        value.get("janus")?.is_string().then_some(Self(value))
    }

    /// What it is to Janus: `ack`, `success`, `event`, `error`, `hangup` and so on.
    pub(super) fn kind(&self) -> &str {
        self.0.get("janus").and_then(Value::as_str).unwrap_or_default()
    }

    /// Which of our questions it answers.
    pub(super) fn transaction(&self) -> Option<u64> {
        self.0.get("transaction")?.as_str()?.parse().ok()
    }

    /// Which handle it is about.
    pub(super) fn sender(&self) -> Option<u64> {
        self.0.get("sender")?.as_u64()
    }

    /// The number of a new session or handle.
    pub(super) fn number(&self) -> Option<u64> {
        self.0.get("data")?.get("id")?.as_u64()
    }

    /// What it is to the VideoRoom.
    pub(super) fn about(&self) -> &str {
        self.data().and_then(|data| data.get("videoroom")?.as_str()).unwrap_or_default()
    }

    pub(super) fn error(&self) -> Option<i64> {
        let of_janus = self.0.get("error").map(|error| error.get("code").and_then(Value::as_i64));
        let of_room = || self.data()?.get("error_code").map(Value::as_i64);
        // One without a number is one as well.
        of_janus.or_else(of_room).map(|code| code.unwrap_or_default())
    }

    /// An `offer` or `answer`.
    pub(super) fn sdp(&self, kind: &str) -> Option<&str> {
        let jsep = self.0.get("jsep")?;
        let sdp = jsep.get("sdp")?.as_str()?;
        (jsep.get("type")?.as_str()? == kind && sdp.len() <= LONGEST_SDP).then_some(sdp)
    }

    /// Who speaks, or begins to.
    pub(super) fn feeds(&self) -> Vec<u64> {
        let list = self.data().and_then(|data| data.get("publishers")?.as_array());
        list.into_iter().flatten().filter_map(|one| one.get("id")?.as_u64()).take(SPEAKERS).collect()
    }

    /// Who does not speak any more.
    pub(super) fn gone(&self) -> Option<u64> {
        let data = self.data()?;
        ["unpublished", "leaving", "kicked"].iter().find_map(|key| data.get(key)?.as_u64())
    }

    /// Whether this member was put out of the room.
    pub(super) fn is_farewell(&self) -> bool {
        self.data().is_some_and(|data| data.get("leaving").and_then(Value::as_str) == Some("ok"))
    }

    pub(super) fn is_empty_room(&self) -> bool {
        self.data().and_then(|data| data.get("participants")?.as_array()).is_some_and(Vec::is_empty)
    }

    fn data(&self) -> Option<&Value> {
        self.0.get("plugindata")?.get("data")
    }
}

/// Members of a room that speak, or have spoken a moment ago.
pub(super) const SPEAKERS: usize = 64;
pub(super) const PLUGIN: &str = "janus.plugin.videoroom";
/// There is no such room.
pub(super) const NO_SUCH_ROOM: i64 = 426;
/// There is one already.
pub(super) const ROOM_EXISTS: i64 = 427;
/// An offer with one audio stream has one or two thousand bytes.
const LONGEST_SDP: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_named_after_the_handle_and_tell_nothing_of_it() {
        let room = |byte: u8| Room::new(RoomHandle::from_bytes([byte; 16]));
        let (one, two) = (room(1), room(2));
        assert_ne!(one.number, two.number);
        assert!(one.number < 1 << 53 && one.number > 0);
        assert_ne!(one.pin, one.secret);
        assert_ne!(one.pin, two.pin);
        let said = format!("{}{}{}", one.make(), one.join(), one.subscribe(3));
        assert!(!said.contains(&"01".repeat(16)));
    }

    #[test]
    fn what_has_another_form_is_read_as_nothing() {
        for text in ["", "[]", "{}", "{\"janus\":1}", "\u{0}", &"[".repeat(100_000)] {
            assert!(Said::parse(text).is_none(), "{text}");
        }
        let odd = r#"{"janus":"event","transaction":7,"sender":"x","plugindata":{"data":{"videoroom":[],
            "publishers":[1,{"id":"x"},{"id":-1},{"id":5}],"leaving":"ok","error_code":"x"}},"jsep":{"sdp":1}}"#;
        let said = Said::parse(odd).unwrap();
        assert_eq!((said.transaction(), said.sender(), said.number()), (None, None, None));
        assert_eq!((said.about(), said.feeds(), said.gone()), ("", vec![5], None));
        assert_eq!((said.error(), said.sdp("offer"), said.is_farewell()), (Some(0), None, true));
    }
}
