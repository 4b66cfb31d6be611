//! Backup: the whole ledger in one encrypted stream, taken beside a running server; and the way back, which never lets a
//! token live again that was revoked meanwhile.
//!
//! The stream is logical (events, not pages), so that it outlives the engine. Read [`frame`] for its shape, [`walk`] for what
//! can be checked without a key of the authority, [`swap`] for what a crash leaves behind.

pub mod drill;
pub mod envelope;
pub mod error;
pub mod frame;
pub mod mark;
pub mod rebuild;
pub mod restore;
pub mod swap;
pub mod take;
pub mod walk;
