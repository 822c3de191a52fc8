//! The thread of a connection: TCP and UDP between the queues of a [`Line`] and two sockets.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpStream, UdpSocket},
};

use super::media::{self, Keeper};
use crate::{
    relay_protocol::wire::{self, Frames, Ticket},
    transport::{
        MAX_MEDIA,
        line::{End, Line},
        stats::Gauge,
    },
};

pub(super) struct Worker {
    poll: Poll,
    control: TcpStream,
    media: Arc<UdpSocket>,
    line: Arc<Line>,
    keeper: Keeper,
    frames: Frames,
    /// A message for which the inbox had no room.
    held: Option<Bytes>,
    /// What is being written, and since when the relay has taken nothing of it.
    unsent: Bytes,
    stuck: Option<Instant>,
    /// There may be more to read, which is told only once.
    more_control: bool,
    more_media: bool,
    /// We have said everything.
    finished: bool,
}

/// There is no connection any more.
struct Lost;

impl Worker {
    /// Serves a connection to a relay that has let the member in and bound its address. Neither
    /// socket may block.
    pub(super) fn new(
        control: std::net::TcpStream,
        media: std::net::UdpSocket,
        ticket: Ticket,
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let (mut control, mut media) = (TcpStream::from_std(control), UdpSocket::from_std(media));
        let registry = poll.registry();
        registry.register(&mut control, CONTROL, Interest::READABLE | Interest::WRITABLE)?;
        registry.register(&mut media, MEDIA, Interest::READABLE)?;
        let line = Arc::new(Line::new(Arc::new(mio::Waker::new(registry, WOKEN)?)));
        Ok(Self {
            poll,
            control,
            media: Arc::new(media),
            line,
            keeper: Keeper::new(ticket, media::PACE, Instant::now()),
            frames: Frames::default(),
            held: None,
            unsent: Bytes::new(),
            stuck: None,
            more_control: true,
            more_media: true,
            finished: false,
        })
    }

    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// Where packets leave, from any thread.
    pub(super) fn media(&self) -> Arc<UdpSocket> {
        Arc::clone(&self.media)
    }

    /// Serves the connection until it has ended.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(4);
        while self.turn(Instant::now()).is_ok() {
            // It fails when a signal comes, which is as good as being woken.
            let _ = self.poll.poll(&mut events, Some(self.patience(Instant::now())));
            for event in &events {
                self.more_control |= event.token() == CONTROL;
                self.more_media |= event.token() == MEDIA;
            }
        }
        // It may have ended by itself.
        let _ = self.control.shutdown(Shutdown::Both);
    }

    /// Does all that is to be done now, or some of it.
    fn turn(&mut self, now: Instant) -> Result<(), Lost> {
        // Packets first: they are what is late soon.
        self.read_media(now);
        self.write(now)?;
        let end = self.line.how_to_end();
        if end == End::GiveUp || self.keeper.is_lost(now) {
            return Err(Lost);
        }
        if end == End::Finish && self.unsent.is_empty() && !self.finished {
            self.finished = true;
            // What the relay still has to say is read to its end: what is left unread when a socket
            // closes would destroy what was sent just before.
            self.control.shutdown(Shutdown::Write).map_err(|_| Lost)?;
        }
        if let Some(request) = self.keeper.poll(now) {
            let _ = self.media.send(&request);
            self.line.measured(Gauge::default(), self.keeper.gauge());
        }
        self.read_control(now)
    }

    /// How long to wait for something to happen.
    fn patience(&self, now: Instant) -> Duration {
        if self.more_media || self.more_control && self.held.is_none() {
            return Duration::ZERO;
        }
        let due = self.keeper.due();
        self.stuck.map_or(due, |since| due.min(since + WRITE_TIMEOUT)).saturating_duration_since(now)
    }

    /// Writes messages as far as they go.
    fn write(&mut self, now: Instant) -> Result<(), Lost> {
        loop {
            if self.unsent.is_empty() {
                let Some(frame) = self.line.next_control() else { return Ok(()) };
                self.unsent = frame;
            }
            match self.control.write(&self.unsent) {
                Ok(written) => {
                    self.unsent.advance(written.min(self.unsent.len()));
                    self.stuck = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let since = *self.stuck.get_or_insert(now);
                    return if now < since + WRITE_TIMEOUT { Ok(()) } else { Err(Lost) };
                }
                // Part of a message may have left, so nothing can follow it.
                Err(_) => return Err(Lost),
            }
        }
    }

    /// Reads messages for as long as the application has room for them.
    fn read_control(&mut self, now: Instant) -> Result<(), Lost> {
        let mut chunk = [0; CHUNK];
        for _ in 0..AT_ONCE {
            if let Some(held) = self.held.take() {
                self.held = self.line.deliver(held).err();
            }
            while self.held.is_none() {
                match self.frames.next() {
                    Ok(Some(message)) => self.held = self.line.deliver(message).err(),
                    Ok(None) => break,
                    Err(_) => return Err(Lost),
                }
            }
            if self.held.is_some() || !self.more_control {
                return Ok(());
            }
            match self.control.read(&mut chunk) {
                Ok(0) => return Err(Lost),
                Ok(length) => {
                    self.line.note_heard(now);
                    self.frames.push(chunk.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.more_control = false,
                Err(_) => return Err(Lost),
            }
        }
        Ok(())
    }

    fn read_media(&mut self, now: Instant) {
        let mut buffer = [0; MAX_MEDIA + 1];
        for _ in 0..AT_ONCE {
            if !self.more_media {
                return;
            }
            let datagram = match self.media.recv(&mut buffer) {
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.more_media = false;
                    return;
                }
                // The relay's port may be closed for the moment; the control lane knows for good.
                Err(_) => continue,
            };
            self.line.note_heard(now);
            if datagram.starts_with(&wire::RESERVED) {
                if let Some(answer) = self.keeper.handle(datagram, now) {
                    let _ = self.media.send(&answer);
                }
            } else if datagram.len() <= MAX_MEDIA {
                self.line.inbox.push_media(Bytes::copy_from_slice(datagram));
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // However the thread ends, nobody waits for it in vain.
        self.line.hang_up();
    }
}

const CONTROL: Token = Token(0);
const MEDIA: Token = Token(1);
const WOKEN: Token = Token(2);
/// Reads in a row before the other lane has its turn.
const AT_ONCE: usize = 64;
const CHUNK: usize = 8 * 1024;
/// How long a relay may leave a control message unread before the connection counts as lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
