//! `jeton backup restore`: a backup in place of the store of a stopped authority.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Sealed, found, moment};
use crate::{
    backup::{
        restore::{Order, Restored, restore},
        swap::Unreadable,
    },
    cli::{fault::Fault, out::Out, progress::work},
    node::{high_water::Later, keyring::Kek},
};

const EXAMPLES: &str = "\
Examples:
  jeton backup restore /backup/jeton.age --identity backup-identity.txt --data-dir /var/lib/jeton
  jeton backup restore last.age --identity id.txt --data-dir new --kek-file kek --is-latest

The old store stays beside the new one as ledger.db.before-restore-SIZE. What was served since the backup is not forgotten: the
next start is in quarantine, since a revocation may be missing. On a machine that knows nothing of this authority that is so
unless --is-latest vouches that nothing was served after the backup.";

/// Which backup, to where.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    sealed: Sealed,
    /// The data directory of a stopped authority, or a new one
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The file of the key-encryption key; in the data directory unless told
    #[arg(long, value_name = "FILE")]
    kek_file: Option<PathBuf>,
    /// Vouch that nothing was served after this backup, where the directory cannot know
    #[arg(long)]
    is_latest: bool,
    /// Move a store that cannot be read aside, instead of stopping
    #[arg(long)]
    move_unreadable: bool,
}

pub(super) async fn run(args: RestoreArgs, out: Out) -> Result<(), Fault> {
    let file = args.sealed.file.clone();
    let mut walk = args.sealed.open(out)?;
    let dir = args.data_dir.clone();
    let restored = work("restoring", move |events| {
        let kek = args.kek_file.unwrap_or_else(|| args.data_dir.join("kek"));
        let order = Order {
            dir: &args.data_dir,
            kek: &Kek::File(kek),
            later: if args.is_latest {
                Later::Nothing
            } else {
                Later::Unknown
            },
            unreadable: if args.move_unreadable {
                Unreadable::MoveAside
            } else {
                Unreadable::Refuse
            },
        };
        restore(&mut walk, &order, events)
    });
    let restored = found(restored.await?, &file, out)?;
    let Restored { rebuilt, mark, .. } = &restored;
    let replaced = restored.replaced.as_ref();
    let told = json!({
        "data_dir": dir,
        "origin": rebuilt.origin,
        "size": rebuilt.size,
        "root": rebuilt.root.to_string(),
        "made_at": moment(rebuilt.made_ms),
        "replaced_size": replaced.and_then(|r| r.head).map(|head| head.size),
        "replaced_file": replaced.map(|r| &r.kept),
        "served_size": mark.size,
        "served_known": !mark.is_unknown(),
        "keyring_restored": restored.keyring,
        "quarantine": restored.is_behind(),
    });
    out.done(&told, &words(&restored))
}

fn words(restored: &Restored) -> String {
    let Restored { rebuilt, mark, .. } = restored;
    let mut lines = vec![format!(
        "restored: {} events of {}, root {}, as of {}",
        rebuilt.size,
        rebuilt.origin,
        rebuilt.root,
        moment(rebuilt.made_ms)
    )];
    if let Some(replaced) = &restored.replaced {
        let held = replaced.head.map_or_else(
            || "which could not be read".to_owned(),
            |head| format!("of {} events", head.size),
        );
        lines.push(format!(
            "  the store before it, {held}, is kept as {}",
            replaced.kept.display()
        ));
    }
    if restored.keyring {
        lines.push("  the keyring came out of the backup".to_owned());
    }
    if restored.is_behind() {
        let why = if mark.epoch > rebuilt.epoch {
            "an epoch was begun since".to_owned()
        } else if mark.is_unknown() {
            let (_, size) = mark.certain();
            format!("nothing here knows whether more than {size} events were served")
        } else if mark.size <= rebuilt.size {
            format!("other events were served, up to {}", mark.size)
        } else {
            let (served, size) = (mark.size, rebuilt.size);
            format!("{served} events were served, the store holds {size}")
        };
        lines.push(format!(
            "  the next start is in quarantine: {why}; a revocation may be missing"
        ));
    }
    lines.join("\n")
}
