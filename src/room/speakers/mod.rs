//! Speaker keys: announcing ours, believing those of others, asking for what is lacking, publishing
//! what is over, making reports (SPEC section 12).

pub(super) mod announcing;
mod asking;
mod expiry;
pub(super) mod kept;
pub(super) mod missing;
mod reports;
mod vouched;

pub use self::reports::ReportError;
