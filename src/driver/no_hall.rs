//! The stand-in for a hall in a session without the feature `stage`.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    media::Rekey,
    room::{Event, KnockId, Room},
    transport::RelayName,
};

/// There is none.
#[derive(Debug)]
pub(super) enum Hall {}

impl Hall {
    pub(super) fn tick(&mut self, _: &mut Room, _: Instant, _: impl FnMut(Rekey)) {
        match *self {}
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn poll(&mut self, _: Instant, _: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match *self {}
    }

    pub(super) fn carries(&self) -> bool {
        match *self {}
    }

    pub(super) fn send_media(&self, _: &[u8]) {
        match *self {}
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match *self {}
    }

    pub(super) fn expected(&mut self, _: &Event) -> Option<KnockId> {
        match *self {}
    }

    pub(super) fn move_to(&mut self, _: &RelayName, _: Instant) {
        match *self {}
    }

    pub(super) fn note(&mut self, _: &Event, _: Instant) {
        match *self {}
    }

    pub(super) fn end(&mut self) {
        match *self {}
    }

    pub(super) fn poll_end(&mut self, _: Instant, _: Instant, _: &mut Context<'_>) -> Poll<()> {
        match *self {}
    }
}
