//! The audit of a data directory: its store compared with what the ledger explains, and with what lies outside of the store.
//!
//! It reads one moment of the store and takes no lock, so it works beside a running authority as well as without one.

use std::path::{Path, PathBuf};

use jeton_core::event::Event;
use jeton_store::{
    Continue, Reader, StoreError,
    fsck::{self, Finding, Report},
    ledger,
    sqlite::SqliteReader,
};
use jeton_tlog::{SigningKey, VerifierKey};

use crate::node::{
    high_water,
    keyring::{Kek, Keyring, KeyringError},
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

/// What lies outside of the store and knows something of its ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outside {
    /// The highest size that was ever served, as the file beside the store says.
    pub high_water: HighWater,
    /// The Ed25519 key that the keyring gives for the checkpoints.
    pub log_key: [u8; 32],
}

/// The file beside the store that keeps the highest size ever served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HighWater {
    /// It says so many events.
    Served(u64),
    /// There is none: a fresh directory, or a copy of a store without it.
    Absent,
    /// It holds no number.
    Unreadable,
}

impl HighWater {
    /// Reads the file of a data directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        match high_water::HighWater::read(&dir.join("high-water")) {
            Ok(Some(mark)) => Self::Served(mark.size),
            Ok(None) => Self::Absent,
            Err(_) => Self::Unreadable,
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// The store alone: `fsck`.
    Store,
    /// The store, and what lies outside of it.
    Outside,
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
    let keyring = Keyring::reopen(&dir.join("keyring"), kek, &path).map_err(AuditError::Keyring)?;
    let failed = |source| AuditError::Store {
        path: path.clone(),
        source,
    };
    // Before the moment of the store: a server that runs writes the file behind the checkpoint that it stands for.
    let high_water = HighWater::of(dir);
    let mut reader = SqliteReader::open(&path).map_err(failed)?;
    let log = named(&keyring, origin, &mut reader)?;
    let keys = |tenant| keyring.tag_key(tenant);
    let mut report = fsck::fsck(&mut reader, &keys, log.verifier()).map_err(failed)?;
    let outside = Outside {
        high_water,
        log_key: *log.verifier().public_key(),
    };
    let outside = (reach == Reach::Outside).then_some(outside);
    if let Some(known) = &outside {
        report
            .findings
            .extend(self::outside(&report, known, log.verifier()));
    }
    Ok(Audited {
        report,
        origin: log.name().to_owned(),
        outside,
    })
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

/// Compares what the store held with what lies outside of it. Witnesses are asked beside this.
#[must_use]
pub fn outside(report: &Report, known: &Outside, log: &VerifierKey) -> Vec<Finding> {
    let mut found = Vec::new();
    match (known.high_water, report.head) {
        (HighWater::Unreadable, _) => {
            found.push(Finding::new("high-water", "file", "it holds no number").field("size"));
        }
        (HighWater::Served(served), Some(size)) if served > size => {
            let what = format!("rollback: {served} events were served, the store holds {size}");
            found.push(Finding::new("high-water", "file", what).field("size"));
        }
        (HighWater::Served(_) | HighWater::Absent, _) => {}
    }
    if let Some((origin, log_key)) = &report.genesis {
        if *log_key != known.log_key {
            let what = "the ledger was begun with another key for its checkpoints";
            found.push(
                Finding::new("keyring", "log key", what)
                    .field("log_key")
                    .leaf(Some(0)),
            );
        }
        if origin != log.name() {
            let what = format!("the ledger names itself {origin}, not {}", log.name());
            found.push(Finding::at_leaf(0, what).field("origin"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(high_water: HighWater, head: u64, signed: Option<u64>) -> Vec<&'static str> {
        let log = SigningKey::from_seed("a.test/log", &[1; 32]).unwrap();
        let key = *log.verifier().public_key();
        let report = Report {
            head: Some(head),
            signed,
            genesis: Some(("a.test/log".into(), key)),
            ..Report::default()
        };
        let known = Outside {
            high_water,
            log_key: key,
        };
        let found = outside(&report, &known, log.verifier());
        found.into_iter().map(|f| f.table).collect()
    }

    #[test]
    fn the_high_water_mark_is_not_above_the_head() {
        for (high_water, head, signed, due) in [
            (HighWater::Absent, 7, None, vec![]),
            (HighWater::Served(7), 7, Some(7), vec![]),
            (HighWater::Served(6), 7, Some(7), vec![]),
            (HighWater::Served(8), 7, Some(7), vec!["high-water"]),
            (HighWater::Served(7), 7, Some(6), vec![]),
            (HighWater::Unreadable, 7, Some(7), vec!["high-water"]),
        ] {
            assert_eq!(
                found(high_water, head, signed),
                due,
                "{high_water:?} {head} {signed:?}"
            );
        }
    }

    #[test]
    fn another_key_and_another_name_are_told() {
        let log = SigningKey::from_seed("a.test/log", &[1; 32]).unwrap();
        let report = Report {
            genesis: Some(("b.test/log".into(), [9; 32])),
            ..Report::default()
        };
        let known = Outside {
            high_water: HighWater::Absent,
            log_key: *log.verifier().public_key(),
        };
        let found = outside(&report, &known, log.verifier());
        let fields: Vec<_> = found.iter().filter_map(|f| f.field).collect();
        assert_eq!(fields, ["log_key", "origin"]);
    }
}
