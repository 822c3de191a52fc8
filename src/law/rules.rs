//! The rules of the law that defend against somebody, each of which a test can take out.
//!
//! Outside tests every rule holds and this is a constant.

/// A rule of `spec/law.md` that a test can take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// L14: a hand-over that a member has taken stays taken.
    Pin,
    /// L17: a standing names the term that its issuer has now.
    Term,
    /// L18: a standing's number is above the table's.
    Base,
    /// L18: a moderator's number is at most 4,096 above the table's.
    Clamp,
    /// L21: a moderator's Unban takes back its own Ban only.
    OwnUnban,
    /// L32: a change of office raises both numbers of the person by 4,097.
    RaiseOffice,
    /// L34: a table that leaves somebody out raises the floor above its numbers.
    Floor,
    /// L19: of one issuer the standings about 256 tags count in each register.
    Tags,
}

/// Whether no rule is taken out, so that what was worked out before is so still.
pub(super) fn all_hold() -> bool {
    #[cfg(test)]
    return REMOVED.get().is_none();
    #[cfg(not(test))]
    true
}

#[cfg(not(test))]
pub(super) const fn holds(_: Rule) -> bool {
    true
}

#[cfg(test)]
pub(super) fn holds(rule: Rule) -> bool {
    REMOVED.get() != Some(rule)
}

/// Runs `body` in a world without the rule.
#[cfg(test)]
pub(super) fn without<T>(rule: Rule, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rule>);
    impl Drop for Restore {
        fn drop(&mut self) {
            REMOVED.set(self.0);
        }
    }
    let _restore = Restore(REMOVED.replace(Some(rule)));
    body()
}

#[cfg(test)]
thread_local! {
    static REMOVED: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}
