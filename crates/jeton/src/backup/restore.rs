//! Restoring: the store of a stopped authority is built anew from a backup, and takes the place of the old one only when all of
//! it was believed. What was served since stays known, so that no token comes back that was revoked meanwhile.

use std::{fs, io::Read, path::Path, sync::atomic::AtomicU64};

use crate::{
    backup::{
        error::BackupError,
        mark::Mark,
        rebuild::{Rebuilt, rebuild},
        swap::{self, FRESH, FRESH_KEYRING, Replaced, Swap, Unreadable},
        walk::Walk,
    },
    node::{
        dir::lock,
        high_water::Later,
        keyring::{Kek, Keyring, write_private},
    },
};

/// Where to, and under which circumstances.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The data directory.
    pub dir: &'a Path,
    /// Opens its keyring.
    pub kek: &'a Kek,
    /// What is known of what came after the backup.
    pub later: Later,
    /// What to do with a store that cannot be read.
    pub unreadable: Unreadable,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The new store.
    pub rebuilt: Rebuilt,
    /// The one before it.
    pub replaced: Option<Replaced>,
    /// How far this authority has served, or may have.
    pub mark: Mark,
    /// Whether the keyring came out of the backup.
    pub keyring: bool,
}

impl Restored {
    /// Whether the next start is in quarantine: more was served, or something else.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let (mark, rebuilt) = (&self.mark, &self.rebuilt);
        let size = mark.size != rebuilt.size || mark.epoch > rebuilt.epoch;
        size || mark.root().is_some_and(|root| root != rebuilt.root)
    }
}

/// Restores a backup into a data directory on which no server runs.
///
/// # Errors
/// [`BackupError`]. Up to the first step of [`swap`] the directory is as it was; after it, as told there.
pub fn restore<R: Read>(
    walk: &mut Walk<R>,
    order: &Order<'_>,
    events: &AtomicU64,
) -> Result<Restored, BackupError> {
    let _alone = lock(order.dir).map_err(BackupError::Start)?;
    swap::clear(order.dir)?;
    let built = keyring(walk, order).and_then(|(keyring, brought)| {
        let fresh = order.dir.join(FRESH);
        Ok((rebuild(walk, &keyring, &fresh, events)?, brought))
    });
    if built.is_err() {
        // Half a store is worth nothing; should it not go away, the next restore removes it.
        drop(swap::clear(order.dir));
    }
    let (rebuilt, keyring) = built?;
    let swapping = Swap::begin(order.dir, &rebuilt, order.later, order.unreadable);
    if swapping.is_err() {
        drop(swap::clear(order.dir));
    }
    let (replaced, mark) = swapping?.run()?;
    Ok(Restored {
        rebuilt,
        replaced,
        mark,
        keyring,
    })
}

/// The directory's own keyring, or else the one in the backup. One that is there is never replaced: it may hold less than an
/// older one on purpose.
fn keyring<R: Read>(walk: &Walk<R>, order: &Order<'_>) -> Result<(Keyring, bool), BackupError> {
    let own = order.dir.join("keyring");
    let there = fs::exists(&own).map_err(BackupError::file("look for", &own))?;
    if there {
        return Ok((Keyring::reopen(&own, order.kek, &own)?, false));
    }
    let Some(bytes) = walk.keyring() else {
        return Err(BackupError::NoKeyring(order.dir.to_owned()));
    };
    let path = order.dir.join(FRESH_KEYRING);
    write_private(&path, bytes)?;
    Ok((Keyring::reopen(&path, order.kek, &path)?, true))
}
