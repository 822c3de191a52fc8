//! Streams of a QUIC connection as `moq-net` wants them (see [`session`](super::session)).

use std::{
    fmt,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use moq_net::web_transport_trait::{Error, poll};
use quinn_proto::{Chunk, ConnectionError, Dir, FinishError, ReadError, StreamId, VarInt, WriteError};

use super::session::{Link, lock, park};

/// How codes of streams stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    Plain,
    /// In the space of HTTP/3, where WebTransport has them: relays are about that end a session
    /// over others, without WebTransport too.
    WebTransport,
}

impl Codes {
    fn on_the_wire(self, code: u32) -> VarInt {
        let code = u64::from(code);
        match self {
            Self::Plain => VarInt::from_u64(code).unwrap_or(VarInt::MAX),
            // draft-ietf-webtrans-http3, section 4.4: every 31st is reserved.
            Self::WebTransport => {
                VarInt::from_u64(0x52e4_a40f_a8db + code + code / 0x1e).unwrap_or(VarInt::MAX)
            }
        }
    }
}

/// A stream to the relay.
pub(super) struct Outgoing {
    pub(super) link: Arc<Mutex<Link>>,
    pub(super) id: StreamId,
    pub(super) codes: Codes,
    /// Finished, or reset.
    pub(super) ended: bool,
}

impl poll::SendStream for Outgoing {
    type Error = Fault;

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Fault>> {
        let mut link = lock(&self.link);
        link.check()?;
        match link.connection.send_stream(self.id).write(bytes) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(WriteError::Blocked) => park(link.waiting.writable.entry(self.id).or_default(), cx),
            Err(WriteError::Stopped(code)) => Poll::Ready(Err(Fault::Stream(short(code)))),
            Err(WriteError::ClosedStream) => Poll::Ready(Err(Fault::Over)),
        }
    }

    fn set_priority(&mut self, order: u8) {
        // It fails if the stream has ended, and then nothing has priority.
        let _ = lock(&self.link).connection.send_stream(self.id).set_priority(order.into());
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.ended = true;
        let mut link = lock(&self.link);
        match link.connection.send_stream(self.id).finish() {
            Ok(()) => {
                link.unacknowledged.insert(self.id);
                Ok(())
            }
            Err(FinishError::Stopped(code)) => Err(Fault::Stream(short(code))),
            Err(FinishError::ClosedStream) => Err(Fault::Over),
        }
    }

    fn reset(&mut self, code: u32) {
        self.ended = true;
        let mut link = lock(&self.link);
        link.unacknowledged.remove(&self.id);
        // It fails if the stream has ended.
        let _ = link.connection.send_stream(self.id).reset(self.codes.on_the_wire(code));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut link = lock(&self.link);
        match link.connection.send_stream(self.id).stopped() {
            // Everything has been acknowledged, or was reset.
            Err(_) => Poll::Ready(Ok(())),
            Ok(Some(code)) => Poll::Ready(Err(Fault::Stream(short(code)))),
            Ok(None) => {
                link.check()?;
                park(link.waiting.acknowledged.entry(self.id).or_default(), cx)
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut link = lock(&self.link);
        link.waiting.writable.remove(&self.id);
        link.waiting.acknowledged.remove(&self.id);
        if !self.ended {
            // Half a message is worse than none.
            let _ = link.connection.send_stream(self.id).reset(self.codes.on_the_wire(0));
        }
    }
}

/// A stream of the relay's.
pub(super) struct Incoming {
    pub(super) link: Arc<Mutex<Link>>,
    pub(super) id: StreamId,
    pub(super) codes: Codes,
    /// Bytes that were read.
    pub(super) taken: usize,
    /// Read to its end, reset, or stopped.
    pub(super) ended: bool,
}

impl Incoming {
    fn poll_chunk(&mut self, cx: &Context<'_>, most: usize) -> Poll<Result<Option<Bytes>, Fault>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        if most == 0 {
            return Poll::Ready(Ok(Some(Bytes::new())));
        }
        let mut link = lock(&self.link);
        let read = match link.connection.recv_stream(self.id).read(true) {
            Ok(mut chunks) => {
                let read = chunks.next(most);
                // What that tells the other side goes with everything else.
                let _ = chunks.finalize();
                read
            }
            Err(_) => return Poll::Ready(Err(Fault::Over)),
        };
        match read {
            Ok(Some(Chunk { bytes, .. })) => {
                self.taken = self.taken.saturating_add(bytes.len());
                if self.id.dir() == Dir::Uni && self.taken > GROUP {
                    self.ended = true;
                    let _ = link.connection.recv_stream(self.id).stop(self.codes.on_the_wire(0));
                    return Poll::Ready(Err(Fault::Over));
                }
                Poll::Ready(Ok(Some(bytes)))
            }
            Ok(None) => {
                self.ended = true;
                Poll::Ready(Ok(None))
            }
            Err(ReadError::Reset(code)) => {
                self.ended = true;
                Poll::Ready(Err(Fault::Stream(short(code))))
            }
            Err(ReadError::Blocked) => {
                link.check()?;
                park(link.waiting.readable.entry(self.id).or_default(), cx)
            }
        }
    }
}

impl poll::RecvStream for Incoming {
    type Error = Fault;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<Option<usize>, Fault>> {
        self.poll_chunk(cx, into.len()).map_ok(|chunk| {
            chunk.map(|chunk| {
                let (start, _) = into.split_at_mut(chunk.len().min(into.len()));
                start.copy_from_slice(&chunk);
                start.len()
            })
        })
    }

    fn poll_read_buf<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut B,
    ) -> Poll<Result<Option<usize>, Fault>> {
        let most = into.chunk_mut().len();
        self.poll_chunk(cx, most).map_ok(|chunk| {
            chunk.map(|chunk| {
                let length = chunk.len();
                into.put(chunk);
                length
            })
        })
    }

    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Option<Bytes>, Fault>> {
        self.poll_chunk(cx, most)
    }

    fn stop(&mut self, code: u32) {
        self.ended = true;
        // It fails if the stream has ended.
        let _ = lock(&self.link).connection.recv_stream(self.id).stop(self.codes.on_the_wire(code));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut link = lock(&self.link);
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        match link.connection.recv_stream(self.id).received_reset() {
            Ok(None) => {
                link.check()?;
                park(link.waiting.readable.entry(self.id).or_default(), cx)
            }
            Ok(Some(_)) | Err(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut link = lock(&self.link);
        link.waiting.readable.remove(&self.id);
        if !self.ended {
            let _ = link.connection.recv_stream(self.id).stop(self.codes.on_the_wire(0));
        }
    }
}

/// Why a connection or a stream does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection has ended, with a code and a reason if either side gave them.
    Ended(Option<(u32, String)>),
    /// The relay has given the stream up, with this code.
    Stream(u32),
    /// The stream had ended already.
    Over,
}

impl From<&ConnectionError> for Fault {
    fn from(error: &ConnectionError) -> Self {
        Self::Ended(match error {
            ConnectionError::ApplicationClosed(close) => {
                Some((short(close.error_code), String::from_utf8_lossy(&close.reason).into_owned()))
            }
            _ => None,
        })
    }
}

impl Error for Fault {
    fn session_error(&self) -> Option<(u32, String)> {
        match self {
            Self::Ended(why) => why.clone(),
            _ => None,
        }
    }

    fn stream_error(&self) -> Option<u32> {
        match self {
            Self::Stream(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Some((code, _))) => write!(f, "the connection was ended with code {code}"),
            Self::Ended(None) => f.write_str("the connection was lost"),
            Self::Stream(code) => write!(f, "the stream was given up with code {code}"),
            Self::Over => f.write_str("the stream had ended"),
        }
    }
}

impl std::error::Error for Fault {}

/// Codes of MoQ are short; one that is not means nothing to us.
fn short(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}

/// The most that is taken of a group: more than the longest message, with what MoQ puts before it.
const GROUP: usize = 20 * 1024;
