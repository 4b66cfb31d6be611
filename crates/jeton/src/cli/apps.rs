//! `jeton app`: programs that stand for themselves, by id.

use clap::{Args, Subcommand};
use http::Method;
use jeton_core::id::{AppKind, UserKind};
use serde_json::{Map, Value, json};

use super::{
    fault::Fault,
    grants::PermitArgs,
    link::Link,
    names::id,
    out::Out,
    remote::{Once, Pages, Remote},
    table::{Column, at, brief, by, give, rights},
    users::{NameArgs, erase, stand},
};

const EXAMPLES: &str = "\
Examples:
  jeton app create --name 'nightly export' --sponsor usr_… --grant documents=docs:read
  jeton app create --name 'documents service' --sponsor usr_… --grant jeton=jeton:check
  jeton app set app_… --grant documents=docs:read,docs:write
  jeton app suspend app_…
  jeton app delete app_… && jeton app erase app_…";

const LIST: [Column; 6] = [
    at("id", "/id"),
    at("name", "/name"),
    at("state", "/state"),
    at("sponsor", "/sponsor"),
    by("grants", |app| brief(app.pointer("/permit/grants"))),
    by("may give", give),
];

const SHOW: [Column; 8] = [
    at("id", "/id"),
    at("name", "/name"),
    at("state", "/state"),
    at("sponsor", "/sponsor"),
    by("grants", rights),
    by("may give", give),
    at("since", "/created_at"),
    at("metadata", "/metadata"),
];

/// Applications.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct AppArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Args, Debug)]
struct Which {
    /// Its id, as app_…
    #[arg(value_name = "ID", value_parser = id::<AppKind>)]
    app: String,
}

#[derive(Subcommand, Debug)]
enum AppCommand {
    /// Register an application
    Create {
        #[command(flatten)]
        words: NameArgs,
        /// The user who answers for it, as usr_…
        #[arg(long, value_name = "ID", value_parser = id::<UserKind>)]
        sponsor: String,
        #[command(flatten)]
        permit: PermitArgs,
        #[command(flatten)]
        once: Once,
    },
    /// List applications
    List(Pages),
    /// Show an application
    Show(Which),
    /// Set all that an application may use and give, or its sponsor
    Set {
        #[command(flatten)]
        which: Which,
        /// The user who answers for it, as usr_…
        #[arg(long, value_name = "ID", value_parser = id::<UserKind>)]
        sponsor: Option<String>,
        #[command(flatten)]
        permit: PermitArgs,
        /// Set it to no right at all
        #[arg(long)]
        nothing: bool,
    },
    /// Stop an application and all its tokens until it is resumed
    Suspend(Which),
    /// Let a suspended application and its tokens work again
    Resume(Which),
    /// Delete an application, for good: its tokens end
    Delete(Which),
    /// Erase the words beside a deleted application, its tokens and all it did: names, notes, addresses
    Erase(Which),
}

/// Runs the command.
pub(super) async fn run(args: AppArgs, out: Out) -> Result<(), Fault> {
    let link = &args.link;
    match args.command {
        AppCommand::Create {
            words,
            sponsor,
            permit,
            once,
        } => {
            let mut order = json!({"sponsor": sponsor, "permit": permit.json()?});
            words.put(&mut order);
            let remote = Remote::open(link)?;
            out.thing(&SHOW, &remote.order_once("/v1/apps", &order, &once).await?)
        }
        AppCommand::List(pages) => {
            let listed = Remote::open(link)?.list("/v1/apps", &[], &pages).await?;
            out.list(&LIST, &listed)
        }
        AppCommand::Show(which) => {
            let shown = Remote::open(link)?
                .get(&format!("/v1/apps/{}", which.app))
                .await?;
            out.thing(&SHOW, &shown)
        }
        AppCommand::Set {
            which,
            sponsor,
            permit,
            nothing,
        } => {
            let order = change(sponsor, &permit, nothing)?;
            let path = format!("/v1/apps/{}", which.app);
            let after = Remote::open(link)?
                .order(Method::PATCH, &path, &order)
                .await?;
            out.thing(&SHOW, &after)
        }
        AppCommand::Suspend(which) => stand(link, ("apps", &which.app), "suspended", out).await,
        AppCommand::Resume(which) => stand(link, ("apps", &which.app), "active", out).await,
        AppCommand::Delete(which) => stand(link, ("apps", &which.app), "deleted", out).await,
        AppCommand::Erase(which) => erase(link, ("apps", &which.app), out).await,
    }
}

fn change(sponsor: Option<String>, permit: &PermitArgs, nothing: bool) -> Result<Value, Fault> {
    if nothing && !permit.is_empty() {
        return Err(Fault::usage("either --nothing or rights, not both"));
    }
    let mut order = Map::new();
    if nothing || !permit.is_empty() {
        order.insert("permit".to_owned(), permit.json()?);
    }
    order.extend(sponsor.map(|s| ("sponsor".to_owned(), Value::from(s))));
    if order.is_empty() {
        let words = "say what shall be different: --grant, --give, --nothing or --sponsor";
        return Err(Fault::usage(words));
    }
    Ok(Value::Object(order))
}
