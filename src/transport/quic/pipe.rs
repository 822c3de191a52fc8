//! One QUIC connection of a member and the socket it goes through.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use mio::Waker;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig,
    TransportErrorCode,
};

use super::{
    probe::{Gate, Probe},
    socket::Socket,
};
use crate::transport::TransportError;

/// The socket, and what sorts out which datagrams are for the connection.
pub(in crate::transport) struct Pipe {
    socket: Socket,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    probe: Probe,
    transmit: Vec<u8>,
}

impl Pipe {
    /// Prepares a connection to the relay, and sends nothing yet.
    pub(in crate::transport) fn open(
        remote: SocketAddr,
        host: &str,
        config: ClientConfig,
        gate: Gate,
    ) -> Result<(Self, Connection), TransportError> {
        let any = match remote {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = Socket::bind(any, BATCH).map_err(|_| TransportError::Exhausted)?;
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let connected = endpoint.connect(Instant::now(), config, remote, host);
        // The host is no name that a certificate could be for, or the address none that could be
        // reached.
        let (handle, connection) = connected.map_err(|_| TransportError::Unreachable)?;
        let probe = Probe::of_member(gate, Instant::now());
        Ok((Self { socket, endpoint, handle, probe, transmit: Vec::new() }, connection))
    }

    /// What ends a wait from another thread.
    pub(in crate::transport) fn waker(&self) -> Arc<Waker> {
        self.socket.waker()
    }

    /// Waits until something comes, somebody wakes, or that time.
    pub(in crate::transport) fn wait(&mut self, until: Instant) {
        self.socket.wait(self.probe.due().map_or(until, |due| due.min(until)));
    }

    /// Gives the connection what has come, and says whether anything has.
    pub(in crate::transport) fn receive(&mut self, connection: &mut Connection) -> bool {
        let now = Instant::now();
        let mut heard = false;
        let Self { socket, endpoint, handle, transmit, .. } = self;
        for _ in 0..BATCHES {
            let more = socket.receive(|arrived| {
                transmit.clear();
                let event =
                    endpoint.handle(now, arrived.from, arrived.to, arrived.ecn, arrived.bytes, transmit);
                // What is for no connection of ours gets no answer.
                if let Some(DatagramEvent::ConnectionEvent(to, event)) = event
                    && to == *handle
                {
                    heard = true;
                    connection.handle_event(event);
                }
            });
            if !more {
                break;
            }
        }
        if heard {
            let frames = connection.stats().frame_rx;
            self.probe.note_heard(frames.datagram + frames.stream, now);
        }
        heard
    }

    /// Sends what the connection has to send.
    pub(in crate::transport) fn flush(&mut self, connection: &mut Connection, now: Instant) {
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                connection.handle_event(event);
            }
        }
        let segments = self.socket.max_segments();
        loop {
            self.transmit.clear();
            match connection.poll_transmit(now, segments, &mut self.transmit) {
                Some(transmit) => self.socket.send(&transmit, &self.transmit),
                None => break,
            }
        }
        let Self { probe, socket, transmit: buffer, .. } = self;
        probe.send(connection, now, |connection| {
            buffer.clear();
            if let Some(transmit) = connection.poll_transmit(now, 1, buffer) {
                socket.send(&transmit, buffer);
            }
        });
    }
}

/// What a connection that was lost before the relay let the member in means to whoever wanted it.
/// `rejected` if the relay's certificate was not the right one.
pub(in crate::transport) fn why(reason: &ConnectionError, rejected: bool) -> TransportError {
    match reason {
        _ if rejected => TransportError::WrongCertificate,
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            TransportError::Busy
        }
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::TransportError(_)
        | ConnectionError::VersionMismatch => TransportError::Refused,
        _ => TransportError::Unreachable,
    }
}

/// Runs of datagrams read in one call, and calls in a row.
const BATCH: usize = 4;
const BATCHES: usize = 16;
