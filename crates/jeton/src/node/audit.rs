//! The audit of a data directory: its store compared with what the ledger explains, and with what lies outside of it.
//!
//! It reads one moment of the store and takes no lock, so it works beside a running authority as well as without one. What
//! lies outside is asked before that moment: a node that runs raises its mark, and shows its checkpoints, behind the store.

mod outside;
mod recalled;

use std::path::{Path, PathBuf};

use jeton_core::{directory::Log, event::Event};
use jeton_store::{
    Continue, Reader, StoreError,
    fsck::{self, Keys, Report},
    ledger,
    sqlite::SqliteReader,
};
use jeton_tlog::SigningKey;

pub use self::{
    outside::{HighWater, Outside, outside},
    recalled::{Seen, Witnessed},
};
use crate::node::{
    keyring::{Kek, Keyring, KeyringError},
    quorum::Recalled,
};

/// The name of a ledger of which nothing is left that names it: its checks need one all the same.
const NAMELESS: &str = "unnamed.invalid/ledger";

/// Why a store cannot be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The keys.
    #[error("cannot open the keyring")]
    Keyring(#[source] KeyringError),
    /// The store.
    #[error("cannot read {path}")]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The name that was given.
    #[error("{origin} cannot name a ledger")]
    Origin {
        /// It.
        origin: String,
        /// Why.
        #[source]
        source: jeton_tlog::KeyError,
    },
}

/// What an audit saw.
#[derive(Debug)]
pub struct Audited {
    /// The comparison of the whole store.
    pub report: Report,
    /// The name of the ledger.
    pub origin: String,
    /// What lies outside of the store, if that was looked at.
    pub outside: Option<Outside>,
}

/// What is compared.
#[derive(Debug)]
pub enum Reach {
    /// The store alone: `fsck`.
    Store,
    /// The store, and what lies outside of it; with what witnesses have said that they remember.
    Outside(Vec<Recalled>),
}

/// Audits the store of a data directory. `origin` names its ledger; `None`: as the ledger itself says.
///
/// # Errors
/// [`AuditError`] where nothing can be compared; every difference is a finding.
pub fn audit(
    dir: &Path,
    kek: &Kek,
    origin: Option<&str>,
    reach: Reach,
) -> Result<Audited, AuditError> {
    let path = dir.join("ledger.db");
    let reopen = || Keyring::reopen(&dir.join("keyring"), kek, &path).map_err(AuditError::Keyring);
    let keyring = reopen()?;
    let failed = |source| AuditError::Store {
        path: path.clone(),
        source,
    };
    let high_water = HighWater::of(dir);
    let mut sizes: Vec<u64> = high_water
        .mark()
        .map(|mark| mark.size)
        .into_iter()
        .collect();
    if let Reach::Outside(recalled) = &reach {
        sizes.extend(recalled.iter().filter_map(recalled::size));
    }
    let mut reader = SqliteReader::open(&path).map_err(failed)?;
    let log = named(&keyring, origin, &mut reader)?;
    let keys = Keys {
        tags: &|tenant| keyring.tag_key(tenant),
        seal: keyring.seal_key(),
        log: log.verifier(),
    };
    let mut report = fsck::with_roots(&mut reader, keys, &sizes).map_err(failed)?;
    let outside = match reach {
        Reach::Store => None,
        Reach::Outside(recalled) => {
            let mut log_keys = public_keys(&keyring, &report.log);
            // One that came while the store was read lies in the keyring of now.
            log_keys.extend(public_keys(&reopen()?, &report.log));
            let witnesses = recalled::all(&recalled, &report);
            let known = Outside {
                high_water,
                log_keys,
                witnesses,
            };
            let found = outside::outside(&report, &known, log.name());
            report.findings.extend(found);
            Some(known)
        }
    };
    Ok(Audited {
        report,
        origin: log.name().to_owned(),
        outside,
    })
}

/// The public halves of the keys that sign now, as far as the keyring holds their seeds.
fn public_keys(keyring: &Keyring, log: &Log) -> Vec<[u8; 32]> {
    let keys = keyring.log_keys(log, u64::MAX).unwrap_or_default();
    let keys = keys.iter().map(|key| *key.verifier().public_key());
    keys.collect()
}

/// The ledger's key under its name: the one that was given, or the first that can be one of those that the ledger tells.
fn named(
    keyring: &Keyring,
    origin: Option<&str>,
    reader: &mut dyn Reader,
) -> Result<SigningKey, AuditError> {
    let key = |origin: &str| {
        let made = keyring.log_key(origin);
        made.map_err(|source| AuditError::Origin {
            origin: origin.to_owned(),
            source,
        })
    };
    if let Some(origin) = origin {
        return key(origin);
    }
    let first = genesis(reader).and_then(|origin| key(&origin).ok());
    let first = first.or_else(|| {
        let (_, note) = reader.last_checkpoint().ok()??;
        key(note.lines().next()?).ok()
    });
    first.map_or_else(|| key(NAMELESS), Ok)
}

/// The name in the ledger's first event, if it can be read.
fn genesis(reader: &mut dyn Reader) -> Option<String> {
    let mut named = None;
    let read = reader.events(0, &mut |stored| {
        let bytes = stored.opening.as_ref().map(|(_, bytes)| bytes.as_slice());
        let record = bytes.and_then(ledger::decode);
        if let Some(Event::Genesis { origin, .. }) = record.map(|r| r.event) {
            named = Some(origin);
        }
        Ok(Continue::No)
    });
    // What cannot be read is found by the comparison.
    read.ok()?;
    named
}
