//! Room on the disk: a ballast that is given up so that revocation still works when nothing else fits.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The size of the ballast: room for some hundred thousand revocations.
pub const BALLAST_BYTES: u64 = 64 << 20;
/// Issuing stops when less than this share of the disk, in percent, is free.
pub const FREE_PERCENT_MIN: u64 = 5;

/// A file that takes up room until the room is needed.
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// A ballast at a path; it takes its room by [`Ballast::take`].
    #[must_use]
    pub fn at(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// How large it is when it is taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the room is taken: only then may anything grow. A ballast of nothing always is.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|m| m.len() == self.bytes)
    }

    /// Takes the room, if it is free and not taken already. Allocated, not sparse.
    pub fn take(&self) -> bool {
        if self.is_held() {
            return true;
        }
        let write = || {
            let mut file = fs::File::create(&self.path)?;
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, flags, 0, self.bytes) {
                Ok(()) => return file.sync_all(),
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
            let zeros = vec![0u8; 1 << 16];
            let mut left = self.bytes;
            while left > 0 {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
                file.write_all(zeros.get(..step).unwrap_or_default())?;
                left -= u64::try_from(step).unwrap_or(left);
            }
            file.sync_all()
        };
        let taken = write();
        if taken.is_err() {
            drop(fs::remove_file(&self.path));
        }
        taken.is_ok()
    }

    /// Gives the room up. Says whether there was any.
    pub fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

/// The share of the disk under `path` that is free, in percent, and the free bytes.
#[must_use]
pub fn free(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let all = stat.f_blocks.saturating_mul(stat.f_frsize).max(1);
    Some((free.saturating_mul(100) / all, free))
}
