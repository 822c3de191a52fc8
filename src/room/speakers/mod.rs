//! Speaker keys: announcing ours, believing those of others, asking for what is lacking, publishing what is
//! over, making reports (SPEC section 12).

mod expiry;
mod missing;
mod reports;
mod vouched;

pub(super) use self::{
    missing::Missing,
    reports::{Reports, begin_speaking},
};
pub use reports::ReportError;
