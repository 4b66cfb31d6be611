//! Tokens: their text, what is kept of them, and every change of their state.

pub mod change;
pub mod digest;
pub mod idle;
pub mod issue;
pub mod record;
pub mod rehash;
pub mod revoke;
pub mod rotate;
pub mod text;
