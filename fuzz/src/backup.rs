//! Backups, without their envelope: whatever the bytes, there is no panic; and whatever is changed in a good one, it is no longer
//! sound, or it is of the same events, signed by the same key.

use jeton::backup::walk::Walk;
use jeton_tlog::VerifierKey;

use super::{Draw, mutated};

/// A ledger that was founded, and one with an operator and a wrapped keyring, whose key-encryption key nobody has.
const GOOD: [&[u8]; 2] = [
    include_bytes!("../seeds/backup/founded"),
    include_bytes!("../seeds/backup/operated"),
];

/// What is vouched for: size, root, signers.
type Sound = (u64, [u8; 32], Vec<VerifierKey>);

fn walked(bytes: &[u8]) -> Option<Sound> {
    let mut walk = Walk::begin(bytes).ok()?;
    while walk.next_item().ok()?.is_some() {}
    let (header, seen) = (walk.header(), walk.seen());
    assert_eq!(seen.events, header.size);
    assert_eq!(seen.root, header.root);
    assert!(!walk.signers().is_empty(), "somebody vouches for all");
    Some((seen.events, seen.root, walk.signers().to_vec()))
}

/// Reads the bytes as a backup, and as orders to change a good one.
pub fn backup(bytes: &[u8]) {
    drop(walked(bytes));
    let mut draw = Draw(bytes);
    let good = GOOD[draw.below(GOOD.len())];
    let due = walked(good);
    assert!(due.is_some(), "the good one is sound");
    let mut changed = good.to_vec();
    for _ in 0..=draw.below(4) {
        changed = mutated(&changed, &mut draw);
    }
    let still = walked(&changed);
    assert!(still.is_none() || still == due);
}
