//! A transport that tells which room it was connected to.

use std::{
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use sottovoce::transport::{Inbound, RelayName, RoomHandle, Transport, TransportError};

pub struct Watched<T> {
    inner: T,
    handles: Arc<Mutex<Vec<RoomHandle>>>,
}

impl<T> Watched<T> {
    pub fn new(inner: T, handles: Arc<Mutex<Vec<RoomHandle>>>) -> Self {
        Self { inner, handles }
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn relays(&self) -> Vec<&RelayName> {
        self.inner.relays()
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.handles.lock().unwrap().push(handle);
        self.inner.connect(handle).await
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.inner.send_control(message).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.inner.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.inner.receive(until).await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.inner.wall()
    }
}
