//! The keys of the authority: peppers, tag keys, the ledger's key, the key of cursors and snapshots. They lie in one file,
//! wrapped by a key-encryption key that lies elsewhere, and never in the database.

mod log;
mod seal;

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use jeton_core::{
    directory::Directory,
    id::TenantId,
    leaf::{SealKey, TagKey},
    token::digest::Pepper,
};
use jeton_verify::check::Peppers;
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::capability;

const MAGIC: &[u8; 8] = b"jetonkr1";
const KEYRING_BYTES_MAX: u64 = 64 << 20;

/// What went wrong with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file could not be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A key file is open to others.
    #[error("{0} can be read by others: run chmod 600 on it")]
    Open(PathBuf),
    /// The key-encryption key is not 32 bytes in hexadecimal.
    #[error("{0} does not hold a key-encryption key: 64 hexadecimal digits")]
    NotAKey(PathBuf),
    /// A key that once was there is missing: another in its place would open nothing.
    #[error(
        "the {what} {path} is missing, though {beside} is there: restore it from where keys are kept; without it no token \
         authenticates, so nothing was made in its place"
    )]
    Lost {
        /// Keyring or key-encryption key.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What shows that it once was there.
        beside: PathBuf,
    },
    /// The keyring does not open with this key.
    #[error("{0} does not open with this key-encryption key, or was changed")]
    Sealed(PathBuf),
    /// The tenant has no keys here.
    #[error("the keyring has no keys of tenant {0}")]
    Missing(TenantId),
    /// A pepper cannot be retired.
    #[error("{0}")]
    InUse(String),
}

#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop, Clone)]
#[cbor(map)]
struct Content {
    #[cbor(n(0), with = "minicbor::bytes")]
    log_seed: [u8; 32],
    #[cbor(n(1), with = "minicbor::bytes")]
    mac_key: [u8; 32],
    #[n(2)]
    tenants: Vec<TenantKeys>,
    /// Further ledger keys: those that take over, in the order of their coming.
    #[n(3)]
    log_seeds_more: Option<Vec<Seed>>,
}

#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop, Clone)]
#[cbor(transparent)]
struct Seed(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop, Clone)]
#[cbor(map)]
struct TenantKeys {
    #[cbor(n(0), with = "minicbor::bytes")]
    tenant: [u8; 16],
    #[cbor(n(1), with = "minicbor::bytes")]
    tag_key: [u8; 32],
    /// Oldest first, at most two; the last is in force.
    #[n(2)]
    peppers: Vec<PepperKey>,
}

#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop, Clone)]
#[cbor(map)]
struct PepperKey {
    #[n(0)]
    number: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    key: [u8; 32],
}

/// A tenant's keys, prepared.
#[derive(Clone)]
struct Prepared {
    tag_key: TagKey,
    peppers: Vec<(u8, Pepper)>,
}

/// The keyring: prepared keys for use, and the file they are kept in.
pub struct Keyring {
    path: PathBuf,
    kek: Zeroizing<[u8; 32]>,
    content: Mutex<Content>,
    prepared: ArcSwap<HashMap<TenantId, Prepared>>,
    mac: hmac::Key,
    seal: SealKey,
}

/// Where the key-encryption key comes from: never the environment or the command line.
#[derive(Clone, Debug)]
pub enum Kek {
    /// A file of mode 0600, made if it is missing.
    File(PathBuf),
    /// An inherited file descriptor, by number.
    Descriptor(i32),
}

impl Keyring {
    /// Opens the keyring at `path`, making it and its key-encryption key on first run.
    ///
    /// # Errors
    /// [`KeyringError`] naming the file and what is wrong with it; [`KeyringError::Lost`] for a keyring without its key.
    pub fn open(path: &Path, kek: &Kek) -> Result<Self, KeyringError> {
        if there(path)? {
            return Self::reopen(path, kek, path);
        }
        let kek = read_kek(kek, true)?;
        let fresh = Content {
            log_seed: capability::draw(),
            mac_key: capability::draw(),
            tenants: Vec::new(),
            log_seeds_more: None,
        };
        save(path, &kek, &fresh)?;
        Ok(Self::of(path, kek, fresh))
    }

    /// Opens a keyring that must be there, since `beside` was made with it: makes nothing.
    ///
    /// # Errors
    /// [`KeyringError::Lost`] if it or its key-encryption key is missing; else as [`Keyring::open`].
    pub fn reopen(path: &Path, kek: &Kek, beside: &Path) -> Result<Self, KeyringError> {
        let lost = |what, path: &Path, beside: &Path| KeyringError::Lost {
            what,
            path: path.to_owned(),
            beside: beside.to_owned(),
        };
        if !there(path)? {
            return Err(lost("keyring", path, beside));
        }
        if let Kek::File(file) = kek
            && !there(file)?
        {
            return Err(lost("key-encryption key", file, path));
        }
        let kek = read_kek(kek, false)?;
        let content = unseal(path, &kek)?;
        Ok(Self::of(path, kek, content))
    }

    fn of(path: &Path, kek: Zeroizing<[u8; 32]>, content: Content) -> Self {
        Self {
            path: path.to_owned(),
            kek,
            prepared: ArcSwap::from_pointee(prepare(&content)),
            seal: seal::key(&content),
            mac: hmac::Key::new(hmac::HMAC_SHA256, &content.mac_key),
            content: Mutex::new(content),
        }
    }

    /// A tag over bytes that only this authority can make: for cursors and snapshots, by label.
    #[must_use]
    pub fn mac(&self, label: &str, bytes: &[u8]) -> [u8; 32] {
        let mut ctx = hmac::Context::with_key(&self.mac);
        ctx.update(label.as_bytes());
        ctx.update(&[0]);
        ctx.update(bytes);
        ctx.sign().as_ref().try_into().unwrap_or_default()
    }

    /// A running tag, for what does not fit into memory.
    #[must_use]
    pub fn mac_context(&self, label: &str) -> hmac::Context {
        let mut ctx = hmac::Context::with_key(&self.mac);
        ctx.update(label.as_bytes());
        ctx.update(&[0]);
        ctx
    }

    /// A tenant's tag key.
    #[must_use]
    pub fn tag_key(&self, tenant: TenantId) -> Option<TagKey> {
        self.prepared.load().get(&tenant).map(|p| p.tag_key.clone())
    }

    /// A tenant's tag key in the clear, for the tenant itself.
    #[must_use]
    pub fn danger_tag_key_bytes(&self, tenant: TenantId) -> Option<Zeroizing<[u8; 32]>> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = content.tenants.iter();
        let mut own = keys.filter(|t| t.tenant == *tenant.bytes());
        own.next().map(|t| Zeroizing::new(t.tag_key))
    }

    /// A tenant's pepper in force, with its number.
    ///
    /// # Errors
    /// [`KeyringError::Missing`].
    pub fn pepper(&self, tenant: TenantId) -> Result<(u8, Pepper), KeyringError> {
        let prepared = self.prepared.load();
        let keys = prepared
            .get(&tenant)
            .and_then(|p| p.peppers.last().cloned());
        keys.ok_or(KeyringError::Missing(tenant))
    }

    /// The numbers of a tenant's peppers, oldest first.
    #[must_use]
    pub fn pepper_numbers(&self, tenant: TenantId) -> Vec<u8> {
        let prepared = self.prepared.load();
        prepared
            .get(&tenant)
            .map(|p| p.peppers.iter().map(|(n, _)| *n).collect())
            .unwrap_or_default()
    }

    /// The peppers of all tenants, by prefix, for the verifier.
    #[must_use]
    pub fn peppers(&self, directory: &Directory) -> HashMap<u64, Peppers> {
        let prepared = self.prepared.load();
        let of = |tenant: &jeton_core::directory::Tenant| {
            let mut young_first = prepared.get(&tenant.id)?.peppers.iter().rev().cloned();
            let current = young_first.next()?;
            let peppers = Peppers {
                tenant: tenant.id,
                current,
                previous: young_first.next(),
            };
            Some((tenant.prefix.as_u64(), peppers))
        };
        directory.tenants().filter_map(|t| of(t)).collect()
    }

    /// Makes the keys of a new tenant, durably, before any event of it is stored. A crash after this leaves keys that
    /// nothing uses.
    ///
    /// # Errors
    /// [`KeyringError`] if the file cannot be written.
    pub fn add_tenant(&self, tenant: TenantId) -> Result<(), KeyringError> {
        self.change(|content| {
            content.tenants.push(TenantKeys {
                tenant: *tenant.bytes(),
                tag_key: capability::draw(),
                peppers: vec![PepperKey {
                    number: 0,
                    key: capability::draw(),
                }],
            });
            Ok(())
        })
    }

    /// Puts a new pepper in force; the one before it is accepted until it is retired.
    ///
    /// # Errors
    /// [`KeyringError::InUse`] while two are active already.
    pub fn rotate_pepper(&self, tenant: TenantId) -> Result<u8, KeyringError> {
        let mut made = 0;
        self.change(|content| {
            let keys = keys_of(content, tenant)?;
            if keys.peppers.len() > 1 {
                let text = "two peppers are active: retire the older one first";
                return Err(KeyringError::InUse(text.into()));
            }
            made = keys.peppers.last().map_or(0, |p| p.number.wrapping_add(1));
            keys.peppers.push(PepperKey {
                number: made,
                key: capability::draw(),
            });
            Ok(())
        })?;
        Ok(made)
    }

    /// Retires the older of two peppers. Whoever calls this has made sure that no token needs it.
    ///
    /// # Errors
    /// [`KeyringError::InUse`] if there is only one.
    pub fn retire_pepper(&self, tenant: TenantId) -> Result<u8, KeyringError> {
        let mut retired = 0;
        self.change(|content| {
            let keys = keys_of(content, tenant)?;
            if keys.peppers.len() < 2 {
                return Err(KeyringError::InUse(
                    "there is only one pepper: rotate first".into(),
                ));
            }
            retired = keys.peppers.remove(0).number;
            Ok(())
        })?;
        Ok(retired)
    }

    fn change(
        &self,
        edit: impl FnOnce(&mut Content) -> Result<(), KeyringError>,
    ) -> Result<(), KeyringError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = content.clone();
        edit(&mut next)?;
        save(&self.path, &self.kek, &next)?;
        self.prepared.store(Arc::new(prepare(&next)));
        *content = next;
        Ok(())
    }
}

fn keys_of(content: &mut Content, tenant: TenantId) -> Result<&mut TenantKeys, KeyringError> {
    let found = content
        .tenants
        .iter_mut()
        .find(|t| t.tenant == *tenant.bytes());
    found.ok_or(KeyringError::Missing(tenant))
}

fn prepare(content: &Content) -> HashMap<TenantId, Prepared> {
    let tenants = content.tenants.iter().map(|keys| {
        let peppers = keys
            .peppers
            .iter()
            .map(|p| (p.number, Pepper::new(&p.key)))
            .collect();
        let prepared = Prepared {
            tag_key: TagKey::new(&keys.tag_key),
            peppers,
        };
        (TenantId::from_bytes(keys.tenant), prepared)
    });
    tenants.collect()
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::File {
        doing,
        path,
        source,
    }
}

/// Whether a file is there; one that cannot be looked at is not taken for missing, or it would be made anew.
fn there(path: &Path) -> Result<bool, KeyringError> {
    path.try_exists().map_err(file("look for", path))
}

fn read_kek(kek: &Kek, make: bool) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    let (path, text) = match kek {
        Kek::Descriptor(number) => {
            let path = PathBuf::from(format!("/proc/self/fd/{number}"));
            let text = fs::read_to_string(&path).map_err(file("read", &path))?;
            (path, Zeroizing::new(text))
        }
        Kek::File(path) => {
            if make && !there(path)? {
                let hex = data_encoding::HEXLOWER.encode(&capability::draw::<32>());
                write_private(path, format!("{hex}\n").as_bytes())?;
            }
            private(path)?;
            let text = fs::read_to_string(path).map_err(file("read", path))?;
            (path.clone(), Zeroizing::new(text))
        }
    };
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.trim().as_bytes())
        .ok();
    let key = bytes
        .map(Zeroizing::new)
        .and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok());
    key.map(Zeroizing::new).ok_or(KeyringError::NotAKey(path))
}

/// Refuses a file that group or others can read.
pub(crate) fn private(path: &Path) -> Result<(), KeyringError> {
    let mode = fs::metadata(path)
        .map_err(file("look at", path))?
        .permissions()
        .mode();
    if mode.trailing_zeros() >= 6 {
        Ok(())
    } else {
        Err(KeyringError::Open(path.to_owned()))
    }
}

/// Writes a file of mode 0600 so that a crash leaves the old one or the new one, whole.
///
/// # Errors
/// [`KeyringError::File`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    let fresh = path.with_extension("new");
    let write = || {
        // A draft that a crash left, or somebody put there, is not written to: its mode and its target are not ours.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut out = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        std::io::Write::write_all(&mut out, bytes)?;
        out.sync_all()?;
        fs::rename(&fresh, path)?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
        fs::File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(file("write", path))
}

fn save(path: &Path, kek: &[u8; 32], content: &Content) -> Result<(), KeyringError> {
    let mut plain = Zeroizing::new(Vec::new());
    let encoded = minicbor::encode(content, &mut *plain);
    debug_assert!(encoded.is_ok(), "encoding into memory");
    let nonce: [u8; NONCE_LEN] = capability::draw();
    let sealed = || KeyringError::Sealed(path.to_owned());
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, kek).map_err(|_| sealed())?);
    let mut body = Zeroizing::new(plain.to_vec());
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(MAGIC),
        &mut *body,
    )
    .map_err(|_| sealed())?;
    let bytes: Vec<u8> = MAGIC
        .iter()
        .chain(&nonce)
        .chain(body.iter())
        .copied()
        .collect();
    write_private(path, &bytes)
}

fn unseal(path: &Path, kek: &[u8; 32]) -> Result<Content, KeyringError> {
    private(path)?;
    let mut bytes = Vec::new();
    let handle = fs::File::open(path).map_err(file("read", path))?;
    handle
        .take(KEYRING_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(file("read", path))?;
    let sealed = || KeyringError::Sealed(path.to_owned());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(sealed)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(sealed)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, kek).map_err(|_| sealed())?);
    let mut body = Zeroizing::new(body.to_vec());
    let plain = key
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(MAGIC),
            &mut body,
        )
        .map_err(|_| sealed())?;
    minicbor::decode(plain).map_err(|_| sealed())
}
