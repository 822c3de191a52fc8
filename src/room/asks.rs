//! What we asked the keeper for and have not seen done (SPEC section 7.5).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    group::{mls::Group, policy::Action},
    id::MemberId,
};

/// Asks that wait, the oldest first. They are said again in each epoch: one that was said in an epoch that is over
/// reaches nobody.
#[derive(Default)]
pub(super) struct Asks(VecDeque<Asked>);

struct Asked {
    action: Action,
    since: Instant,
    /// Whether the application knows that nothing happens.
    told: bool,
}

impl Asks {
    pub(super) fn push(&mut self, action: Action, now: Instant) {
        self.forget(action);
        if self.0.len() >= MAX_ASKS {
            self.0.pop_front();
        }
        self.0.push_back(Asked { action, since: now, told: false });
    }

    pub(super) fn forget(&mut self, action: Action) {
        self.0.retain(|asked| asked.action != action);
    }

    /// Forgets what is done or too old, and returns the rest.
    pub(super) fn review(&mut self, group: &Group, now: Instant) -> Vec<Action> {
        self.0.retain(|asked| {
            !is_done(asked.action, group) && now.saturating_duration_since(asked.since) < FORGOTTEN_AFTER
        });
        self.0.iter().map(|asked| asked.action).collect()
    }

    /// Those about whom nothing happens, each once.
    pub(super) fn ignored(&mut self, now: Instant) -> Vec<MemberId> {
        let late = self
            .0
            .iter_mut()
            .filter(|asked| !asked.told && now.saturating_duration_since(asked.since) >= IGNORED_AFTER);
        late.filter_map(|asked| {
            asked.told = true;
            target(asked.action)
        })
        .collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().filter(|asked| !asked.told).map(|asked| asked.since + IGNORED_AFTER).min()
    }
}

fn is_done(action: Action, group: &Group) -> bool {
    let state = group.state();
    match action {
        Action::Assign(member, role) => group.member(member).is_none() || state.role(member) == role,
        Action::Remove(member) => group.member(member).is_none(),
        Action::Order(order) => state.order(order.target).is_some_and(|known| known.serial >= order.serial),
        Action::Mute(member, muted) => group.member(member).is_none() || state.is_muted(member) == muted,
        Action::Renew => false,
    }
}

fn target(action: Action) -> Option<MemberId> {
    match action {
        Action::Assign(member, _) | Action::Remove(member) | Action::Mute(member, _) => Some(member),
        Action::Order(order) => Some(order.target),
        Action::Renew => None,
    }
}

const MAX_ASKS: usize = 16;
/// How long a keeper has for what it was asked.
const IGNORED_AFTER: Duration = Duration::from_secs(3);
/// How long we go on asking: through a change of keepers, not for ever.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
