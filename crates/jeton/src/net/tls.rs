//! The certificate that is served, and how it is changed while connections stay open.
//!
//! A connection keeps the keys of its own handshake, so a new certificate only concerns new
//! connections: the resolver hands out whatever the last *good* load put there. A load that fails,
//! be it for half-written files, changes nothing.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::NetError;
use super::files;

/// The most certificates that a chain file may hold.
pub const CHAIN_MAX: usize = 16;
/// The most roots in a file that a client trusts: system bundles hold some 150.
pub const ROOTS_MAX: usize = 1024;

/// The suites in order of preference: every one is AEAD with an ephemeral key exchange.
const SUITES: [rustls::SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A certificate chain with its key, read from two PEM files, that can be read again.
pub struct TlsIdentity {
    chain_path: PathBuf,
    key_path: PathBuf,
    served: ArcSwap<CertifiedKey>,
    /// What the served pair was read from. The lock also makes loads follow one another.
    digest: Mutex<[u8; 32]>,
}

impl TlsIdentity {
    /// Reads the chain (leaf first) and its key.
    ///
    /// # Errors
    /// [`NetError::KeyExposed`] if group or others may read the key; [`NetError::Pem`] if a file
    /// holds no certificate or no key; [`NetError::Certificate`] if they do not fit each other.
    pub fn load(chain_pem: &Path, key_pem: &Path) -> Result<Arc<Self>, NetError> {
        let (pair, digest) = read_pair(chain_pem, key_pem)?;
        Ok(Arc::new(Self {
            chain_path: chain_pem.to_owned(),
            key_path: key_pem.to_owned(),
            served: ArcSwap::from_pointee(pair),
            digest: Mutex::new(digest),
        }))
    }

    /// Reads both files again; says whether a different pair is served from now on.
    ///
    /// # Errors
    /// As [`TlsIdentity::load`]; the pair that was served before is then still served.
    pub fn reload(&self) -> Result<bool, NetError> {
        let mut current = self.digest.lock();
        let (pair, digest) = read_pair(&self.chain_path, &self.key_path)?;
        if *current == digest {
            return Ok(false);
        }
        self.served.store(Arc::new(pair));
        *current = digest;
        Ok(true)
    }

    /// Looks at the files every `period` and reloads when one was touched, until `stop` is true.
    ///
    /// A reload that fails is logged, once for each distinct reason, and tried again at every
    /// period until it succeeds. Must be called within a tokio runtime.
    pub fn spawn_reload(
        self: &Arc<Self>,
        period: Duration,
        mut stop: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let identity = Arc::clone(self);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut look = Look::default();
            loop {
                tokio::select! {
                    _ = stop.wait_for(|stopping| *stopping) => return,
                    _ = ticks.tick() => {}
                }
                let identity = Arc::clone(&identity);
                let looked = tokio::task::spawn_blocking(move || look.again(&identity)).await;
                // The look is lost only if it panicked: then everything is looked at anew.
                look = looked.unwrap_or_default();
            }
        })
    }

    fn stamps(&self) -> Option<[Stamp; 2]> {
        Some([Stamp::of(&self.chain_path)?, Stamp::of(&self.key_path)?])
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsIdentity")
            .field("chain_path", &self.chain_path)
            .field("key_path", &self.key_path)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for TlsIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.served.load_full())
    }
}

/// What the poll remembers between two looks.
#[derive(Default)]
struct Look {
    /// The files as they were when a load last succeeded.
    good: Option<[Stamp; 2]>,
    complaint: Option<String>,
}

impl Look {
    fn again(self, identity: &TlsIdentity) -> Self {
        // Taken before the read: a change in between is seen at the next look.
        let stamps = identity.stamps();
        if stamps.is_some() && stamps == self.good {
            return self;
        }
        match identity.reload() {
            Ok(changed) => {
                if changed {
                    let file = identity.chain_path.display();
                    tracing::info!(%file, "a new certificate is served");
                }
                Self {
                    good: stamps,
                    complaint: None,
                }
            }
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the certificate was not reloaded; the old one is served");
                }
                Self {
                    good: None,
                    complaint: Some(complaint),
                }
            }
        }
    }
}

/// Enough of a file's state that no ordinary change leaves it the same.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The TLS configuration of a listener that serves `identity`.
///
/// TLS 1.3, and 1.2 with AEAD and ephemeral keys only; ALPN `h2` and `http/1.1`; resumption by
/// tickets whose keys turn over by themselves; no early data, which could be replayed.
///
/// # Errors
/// [`NetError::Tls`] if the library refuses the settings or has no randomness for ticket keys.
pub fn server_config(identity: Arc<TlsIdentity>) -> Result<Arc<ServerConfig>, NetError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|source| NetError::Tls { source })?
        .with_no_client_auth()
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(|source| NetError::Tls { source })?;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The authorities that a client trusts; the machine's own list is never used.
#[derive(Debug, Clone, Copy)]
pub enum Roots<'a> {
    /// A PEM file, such as `ca.pem` of the local authority.
    File(&'a Path),
    /// The text of such a file.
    Pem(&'a [u8]),
}

/// The TLS configuration of a client that trusts `roots` alone. ALPN is left to the caller.
///
/// # Errors
/// [`NetError::Pem`] if there is no certificate in `roots`; [`NetError::Certificate`] if one cannot
/// be an authority; the file errors.
pub fn client_config(roots: Roots<'_>) -> Result<ClientConfig, NetError> {
    let (name, pem) = match roots {
        Roots::File(path) => (path, files::read_certificate(path)?),
        Roots::Pem(bytes) => (Path::new("(given CA)"), bytes.to_vec().into()),
    };
    let mut store = RootCertStore::empty();
    for certificate in certificates(name, &pem, ROOTS_MAX)? {
        store
            .add(certificate)
            .map_err(|source| NetError::Certificate {
                path: name.to_owned(),
                source,
            })?;
    }
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|source| NetError::Tls { source })?
        .with_root_certificates(store)
        .with_no_client_auth())
}

/// The one crypto floor, with our choice of suites; nothing relies on a process-wide default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: SUITES.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

fn read_pair(chain_path: &Path, key_path: &Path) -> Result<(CertifiedKey, [u8; 32]), NetError> {
    let key_pem = files::read_key(key_path)?;
    let chain_pem = files::read_certificate(chain_path)?;
    let chain = certificates(chain_path, &chain_pem, CHAIN_MAX)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| NetError::Pem {
        path: key_path.to_owned(),
        rule: "it must hold a private key in PEM",
    })?;
    let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| {
        NetError::Certificate {
            path: chain_path.to_owned(),
            source,
        }
    })?;
    // A leaf that does not parse would otherwise fail in each handshake instead of here.
    pair.end_entity_cert()
        .and_then(rustls::server::ParsedCertificate::try_from)
        .map_err(|source| NetError::Certificate {
            path: chain_path.to_owned(),
            source,
        })?;
    let parts = [Sha256::digest(&*chain_pem), Sha256::digest(&*key_pem)];
    Ok((pair, Sha256::digest(parts.concat()).into()))
}

fn certificates(
    path: &Path,
    pem: &[u8],
    most: usize,
) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let bad = |rule| NetError::Pem {
        path: path.to_owned(),
        rule,
    };
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .take(most + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| bad("it must hold certificates in PEM"))?;
    match all.len() {
        0 => Err(bad("it must hold at least one certificate in PEM")),
        held if held <= most => Ok(all),
        _ => Err(bad("it holds more certificates than may be read")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::fixture::{Authority, eventually};
    use super::*;

    fn served(identity: &TlsIdentity) -> Vec<u8> {
        identity.served.load().end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn a_bad_file_keeps_the_old_pair_and_a_good_one_replaces_it() {
        let authority = Authority::new(&[]);
        let (pem, key) = (&authority.ca.server_pem, &authority.ca.server_key);
        let identity = TlsIdentity::load(pem, key).unwrap();
        let first = served(&identity);
        assert!(!identity.reload().unwrap(), "nothing has changed");

        let good = std::fs::read(pem).unwrap();
        std::fs::write(
            pem,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(identity.reload().is_err());
        std::fs::write(pem, &good[..good.len() / 2]).unwrap();
        assert!(identity.reload().is_err(), "half a file");
        std::fs::write(pem, &good).unwrap();
        let old_key = std::fs::read(key).unwrap();
        authority.issue(&["other.example"]);
        std::fs::write(key, old_key).unwrap();
        let mismatch = identity.reload();
        assert!(
            matches!(mismatch, Err(NetError::Certificate { .. })),
            "{mismatch:?}"
        );
        assert_eq!(served(&identity), first);

        authority.issue(&["other.example"]);
        assert!(identity.reload().unwrap());
        assert_ne!(served(&identity), first);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_at_load_and_at_reload() {
        let authority = Authority::new(&[]);
        let (pem, key) = (&authority.ca.server_pem, &authority.ca.server_key);
        let identity = TlsIdentity::load(pem, key).unwrap();
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o644)).unwrap();
        let refused = TlsIdentity::load(pem, key).unwrap_err();
        assert!(matches!(refused, NetError::KeyExposed { mode: 0o644, .. }));
        assert!(
            refused.to_string().contains("server.key has mode 0644"),
            "{refused}"
        );
        assert!(identity.reload().is_err());
    }

    #[tokio::test]
    async fn the_poll_sees_a_new_certificate_without_being_asked() {
        let authority = Authority::new(&[]);
        let ca = &authority.ca;
        let identity = TlsIdentity::load(&ca.server_pem, &ca.server_key).unwrap();
        let first = served(&identity);
        let (stop, stopping) = watch::channel(false);
        let task = identity.spawn_reload(Duration::from_millis(5), stopping);
        std::fs::write(&ca.server_pem, "rubbish").unwrap();
        authority.issue(&["other.example"]);
        eventually("the new certificate", || served(&identity) != first).await;
        stop.send(true).unwrap();
        task.await.unwrap();
    }

    #[test]
    fn nothing_that_is_printed_holds_the_key() {
        let authority = Authority::new(&[]);
        let ca = &authority.ca;
        let identity = TlsIdentity::load(&ca.server_pem, &ca.server_key).unwrap();
        let printed = format!("{identity:?}");
        assert!(
            printed.contains("server.key") && !printed.contains("PRIVATE"),
            "{printed}"
        );
    }

    #[test]
    fn every_suite_is_ephemeral_and_authenticated() {
        assert_eq!(SUITES.len(), aws_lc_rs::DEFAULT_CIPHER_SUITES.len());
        for suite in SUITES {
            let name = format!("{:?}", suite.suite());
            let aead = name.contains("GCM") || name.contains("POLY1305");
            let ephemeral = name.starts_with("TLS13_") || name.contains("_ECDHE_");
            assert!(aead && ephemeral, "{name}");
        }
    }
}
