//! What a node does by itself, from time to time.

pub mod audit;
pub mod idle;
pub mod publish;
pub mod snapshot;
