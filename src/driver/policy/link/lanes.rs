//! Sending and receiving over the relay that carries the room at the moment.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::{Came, Link, SILENCE};
use crate::{
    driver::policy::{Connector, Why},
    transport::{
        Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, check_length,
    },
};

impl<C: Connector> Transport for Link<C> {
    fn relays(&self) -> Vec<&RelayName> {
        self.relays.iter().collect()
    }

    /// Begins anew, and does not wait for a connection.
    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.lose(Why::Transport(TransportError::Closed));
        self.begin(handle);
        Ok(())
    }

    /// A message that cannot be sent now waits for a connection.
    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        self.catch_up().await;
        let unsent = if self.can_say() { self.say(message).await } else { Err(message) };
        if let Err(message) = unsent {
            self.messages.hold(message);
        }
        Ok(())
    }

    /// Without a connection the packet is lost, as on any network.
    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        if self.is_open {
            // That a connection is lost is told by what is received.
            let _ = self.current.send_media(packet);
        }
        Ok(())
    }

    /// An error says that the call has something to look at.
    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        loop {
            self.look();
            self.catch_up().await;
            if std::mem::take(&mut self.is_changed) {
                return Err(TransportError::Closed);
            }
            match self.wait(until).await {
                Came::Step(step) => self.take_step(step),
                Came::Inbound(Ok(Inbound::Idle)) if self.now() >= until => return Ok(Inbound::Idle),
                Came::Inbound(Ok(Inbound::Idle)) => {}
                Came::Inbound(Ok(came)) => {
                    self.messages.hear();
                    if self.alone.hear(self.now()) {
                        self.attempts.clear();
                    }
                    return Ok(came);
                }
                Came::Inbound(Err(why)) => {
                    self.is_open = false;
                    self.lose(Why::Transport(why));
                }
            }
        }
    }

    async fn close(&mut self) {
        self.stop();
        self.current.close().await;
        self.is_open = false;
    }

    fn heard(&self) -> Option<Instant> {
        self.current.heard().filter(|_| self.is_open)
    }

    fn now(&self) -> Instant {
        self.current.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.current.wall()
    }
}

impl<C: Connector> Link<C> {
    /// Sends one message, or keeps it if that does not work.
    async fn say(&mut self, message: Bytes) -> Result<(), Bytes> {
        let deadline = self.now() + SILENCE;
        let sent = {
            let mut sending = pin!(self.current.send_control(message.clone()));
            let mut late = pin!(self.connector.sleep(deadline));
            poll_fn(|context| match sending.as_mut().poll(context) {
                Poll::Ready(sent) => Poll::Ready(Some(sent)),
                Poll::Pending => late.as_mut().poll(context).map(|()| None),
            })
            .await
        };
        match sent {
            Some(Ok(())) => {
                self.messages.note_said(message, self.now());
                Ok(())
            }
            // It will never be taken.
            Some(Err(TransportError::TooLarge { .. })) => Ok(()),
            Some(Err(why)) => {
                self.is_open = false;
                self.lose(Why::Transport(why));
                Err(message)
            }
            None => {
                self.is_open &= !self.is_over;
                self.lose(Why::Silent);
                Err(message)
            }
        }
    }

    fn can_say(&self) -> bool {
        self.is_open && self.lost.is_none()
    }

    /// Sends what has waited for the connection.
    async fn catch_up(&mut self) {
        while self.can_say() {
            // It stays where it is until it was sent, whoever cancels this.
            let Some(message) = self.messages.first() else { return };
            if self.say(message).await.is_ok() {
                self.messages.drop_first();
            }
        }
    }
}
