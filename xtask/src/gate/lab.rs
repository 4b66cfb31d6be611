//! Disks to be cut off or filled: file systems in files, mounted on loop devices, gone when the [`Lab`] is dropped.
//!
//! Every command has a time limit, and what a killed run left behind is cleared away by the next.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::run;

/// A lab's directory is named by its process, so that one whose process is gone is known.
const NAME: &str = "jeton-lab-";
/// How long any one command of the lab may take, in seconds.
const PATIENCE_S: &str = "60";

/// A directory with file systems mounted below it.
pub(crate) struct Lab {
    dir: PathBuf,
    mounted: Vec<PathBuf>,
}

impl Lab {
    /// An empty lab: in memory where that has `room_bytes`, else in the directory for temporary files.
    pub(crate) fn set_up(room_bytes: u64) -> anyhow::Result<Self> {
        let shm = Path::new("/dev/shm");
        let base = match room(shm) {
            Ok(room) if room >= room_bytes => shm.to_owned(),
            Ok(_) | Err(_) => std::env::temp_dir(),
        };
        sweep(&base);
        let dir = base.join(format!("{NAME}{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self {
            dir,
            mounted: Vec::new(),
        })
    }

    /// A path in the lab.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes an empty file system of `bytes` in the file `image`, by a `mkfs` and its options.
    pub(crate) fn format(image: &Path, bytes: u64, mkfs: &[&str]) -> anyhow::Result<()> {
        let file = fs::File::create(image).context("making an image")?;
        file.set_len(bytes).context("making an image")?;
        let (program, options) = mkfs.split_first().context("no mkfs")?;
        run::succeed(bounded(program).args(options).arg(image))
    }

    /// Mounts the file system in `image` at a directory of the lab.
    pub(crate) fn mount(&mut self, image: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let at = self.path(name);
        fs::create_dir_all(&at).context("making a mount point")?;
        run::output(bounded("mount").args(["-o", "loop"]).arg(image).arg(&at))?;
        self.mounted.push(at.clone());
        Ok(at)
    }

    /// Unmounts it. The loop device goes with the mount.
    pub(crate) fn unmount(&mut self, at: &Path) -> anyhow::Result<()> {
        run::output(bounded("umount").arg(at))?;
        self.mounted.retain(|mounted| mounted != at);
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for at in self.mounted.iter().rev() {
            let_go(at);
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} is left behind: {error}", self.dir.display());
        }
    }
}

/// A command that ends, by itself or not.
pub(crate) fn bounded(program: &str) -> Command {
    run::command("timeout", &["--kill-after=5", PATIENCE_S, program])
}

fn let_go(at: &Path) {
    if !run::works(bounded("umount").arg(at)) && !run::works(bounded("umount").arg("-l").arg(at)) {
        eprintln!("{} cannot be unmounted", at.display());
    }
}

/// The free bytes under a path.
fn room(path: &Path) -> anyhow::Result<u64> {
    let told = run::output(run::command("df", &["--block-size=1", "--output=avail"]).arg(path))?;
    let last = told.lines().last().unwrap_or_default().trim();
    last.parse()
        .with_context(|| format!("df says {last:?} of {}", path.display()))
}

/// Clears away the labs of processes that are gone.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for dir in entries.flatten().map(|entry| entry.path()) {
        let name = dir.file_name().and_then(|name| name.to_str());
        let Some(process) = name.and_then(|name| name.strip_prefix(NAME)) else {
            continue;
        };
        if Path::new("/proc").join(process).exists() {
            continue;
        }
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let mut own: Vec<&Path> = points
            .map(Path::new)
            .filter(|at| at.starts_with(&dir))
            .collect();
        // A file system in a file of another one goes before that one.
        own.reverse();
        own.into_iter().for_each(let_go);
        drop(fs::remove_dir_all(&dir));
    }
}

/// The example that is workload and audit, built in release form.
pub(crate) fn example() -> anyhow::Result<PathBuf> {
    let build = [
        "build",
        "--release",
        "-p",
        "jeton",
        "--example",
        "durability",
    ];
    run::succeed(&mut run::command("cargo", &build))?;
    Ok(run::target_dir()?.join("release/examples/durability"))
}

/// The JSON that a program's last line is.
pub(crate) fn last_line(told: &str) -> anyhow::Result<serde_json::Value> {
    let line = told.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("the last line is no JSON: {line:?}"))
}
