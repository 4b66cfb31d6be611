//! `jeton anchor`: timestamps for checkpoints, from clocks that nobody here can set. What is anchored is a checkpoint file.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jeton_core::time::Time;
use jeton_tlog::{Checkpoint, NOTE_BYTES_MAX, Note, VerifierKey};
use sha2::{Digest as _, Sha256};

use super::{anchor_evm, anchor_ots, fault::Fault, out::Out};
use crate::{
    anchor::endpoint::{Endpoint, EndpointError},
    http::view::rfc3339,
};

const EXAMPLES: &str = "\
Examples:
  jeton anchor ots stamp checkpoint --calendar https://a.pool.opentimestamps.org --ca /etc/ssl/certs/ca-certificates.crt
  jeton anchor ots verify checkpoint checkpoint.ots --header HEX
  jeton anchor evm put checkpoint --key VKEY --rpc http://127.0.0.1:8545 --contract ADDRESS --from ADDRESS

A checkpoint is what the authority serves at /log/checkpoint: keep the very file that you anchor. Servers are those that you
name; https takes --ca, http goes to a loopback address alone.";

/// Which anchor.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct AnchorArgs {
    #[command(subcommand)]
    command: AnchorCommand,
}

#[derive(Subcommand, Debug)]
enum AnchorCommand {
    /// OpenTimestamps: a proof file that ends in a block of Bitcoin
    Ots(anchor_ots::OtsArgs),
    /// A contract on an Ethereum-like chain that takes growing sizes only
    Evm(anchor_evm::EvmArgs),
}

/// Runs the command.
pub(super) async fn run(args: AnchorArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        AnchorCommand::Ots(args) => anchor_ots::run(args, out).await,
        AnchorCommand::Evm(args) => anchor_evm::run(args, out).await,
    }
}

/// A checkpoint's file: what it says, and the SHA-256 of its bytes.
pub(super) struct Told {
    pub(super) checkpoint: Checkpoint,
    pub(super) digest: [u8; 32],
}

/// Reads a checkpoint's file. With a key, its log must have signed it; without, it must only have the shape.
pub(super) fn read_checkpoint(path: &Path, key: Option<&VerifierKey>) -> Result<Told, Fault> {
    let bytes = read_file(path, NOTE_BYTES_MAX)?;
    let no_checkpoint = |error: &(dyn core::error::Error + 'static)| {
        let words = format!("{} is no checkpoint to believe", path.display());
        Fault::caused(words, error).hint(
            "a checkpoint is the file that the authority serves at /log/checkpoint, unchanged",
        )
    };
    let checkpoint = match key {
        Some(key) => Checkpoint::open(&bytes, key).map(|opened| opened.checkpoint().clone()),
        None => {
            let note = Note::parse(&bytes).map_err(|e| no_checkpoint(&e))?;
            Checkpoint::parse(note.unverified_text())
        }
    };
    Ok(Told {
        checkpoint: checkpoint.map_err(|e| no_checkpoint(&e))?,
        digest: Sha256::digest(&bytes).into(),
    })
}

/// Reads a file of at most so many bytes.
pub(super) fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let failed = |e: std::io::Error| Fault::caused(format!("cannot read {}", path.display()), &e);
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > bytes_max {
        let words = format!("{} has more than {bytes_max} bytes", path.display());
        return Err(Fault::failed(words));
    }
    Ok(bytes)
}

/// A server that the command line names.
pub(super) fn open(url: &str, ca: Option<&PathBuf>) -> Result<Endpoint, Fault> {
    Endpoint::open(url, ca.map(PathBuf::as_path)).map_err(|error| match &error {
        EndpointError::NoCa(_) => Fault::usage(error.to_string()).hint(
            "add --ca FILE; the machine's own list is often /etc/ssl/certs/ca-certificates.crt",
        ),
        EndpointError::Url(_) => Fault::usage(error.to_string()),
        EndpointError::Net { .. } | EndpointError::Status { .. } => {
            Fault::caused("cannot use the server", &error)
        }
    })
}

/// A block's time.
pub(super) fn instant(time_s: u64) -> String {
    rfc3339(Time::from_seconds(time_s)).to_string()
}

#[cfg(test)]
mod tests {
    use jeton_tlog::{Hash, SigningKey};

    use super::*;

    fn checkpoint(seed: u8) -> (String, VerifierKey) {
        let key = SigningKey::from_seed("log.example.test", &[seed; 32]).unwrap();
        let checkpoint = Checkpoint::new("log.example.test", 7, Hash::from_bytes([9; 32])).unwrap();
        (checkpoint.sign(&key).unwrap(), key.verifier().clone())
    }

    #[test]
    fn a_checkpoint_is_read_with_its_key_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        let (note, key) = checkpoint(1);
        std::fs::write(&path, &note).unwrap();
        let told = read_checkpoint(&path, Some(&key)).ok().unwrap();
        assert_eq!(told.checkpoint.size(), 7);
        assert_eq!(told.digest, <[u8; 32]>::from(Sha256::digest(&note)));
        assert!(read_checkpoint(&path, None).is_ok());
        assert!(read_checkpoint(&path, Some(&checkpoint(2).1)).is_err());
        std::fs::write(&path, "<html>\n\nnot found\n").unwrap();
        assert!(read_checkpoint(&path, None).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [0; 8]).unwrap();
        assert_eq!(read_file(&path, 8).ok().unwrap().len(), 8);
        assert!(read_file(&path, 7).is_err());
    }
}
