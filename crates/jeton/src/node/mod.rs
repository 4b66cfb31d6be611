//! The node: its keys, its one writer, its start and its sweeps.

pub mod audit;
pub(crate) mod dir;
pub mod disk;
pub mod epoch;
mod gaps;
pub mod growing;
pub mod high_water;
pub mod keyring;
pub(crate) mod learn;
pub mod memory;
pub mod observe;
pub mod publish;
pub mod quarantine;
pub mod quorum;
pub mod recover;
pub mod snapshot;
pub mod start;
pub mod witness;
pub mod writer;
