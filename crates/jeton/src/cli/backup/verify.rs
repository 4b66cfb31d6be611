//! `jeton backup verify`: what a backup says of itself, without a key of the authority.

use std::sync::atomic::Ordering::Relaxed;

use clap::Args;
use serde_json::json;

use super::{Sealed, found, moment};
use crate::cli::{fault::Fault, out::Out, progress::work};

const EXAMPLES: &str = "\
Examples:
  jeton backup verify /backup/jeton.age --identity backup-identity.txt

Everything is read, the tree is rebuilt, each record held against its leaf, and the signed checkpoints against the tree. Whoever
knows a recipient can make a backup of another authority: that it is yours is what `drill` and `restore` check, with the keyring;
or compare the key that is printed here. Exit status: 0 sound, 3 damaged, 1 it cannot be read.";

/// Which backup.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    sealed: Sealed,
}

pub(super) async fn run(args: VerifyArgs, out: Out) -> Result<(), Fault> {
    let file = args.sealed.file.clone();
    let mut walk = args.sealed.open(out)?;
    let read = work("reading the backup", move |events| {
        let read = loop {
            match walk.next_item() {
                Ok(Some(_)) => events.store(walk.seen().events, Relaxed),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        read.map(|()| walk)
    });
    let walk = found(read.await?, &file, out)?;
    let (header, seen) = (walk.header(), walk.seen());
    let root = jeton_tlog::Hash::from_bytes(header.root).to_string();
    let signers: Vec<String> = walk.signers().iter().map(ToString::to_string).collect();
    let made = moment(header.made_ms);
    let told = json!({
        "file": file,
        "origin": header.origin,
        "size": header.size,
        "root": root,
        "signed_by": signers,
        "made_at": made,
        "checkpoints": seen.checkpoints,
        "last_uses": seen.uses,
        "erased": walk.erased(),
        "keyring": walk.keyring().is_some(),
        "findings": [],
    });
    let words = format!(
        "sound: {} events of {}, root {root}, made {made}\n  {} checkpoints, the last signed by {}",
        header.size,
        header.origin,
        seen.checkpoints,
        signers.join(" and ")
    );
    out.done(&told, &words)
}
