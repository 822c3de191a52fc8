//! The relay's control lane: a door that admits connections, and a reader and a writer for each.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Buf;

use super::{
    Shared, TICK,
    log::{Connection, Lane},
    outbox::Outbox,
    random, timed_out,
    wire::{self, FrameTooLong, Frames, Hello, Refusal, Ticket},
};

/// Admits connections until the relay stops, then ends them all.
pub(super) fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    // Polled, since nothing in `std` can wake a thread that waits for a connection.
    let polled = listener.set_nonblocking(true).is_ok();
    let mut connections: Vec<(Arc<TcpStream>, JoinHandle<()>)> = Vec::new();
    let mut swept = Instant::now();
    while polled && !shared.is_stopping() {
        match listener.accept() {
            Ok((stream, _)) => connections.extend(admit(stream, shared)),
            Err(_) => thread::sleep(POLL),
        }
        if swept.elapsed() >= TICK {
            swept = Instant::now();
            shared.handle_timeout(swept);
            connections.retain(|(_, thread)| !thread.is_finished());
        }
    }
    shared.rooms().close();
    for (stream, thread) in connections {
        // It may have ended by itself, and a thread that panicked has ended too.
        let _ = stream.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

/// Starts the thread of a new connection, or drops the connection if too many have yet to say hello.
fn admit(stream: TcpStream, shared: &Arc<Shared>) -> Option<(Arc<TcpStream>, JoinHandle<()>)> {
    if shared.pending.load(Ordering::Relaxed) >= shared.limits.pending {
        shared.rooms().counts.refused += 1;
        return None;
    }
    // On some systems a connection inherits this from its listener.
    stream.set_nonblocking(false).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_write_timeout(Some(shared.limits.write_timeout)).ok()?;
    let stream = Arc::new(stream);
    let (its_stream, its_shared) = (Arc::clone(&stream), Arc::clone(shared));
    shared.pending.fetch_add(1, Ordering::Relaxed);
    let thread = spawn("relay member", move || {
        let hello = read_hello(&its_stream, its_shared.limits.hello_timeout);
        its_shared.pending.fetch_sub(1, Ordering::Relaxed);
        handle_hello(hello, &its_stream, &its_shared);
    });
    if thread.is_none() {
        shared.pending.fetch_sub(1, Ordering::Relaxed);
    }
    Some((stream, thread?))
}

/// Reads until it is clear what the connection is, or the time is up.
fn read_hello(mut stream: &TcpStream, patience: Duration) -> Hello {
    let deadline = Instant::now() + patience;
    let mut buffer = [0; wire::HELLO_LEN];
    let mut length = 0;
    loop {
        let (read, unread) = buffer.split_at_mut(length);
        match wire::parse_hello(read) {
            Hello::Partial => {}
            known => return known,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // Once the time is up this fails, since a timeout of zero is refused.
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(unread)) {
            Ok(more) if more > 0 => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return Hello::Partial,
        }
    }
}

/// Serves a member to its end, or turns the connection away.
fn handle_hello(hello: Hello, stream: &Arc<TcpStream>, shared: &Arc<Shared>) {
    let refusal = match hello {
        Hello::Room(room) => {
            // Without random numbers there are no tickets, so there is no place.
            let ticket = random().map(Ticket).ok_or(Refusal::Connections);
            let joined = ticket.and_then(|ticket| shared.rooms().join(room, ticket, Instant::now()));
            match joined {
                Ok((connection, outbox)) => {
                    shared.record(Lane::Hello, connection, &wire::hello(room));
                    serve_member(stream, connection, &outbox, shared);
                    shared.rooms().leave(connection);
                    return;
                }
                Err(refusal) => refusal,
            }
        }
        Hello::OtherVersion => Refusal::Version,
        Hello::Garbage | Hello::Partial => {
            // No word to what does not speak our protocol.
            shared.rooms().counts.refused += 1;
            return;
        }
    };
    shared.rooms().counts.refused += 1;
    // Whether it still listens is its own affair.
    let _ = stream.as_ref().write_all(&wire::answer(Err(refusal)));
}

/// Reads a member's messages while a second thread writes to it what the others say.
fn serve_member(stream: &Arc<TcpStream>, connection: Connection, outbox: &Arc<Outbox>, shared: &Arc<Shared>) {
    let (its_stream, its_outbox, its_shared) = (Arc::clone(stream), Arc::clone(outbox), Arc::clone(shared));
    let writer = spawn("relay writer", move || {
        if write_frames(&its_stream, &its_outbox).is_err_and(|error| timed_out(&error)) {
            its_shared.rooms().cut(&[connection]);
        }
        // Ends the reader as well. The connection may have ended by itself.
        let _ = its_stream.shutdown(Shutdown::Both);
    });
    let Some(writer) = writer else { return };
    if stream.set_read_timeout(None).is_ok() {
        read_frames(stream, connection, outbox, shared);
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
        let mut wait = Duration::ZERO;
        loop {
            match frames.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    shared.record(Lane::Control, connection, &message);
                    let handled = shared.rooms().handle_control(connection, &message, Instant::now());
                    let Some(asked) = handled else { return };
                    wait = asked;
                }
                Err(FrameTooLong) => {
                    shared.rooms().cut(&[connection]);
                    return;
                }
            }
        }
        outbox.pause(wait);
    }
}

/// Writes what waits for the member until its outbox is closed or it accepts no more.
fn write_frames(mut stream: &TcpStream, outbox: &Outbox) -> io::Result<()> {
    while let Some(mut frame) = outbox.take() {
        while !frame.is_empty() && !outbox.is_closed() {
            match stream.write(&frame) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                written => frame.advance(written?.min(frame.len())),
            }
        }
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work).ok()
}

/// How often the door looks for new connections.
const POLL: Duration = Duration::from_millis(10);
/// Threads here are many and hold little.
const STACK: usize = 256 * 1024;
