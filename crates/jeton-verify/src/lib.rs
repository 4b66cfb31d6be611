//! What a node, an edge and a resource server embed to decide on requests: the index in memory, and the check.
//!
//! No store and no HTTP here. Read [`check`] first, then [`index`], [`record`] and [`table`].
#![forbid(unsafe_code)]

pub mod check;
pub mod index;
pub mod owner;
pub mod record;
pub mod table;
