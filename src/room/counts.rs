//! How often a control message did nothing, by reason.

use super::error::ControlError;

/// Counts by reason: as many as there are reasons and rules at most.
#[derive(Default)]
pub(super) struct Refused(Vec<(ControlError, u64)>);

impl Refused {
    pub(super) fn note(&mut self, error: ControlError) {
        // Counted without the sender, or members could make the table grow.
        let error = match error {
            ControlError::NotPermitted { violation, .. } => {
                ControlError::NotPermitted { by: None, violation }
            }
            error => error,
        };
        match self.0.iter_mut().find(|(reason, _)| *reason == error) {
            Some((_, count)) => *count += 1,
            None => self.0.push((error, 1)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ControlError, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::MemberId, room::Violation};

    #[test]
    fn reasons_are_counted_and_not_who_gave_them() {
        let mut refused = Refused::default();
        for n in 0..9 {
            let by = Some(MemberId::from_bytes([n; 32]));
            refused.note(ControlError::NotPermitted { by, violation: Violation::NoRight });
            refused.note(ControlError::Stale);
        }
        let counts: Vec<_> = refused.iter().collect();
        let no_right = ControlError::NotPermitted { by: None, violation: Violation::NoRight };
        assert_eq!(counts, [(no_right, 9), (ControlError::Stale, 9)]);
    }
}
