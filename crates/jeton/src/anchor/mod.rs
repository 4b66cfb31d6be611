//! Anchors: proof that a checkpoint existed by a certain time, from a clock that nobody here can set.
//!
//! An anchor is made of a checkpoint file, as `/log/checkpoint` serves it, and of nothing else: no server runs these ways, no
//! request waits for them, and a checkpoint from anybody's log will do. Two kinds:
//!
//! - [`ots`], [`bitcoin`], [`calendar`]: an OpenTimestamps proof, which ends in the header of a block of Bitcoin.
//! - [`evm`], [`chain`], [`rpc`]: the heads of a log in a contract that takes growing sizes only.
//!
//! What is a format or a comparison is pure ([`ots`], [`bitcoin`], [`evm`]); the rest talks to the servers that the command
//! line names, through [`endpoint`], and to no other.

pub mod bitcoin;
pub mod calendar;
pub mod chain;
pub mod endpoint;
pub mod evm;
pub mod ots;
pub mod rpc;

#[cfg(test)]
mod bitcoin_tests;
#[cfg(test)]
mod evm_tests;
#[cfg(test)]
mod ots_tests;
