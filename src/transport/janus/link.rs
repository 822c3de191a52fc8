//! Questions to Janus, and which of them are open.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// What a question is for. A number is that of a speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    // Coming in.
    Session,
    Handle,
    Make,
    Enter,
    // Being there.
    KeepAlive,
    Publish,
    Attach(u64),
    Subscribe(u64),
    Start(u64),
    /// Nobody waits for the answer.
    LetGo,
    // Going.
    Leave,
    List,
    Destroy,
    End,
}

#[derive(Default)]
pub(super) struct Link {
    /// Of Janus, for all that follows.
    pub(super) session: Option<u64>,
    counter: u64,
    open: HashMap<u64, (What, Instant)>,
    says: VecDeque<String>,
}

impl Link {
    /// Asks Janus itself, or one of its handles.
    pub(super) fn ask(&mut self, what: What, verb: &str, handle: Option<u64>, now: Instant) -> u64 {
        self.say(what, json!({ "janus": verb }), handle, now)
    }

    /// Asks the VideoRoom.
    pub(super) fn ask_room(
        &mut self,
        what: What,
        handle: u64,
        body: Value,
        jsep: Option<Value>,
        now: Instant,
    ) -> u64 {
        let mut message = json!({ "janus": "message", "body": body });
        if let (Some(fields), Some(jsep)) = (message.as_object_mut(), jsep) {
            fields.insert("jsep".to_owned(), jsep);
        }
        self.say(what, message, Some(handle), now)
    }

    pub(super) fn attach(&mut self, what: What, plugin: &str, now: Instant) -> u64 {
        self.say(what, json!({ "janus": "attach", "plugin": plugin }), None, now)
    }

    fn say(&mut self, what: What, mut message: Value, handle: Option<u64>, now: Instant) -> u64 {
        self.counter += 1;
        if let Some(fields) = message.as_object_mut() {
            fields.insert("transaction".to_owned(), self.counter.to_string().into());
            let numbers = [("session_id", self.session), ("handle_id", handle)];
            fields.extend(
                numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), number?.into()))),
            );
        }
        let patience = match what {
            What::Leave | What::List | What::Destroy | What::End => BRIEFLY,
            _ => PATIENCE,
        };
        if what != What::LetGo {
            self.open.insert(self.counter, (what, now + patience));
        }
        self.says.push_back(message.to_string());
        self.counter
    }

    /// What is to be sent.
    pub(super) fn next(&mut self) -> Option<String> {
        self.says.pop_front()
    }

    /// What the question with this number was, if it is open.
    pub(super) fn what(&self, number: u64) -> Option<What> {
        self.open.get(&number).map(|(what, _)| *what)
    }

    /// Waits for this answer no more.
    pub(super) fn forget(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// Waits for no answer any more.
    pub(super) fn forget_all(&mut self) {
        self.open.clear();
    }

    /// When the first answer is overdue.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.values().map(|(_, until)| *until).min()
    }
}

/// A description of a peer connection, without this member's addresses: Janus learns where it is
/// from the first datagram, and need not know what it is called in a network of its own.
pub(super) fn jsep(kind: &str, sdp: &str) -> Value {
    let sdp: String = sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
    json!({ "type": kind, "sdp": sdp, "e2ee": true, "trickle": true })
}

/// For an answer; then the relay is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// For an answer that changes little any more.
const BRIEFLY: Duration = Duration::from_millis(400);
