//! Measures an audit: `audit make FILE EVENTS` writes a ledger, `audit check FILE` compares everything in it and says how long
//! that took, with how much memory.

#[path = "../tests/world/mod.rs"]
mod world;

use std::{path::Path, time::Instant};

use jeton_store::{
    Store as _, fsck,
    sqlite::{Durability, Sqlite, SqliteReader},
};
use world::{World, log_key, seal_key, tag_key};

const USAGE: &str = "usage: audit make FILE EVENTS | audit check FILE";
/// So many events between two checkpoints.
const CHECKPOINT_EVERY: u64 = 10_000;

fn make(path: &Path, events: u64) {
    let mut store = Sqlite::open(path, Durability::DangerNormal).unwrap();
    let mut world = World::new();
    world.found();
    let mut signed = 0;
    while world.size() < events {
        let token = world.issue();
        match world.issued.len() % 10 {
            0 => world.rotate(token),
            1 | 2 => world.revoke(token),
            _ => {}
        }
        if world.size() / CHECKPOINT_EVERY > signed {
            signed = world.size() / CHECKPOINT_EVERY;
            world.store(&mut store);
            let (size, note) = (world.size(), world.checkpoint());
            store.keep_checkpoint(size, &note).unwrap();
        }
    }
    world.store(&mut store);
    let (size, note) = (world.size(), world.checkpoint());
    store.keep_checkpoint(size, &note).unwrap();
}

/// The most memory that this process had at once, in MiB.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).unwrap();
    kib.trim().parse::<u64>().unwrap() / 1024
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn check(path: &Path) {
    let mut reader = SqliteReader::open(path).unwrap();
    let since = Instant::now();
    let log = log_key();
    let keys = fsck::Keys {
        tags: &|t| Some(tag_key(t)),
        seal: &seal_key(),
        log: log.verifier(),
    };
    let report = fsck::fsck(&mut reader, keys).unwrap();
    let seconds = since.elapsed().as_secs_f64();
    println!(
        "{{\"events\": {}, \"rows\": {}, \"findings\": {}, \"seconds\": {seconds:.2}, \"memory_mib\": {}}}",
        report.events,
        report.rows,
        report.findings.len(),
        memory_mib()
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", path, events] => make(Path::new(path), events.parse().expect(USAGE)),
        ["check", path] => check(Path::new(path)),
        _ => panic!("{USAGE}"),
    }
}
