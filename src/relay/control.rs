//! The relay's control lane: a door that admits connections, and a reader and a writer for each.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Weak, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use bytes::Buf;
use socket2::SockRef;

use super::{
    Shared, TICK,
    log::{Connection, Lane},
    outbox::Outbox,
    random,
    rooms::Way,
    timed_out,
};
use crate::{
    lane::{Part, RoomHandle},
    relay_protocol::{
        token::{Revocation, Token},
        wire::{self, FrameTooLong, Frames, Hello, Rejection, Ticket},
    },
};

/// Admits connections until the relay drains or stops, then ends them all when it stops.
///
/// It waits for the next connection without ever looking up, since that would cost more than a
/// small room does; whoever drains or stops the relay [knocks](knock).
pub(super) fn serve(listener: TcpListener, shared: &Arc<Shared>) {
    let mut connections: Vec<(Weak<TcpStream>, JoinHandle<()>)> = Vec::new();
    let closed = || shared.is_stopping() || shared.draining.load(Ordering::Relaxed);
    loop {
        let accepted = listener.accept();
        if closed() {
            break;
        }
        match accepted {
            Ok((stream, source)) => connections.extend(admit(stream, source.ip(), shared)),
            // No descriptor is left, or the connection is gone already.
            Err(_) => thread::sleep(PAUSE),
        }
        connections.retain(|(_, thread)| !thread.is_finished());
    }
    // Whoever knocks from now on learns at once that nobody is here.
    drop(listener);
    while !shared.is_stopping() {
        thread::sleep(PAUSE);
    }
    shared.rooms().close();
    for (stream, thread) in connections {
        end(&stream);
        // A thread that panicked has ended too.
        let _ = thread.join();
    }
}

/// Ends a connection, which may have ended by itself.
fn end(stream: &Weak<TcpStream>) {
    let _ = stream.upgrade().map(|stream| stream.shutdown(Shutdown::Both));
}

/// Makes a door that waits at this address look up.
pub(super) fn knock(address: SocketAddr) {
    let loopback = match address {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
    // If there is no room for another connection, there is one that makes it look up as well.
    let _ = TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), TICK);
}

/// Starts the thread of a new connection, or drops the connection if too many have yet to say
/// hello.
fn admit(
    stream: TcpStream,
    source: IpAddr,
    shared: &Arc<Shared>,
) -> Option<(Weak<TcpStream>, JoinHandle<()>)> {
    // On some systems a connection inherits this from its listener.
    stream.set_nonblocking(false).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_write_timeout(Some(shared.limits.write_timeout)).ok()?;
    // What the system has taken it sends in the order in which it came, whoever said it. So it is
    // to take little at a time.
    SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER).ok()?;
    let stream = Arc::new(stream);
    // Theirs alone, so that it closes when they have ended.
    let (here, its_stream, its_shared) = (Arc::downgrade(&stream), stream, Arc::clone(shared));
    let hang_up = Weak::clone(&here);
    let number = shared.enter(source, Box::new(move |_| end(&hang_up)))?;
    let thread = spawn("relay member", move || {
        let hello = read_hello(&its_stream, its_shared.limits.hello_timeout);
        // Otherwise it was hung up on, and counted.
        if its_shared.pending().leave(number) {
            handle_hello(hello, &its_stream, &its_shared);
        }
    });
    if thread.is_none() {
        shared.pending().leave(number);
    }
    Some((here, thread?))
}

/// Reads until it is clear what the connection is, or the time is up.
fn read_hello(mut stream: &TcpStream, patience: Duration) -> Hello {
    let deadline = Instant::now() + patience;
    let mut buffer = [0; wire::OPENING_LEN];
    let mut length = 0;
    loop {
        let (read, unread) = buffer.split_at_mut(length);
        let wanted = match wire::parse_hello(read) {
            Hello::Partial(wanted) => wanted,
            known => return known,
        };
        let missing = wanted.saturating_sub(length).min(unread.len());
        let unread = unread.get_mut(..missing).unwrap_or_default();
        let left = deadline.saturating_duration_since(Instant::now());
        // Once the time is up this fails, since a timeout of zero is refused.
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(unread)) {
            Ok(more) if more > 0 => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return Hello::Partial(wanted),
        }
    }
}

/// Serves a member to its end, or turns the connection away.
fn handle_hello(hello: Hello, stream: &Arc<TcpStream>, shared: &Arc<Shared>) {
    let refusal = match hello {
        // Without random numbers there are no tickets, so there is no place.
        Hello::Room(room, token, part) => match random()
            .ok_or(Rejection::Connections)
            .and_then(|ticket| join(room, token.as_ref(), part, Way::Tcp(Ticket(ticket)), shared))
        {
            Ok((connection, outbox)) => {
                shared.record(Lane::Hello, connection, &wire::hello(room, token.as_ref(), part));
                serve_member(stream, connection, &outbox, shared);
                shared.rooms().leave(connection);
                return;
            }
            Err(refusal) => refusal,
        },
        Hello::Revoke(revocation) => match revoke(&revocation, shared) {
            Ok(()) => {
                // As below.
                let _ = stream.as_ref().write_all(&wire::revoked());
                return;
            }
            Err(refusal) => refusal,
        },
        Hello::OtherVersion => Rejection::Version,
        // No word to what does not speak our protocol.
        Hello::Garbage => return shared.rooms().counts.refuse(|refusals| &mut refusals.garbage),
        Hello::Partial(_) => return shared.rooms().counts.refuse(|refusals| &mut refusals.no_hello),
    };
    shared.rooms().counts.refuse(|refusals| refusals.of(refusal));
    // Whether it still listens is its own affair.
    let _ = stream.as_ref().write_all(&wire::answer(Err(refusal)));
}

/// Finds a place for a member, if it may have one. Its part is that of its token, if it needs one.
pub(super) fn join(
    room: RoomHandle,
    token: Option<&Token>,
    part: Part,
    way: Way,
    shared: &Shared,
) -> Result<(Connection, Arc<Outbox>), Rejection> {
    let (serial, part) = match (shared.issuer, token) {
        (None, _) => (None, part),
        (Some(issuer), Some(token)) => {
            let part = issuer.part_of(token, room, unix_now()).ok_or(Rejection::Token)?;
            (Some(token.serial()), part)
        }
        (Some(_), None) => return Err(Rejection::Token),
    };
    shared.rooms().join(room, way, part, serial, Instant::now())
}

/// Takes a token back, if its issuer says so.
pub(super) fn revoke(revocation: &Revocation, shared: &Shared) -> Result<(), Rejection> {
    let issuer = shared.issuer.ok_or(Rejection::Version)?;
    if !issuer.verify_revocation(revocation) {
        return Err(Rejection::Token);
    }
    let remembered = shared.rooms().revoke(revocation.serial(), revocation.expiry(), unix_now());
    if remembered { Ok(()) } else { Err(Rejection::Connections) }
}

/// Seconds since 1970-01-01 UTC. A clock set before then lets tokens live longer, as any wrong
/// clock does.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Reads a member's messages while a second thread writes to it what the others say.
fn serve_member(stream: &Arc<TcpStream>, connection: Connection, outbox: &Arc<Outbox>, shared: &Arc<Shared>) {
    let (its_stream, its_outbox, its_shared) = (Arc::clone(stream), Arc::clone(outbox), Arc::clone(shared));
    let writer = spawn("relay writer", move || {
        if write_frames(&its_stream, &its_outbox).is_err_and(|error| timed_out(&error)) {
            its_shared.rooms().cut(&[connection]);
        }
        // Ends the reader as well, unless the member is to read to the end first: what lies unread
        // when a socket is closed could destroy what was written last. It may have ended by itself.
        let finished = its_outbox.is_finishing() && !its_outbox.is_closed();
        let _ = its_stream.shutdown(if finished { Shutdown::Write } else { Shutdown::Both });
    });
    let Some(writer) = writer else { return };
    if stream.set_read_timeout(None).is_ok() {
        read_frames(stream, connection, outbox, shared);
    }
    if outbox.is_finishing() {
        // Until the member has read what there was and hangs up, or the relay stops.
        let _ = io::copy(&mut stream.as_ref(), &mut io::sink());
    }
    shared.rooms().detach(connection);
    // A thread that panicked has ended too.
    let _ = writer.join();
}

/// Hands on what the member says until it stops, breaks the rules, or is cut off.
fn read_frames(mut stream: &TcpStream, connection: Connection, outbox: &Outbox, shared: &Shared) {
    let mut frames = Frames::default();
    let mut chunk = [0; 8 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => return,
            Ok(length) => frames.push(chunk.get(..length).unwrap_or_default()),
        }
        loop {
            match frames.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    shared.record(Lane::Control, connection, &message);
                    let mut handled = shared.rooms().handle_control(connection, &message, Instant::now());
                    while let Some(wait) = handled
                        && !wait.is_zero()
                    {
                        if !outbox.pause(wait) {
                            return;
                        }
                        handled = shared.rooms().held_up(connection);
                    }
                    if handled.is_none() {
                        return;
                    }
                }
                Err(FrameTooLong) => {
                    shared.rooms().cut(&[connection]);
                    return;
                }
            }
        }
    }
}

/// Writes what waits for the member until its outbox is closed or it accepts no more.
fn write_frames(mut stream: &TcpStream, outbox: &Outbox) -> io::Result<()> {
    let mut bytes = Vec::new();
    while outbox.take(&mut bytes) {
        let mut unsent = bytes.as_slice();
        while !unsent.is_empty() && !outbox.is_closed() {
            match stream.write(unsent) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                written => unsent.advance(written?.min(unsent.len())),
            }
        }
        bytes.clear();
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work).ok()
}

/// How long a door waits that cannot let anybody in.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes that the system may have waiting for one member: enough for 640 KB a second over a round
/// trip of 100 ms.
const SEND_BUFFER: usize = 64 * 1024;
/// Threads here are many and hold little.
const STACK: usize = 256 * 1024;
