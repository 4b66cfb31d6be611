//! Putting a store that was built anew in the place of the old one. What a crash leaves is the old store or the new one, whole,
//! and never one with a log of the other beside it: SQLite would play that log into the file.
//!
//! | the machine dies … | `ledger.db` is | and the next start |
//! |---|---|---|
//! | while the new store is built | the old one | is as before; the unfinished file is removed by the next restore |
//! | after the old one was closed | the old one, in one file | is as before |
//! | after the mark was raised | the old one, and as large as the mark says; or still none | is as before; where there was no store, it refuses, since something was served |
//! | after the keyring was put there | the same | the same: a ledger is not begun anew below a mark |
//! | after the stray logs were moved | the old one, which could not be read anyway; or none | the same |
//! | after the old one got its second name | the old one, by two names | is as before |
//! | after the rename, before the directory is on the disk | the old one or the new one, both whole | as before, or as below |
//! | after that | the new one | in quarantine if it holds less than the mark says, else it serves |
//!
//! The mark comes first of all that changes anything, so there is no moment at which an older store would be believed. A restore
//! that was cut off is simply repeated. The snapshot may stay: it is bound to a size and a right edge, so one of another history,
//! or of a later size, is not used, and one of this history is as good as before.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jeton_core::{
    event::{Event, LogEvent},
    leaf::LeafKind,
};
use jeton_store::{
    Continue, Reader, Store as _, StoreError, ledger,
    sqlite::{Durability, Sqlite, SqliteReader},
};
use jeton_tlog::Frontier;

use crate::{
    backup::{
        error::BackupError,
        mark::{self, Mark},
        rebuild::Rebuilt,
    },
    node::{
        dir::root_at,
        high_water::{Later, Seen},
    },
};

/// The store's file.
pub const STORE: &str = "ledger.db";
/// Where the new one is built.
pub const FRESH: &str = "ledger.db.new";
/// Where a keyring out of a backup waits until the events are sound.
pub const FRESH_KEYRING: &str = "keyring.restored";
/// What the engine keeps beside a file, and would play into another one of that name.
const BESIDE: [&str; 3] = ["-wal", "-journal", "-shm"];

/// What to do with a store that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Leave everything as it is.
    Refuse,
    /// Move it aside.
    MoveAside,
}

/// The store that was replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// How far it had come, if it could be read.
    pub head: Option<Mark>,
    /// Where it is kept.
    pub kept: PathBuf,
}

/// One exchange of stores, in a directory that this process holds.
pub struct Swap<'a> {
    dir: &'a Path,
    mark: Mark,
    replaced: Option<Replaced>,
}

type Step = fn(&Swap<'_>) -> Result<(), BackupError>;

/// What is done, in this order, each durable before the next begins.
const STEPS: [Step; 5] = [
    |swap| swap.raise_mark(),
    |swap| swap.put_keyring(),
    |swap| swap.move_strays(),
    |swap| swap.name_old(),
    |swap| swap.put_new(),
];

impl<'a> Swap<'a> {
    /// Closes the old store, if there is one, so that it is one file.
    ///
    /// # Errors
    /// [`BackupError::Replaced`] if it cannot be read or is being read; nothing has changed then.
    pub fn begin(
        dir: &'a Path,
        rebuilt: &'a Rebuilt,
        later: Later,
        unreadable: Unreadable,
    ) -> Result<Self, BackupError> {
        let path = dir.join(STORE);
        let there = fs::metadata(&path).is_ok_and(|m| m.len() > 0);
        let head = if there { Some(close(&path)) } else { None };
        let replaced = match (head, unreadable) {
            (None, _) => None,
            (Some(Ok(head)), _) => Some(Replaced {
                kept: kept_as(dir, &format!("before-restore-{}", head.size)),
                head: Some(head),
            }),
            (Some(Err(_)), Unreadable::MoveAside) => Some(Replaced {
                kept: kept_as(dir, "before-restore-unreadable"),
                head: None,
            }),
            (Some(Err(source)), Unreadable::Refuse) => {
                return Err(BackupError::Replaced { path, source });
            }
        };
        let old = replaced.as_ref().and_then(|r: &Replaced| r.head);
        Ok(Self {
            dir,
            mark: due(dir, rebuilt, old, later)?,
            replaced,
        })
    }

    /// Does it. Gives the old store, and the mark that stands now.
    ///
    /// # Errors
    /// [`BackupError`]; what stands in the directory then is as after a crash at that place.
    pub fn run(self) -> Result<(Option<Replaced>, Mark), BackupError> {
        for step in STEPS {
            step(&self)?;
        }
        Ok((self.replaced, self.mark))
    }

    fn raise_mark(&self) -> Result<(), BackupError> {
        mark::raise(self.dir, self.mark).map(drop)
    }

    fn put_keyring(&self) -> Result<(), BackupError> {
        let (from, to) = (self.dir.join(FRESH_KEYRING), self.dir.join("keyring"));
        if !exists(&from)? {
            return Ok(());
        }
        fs::rename(&from, &to).map_err(BackupError::file("write", &to))?;
        sync(self.dir)
    }

    /// Logs of a store that is gone, or that could not be read.
    fn move_strays(&self) -> Result<(), BackupError> {
        let kept = match &self.replaced {
            Some(replaced) => replaced.kept.clone(),
            None => kept_as(self.dir, "before-restore-unreadable"),
        };
        for end in BESIDE {
            let (from, to) = (ended(&self.dir.join(STORE), end), ended(&kept, end));
            if exists(&from)? {
                fs::rename(&from, &to).map_err(BackupError::file("move aside", &from))?;
            }
        }
        sync(self.dir)
    }

    fn name_old(&self) -> Result<(), BackupError> {
        let Some(replaced) = &self.replaced else {
            return Ok(());
        };
        let store = self.dir.join(STORE);
        if !same(&store, &replaced.kept) {
            fs::hard_link(&store, &replaced.kept)
                .map_err(BackupError::file("keep the old store as", &replaced.kept))?;
        }
        sync(self.dir)
    }

    fn put_new(&self) -> Result<(), BackupError> {
        let store = self.dir.join(STORE);
        fs::rename(self.dir.join(FRESH), &store).map_err(BackupError::file("put", &store))?;
        sync(self.dir)
    }
}

/// How far this authority is known to have served, or may have.
fn due(
    dir: &Path,
    rebuilt: &Rebuilt,
    old: Option<Mark>,
    later: Later,
) -> Result<Mark, BackupError> {
    let there = mark::read(dir)?;
    // Of two that are as high the one in the file was told first.
    let known = match (there, old) {
        (Some(there), Some(old)) if old.certain() > there.certain() => Some(old),
        (Some(there), _) => Some(there),
        (None, old) => old,
    };
    let (size, epoch) = (rebuilt.size, rebuilt.epoch);
    // What nobody knew before is not known now, unless somebody vouches.
    let unknown = there.filter(|there| there.is_unknown() && later == Later::Unknown);
    if let Some(known) = known.filter(|known| known.epoch >= epoch) {
        let fresh = dir.join(FRESH);
        let reached = known.certain() == (epoch, size) && !known.is_unknown();
        // A mark that the backup does not come to, or not on this way, stays: the start compares both.
        if known.certain() > (epoch, size) || reached || !comes_to(&fresh, known)? {
            let unknown = unknown.is_some_and(|unknown| unknown.epoch >= known.epoch);
            return Ok(if unknown && !known.is_unknown() {
                Mark::unknown_after(known.size, known.epoch)
            } else {
                known
            });
        }
    }
    // This directory has not seen what the backup holds: so it cannot know what came after it.
    Ok(match later {
        Later::Unknown => Mark::unknown_after(size, epoch),
        Later::Nothing => Mark {
            size,
            seen: Seen::Root(rebuilt.root),
            epoch,
        },
    })
}

/// Whether a store had this root when it was that large.
fn comes_to(store: &Path, mark: Mark) -> Result<bool, BackupError> {
    let Some(root) = mark.root() else {
        return Ok(true);
    };
    let mut reader = SqliteReader::open(store)?;
    Ok(root_at(&mut reader, mark.size)? == root)
}

/// Removes what a restore that did not end has left.
///
/// # Errors
/// [`BackupError::File`].
pub fn clear(dir: &Path) -> Result<(), BackupError> {
    let fresh = dir.join(FRESH);
    let beside = BESIDE.map(|end| ended(&fresh, end));
    for path in beside.iter().chain([&fresh, &dir.join(FRESH_KEYRING)]) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BackupError::file("remove", path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Leaves a store as one file. Gives how far it had come.
fn close(path: &Path) -> Result<Mark, StoreError> {
    let mut store = Sqlite::open(path, Durability::Full)?;
    let head = store.head()?;
    let tree = Frontier::from_bytes(head.size, &head.frontier);
    let tree = tree.map_err(|_| StoreError::Inconsistent {
        table: "head",
        column: "frontier",
        row: head.size.to_string(),
    })?;
    let epoch = {
        let mut reader = SqliteReader::open(path)?;
        epoch(&mut reader)?
    };
    store.settle()?;
    Ok(Mark {
        size: head.size,
        seen: Seen::Root(tree.root()),
        epoch,
    })
}

/// The epoch of a store, by the events that began them. They are taken at their word: it can only raise the mark.
fn epoch(reader: &mut dyn Reader) -> Result<u32, StoreError> {
    let mut epoch = 1;
    reader.events(0, &mut |stored| {
        let kind = stored.leaf.get(1) == Some(&LeafKind::LogChange.byte());
        let opening = stored.opening.filter(|_| kind);
        let record = opening.and_then(|(_, bytes)| ledger::decode(&bytes));
        if let Some(Event::Ledger(LogEvent::EpochBegan { .. })) = record.map(|r| r.event) {
            epoch += 1;
        }
        Ok(Continue::Yes)
    })?;
    Ok(epoch)
}

/// A name for the old store that no other one has; one that a restore gave it before it was cut off is its own.
fn kept_as(dir: &Path, name: &str) -> PathBuf {
    let store = dir.join(STORE);
    let names = std::iter::once(String::new()).chain((2u32..).map(|n| format!("-{n}")));
    let mut paths = names.map(|more| dir.join(format!("{STORE}.{name}{more}")));
    let free = paths.find(|path| {
        let taken = [path.clone()]
            .into_iter()
            .chain(BESIDE.map(|end| ended(path, end)));
        let mut taken = taken.filter(|p| fs::symlink_metadata(p).is_ok());
        same(&store, path) || taken.next().is_none()
    });
    free.unwrap_or(store)
}

fn same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::symlink_metadata(path).map(|m| (m.dev(), m.ino())).ok();
    id(one).is_some() && id(one) == id(other)
}

fn ended(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn exists(path: &Path) -> Result<bool, BackupError> {
    path.try_exists()
        .map_err(BackupError::file("look for", path))
}

fn sync(dir: &Path) -> Result<(), BackupError> {
    let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(BackupError::file("write", dir))
}

#[cfg(test)]
mod tests;
