//! Writes signed checkpoints of a growing log, and of a fork of it, for tests of whatever reads checkpoints.
//!
//! `checkpoints DIR ORIGIN SIZE…` writes `DIR/SIZE` and `DIR/SIZE.fork`, and prints the verifier key. The key is that of a
//! seed which everybody knows: nothing that it signs is worth anything.

#![expect(
    clippy::unwrap_used,
    reason = "a test's program ends at the first surprise"
)]

use std::{env, fs, path::Path};

use jeton_tlog::{Checkpoint, Frontier, SigningKey, leaf_hash};

const SEED: [u8; 32] = *b"a seed that everybody may know!!";

fn main() {
    let mut args = env::args().skip(1);
    let dir = args.next().unwrap();
    let origin = args.next().unwrap();
    let key = SigningKey::from_seed(&origin, &SEED).unwrap();
    for size in args {
        for (suffix, branch) in [("", "main"), (".fork", "fork")] {
            let mut tree = Frontier::new();
            for index in 0..size.parse::<u64>().unwrap() {
                tree.push(leaf_hash(format!("{branch} {index}").as_bytes()));
            }
            let checkpoint = Checkpoint::new(&origin, tree.size(), tree.root()).unwrap();
            let path = Path::new(&dir).join(format!("{size}{suffix}"));
            fs::write(path, checkpoint.sign(&key).unwrap()).unwrap();
        }
    }
    println!("{}", key.verifier());
}
