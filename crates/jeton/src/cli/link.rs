//! Which server a command talks to, as whom: from a profile, or named on the command line.

use std::path::{Path, PathBuf};

use clap::Args;
use jeton_core::secret::Secret;

use super::{
    fault::Fault,
    secret,
    store::{self, Place, Store},
};
use crate::capability;

/// Which server, as whom.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Link {
    /// The profile to use; `JETON_PROFILE` or the current one unless told
    #[arg(long, global = true, value_name = "NAME", value_parser = store::profile_name, help_heading = "Connection")]
    pub(super) profile: Option<String>,
    /// The credential store; ~/.config/jeton/credentials.toml unless told
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) credentials: Option<PathBuf>,
    /// The server, in place of the profile's
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    pub(super) server: Option<String>,
    /// The CA file that the server's certificate must come from
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) ca: Option<PathBuf>,
    /// The server's unix socket, in place of a URL
    #[arg(long, global = true, value_name = "PATH", conflicts_with_all = ["server", "ca"], help_heading = "Connection")]
    pub(super) socket: Option<PathBuf>,
    /// A file that holds the token to use, in place of the profile's; - is standard input
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) token_file: Option<PathBuf>,
}

/// The flags of a link for the root of the command line, where they stand before the command.
pub(super) fn root_flags(command: clap::Command) -> clap::Command {
    let flags = Link::augment_args(clap::Command::new("link"));
    // Not global there: commands that talk to no server do not take them.
    let flags: Vec<_> = flags
        .get_arguments()
        .map(|a| a.clone().global(false))
        .collect();
    command.args(flags)
}

/// What a link comes to.
pub(super) struct Resolved {
    pub(super) place: Place,
    /// The profile whose token it is.
    pub(super) profile: Option<String>,
    /// `None` only where none was asked for.
    pub(super) token: Option<Secret>,
}

impl Link {
    /// The credential store's file.
    pub(super) fn store_path(&self) -> Result<PathBuf, Fault> {
        match &self.credentials {
            Some(path) => Ok(path.clone()),
            None => store::default_path(),
        }
    }

    /// Takes what stood before the command, where nothing stands behind it.
    pub(super) fn under(&mut self, root: Self) -> Result<(), Fault> {
        if self.server.is_none() && self.socket.is_none() {
            self.server = root.server;
            self.socket = root.socket;
        }
        self.profile = self.profile.take().or(root.profile);
        self.credentials = self.credentials.take().or(root.credentials);
        self.ca = self.ca.take().or(root.ca);
        self.token_file = self.token_file.take().or(root.token_file);
        if self.socket.is_some() && self.ca.is_some() {
            return Err(Fault::usage("--ca is for a URL: a unix socket needs none"));
        }
        Ok(())
    }

    /// Refuses flags that mean nothing to a command.
    pub(super) fn none_for(&self, command: &str) -> Result<(), Fault> {
        let given = [
            ("--profile", self.profile.is_some()),
            ("--credentials", self.credentials.is_some()),
            ("--server", self.server.is_some()),
            ("--ca", self.ca.is_some()),
            ("--socket", self.socket.is_some()),
            ("--token-file", self.token_file.is_some()),
        ];
        match given.iter().find(|(_, is)| *is) {
            None => Ok(()),
            Some((flag, _)) => Err(Fault::usage(format!("{flag} means nothing to {command}"))),
        }
    }

    /// The server that the command line names, if it does.
    pub(super) fn named(&self) -> Option<Place> {
        if let Some(path) = &self.socket {
            return Some(Place::Socket(absolute(path)));
        }
        self.server.as_ref().map(|server| Place::Url {
            server: server.trim_end_matches('/').to_owned(),
            ca: self.ca.as_deref().map(absolute),
        })
    }

    /// Whether the token comes from standard input.
    pub(super) fn takes_stdin(&self) -> bool {
        self.token_file.is_some() && secret::is_stdin(self.token_file.as_deref())
    }

    /// The name of the profile that counts, and where it was named.
    fn profile_name(&self, store: &Store) -> Result<Option<String>, Fault> {
        if self.profile.is_some() {
            return Ok(self.profile.clone());
        }
        match capability::environment("JETON_PROFILE").filter(|name| !name.is_empty()) {
            Some(name) => store::profile_name(&name)
                .map(Some)
                .map_err(|rule| Fault::usage(format!("JETON_PROFILE: {rule}"))),
            None => Ok(store.current.clone()),
        }
    }

    /// Server and token.
    pub(super) fn resolve(&self) -> Result<Resolved, Fault> {
        let named = self.named();
        if let (Some(place), Some(_)) = (&named, &self.token_file) {
            let token = secret::read(self.token_file.as_deref(), "token")?;
            return Ok(Resolved {
                place: place.clone(),
                profile: None,
                token: Some(token),
            });
        }
        let mut store = Store::read(&self.store_path()?)?;
        let Some(name) = self.profile_name(&store)? else {
            let all: Vec<&str> = store.profiles.keys().map(String::as_str).collect();
            let fault = match (named, &all[..]) {
                (Some(_), []) => Fault::usage("no token is given: there is no profile")
                    .hint("add --token-file FILE"),
                (None, []) => Fault::usage("no server is known: there is no profile yet")
                    .hint("`jeton setup` makes the first; or name --server, --ca and --token-file"),
                (_, some) => Fault::usage("no profile is chosen").hint(format!(
                    "add --profile NAME, or `jeton profile use NAME`; there are: {}",
                    some.join(", ")
                )),
            };
            return Err(fault);
        };
        store.profile(&name)?;
        let Some(profile) = store.profiles.remove(&name) else {
            return Err(Fault::failed(format!("there is no profile {name}")));
        };
        let place = self.place_of(&name, profile.place, named)?;
        let (profile, token) = match &self.token_file {
            Some(_) => (None, secret::read(self.token_file.as_deref(), "token")?),
            None => (Some(name), profile.token),
        };
        Ok(Resolved {
            place,
            profile,
            token: Some(token),
        })
    }

    /// A profile's token goes to the profile's server alone.
    fn place_of(&self, name: &str, kept: Place, named: Option<Place>) -> Result<Place, Fault> {
        let named = match (named, &kept) {
            (None, Place::Url { server, .. }) if self.ca.is_some() => Some(Place::Url {
                server: server.clone(),
                ca: self.ca.as_deref().map(absolute),
            }),
            (named, _) => named,
        };
        match (named, &kept) {
            (None, _) => Ok(kept),
            (
                Some(Place::Url { server, ca }),
                Place::Url {
                    server: same,
                    ca: known,
                },
            ) if server == *same => {
                let ca = ca.or_else(|| known.clone());
                Ok(Place::Url { server, ca })
            }
            (Some(place), _) if place == kept => Ok(place),
            (Some(place), _) => {
                let words = format!(
                    "profile {name} is for {}: its token is not sent to {}",
                    kept.name(),
                    place.name()
                );
                Err(Fault::usage(words)
                    .hint("add --token-file FILE, or leave the profile's server"))
            }
        }
    }
}

/// A path that still leads there from another directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A path as a shell takes it.
pub(super) fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(server: &str, ca: Option<&str>) -> Place {
        Place::Url {
            server: server.to_owned(),
            ca: ca.map(PathBuf::from),
        }
    }

    #[test]
    fn a_profiles_token_stays_with_its_server() {
        let kept = || url("https://a:1", Some("/ca.pem"));
        let link = Link::default();
        let place = |named| link.place_of("p", kept(), named).ok();
        assert_eq!(place(None), Some(kept()));
        assert_eq!(place(Some(url("https://a:1", None))), Some(kept()));
        assert_eq!(place(Some(url("https://b:1", None))), None);
        assert_eq!(place(Some(Place::Socket("/s".into()))), None);
        let link = Link {
            ca: Some("/other.pem".into()),
            ..Link::default()
        };
        let place = link.place_of("p", kept(), None).ok();
        assert_eq!(place, Some(url("https://a:1", Some("/other.pem"))));
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(shell(Path::new("/a/b.pem")), "/a/b.pem");
        assert_eq!(shell(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
