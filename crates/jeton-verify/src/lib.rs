//! What a node, an edge and a resource server embed to decide on requests: the index in memory, and the check.
//!
//! No store and no HTTP here. Read [`check`] first, then [`index`], [`record`] and [`table`].
//!
//! One file, `prefetch`, names an instruction that Rust calls unsafe, and argues for it.
#![deny(unsafe_code)]

pub mod check;
pub mod index;
pub mod owner;
mod prefetch;
pub mod record;
pub mod table;
