//! The check: is this credential good, and may it do this?

pub mod judge;
pub mod question;
