//! Reading the store on a thread of its own, while what was read is compared: neither waits for the other for long.

use std::{sync::mpsc::sync_channel, thread};

use jeton_core::leaf::SealKey;
use jeton_tlog::{HASH_BYTES, Hash, TILE_WIDTH, leaf_hash};

use super::opening::{Opening, is_sealed};
use crate::{Continue, Reader, StoreError};

/// So much is handed over at once.
const BATCH: usize = 512;
/// So many batches may wait.
const WAITING: usize = 4;
/// The most missing leaves that are looked for in the tiles: one gap reads no more than so many.
const FILLED_MAX: u64 = 65_536;

/// What the walk over the ledger meets.
pub(super) enum Read {
    /// An event, prepared as far as it takes no state.
    Event {
        index: u64,
        leaf: Vec<u8>,
        hash: Hash,
        opening: Opening,
        sealed: bool,
    },
    /// Events from `from` on, below `to`, that are not there, with the hashes of the first of their leaves as the tiles kept them.
    Gap {
        from: u64,
        to: u64,
        hashes: Vec<Hash>,
    },
    /// An event that lies beyond the head: the walk ends there.
    Beyond(u64),
}

/// Runs `produce` on a thread of its own, and `consume` on this one.
pub(super) fn piped<T: Send>(
    produce: impl FnOnce(&mut dyn FnMut(T) -> Continue) -> Result<(), StoreError> + Send,
    mut consume: impl FnMut(T),
) -> Result<(), StoreError> {
    thread::scope(|scope| {
        let (send, receive) = sync_channel::<Vec<T>>(WAITING);
        let produced = thread::Builder::new().spawn_scoped(scope, move || {
            let mut batch = Vec::with_capacity(BATCH);
            let made = produce(&mut |item| {
                batch.push(item);
                if batch.len() < BATCH {
                    return Continue::Yes;
                }
                let full = core::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                match send.send(full) {
                    Ok(()) => Continue::Yes,
                    Err(_) => Continue::No,
                }
            });
            // Whoever does not listen any more needs no rest.
            drop(send.send(batch));
            made
        });
        let produced = produced.map_err(|source| StoreError::Disk {
            doing: "starting a thread",
            source: Box::new(source),
        })?;
        receive.into_iter().flatten().for_each(&mut consume);
        let ended_badly = || StoreError::Unusable("reading it ended badly".into());
        produced.join().unwrap_or_else(|_| Err(ended_badly()))
    })
}

/// Walks over all events below `size`, and names what is missing among them.
pub(super) fn events(
    reader: &mut dyn Reader,
    size: u64,
    seal: &SealKey,
    each: &mut dyn FnMut(Read) -> Continue,
) -> Result<(), StoreError> {
    let mut next = 0;
    loop {
        let mut met = None;
        reader.events(next, &mut |stored| {
            if stored.index != next || stored.index >= size {
                met = Some(stored.index);
                return Ok(Continue::No);
            }
            next += 1;
            Ok(each(Read::Event {
                index: stored.index,
                hash: leaf_hash(&stored.leaf),
                opening: Opening::of(&stored),
                sealed: is_sealed(&stored, seal),
                leaf: stored.leaf,
            }))
        })?;
        // With a head that cannot be read, the ledger ends where its events do.
        let end = if size == u64::MAX { next } else { size };
        let to = met.map_or(end, |index| index.min(size));
        if next < to {
            let hashes = hashes(reader, next, to)?;
            each(Read::Gap {
                from: next,
                to,
                hashes,
            });
            next = to;
        }
        match met {
            Some(index) if index < size => {}
            Some(index) => {
                each(Read::Beyond(index));
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}

/// The hashes of leaves as full tiles keep them, as far as they do without a break.
fn hashes(reader: &mut dyn Reader, from: u64, to: u64) -> Result<Vec<Hash>, StoreError> {
    let width = u64::from(TILE_WIDTH);
    let to = to.min(from.saturating_add(FILLED_MAX));
    let mut found = Vec::new();
    let mut at = from;
    while at < to {
        let n = at / width;
        let Some(tile) = reader.tile(0, n)? else {
            break;
        };
        let end = to.min((n + 1) * width);
        let skip = usize::try_from(at - n * width).unwrap_or(usize::MAX);
        let take = usize::try_from(end - at).unwrap_or(0);
        let kept = tile.chunks_exact(HASH_BYTES).skip(skip).take(take);
        found.extend(
            kept.filter_map(|h| h.first_chunk())
                .map(|h| Hash::from_bytes(*h)),
        );
        at = end;
    }
    Ok(found)
}
