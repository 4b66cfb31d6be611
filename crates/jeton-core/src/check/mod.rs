//! The check: is this credential good, and may it do this?

pub mod brief;
pub mod judge;
pub mod question;
