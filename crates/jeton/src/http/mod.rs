//! The doors: requests become questions and orders, refusals become statuses.

pub mod apis;
pub mod apps;
pub mod caller;
pub mod check;
pub mod cursor;
pub mod door;
pub mod error;
pub mod events;
pub mod extract;
pub mod forward;
pub mod health;
pub mod holder;
pub mod metrics;
pub mod openapi;
pub mod openapi_import;
pub mod policies;
pub mod query;
pub mod roles;
pub mod routes;
pub mod setup;
pub mod strict;
pub mod sunset;
pub mod tenants;
pub mod tokens;
pub mod users;
pub mod view;
