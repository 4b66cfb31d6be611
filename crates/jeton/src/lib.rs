//! The process: doors, use cases, the node. Everything below it is pure or plain I/O; here the two meet.
//!
//! Read `ARCHITECTURE.md` at the root of the repository first.
#![forbid(unsafe_code)]

pub mod capability;
pub mod net;
pub mod node;
