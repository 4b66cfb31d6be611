//! What a monitor remembers: how far it has seen the log, the tenant's last number, and what it has noticed and not yet told.

use std::{fs, io::ErrorKind, path::Path};

use jeton_tlog::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    mirror::Seen,
    node::keyring::{KeyringError, write_private},
};

/// The most bytes of a state file.
const STATE_BYTES_MAX: u64 = 64 << 20;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("cannot read the state")]
    Read(#[source] std::io::Error),
    /// The file cannot be written.
    #[error("cannot keep the state")]
    Write(#[source] KeyringError),
    /// It is no state.
    #[error("the state file is none, or of another version")]
    Malformed,
    /// It is of another tenant.
    #[error("the state is of {0}, another tenant")]
    Another(String),
}

/// Something that its tenant should know.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Noticed {
    /// Always the same for the same thing: whoever is told twice knows it by this.
    pub id: String,
    /// `issuance`, `unknown_issuance`, `erased_unknown`, `unknown_event`, `gap`, `withheld`, `opening`, or what is wrong with the
    /// log: `rollback`, `fork`, `another_log`, `unverified`, `entries`, `tile`.
    pub kind: String,
    /// Which tenant.
    pub tenant: String,
    /// The index of the event, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// In words.
    pub what: String,
    /// The event, if it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
}

impl Noticed {
    /// Something noticed, under an id that follows from it.
    #[must_use]
    pub fn new(kind: &str, tenant: &str, index: Option<u64>, what: String) -> Self {
        let mut hash = Sha256::new();
        let at = index.map(|i| i.to_string()).unwrap_or_default();
        for part in [kind, tenant, &at, &what] {
            hash.update(part);
            hash.update([0]);
        }
        let digest = data_encoding::HEXLOWER.encode(&hash.finalize());
        Self {
            id: digest.chars().take(32).collect(),
            kind: kind.to_owned(),
            tenant: tenant.to_owned(),
            index,
            what,
            event: None,
        }
    }
}

/// What a monitor remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u8,
    tenant: String,
    seen: Option<Written>,
    /// The number of the tenant's last event that was seen.
    pub sequence: u64,
    /// What was noticed and has not been delivered yet.
    pub pending: Vec<Noticed>,
    /// What was wrong with the log in the last round: told once, until it changes.
    pub standing: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    origin: String,
    size: u64,
    root: String,
}

impl State {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(tenant: &str) -> Self {
        Self {
            version: 1,
            tenant: tenant.to_owned(),
            seen: None,
            sequence: 0,
            pending: Vec::new(),
            standing: Vec::new(),
        }
    }

    /// Reads a state; without a file, nothing was seen yet.
    ///
    /// # Errors
    /// [`StateError`]; a state that cannot be read is not taken for none, or a rollback would go unseen.
    pub fn read(path: &Path, tenant: &str) -> Result<Self, StateError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::new(tenant)),
            Err(error) => return Err(StateError::Read(error)),
            Ok(found) if found.len() > STATE_BYTES_MAX => return Err(StateError::Malformed),
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(StateError::Read)?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|_| StateError::Malformed)?;
        let sound = state.seen.is_none() || state.seen().is_some();
        if state.version != 1 || !sound {
            return Err(StateError::Malformed);
        }
        if state.tenant != tenant {
            return Err(StateError::Another(state.tenant));
        }
        Ok(state)
    }

    /// Keeps the state: after a crash it is the old one or this one.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub fn keep(&self, path: &Path) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(self).map_err(|_| StateError::Malformed)?;
        write_private(path, &bytes).map_err(StateError::Write)
    }

    /// How far the log was seen.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let seen = self.seen.as_ref()?;
        Some(Seen {
            origin: seen.origin.clone(),
            size: seen.size,
            root: Hash::from_base64(&seen.root)?,
        })
    }

    pub(super) fn advance(&mut self, seen: &Seen) {
        self.seen = Some(Written {
            origin: seen.origin.clone(),
            size: seen.size,
            root: seen.root.to_string(),
        });
    }
}
