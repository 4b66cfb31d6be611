//! The node: its keys, its one writer, its start and its sweeps.

pub mod audit;
mod dir;
pub mod disk;
pub mod keyring;
mod learn;
pub mod observe;
pub mod snapshot;
pub mod start;
pub mod writer;
