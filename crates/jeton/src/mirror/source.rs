//! Where a log is read from: over HTTP under its prefix (c2sp.org/tlog-tiles, "Parameters"), or from the store of a stopped
//! authority.

use core::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jeton_core::{directory::Directory, secret::Secret};
use jeton_store::{Continue, Reader as _, StoreError, ledger, sqlite::SqliteReader, tree::Tree};
use jeton_tlog::{
    BundleId, HASH_BYTES, TILE_WIDTH, TileId, TilePath, VerifierKey, decode_bundle, encode_bundle,
};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{Finding, MirrorError};
use crate::net::Client;

/// Where a log is.
pub enum Source {
    /// Behind HTTP.
    Http(HttpSource),
    /// In a store that this process reads itself.
    Store(StoreSource),
}

/// A log behind HTTP.
pub struct HttpSource {
    client: Client,
    prefix: String,
    token: Option<Secret>,
}

/// A log in a store: as far as its youngest checkpoint goes.
pub struct StoreSource {
    reader: Mutex<SqliteReader>,
    size: u64,
    note: String,
    policy: String,
}

/// Divides the URL of a log into what a [`Client`] takes, and the path under which the log lies.
#[must_use]
pub fn split_url(url: &str) -> (&str, &str) {
    let url = url.trim_end_matches('/');
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/'));
    match path.and_then(|at| url.split_at_checked(host + at)) {
        Some(parts) => parts,
        None => (url, ""),
    }
}

impl Source {
    /// The log under `prefix` (such as `/log`) of a server, asked with a token or without.
    #[must_use]
    pub fn http(client: Client, prefix: &str, token: Option<Secret>) -> Self {
        Self::Http(HttpSource {
            client,
            prefix: prefix.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The youngest signed checkpoint, not yet believed.
    pub(super) async fn checkpoint(&self) -> Result<Vec<u8>, MirrorError> {
        match self {
            Self::Http(http) => Ok(http.get("/checkpoint").await?.to_vec()),
            Self::Store(store) => Ok(store.note.clone().into_bytes()),
        }
    }

    /// The policy that the log itself names: whoever takes it trusts the server for it.
    ///
    /// # Errors
    /// [`MirrorError`] if it cannot be had.
    pub async fn danger_policy(&self) -> Result<String, MirrorError> {
        match self {
            Self::Http(http) => {
                let bytes = http.get("/policy").await?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Self::Store(store) => Ok(store.policy.clone()),
        }
    }

    /// The bytes of a tile or bundle, not yet believed. Where a partial one is gone, the full one serves.
    pub(super) async fn read(&self, path: TilePath) -> Result<Vec<u8>, MirrorError> {
        let name = path.to_string();
        match self {
            Self::Http(http) => match http.get(&format!("/{name}")).await {
                Ok(bytes) => Ok(bytes.to_vec()),
                Err(MirrorError::Status { status, .. }) if status == StatusCode::NOT_FOUND => {
                    http.part_of_full(path).await
                }
                Err(error) => Err(error),
            },
            Self::Store(store) => store.read(path)?.ok_or(MirrorError::Status {
                path: name,
                status: StatusCode::NOT_FOUND,
            }),
        }
    }

    /// The receipt of an event, if this log gives one.
    ///
    /// # Errors
    /// [`MirrorError`] if it cannot be asked.
    pub async fn receipt(&self, index: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let Self::Http(http) = self else {
            return Ok(None);
        };
        match http.get(&format!("/proof/{index}")).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(MirrorError::Status { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Openings from an event on, as a CBOR sequence: of a running authority, or of the chunk that a mirror keeps.
    pub(super) async fn openings(&self, from: u64, limit: u64) -> Result<Bytes, MirrorError> {
        let Self::Http(http) = self else {
            return Err(MirrorError::Status {
                path: "openings".to_owned(),
                status: StatusCode::NOT_FOUND,
            });
        };
        let path = format!("/openings?from={from}&limit={limit}");
        match http.get(&path).await {
            // A static server knows a directory by this name, or nothing at all.
            Err(MirrorError::Status { status, .. })
                if status == StatusCode::NOT_FOUND || status.is_redirection() =>
            {
                let chunk = super::openings::chunk_name(from);
                http.get(&format!("/openings/{chunk}")).await
            }
            other => other,
        }
    }
}

impl HttpSource {
    async fn get(&self, path: &str) -> Result<Bytes, MirrorError> {
        let full = format!("{}{path}", self.prefix);
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
            if let Ok(mut value) = HeaderValue::from_str(&text) {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
        }
        let sent = self.client.send(Method::GET, &full, headers, Bytes::new());
        let (status, _, bytes) = sent.await.map_err(|source| MirrorError::Net {
            path: full.clone(),
            source,
        })?;
        if status == StatusCode::OK {
            Ok(bytes)
        } else {
            Err(MirrorError::Status { path: full, status })
        }
    }

    /// The beginning of a full tile or bundle, in place of a partial one (c2sp.org/tlog-tiles, "Partial Tiles").
    async fn part_of_full(&self, path: TilePath) -> Result<Vec<u8>, MirrorError> {
        let gone = |path: TilePath| MirrorError::Status {
            path: path.to_string(),
            status: StatusCode::NOT_FOUND,
        };
        let broken = || Finding::Tile {
            path: path.to_string(),
        };
        match path {
            TilePath::Hashes(id) if !id.is_full() => {
                let full = TileId::new(id.level(), id.index(), TILE_WIDTH);
                let full = full.map_err(|_| gone(path))?;
                let bytes = self.get(&format!("/{}", full.path())).await?;
                let wanted = usize::from(id.width()) * HASH_BYTES;
                let part = bytes.get(..wanted).ok_or_else(broken)?;
                Ok(part.to_vec())
            }
            TilePath::Entries(id) if id.width() < TILE_WIDTH => {
                let full = BundleId::new(id.index(), TILE_WIDTH).map_err(|_| gone(path))?;
                let bytes = self.get(&format!("/{}", full.path())).await?;
                let entries = decode_bundle(&bytes, TILE_WIDTH).map_err(|_| broken())?;
                let part = entries.get(..usize::from(id.width())).ok_or_else(broken)?;
                Ok(encode_bundle(part).map_err(|_| broken())?)
            }
            TilePath::Hashes(_) | TilePath::Entries(_) => Err(gone(path)),
        }
    }
}

impl StoreSource {
    /// Opens the store of an authority that does not run, as far as its youngest checkpoint goes.
    ///
    /// # Errors
    /// [`StoreError`]; [`MirrorError::Empty`] if nothing was signed yet.
    pub fn open(file: &Path) -> Result<Self, MirrorError> {
        let mut reader = SqliteReader::open(file)?;
        let (size, note) = reader
            .last_checkpoint()?
            .ok_or_else(|| MirrorError::Empty(file.to_owned()))?;
        let policy = told_policy(&mut reader, size)?;
        Ok(Self {
            reader: Mutex::new(reader),
            size,
            note,
            policy,
        })
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, StoreError> {
        let mut reader = self.reader.lock();
        let mut tree = Tree::new(&mut *reader, self.size);
        match path {
            TilePath::Hashes(id) => tree.tile(id),
            TilePath::Entries(id) => tree.bundle(id),
        }
    }
}

/// The policy as the ledger tells it: the one that was set, or the keys that sign at this size.
fn told_policy(reader: &mut SqliteReader, size: u64) -> Result<String, StoreError> {
    let mut directory = Directory::new();
    reader.events(0, &mut |stored| {
        let record = stored.opening.and_then(|(_, bytes)| ledger::decode(&bytes));
        if let Some(record) = record {
            // What does not apply is for `jeton fsck` to name; here only the ledger's own events count.
            _ = directory.apply(stored.index, &record);
        }
        Ok(Continue::Yes)
    })?;
    let log = directory.log();
    if let Some(policy) = &log.policy {
        return Ok(policy.clone());
    }
    let origin = log.origin_at(size);
    let keys = log.keys.iter().filter(|key| key.signs_at(size));
    let keys = keys.filter_map(|key| VerifierKey::new(origin, &key.public).ok());
    let mut lines = String::new();
    for key in keys {
        _ = writeln!(lines, "log {key}");
    }
    Ok(lines + "quorum none\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_divided_into_host_and_prefix() {
        for (url, base, prefix) in [
            ("https://a.test", "https://a.test", ""),
            ("https://a.test/", "https://a.test", ""),
            ("https://a.test:1/log/", "https://a.test:1", "/log"),
            ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080", "/a/b"),
            ("nonsense", "nonsense", ""),
        ] {
            assert_eq!(split_url(url), (base, prefix), "{url}");
        }
    }
}
