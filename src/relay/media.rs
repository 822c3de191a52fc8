//! The relay's media lane: one thread, one UDP socket, no queue. It also sees to what has to be
//! done now and then.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Shared, TICK,
    log::Lane,
    random,
    rooms::{Copies, datagrams::Verdict},
    timed_out,
};
use crate::{lane::MAX_MEDIA, relay_protocol::wire::Cookie};

/// Forwards datagrams until the relay stops.
pub(super) fn serve(shared: &Shared) {
    let socket = &shared.media;
    // Both can only fail for a timeout of zero.
    let _ = socket.set_read_timeout(Some(TICK));
    let _ = socket.set_write_timeout(Some(SEND_TIMEOUT));
    // A byte more than is allowed, so that a longer datagram shows.
    let mut buffer = [0; MAX_MEDIA + 1];
    let mut to = Copies::default();
    let mut swept = Instant::now();
    while !shared.is_stopping() {
        if swept.elapsed() >= TICK {
            swept = Instant::now();
            shared.handle_timeout(swept);
        }
        let (bytes, source) = match socket.recv_from(&mut buffer) {
            Ok((length, source)) => (buffer.get(..length).unwrap_or_default(), source),
            Err(error) if timed_out(&error) => continue,
            Err(_) => {
                // On some systems a member's closed port is reported here. It concerns nobody else.
                thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        to.addresses.clear();
        to.connections.clear();
        let fresh = || random().map(Cookie);
        let verdict = shared.rooms().handle_datagram(source, bytes, Instant::now(), fresh, &mut to);
        // A copy that cannot be sent is a copy lost, as on any network.
        match verdict {
            Verdict::Drop => {}
            Verdict::Forward(from) => {
                shared.record(Lane::Media, from, bytes);
                for address in &to.addresses {
                    let _ = socket.send_to(bytes, address);
                }
                #[cfg(feature = "quic")]
                shared.forward_by_quic(from, bytes, &to.connections);
            }
            Verdict::Reply(from, reply) => {
                shared.record(Lane::Bind, from, bytes);
                let _ = socket.send_to(&reply, source);
            }
        }
    }
}

/// How long a full send buffer may hold up the lane.
const SEND_TIMEOUT: Duration = Duration::from_millis(1);
