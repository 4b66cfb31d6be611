//! How long a start takes: the index from a snapshot, or the whole ledger replayed.

use std::{path::Path, sync::Arc, time::Instant};

use jeton::{
    capability::Clock,
    config::Config,
    node::start::{self, Place},
};
use serde_json::json;

use crate::world;

/// A start without a snapshot: events replayed, each checked against its leaf, and how long that took.
pub fn replay(dir: &Path) -> (u64, f64) {
    drop(std::fs::remove_file(dir.join("data/snapshot")));
    let place = Place::in_dir(&dir.join("data"), &Config::default().origin);
    let start = Instant::now();
    let node = start::start(&place, Arc::new(Clock::start())).expect("a start");
    let took = start.elapsed().as_secs_f64();
    assert_eq!(node.started.from_snapshot, 0, "all of it was replayed");
    let replayed = node.started.replayed;
    node.stop();
    (replayed, took)
}

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
