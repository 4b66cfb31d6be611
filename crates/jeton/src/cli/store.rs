//! The credential store: profiles of server and token in one file of mode 0600, written whole or not at all.

use std::fmt::Write as _;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jeton_core::secret::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    fault::Fault,
    link::shell,
    secret::{SecretFile, directory_of, is_exposed, mode_of, private_dir},
};
use crate::capability;

/// The most bytes of a credential store.
const STORE_BYTES_MAX: u64 = 1 << 20;

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Over TLS, trusting one CA file; or `http://` on loopback, without.
    Url { server: String, ca: Option<PathBuf> },
    /// Behind a unix socket on this machine.
    Socket(PathBuf),
}

impl Place {
    /// What people call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Url { server, .. } => server.clone(),
            Self::Socket(path) => format!("unix:{}", path.display()),
        }
    }
}

/// A server and a token for it.
pub(super) struct Profile {
    pub(super) place: Place,
    pub(super) token: Secret,
}

/// All profiles.
pub(super) struct Store {
    path: PathBuf,
    pub(super) current: Option<String>,
    pub(super) profiles: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    current: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, WrittenProfile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProfile {
    server: Option<String>,
    ca: Option<PathBuf>,
    socket: Option<PathBuf>,
    token: String,
}

/// Where the store is unless told otherwise.
pub(super) fn default_path() -> Result<PathBuf, Fault> {
    let absolute = |name: &str| {
        let path = capability::environment_path(name).map(PathBuf::from);
        path.filter(|p| p.is_absolute())
    };
    let config =
        absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|h| h.join(".config")));
    let config = config.ok_or_else(|| {
        Fault::failed("there is no home directory to keep credentials in")
            .hint("name a file with --credentials")
    })?;
    Ok(config.join("jeton").join("credentials.toml"))
}

/// Whether a text can name a profile.
pub(super) fn profile_name(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("a profile's name is 1 to 64 letters, digits, '-' and '_'".to_owned())
    }
}

impl Store {
    /// Reads the store; one that does not exist is empty. One that others can read is refused.
    pub(super) fn read(path: &Path) -> Result<Self, Fault> {
        let mut store = Self {
            path: path.to_owned(),
            current: None,
            profiles: BTreeMap::new(),
        };
        let words = || format!("cannot read the credential store {}", path.display());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(store),
            Err(error) => return Err(Fault::caused(words(), &error)),
        };
        // The mode is that of the open file: it cannot change between the look and the read.
        let mode = mode_of(&file.metadata().map_err(|e| Fault::caused(words(), &e))?);
        if is_exposed(mode) {
            let sentence = format!("{} can be read by others (mode {mode:04o})", path.display());
            let hint = format!(
                "chmod 600 {0}; its tokens may be known: rotate them",
                shell(path)
            );
            return Err(Fault::failed(sentence).hint(hint));
        }
        let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
        let read = file.take(STORE_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|e| Fault::caused(words(), &e))?;
        let written: Written = toml::from_str(&text).map_err(|error| {
            // The library's own words quote the line, and the line may be a token.
            let line = error.span().map_or(0, |at| {
                let before = text.get(..at.start).unwrap_or_default();
                before.matches('\n').count() + 1
            });
            Fault::failed(format!(
                "{}: line {line} is not as jeton writes it",
                path.display()
            ))
        })?;
        store.current = written.current;
        for (name, profile) in written.profiles {
            let place = match (profile.server, profile.socket) {
                (Some(server), None) => Place::Url {
                    server,
                    ca: profile.ca,
                },
                (None, Some(socket)) => Place::Socket(socket),
                (Some(_), Some(_)) | (None, None) => {
                    let words = format!(
                        "{}: profile {name} must have either server or socket",
                        path.display()
                    );
                    return Err(Fault::failed(words));
                }
            };
            let token = Secret::new(profile.token);
            store.profiles.insert(name, Profile { place, token });
        }
        Ok(store)
    }

    /// Changes the store: read, changed and written while no other jeton does the same.
    pub(super) fn change<T>(
        path: &Path,
        edit: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let dir = directory_of(path);
        let failed = |e: std::io::Error| {
            Fault::caused(format!("cannot use the directory {}", dir.display()), &e)
        };
        private_dir(dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.with_extension("lock")).map_err(failed)?;
        let locked = rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive);
        locked.map_err(|e| failed(e.into()))?;
        let mut store = Self::read(path)?;
        let done = edit(&mut store)?;
        let draft = SecretFile::replacing(path)?;
        draft.keep(&store.text())?;
        Ok(done)
    }

    fn text(&self) -> Zeroizing<String> {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
        text.push_str(
            "# Credentials of the jeton command line. Whoever reads this file can act as you.\n",
        );
        if let Some(current) = &self.current {
            _ = writeln!(text, "current = {}", quoted(current));
        }
        for (name, profile) in &self.profiles {
            _ = writeln!(text, "\n[profiles.{name}]");
            match &profile.place {
                Place::Url { server, ca } => {
                    _ = writeln!(text, "server = {}", quoted(server));
                    if let Some(ca) = ca {
                        _ = writeln!(text, "ca = {}", quoted(&ca.to_string_lossy()));
                    }
                }
                Place::Socket(path) => {
                    _ = writeln!(text, "socket = {}", quoted(&path.to_string_lossy()));
                }
            }
            let token = Zeroizing::new(quoted(profile.token.expose_secret()));
            text.push_str("token = ");
            text.push_str(&token);
            text.push('\n');
        }
        text
    }

    /// A profile by name; of those there are, if there is no such.
    pub(super) fn profile(&self, name: &str) -> Result<&Profile, Fault> {
        self.profiles.get(name).ok_or_else(|| {
            let all: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            let sentence = format!("there is no profile {name} in {}", self.path.display());
            let hint = match &all[..] {
                [] => "it holds none yet: `jeton setup` makes the first".to_owned(),
                _ => format!("there are: {}", all.join(", ")),
            };
            Fault::failed(sentence).hint(hint)
        })
    }

    /// Refuses a name that is taken: a credential that is overwritten is lost.
    pub(super) fn free(&self, name: &str) -> Result<(), Fault> {
        if !self.profiles.contains_key(name) {
            return Ok(());
        }
        let sentence = format!(
            "there is a profile {name} already in {}",
            self.path.display()
        );
        Err(Fault::failed(sentence).hint(format!(
            "name another, or `jeton profile remove {name}` if its token is of no more use"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn profile(token: &str) -> Profile {
        Profile {
            place: Place::Url {
                server: "https://localhost:8443".to_owned(),
                ca: Some("/tmp/a \"b\"/ca.pem".into()),
            },
            token: Secret::new(token.to_owned()),
        }
    }

    fn add(path: &Path, name: &str, token: &str) -> Result<(), Fault> {
        Store::change(path, |store| {
            store.free(name)?;
            store.current.get_or_insert(name.to_owned());
            store.profiles.insert(name.to_owned(), profile(token));
            Ok(())
        })
    }

    #[test]
    fn profiles_are_kept_in_a_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/credentials.toml");
        assert!(Store::read(&path).ok().unwrap().profiles.is_empty());
        add(&path, "operator", "one").unwrap();
        add(&path, "acme", "two").unwrap();
        assert_eq!(mode_of(&fs::metadata(&path).unwrap()), 0o600);
        assert_eq!(
            mode_of(&fs::metadata(path.parent().unwrap()).unwrap()),
            0o700
        );
        let store = Store::read(&path).ok().unwrap();
        assert_eq!(store.current.as_deref(), Some("operator"));
        let acme = store.profile("acme").ok().unwrap();
        assert_eq!(acme.token.expose_secret(), "two");
        assert_eq!(acme.place, profile("").place);
        let missing = store.profile("none").err().unwrap();
        assert!(format!("{missing:?}").contains("acme, operator"));
        assert!(
            add(&path, "acme", "three").is_err(),
            "nothing is overwritten"
        );
    }

    #[test]
    fn a_store_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.toml");
        add(&path, "acme", "two").unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o660, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Store::read(&path).is_ok(), good, "{mode:o}");
            assert_eq!(
                add(&path, &format!("p{mode:o}"), "x").is_ok(),
                good,
                "{mode:o}"
            );
            if good {
                continue;
            }
            let words = format!("{:?}", Store::read(&path).err().unwrap());
            assert!(words.contains("chmod 600"), "{words}");
        }
    }

    #[test]
    fn an_unreadable_store_never_shows_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.toml");
        for text in [
            "[profiles.a]\nserver = \"x\"\ntoken = acme_key_abc",
            "[profiles.a]\nacme_key_abc = 1\ntoken = \"\"",
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let words = format!("{:?}", Store::read(&path).err().unwrap());
            assert!(
                words.contains("line ") && !words.contains("acme_key"),
                "{words}"
            );
        }
    }

    #[test]
    fn names_of_profiles_are_plain() {
        assert!(profile_name("acme-2_x").is_ok());
        for bad in ["", "a b", "a.b", "../x", "é"] {
            assert!(profile_name(bad).is_err(), "{bad}");
        }
    }
}
