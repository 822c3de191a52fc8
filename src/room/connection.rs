//! The way to the others (SPEC section 7, rule R9).

/// What a member knows of its way to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Connection {
    /// Nobody has said that it is lost, and the keeper was heard if it was lost once.
    #[default]
    Here,
    /// Nobody hears our messages.
    Lost,
    /// It is there again, and the keeper was not heard since.
    Anew,
}
