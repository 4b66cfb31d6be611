//! The node: its keys, its one writer, its start and its sweeps.

pub mod disk;
pub mod keyring;
pub mod observe;
pub mod snapshot;
pub mod start;
pub mod writer;
