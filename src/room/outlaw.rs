//! A keeper that is banned elsewhere: whoever knows of the ban shows it to those who follow, and they go on without it
//! (SPEC section 7.7).
//!
//! ```text
//! heartbeat of somebody banned > Order, every 5 s > its followers: our keeper is gone > takeover > ban
//! ```

use std::time::{Duration, Instant};

use super::{
    core::Core,
    error::ControlError,
    seat::{Outcome, Seat},
    succession::SILENT_AFTER,
};
use crate::group::{
    message::Message,
    order::Order,
    policy::{self, Action},
};

/// What is known of bans of keepers.
#[derive(Default)]
pub(super) struct Outlaws {
    /// When we last showed an order to others.
    shown_at: Option<Instant>,
    /// The order that bans our own keeper, and when it was shown to us.
    own: Option<(Order, Instant)>,
}

impl Outlaws {
    /// Shows the followers of a banned keeper what bans it, unless we did a moment ago.
    pub(super) fn show(&mut self, core: &mut Core, order: Order, now: Instant) {
        if self.shown_at.is_some_and(|at| now.saturating_duration_since(at) < SHOW_AGAIN) {
            return;
        }
        self.shown_at = Some(now);
        core.send(&Message::Order(order));
    }

    /// When we learned that our keeper is banned, if it is.
    pub(super) fn since(&self) -> Option<Instant> {
        self.own.map(|(_, at)| at)
    }
}

impl Seat {
    /// Somebody shows an order. It counts here if it bans our keeper: that one will not commit it.
    pub(super) fn handle_order(
        &mut self,
        core: &mut Core,
        order: &Order,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        if self.keeps()
            || !order.bans
            || order.target != self.group.state().keeper
            || self.outlaws.own.is_some()
        {
            return Ok(Outcome::Stays);
        }
        policy::check_order(order, &self.group.before())
            .map_err(|violation| ControlError::NotPermitted { by: None, violation })?;
        self.outlaws.own = Some((*order, now));
        Ok(self.try_pending(core, now))
    }

    /// When the keeper was last heard: one that is banned has gone silent for us.
    pub(super) fn heard_at(&self) -> Instant {
        let heard_at = self.liveness.heard_at();
        match &self.outlaws.own {
            Some((_, at)) => heard_at.min(at.checked_sub(SILENT_AFTER).unwrap_or(*at)),
            None => heard_at,
        }
    }

    /// An epoch begins: with us as its keeper, the ban of the one before is ours to commit.
    pub(super) fn tend_outlaw(&mut self, core: &mut Core, now: Instant) {
        if let Some((order, _)) = self.outlaws.own.take()
            && self.keeps()
        {
            let _ = self.commit_action(core, Action::Order(order), now);
        }
    }
}

/// How often an order is shown.
const SHOW_AGAIN: Duration = Duration::from_secs(5);
