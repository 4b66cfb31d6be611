//! What is fuzzed: one plain function for each place where bytes enter. It takes bytes and panics where a law is broken.
//!
//! `cargo test -p jeton --test fuzz_corpus` replays `seeds/` on the very same functions; `README.md` says how to fuzz.

pub mod bodies;
