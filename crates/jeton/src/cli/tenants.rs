//! `jeton tenant` and `jeton keys`: for the operator alone.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    fault::Fault,
    ledger_keys::{self, LedgerKeysCommand},
    link::Link,
    out::Out,
    remote::Remote,
    secret::SecretFile,
    setup::{Current, Keeper, take_secret, told},
    store,
    table::{Column, at},
};
use crate::receipt::TenantKey;

const EXAMPLES: &str = "\
Examples:
  jeton tenant create --prefix acme --name 'Acme Corporation'
  jeton tenant create --prefix acme --store-as acme-production --use
  jeton tenant list
  jeton tenant suspend acme
  jeton tenant key acme.key --profile acme";

const KEYS_EXAMPLES: &str = "\
Examples:
  jeton keys list
  jeton keys rotate acme
  jeton keys retire acme
  jeton keys log rotate
  jeton keys log retire 1a2b3c4d

A pepper is the key under which a tenant's tokens are kept as digests. After a rotation the older one is accepted still, and each \
token moves to the new one when it is used; retiring the older one ends what was never used since, and is refused while \
there is such a token.

The keys of the ledger sign its checkpoints. After a rotation both sign, so that whoever knows either can verify; then the older \
one is retired.";

const LIST: [Column; 7] = [
    at("prefix", "/prefix"),
    at("name", "/name"),
    at("state", "/state"),
    at("events", "/events"),
    at("peppers", "/peppers"),
    at("founded", "/created_at"),
    at("id", "/id"),
];

/// Tenants.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct TenantArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Subcommand, Debug)]
enum TenantCommand {
    /// Found a tenant, and keep its administrator's credential as a profile
    Create(Create),
    /// List all tenants
    List,
    /// Show a tenant
    Show {
        /// Its prefix or id
        tenant: String,
    },
    /// Stop all tokens of a tenant until it is resumed
    Suspend {
        /// Its prefix or id
        tenant: String,
    },
    /// Write the key of the tenant's own tags into a new file of mode 0600, for `jeton monitor` and `jeton receipt verify`
    Key {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Let a suspended tenant's tokens work again
    Resume {
        /// Its prefix or id
        tenant: String,
    },
    /// Give a tenant whose credentials a new epoch of the ledger has ended a new first credential
    Readmit {
        /// Its prefix or id
        tenant: String,
        #[command(flatten)]
        keep: KeepArgs,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// The first part of its tokens: 2 to 8 of a-z and 0-9, a letter first
    #[arg(long, value_name = "PREFIX")]
    prefix: String,
    /// What it is called
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    keep: KeepArgs,
}

/// Where an administrator's credential is kept.
#[derive(Args, Debug)]
struct KeepArgs {
    /// The profile to keep its administrator's credential in; its prefix unless told
    #[arg(long, value_name = "NAME", value_parser = store::profile_name)]
    store_as: Option<String>,
    /// Make that profile the current one
    #[arg(long = "use")]
    use_it: bool,
    /// Write the credential into a new file of mode 0600, in place of a profile
    #[arg(long, value_name = "FILE", conflicts_with_all = ["store_as", "use_it"])]
    secret_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: TenantArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        TenantCommand::Create(create) => {
            let mut order = json!({"prefix": create.prefix});
            if let (Some(map), Some(name)) = (order.as_object_mut(), create.name) {
                map.insert("name".to_owned(), name.into());
            }
            let founding = Founding {
                prefix: create.prefix,
                path: "/v1/tenants".to_owned(),
                order,
                done: "is founded",
            };
            found(&args.link, create.keep, founding, out).await
        }
        TenantCommand::Readmit { tenant, keep } => {
            let remote = Remote::open(&args.link)?;
            let id = remote.tenant(&tenant).await?;
            let shown = remote.get(&format!("/v1/tenants/{id}")).await?;
            let prefix = shown.get("prefix").and_then(Value::as_str);
            let founding = Founding {
                prefix: prefix.unwrap_or(&tenant).to_owned(),
                path: format!("/v1/tenants/{id}/admin"),
                order: Value::Null,
                done: "has a new administrator",
            };
            found(&args.link, keep, founding, out).await
        }
        TenantCommand::List => {
            let listed = Remote::open(&args.link)?.whole("/v1/tenants").await?;
            out.list(&LIST, &listed)
        }
        TenantCommand::Show { tenant } => {
            let remote = Remote::open(&args.link)?;
            let id = remote.tenant(&tenant).await?;
            out.thing(&LIST, &remote.get(&format!("/v1/tenants/{id}")).await?)
        }
        TenantCommand::Suspend { tenant } => stand(&args.link, &tenant, "suspended", out).await,
        TenantCommand::Key { file } => key(&args.link, &file, out).await,
        TenantCommand::Resume { tenant } => stand(&args.link, &tenant, "active", out).await,
    }
}

/// The key goes from the answer into the file, and is shown nowhere.
async fn key(link: &Link, file: &Path, out: Out) -> Result<(), Fault> {
    let place = SecretFile::fresh(file)?;
    let answer = Remote::open(link)?.get("/v1/ledger/tag-key").await?;
    let text = |name| answer.get(name).and_then(Value::as_str);
    let (Some(tenant), Some(key)) = (text("tenant"), text("key")) else {
        return Err(Fault::failed("the answer holds no key"));
    };
    let path = place.keep(&TenantKey::line(tenant, key))?;
    let told = json!({"tenant": tenant, "key_file": path});
    let words = format!("The key of the tags of {tenant} is in {}.", path.display());
    out.done(&told, &words)
}

async fn stand(link: &Link, tenant: &str, state: &str, out: Out) -> Result<(), Fault> {
    let remote = Remote::open(link)?;
    let id = remote.tenant(tenant).await?;
    let path = format!("/v1/tenants/{id}/state");
    let after = remote
        .order(Method::PUT, &path, &json!({"state": state}))
        .await?;
    out.done(&after, &format!("{tenant} is {state}"))
}

enum Keep {
    Profile(Keeper, String),
    File(SecretFile),
}

/// An order whose answer holds a tenant's first credential.
struct Founding {
    prefix: String,
    path: String,
    order: Value,
    done: &'static str,
}

async fn found(link: &Link, args: KeepArgs, founding: Founding, out: Out) -> Result<(), Fault> {
    let store = link.store_path()?;
    let keep = if let Some(path) = &args.secret_file {
        Keep::File(SecretFile::fresh(path)?)
    } else {
        let name = args.store_as.unwrap_or_else(|| founding.prefix.clone());
        let name = store::profile_name(&name).map_err(Fault::usage)?;
        Keep::Profile(Keeper::ready(&store, &name)?, name)
    };
    let resolved = link.resolve()?;
    let place = resolved.place.clone();
    let remote = Remote::of(resolved)?;
    let asked = remote.order(Method::POST, &founding.path, &founding.order);
    let mut answer = asked.await?;
    let secret = take_secret(&mut answer)?;
    let words = match keep {
        Keep::File(file) => {
            let path = file.keep(&format!("{}\n", secret.expose_secret()))?;
            if let Some(map) = answer.as_object_mut() {
                map.insert("secret_file".to_owned(), path.display().to_string().into());
            }
            format!("Its administrator's token is in {}.", path.display())
        }
        Keep::Profile(keeper, name) => {
            let current = if args.use_it {
                Current::Always
            } else {
                Current::IfNone
            };
            keeper.keep(place, secret, current)?;
            told(&mut answer, &name, &store);
            if args.use_it {
                format!("Its administrator is profile {name}, which counts from now on.")
            } else {
                format!(
                    "Its administrator is profile {name}: add --profile {name}, or `jeton profile use {name}`."
                )
            }
        }
    };
    let words = format!("Tenant {} {}. {words}", founding.prefix, founding.done);
    out.done(&answer, &words)
}

/// Peppers.
#[derive(Args, Debug)]
#[command(after_long_help = KEYS_EXAMPLES)]
pub(super) struct KeysArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// List the peppers of a tenant, or of all
    List {
        /// Its prefix or id
        tenant: Option<String>,
    },
    /// Put a new pepper in force; the one before is accepted still
    Rotate {
        /// Its prefix or id
        tenant: String,
    },
    /// Retire the older of two peppers
    Retire {
        /// Its prefix or id
        tenant: String,
        /// Also if live tokens were not used since the rotation: they stop working
        #[arg(long)]
        abandon: bool,
    },
    /// List, rotate and retire the keys that sign the ledger
    #[command(subcommand)]
    Log(LedgerKeysCommand),
}

const KEYS: [Column; 3] = [
    at("prefix", "/prefix"),
    at("peppers", "/peppers"),
    at("id", "/id"),
];

/// Runs `jeton keys`.
pub(super) async fn keys(args: KeysArgs, out: Out) -> Result<(), Fault> {
    let remote = Remote::open(&args.link)?;
    let (tenant, order): (String, Value) = match args.command {
        KeysCommand::List { tenant: None } => {
            return out.list(&KEYS, &remote.whole("/v1/tenants").await?);
        }
        KeysCommand::List {
            tenant: Some(tenant),
        } => {
            let id = remote.tenant(&tenant).await?;
            return out.thing(&KEYS, &remote.get(&format!("/v1/tenants/{id}")).await?);
        }
        KeysCommand::Log(command) => return ledger_keys::run(&remote, command, out).await,
        KeysCommand::Rotate { tenant } => (tenant, json!({"action": "rotate"})),
        KeysCommand::Retire { tenant, abandon } => {
            (tenant, json!({"action": "retire", "abandon": abandon}))
        }
    };
    let id = remote.tenant(&tenant).await?;
    let path = format!("/v1/tenants/{id}/peppers");
    let after = remote.order(Method::POST, &path, &order).await?;
    out.thing(&KEYS, &after)
}
