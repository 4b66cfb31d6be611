//! `jeton fsck`: the whole store of a stopped authority, compared with what its ledger explains.

use std::{fs::File, path::Path};

use clap::Args;

use super::{
    audit::{StoreArgs, compare},
    fault::Fault,
    out::Out,
};
use crate::node::audit::Reach;

const EXAMPLES: &str = "\
Examples:
  jeton fsck --data-dir /var/lib/jeton
  jeton fsck --data-dir ./restored --kek-file ./jeton-kek

Nothing is changed. Exit status: 0 sound, 3 findings, 1 if it cannot be looked at.";

/// Which store.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct FsckArgs {
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command.
pub(super) async fn run(args: FsckArgs, out: Out) -> Result<(), Fault> {
    args.store.there()?;
    let _stopped = alone(&args.store.data_dir)?;
    compare(args.store, Reach::Store, out).await
}

/// The directory's lock, while nobody runs on it: a ledger that grows meanwhile would look broken.
fn alone(dir: &Path) -> Result<Option<File>, Fault> {
    let Ok(file) = File::open(dir.join("lock")) else {
        return Ok(None);
    };
    let flock = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    if flock.is_err() {
        let words = format!("jeton is running on {}", dir.display());
        return Err(Fault::failed(words).hint("stop it first, or check a copy"));
    }
    Ok(Some(file))
}
