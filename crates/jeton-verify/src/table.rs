//! An open-addressing table from hashes to positions, four bytes an entry, that grows a little with each insertion.
//!
//! It holds no keys: a caller compares the thing at each candidate position. Five bits of the hash ride in the entry, so
//! that 31 of 32 strangers are passed over without looking. Entries are never removed; a stale one leads to a thing that
//! does not compare equal, which is harmless.

use crate::prefetch::prefetch;

/// Positions are below this: 2^27 - 1.
pub const POSITIONS_MAX: u32 = (1 << POSITION_BITS) - 1;
const POSITION_BITS: u32 = 27;
const EMPTY: u32 = 0;
/// How many old entries move with each insertion while the table grows.
const MOVED_PER_INSERT: usize = 16;

/// The table.
#[derive(Default)]
pub struct Table {
    entries: Box<[u32]>,
    used: usize,
    /// The smaller table that is being emptied into `entries`, and how far that has come.
    old: Box<[u32]>,
    moved: usize,
}

fn home(hash: u64, len: usize) -> usize {
    let wide = u128::from(hash) * u128::try_from(len).unwrap_or_default();
    usize::try_from(wide >> 64).unwrap_or_default()
}

fn entry(hash: u64, position: u32) -> u32 {
    let tag = u32::try_from(hash & 0x1f).unwrap_or_default();
    tag << POSITION_BITS | (position + 1)
}

fn empty(len: usize) -> Box<[u32]> {
    vec![EMPTY; len].into_boxed_slice()
}

impl Table {
    /// A table with room for `count` positions at a load of three quarters.
    #[must_use]
    pub fn with_room_for(count: usize) -> Self {
        Self {
            entries: empty(count + count / 3 + 16),
            ..Self::default()
        }
    }

    /// The first position that a hash leads to and that is the one looked for.
    #[must_use]
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = find_in(&self.entries, hash, &is_it);
        if found.is_some() || self.old.is_empty() {
            return found;
        }
        find_in(&self.old, hash, &is_it)
    }

    /// Begins a look-up: the first entry that a hash leads to is on its way.
    pub fn begin(&self, hash: u64) {
        if let Some(entry) = self.entries.get(home(hash, self.entries.len())) {
            prefetch(entry);
        }
    }

    /// The position that a hash most likely leads to: nothing but the table is read.
    #[must_use]
    pub fn likely(&self, hash: u64) -> Option<u32> {
        find_in(&self.entries, hash, &|_| true)
    }

    /// Adds a position. `rehash` tells the hash of the thing at a position, for entries that move.
    pub fn insert(&mut self, hash: u64, position: u32, rehash: impl Fn(u32) -> u64) {
        if self.old.is_empty() && (self.used + 1) * 5 >= self.entries.len() * 4 {
            let len = (self.entries.len() + self.entries.len() * 3 / 5).max(64);
            self.old = core::mem::replace(&mut self.entries, empty(len));
            (self.used, self.moved) = (0, 0);
        }
        self.move_some(&rehash);
        self.place(hash, position);
    }

    fn move_some(&mut self, rehash: &impl Fn(u32) -> u64) {
        if self.old.is_empty() {
            return;
        }
        for _ in 0..MOVED_PER_INSERT {
            let Some(found) = self.old.get(self.moved).copied() else {
                self.old = Box::default();
                return;
            };
            self.moved += 1;
            if found != EMPTY {
                let position = (found & POSITIONS_MAX) - 1;
                let hash = rehash(position);
                // A stale entry and its successor lead to the same place: keep one.
                if find_in(&self.entries, hash, &|p| p == position).is_none() {
                    self.place(hash, position);
                }
            }
        }
    }

    fn place(&mut self, hash: u64, position: u32) {
        let len = self.entries.len();
        let start = home(hash, len);
        for at in (start..len).chain(0..start) {
            if let Some(slot) = self.entries.get_mut(at).filter(|s| **s == EMPTY) {
                *slot = entry(hash, position);
                self.used += 1;
                return;
            }
        }
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.entries.len() + self.old.len()) * size_of::<u32>()
    }
}

fn find_in(entries: &[u32], hash: u64, is_it: &impl Fn(u32) -> bool) -> Option<u32> {
    let start = home(hash, entries.len());
    let tag = u32::try_from(hash & 0x1f).unwrap_or_default();
    let (head, tail) = entries.split_at_checked(start)?;
    for run in [tail, head] {
        for entry in run {
            if *entry == EMPTY {
                return None;
            }
            if entry >> POSITION_BITS == tag {
                let position = (entry & POSITIONS_MAX) - 1;
                if is_it(position) {
                    return Some(position);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_found_while_it_grows() {
        let hash = |p: u32| u64::from(p).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut table = Table::default();
        for position in 0..20_000 {
            table.insert(hash(position), position, hash);
            for seen in [0, position / 2, position] {
                assert!(
                    table.find(hash(seen), |p| p == seen).is_some(),
                    "{seen} at {position}"
                );
            }
        }
        assert!(table.find(hash(20_001), |p| p == 20_001).is_none());
    }

    #[test]
    fn an_exact_table_is_small() {
        let table = Table::with_room_for(3_000_000);
        assert!(table.bytes() <= 3_000_000 * 6);
    }
}
