//! How long the index takes to load from a snapshot.

use std::time::Instant;

use serde_json::json;

use crate::world;

/// Seconds to load so many tokens from a snapshot.
pub fn run(tokens: u64) {
    use jeton::node::{
        keyring::{Kek, Keyring},
        snapshot,
    };
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(
        &dir.path().join("keyring"),
        &Kek::File(dir.path().join("kek")),
    )
    .unwrap();
    let now = jeton_core::time::Time::from_seconds(1_900_000_000);
    let path = dir.path().join("snapshot");
    {
        let verifier = world::verifier(tokens, now);
        snapshot::write(&path, &keyring, &verifier, &[]).unwrap();
    }
    let start = Instant::now();
    let loaded = snapshot::read(&path, &keyring).expect("a snapshot that is believed");
    let took = start.elapsed().as_secs_f64();
    assert_eq!(u64::from(loaded.index.len()), tokens);
    let bytes = loaded.index.bytes() as f64 / tokens as f64;
    println!(
        "{}",
        json!({"loaded": tokens, "load_s": (took * 100.0).round() / 100.0, "loaded_bytes_per_token": bytes.round()})
    );
}
