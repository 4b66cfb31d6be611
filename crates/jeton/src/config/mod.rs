//! Configuration: one registry of keys. File, environment and flags are three ways to set the same keys, in this order of
//! weight; none of them takes a secret.

pub mod reference;

use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::{capability, node::keyring::Kek};

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file is not TOML: {0}")]
    Toml(String),
    /// No key has this name.
    #[error("{from}: there is no key {key}; `jeton serve --help` lists all")]
    Unknown {
        /// Where it stood.
        from: String,
        /// The name.
        key: String,
    },
    /// A value breaks its rule.
    #[error("{from}: {key} must be {rule}")]
    Value {
        /// Where it stood.
        from: String,
        /// The key.
        key: &'static str,
        /// The rule.
        rule: &'static str,
    },
}

/// One key of the registry.
pub struct Key {
    /// Its name: in the file as it stands, in the environment as `JETON_…` in capitals, as a flag with dashes.
    pub name: &'static str,
    /// What its value must be.
    pub rule: &'static str,
    /// What holds unless it is set.
    pub default: &'static str,
    /// What it is for.
    pub doc: &'static str,
    set: fn(&mut Config, &str) -> Option<()>,
}

impl Key {
    /// Its name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("JETON_{}", self.name.to_uppercase())
    }

    /// Its name as a flag.
    #[must_use]
    pub fn flag(&self) -> String {
        flag(self.name)
    }
}

fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

macro_rules! registry {
    ($($(#[doc = $doc:literal])+ $name:ident : $type:ty = $default:literal, $rule:literal, $read:expr;)*) => {
        /// Everything that can be configured.
        #[derive(Clone, Debug)]
        pub struct Config { $($(#[doc = $doc])+ pub $name: $type,)* }

        /// Every key there is.
        pub const KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            rule: $rule,
            default: $default,
            doc: concat!($($doc, " "),+),
            set: |config, text| {
                let read: fn(&str) -> Option<$type> = $read;
                config.$name = read(text)?;
                Some(())
            },
        },)*];

        impl Default for Config {
            fn default() -> Self {
                Self { $($name: {
                    let read: fn(&str) -> Option<$type> = $read;
                    read($default).unwrap_or_default()
                },)* }
            }
        }
    };
}

fn list<T: core::str::FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',')
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(|p| p.parse().ok())
        .collect()
}

#[expect(
    clippy::unnecessary_wraps,
    clippy::option_option,
    reason = "one shape for all readers"
)]
fn path(text: &str) -> Option<Option<PathBuf>> {
    Some((!text.is_empty()).then(|| PathBuf::from(text)))
}

registry! {
    /// The directory of the ledger, the keyring and the local certificates.
    data_dir: PathBuf = "./jeton-data", "a path", |t| (!t.is_empty()).then(|| t.into());
    /// The address of the TLS listener.
    listen: String = "127.0.0.1:8443", "an address with port, as 0.0.0.0:8443",
        |t| t.parse::<std::net::SocketAddr>().ok().map(|a| a.to_string());
    /// A unix socket beside it, for proxies and sidecars on this machine; whoever may connect is trusted as a proxy.
    unix_socket: Option<PathBuf> = "", "a path", path;
    /// The mode of the unix socket, octal.
    unix_mode: String = "0660", "an octal mode, as 0660",
        |t| u32::from_str_radix(t, 8).ok().filter(|m| *m <= 0o777).map(|_| t.to_owned());
    /// An address for plain HTTP, on loopback only; none unless asked for.
    plain_listen: String = "", "an address on loopback with port",
        |t| (t.is_empty() || t.parse::<std::net::SocketAddr>().is_ok_and(|a| a.ip().is_loopback())).then(|| t.to_owned());
    /// The certificate chain in PEM, read again when it changes; without, a local CA is made.
    tls_cert: Option<PathBuf> = "", "a path", path;
    /// The private key in PEM, of mode 0600.
    tls_key: Option<PathBuf> = "", "a path", path;
    /// Names and addresses for the certificate of the local CA, by comma; localhost is always among them.
    names: Vec<String> = "", "names by comma", list;
    /// Networks of reverse proxies, by comma: their X-Forwarded-For counts, and they may ask at GET /check.
    trusted_proxies: Vec<IpNet> = "", "networks in CIDR notation by comma", list;
    /// The file of the key-encryption key, of mode 0600; in data_dir unless told. Keep it elsewhere than backups.
    kek_file: Option<PathBuf> = "", "a path", path;
    /// An inherited file descriptor that holds the key-encryption key, in place of the file.
    kek_fd: Option<i32> = "", "a number",
        |t| if t.is_empty() { Some(None) } else { t.parse().ok().map(Some) };
    /// The name of the ledger in its checkpoints: unique in the world, as a host name with path. Never changes.
    origin: String = "jeton.local/ledger", "printable characters without space and plus",
        |t| (!t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic() && b != b'+')).then(|| t.to_owned());
    /// Who may read the ledger's tiles: anybody, or holders of jeton:events:read. Checkpoints, key and policy are always public.
    tiles: String = "token", "token or public", |t| matches!(t, "token" | "public").then(|| t.to_owned());
    /// The file of the witness policy (c2sp.org/tlog-policy): a checkpoint is published once its quorum has cosigned it.
    witness_policy: Option<PathBuf> = "", "a path", path;
    /// A CA file in PEM for witnesses whose certificates no public authority has signed.
    witness_ca: Option<PathBuf> = "", "a path", path;
    /// How log lines look.
    log_format: String = "text", "text or json", |t| matches!(t, "text" | "json").then(|| t.to_owned());
    /// What is logged: a filter as of tracing, for example jeton=debug.
    log_filter: String = "info", "a tracing filter", |t| Some(t.to_owned());
    /// Whether the store is compared with the ledger again and again while the node runs: what was changed behind its back is told.
    audit: String = "rolling", "rolling or off", |t| matches!(t, "rolling" | "off").then(|| t.to_owned());
    /// Room on the disk that is held back for revocations, in MiB: given up when the disk is full. 0: none.
    ballast_mib: u64 = "64", "a number of MiB up to 65536", |t| t.parse().ok().filter(|n| *n <= 65_536);
    /// How long requests in flight may take after a stop, in seconds.
    drain_s: u64 = "10", "a number of seconds up to 600", |t| t.parse().ok().filter(|s| *s <= 600);
    /// The most connections at once.
    connections_max: u64 = "8192", "a number from 1", |t| t.parse().ok().filter(|n| *n > 0);
    /// The most connections from one address at once; trusted proxies are exempt.
    connections_per_ip_max: u32 = "256", "a number from 1", |t| t.parse().ok().filter(|n| *n > 0);
}

impl Config {
    /// Reads file, environment and flags, the later over the earlier.
    ///
    /// # Errors
    /// [`ConfigError`] naming the place, the key and the rule.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(path) = file {
            config.read_file(path)?;
        }
        for key in KEYS {
            let name = key.variable();
            if let Some(value) = capability::environment(&name) {
                config.set(key, &value, &name)?;
            }
        }
        // systemd hands a credential over as a file in a directory that only this process sees.
        if config.kek_file.is_none() && config.kek_fd.is_none() {
            let dir = capability::environment_path("CREDENTIALS_DIRECTORY").map(PathBuf::from);
            config.kek_file = dir.map(|d| d.join("jeton-kek")).filter(|f| f.exists());
        }
        for (name, value) in flags {
            let found = KEYS.iter().find(|k| k.name == name);
            let from = flag(name);
            let key = found.ok_or_else(|| ConfigError::Unknown {
                from: "flags".into(),
                key: from.clone(),
            })?;
            config.set(key, value, &from)?;
        }
        Ok(config)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Toml(e.message().to_owned()))?;
        let from = path.display().to_string();
        for (name, value) in &table {
            let found = KEYS.iter().find(|k| k.name == name);
            let unknown = || ConfigError::Unknown {
                from: from.clone(),
                key: name.clone(),
            };
            let key = found.ok_or_else(unknown)?;
            self.set(key, &plain(value), &from)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &Key, value: &str, from: &str) -> Result<(), ConfigError> {
        (key.set)(self, value).ok_or_else(|| ConfigError::Value {
            from: from.to_owned(),
            key: key.name,
            rule: key.rule,
        })
    }

    /// Where the key-encryption key comes from.
    #[must_use]
    pub fn kek(&self) -> Kek {
        match (self.kek_fd, &self.kek_file) {
            (Some(fd), _) => Kek::Descriptor(fd),
            (None, Some(path)) => Kek::File(path.clone()),
            (None, None) => Kek::File(self.data_dir.join("kek")),
        }
    }
}

/// A TOML value as the text that the environment would hold.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_obeys_its_rule() {
        let mut config = Config::default();
        for key in KEYS {
            config.set(key, key.default, "default").unwrap();
            assert!(!key.doc.trim().is_empty(), "{} has no words", key.name);
        }
    }

    #[test]
    fn wrong_values_name_place_key_and_rule() {
        let flags = [("listen".to_owned(), "nowhere".to_owned())];
        let error = Config::load(None, &flags).unwrap_err().to_string();
        assert_eq!(
            error,
            "--listen: listen must be an address with port, as 0.0.0.0:8443"
        );
        let flags = [("plain_listen".to_owned(), "0.0.0.0:80".to_owned())];
        assert!(Config::load(None, &flags).is_err());
    }
}
