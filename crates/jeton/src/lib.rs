//! The process: doors, use cases, the node. Everything below it is pure or plain I/O; here the two meet.
//!
//! Read `ARCHITECTURE.md` at the root of the repository first.
#![forbid(unsafe_code)]

pub mod anchor;
pub mod app;
pub mod backup;
pub mod capability;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod jobs;
pub mod mirror;
pub mod monitor;
pub mod net;
pub mod node;
pub mod receipt;
pub mod refusal_pages;
pub mod serve;
pub mod witness;
