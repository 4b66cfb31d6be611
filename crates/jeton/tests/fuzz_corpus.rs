//! Replays the checked-in corpus of `fuzz/` on the functions that are fuzzed, and a little garbage besides.

#[path = "../../../fuzz/src/bodies.rs"]
#[expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a broken law is a panic; the fuzzer's crate has its own lints"
)]
mod bodies;

use std::path::Path;

use proptest::prelude::*;

#[test]
fn every_seed_keeps_the_laws() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (name, body) in bodies::TARGETS {
        let mut replayed = 0;
        for entry in std::fs::read_dir(seeds.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(bytes.len() <= 16 * 1024, "{} is too large", path.display());
            body(&bytes);
            // Cut anywhere, it must not panic either.
            for end in 0..bytes.len().min(512) {
                body(&bytes[..end]);
            }
            replayed += 1;
        }
        assert!(replayed >= 3, "{name} has {replayed} seeds");
    }
    let of_targets = std::fs::read_dir(&seeds).unwrap().count();
    assert_eq!(of_targets, bodies::TARGETS.len(), "seeds of no target");
}

proptest! {
    #[test]
    fn any_bytes_keep_the_laws(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, body) in bodies::TARGETS {
            body(&bytes);
        }
    }
}
