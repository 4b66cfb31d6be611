//! The command line: everything that the API does, for people and for scripts.
//!
//! A token never comes by argument or environment: standard input, a file, or the 0600 credential store. Exit statuses: 0 it
//! was done, 1 it was refused or failed, 2 the command was not understood, 3 findings.

mod anchor;
mod anchor_evm;
mod anchor_ots;
mod apis;
mod apps;
mod audit;
mod backup;
mod check;
mod command;
mod doctor;
mod doctor_files;
mod events;
mod explain;
mod fault;
mod fsck;
mod grants;
mod inspect;
mod ledger_keys;
mod link;
mod log;
mod log_repair;
mod monitor;
mod names;
mod out;
mod policies;
mod profiles;
mod progress;
mod receipt;
mod remote;
mod roles;
mod secret;
mod serve;
mod setup;
mod store;
mod table;
mod tenants;
mod token_args;
mod tokens;
mod units;
mod users;
mod witness;

pub use command::{Cli, main};
