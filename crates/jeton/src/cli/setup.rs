//! `jeton setup`: the setup secret becomes the operator's credential, and that goes into the credential store.

use std::path::{Path, PathBuf};

use clap::Args;
use http::Method;
use jeton_core::secret::Secret;
use serde_json::{Value, json};

use super::{
    fault::Fault,
    link::{Link, absolute},
    out::{Out, line},
    remote::Remote,
    secret::{self, SecretFile, directory_of, private_dir},
    store::{self, Place, Profile, Store},
};

const EXAMPLES: &str = "\
Examples:
  jeton setup --data-dir ./jeton-data
  jeton setup --server https://127.0.0.1:8443 --ca ./jeton-data/tls/ca.pem --secret-file ./jeton-data/setup-secret
  ssh host cat /var/lib/jeton/setup-secret | jeton setup --server https://auth.example.com --ca ca.pem";

/// Redeems the setup secret.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct SetupArgs {
    /// The server; `https://127.0.0.1:8443` unless told
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The CA file that the server's certificate must come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The server's unix socket, in place of a URL
    #[arg(long, value_name = "PATH", conflicts_with_all = ["server", "ca"])]
    socket: Option<PathBuf>,
    /// The file that holds the setup secret; standard input unless told
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The server's data directory, if it is on this machine: finds the secret and the CA file there
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The name under which the credential is kept; operator unless told
    #[arg(long, value_name = "NAME", value_parser = store::profile_name)]
    profile: Option<String>,
    /// The credential store; ~/.config/jeton/credentials.toml unless told
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

impl SetupArgs {
    /// Takes what stood before the command, where nothing stands behind it.
    pub(super) fn under(&mut self, root: Link) -> Result<(), Fault> {
        if root.token_file.is_some() {
            return Err(Fault::usage(
                "--token-file means nothing to setup: it makes the first token",
            ));
        }
        if self.server.is_none() && self.socket.is_none() {
            self.server = root.server;
            self.socket = root.socket;
        }
        self.ca = self.ca.take().or(root.ca);
        self.profile = self.profile.take().or(root.profile);
        self.credentials = self.credentials.take().or(root.credentials);
        Ok(())
    }

    fn place(&self) -> Place {
        if let Some(path) = &self.socket {
            return Place::Socket(absolute(path));
        }
        let server = self.server.as_deref().unwrap_or("https://127.0.0.1:8443");
        let ca = self.ca.clone().or_else(|| self.in_data("tls/ca.pem"));
        Place::Url {
            server: server.trim_end_matches('/').to_owned(),
            ca: ca.map(|path| absolute(&path)),
        }
    }

    fn in_data(&self, name: &str) -> Option<PathBuf> {
        self.data_dir.as_ref().map(|dir| dir.join(name))
    }
}

/// Runs the command.
pub(super) async fn run(args: SetupArgs, out: Out) -> Result<(), Fault> {
    let store = match &args.credentials {
        Some(path) => path.clone(),
        None => store::default_path()?,
    };
    let profile = args
        .profile
        .clone()
        .unwrap_or_else(|| "operator".to_owned());
    let place = args.place();
    let keeper = Keeper::ready(&store, &profile)?;
    let remote = Remote::to(&place, None)?;
    let secret_file = args
        .secret_file
        .clone()
        .or_else(|| args.in_data("setup-secret"));
    let secret = secret::read(secret_file.as_deref(), "setup secret")?;
    let order = json!({"secret": secret.expose_secret()});
    let mut answer = remote.order(Method::POST, "/v1/setup", &order).await?;
    let token = take_secret(&mut answer)?;
    keeper.keep(place, token, Current::Always)?;
    told(&mut answer, &profile, &store);
    let words = format!(
        "You are the operator: profile {profile}, kept in {}.\n\nNext, a tenant with its administrator:\n\n  \
         jeton tenant create --prefix acme --use",
        store.display()
    );
    out.done(&answer, &words)
}

/// Whether a new profile becomes the current one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Current {
    /// It does.
    Always,
    /// Only if there is none.
    IfNone,
}

/// A place in the credential store that was found free and writable before there was a credential to keep.
pub(super) struct Keeper {
    store: PathBuf,
    name: String,
}

impl Keeper {
    /// Looks whether a profile can be kept.
    pub(super) fn ready(store: &Path, name: &str) -> Result<Self, Fault> {
        let dir = directory_of(store);
        private_dir(dir).map_err(|e| {
            Fault::caused(format!("cannot make the directory {}", dir.display()), &e)
        })?;
        Store::read(store)?.free(name)?;
        drop(SecretFile::replacing(store)?);
        Ok(Self {
            store: store.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Keeps it. A credential that cannot be kept is shown: it exists, and nobody could show it again.
    pub(super) fn keep(self, place: Place, token: Secret, current: Current) -> Result<(), Fault> {
        let text = zeroize::Zeroizing::new(token.expose_secret().to_owned());
        let kept = Store::change(&self.store, |store| {
            store.free(&self.name)?;
            if current == Current::Always || store.current.is_none() {
                store.current = Some(self.name.clone());
            }
            store
                .profiles
                .insert(self.name.clone(), Profile { place, token });
            Ok(())
        });
        if kept.is_err() {
            Out { json: false }.note("The credential was made but could not be kept. Keep it now, it cannot be shown again:");
            line(&text)?;
        }
        kept
    }
}

/// Takes the secret out of an answer.
pub(super) fn take_secret(answer: &mut Value) -> Result<Secret, Fault> {
    let taken = answer.as_object_mut().and_then(|map| map.remove("secret"));
    match taken {
        Some(Value::String(text)) => Ok(Secret::new(text)),
        _ => Err(Fault::failed("the server's answer holds no secret")),
    }
}

/// Says in an answer where its secret went.
pub(super) fn told(answer: &mut Value, profile: &str, store: &Path) {
    if let Some(map) = answer.as_object_mut() {
        map.insert("profile".to_owned(), profile.into());
        map.insert("credentials".to_owned(), store.display().to_string().into());
    }
}
