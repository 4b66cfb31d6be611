//! `jeton profile`: what is in the credential store, without its tokens.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    fault::Fault,
    out::Out,
    remote::Listed,
    store::{self, Place, Store},
    table::at,
};

const EXAMPLES: &str = "\
Examples:
  jeton profile list
  jeton profile use acme
  jeton profile remove old";

/// Profiles.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ProfileArgs {
    /// The credential store; ~/.config/jeton/credentials.toml unless told
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,
    #[command(subcommand)]
    command: ProfileCommand,
}

#[derive(Subcommand, Debug)]
enum ProfileCommand {
    /// List the profiles
    List,
    /// Make a profile the one that counts unless another is named
    Use {
        /// Its name
        #[arg(value_parser = store::profile_name)]
        name: String,
    },
    /// Forget a profile and its token; the token itself stays good until it is revoked
    Remove {
        /// Its name
        #[arg(value_parser = store::profile_name)]
        name: String,
    },
}

/// Runs the command.
pub(super) fn run(args: ProfileArgs, out: Out) -> Result<(), Fault> {
    let path = match args.credentials {
        Some(path) => path,
        None => store::default_path()?,
    };
    match args.command {
        ProfileCommand::List => list(&Store::read(&path)?, out),
        ProfileCommand::Use { name } => {
            let server = Store::change(&path, |store| {
                let server = store.profile(&name)?.place.name();
                store.current = Some(name.clone());
                Ok(server)
            })?;
            let words = format!("{name} counts from now on: {server}");
            out.done(&json!({"current": name, "server": server}), &words)
        }
        ProfileCommand::Remove { name } => {
            Store::change(&path, |store| {
                store.profile(&name)?;
                store.profiles.remove(&name);
                if store.current.as_deref() == Some(&name) {
                    store.current = None;
                }
                Ok(())
            })?;
            out.done(&json!({"removed": name}), &format!("{name} is forgotten"))
        }
    }
}

fn list(store: &Store, out: Out) -> Result<(), Fault> {
    let view = |(name, profile): (&String, &store::Profile)| {
        let (ca, current) = match &profile.place {
            Place::Url { ca, .. } => (ca.clone(), store.current.as_ref() == Some(name)),
            Place::Socket(_) => (None, store.current.as_ref() == Some(name)),
        };
        json!({
            "name": name,
            "current": current,
            "mark": if current { "*" } else { "" },
            "server": profile.place.name(),
            "ca": ca,
        })
    };
    let mut items: Vec<Value> = store.profiles.iter().map(view).collect();
    if out.json {
        for map in items.iter_mut().filter_map(Value::as_object_mut) {
            map.remove("mark");
        }
    }
    let columns = [
        at("", "/mark"),
        at("name", "/name"),
        at("server", "/server"),
        at("CA file", "/ca"),
    ];
    out.list(&columns, &Listed { items, next: None })
}
