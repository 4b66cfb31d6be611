//! Receipts as whoever holds one reads them: offline, by a policy, and with the tenant's key where it is known whose it is.

mod tag;
mod told;
mod verify;

pub use tag::{TenantKey, TenantKeyError};
pub use told::told;
pub use verify::{Asked, Proven, Tags, Unproven, verify};
