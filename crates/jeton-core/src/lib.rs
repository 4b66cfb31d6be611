//! Every rule of jeton, and nothing else: no file, socket, thread, clock, randomness or logging. Time and entropy come in
//! as values; a decision goes out as a value.
//!
//! Read in this order: [`event`] (all that can happen) and [`directory`] (what it adds up to); [`permit`] (what authority
//! is, and the one function that creates it); [`token`] (text, digest, record and every change); [`check::judge`] (the
//! decision on one request); [`authority`] (who may order a change); [`refusal`] (every reason for a no).
#![forbid(unsafe_code)]

pub mod account;
pub mod api;
pub mod authority;
pub mod catalogue;
pub mod check;
pub mod decision;
pub mod directory;
pub mod erase;
pub mod event;
pub mod founding;
pub mod id;
pub mod leaf;
pub mod ledger_key;
pub mod limit;
pub mod permit;
pub mod policy;
pub mod refusal;
pub mod resource;
pub mod role;
pub mod scope;
pub mod secret;
pub mod subject;
pub mod time;
pub mod token;
