//! `jeton user`: people, by id.

use clap::{Args, Subcommand};
use http::Method;
use jeton_core::id::UserKind;
use serde_json::{Value, json};

use super::{
    fault::Fault,
    link::Link,
    names::id,
    out::Out,
    remote::{Once, Pages, Remote},
    table::{Column, at},
};

const EXAMPLES: &str = "\
Examples:
  jeton user create --name 'Ada Lovelace' --role writer
  jeton user list --all
  jeton user roles usr_… --role writer --role reviewer
  jeton user suspend usr_…
  jeton user delete usr_… && jeton user erase usr_…";

const LIST: [Column; 5] = [
    at("id", "/id"),
    at("name", "/name"),
    at("state", "/state"),
    at("roles", "/roles"),
    at("since", "/created_at"),
];

const COLUMNS: [Column; 6] = [
    at("id", "/id"),
    at("name", "/name"),
    at("state", "/state"),
    at("roles", "/roles"),
    at("since", "/created_at"),
    at("metadata", "/metadata"),
];

/// Users.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct UserArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Args, Debug)]
struct Who {
    /// Its id, as usr_…
    #[arg(value_name = "ID", value_parser = id::<UserKind>)]
    user: String,
}

#[derive(Subcommand, Debug)]
enum UserCommand {
    /// Register a user
    Create {
        #[command(flatten)]
        words: NameArgs,
        /// A role, by name or id; again for more
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        #[command(flatten)]
        once: Once,
    },
    /// List users
    List(Pages),
    /// Show a user
    Show(Who),
    /// Set all the roles of a user
    Roles {
        #[command(flatten)]
        who: Who,
        /// A role, by name or id; again for more
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Take all roles away
        #[arg(long, conflicts_with = "roles")]
        none: bool,
    },
    /// Stop a user and all their tokens until they are resumed
    Suspend(Who),
    /// Let a suspended user and their tokens work again
    Resume(Who),
    /// Delete a user, for good: their tokens end
    Delete(Who),
    /// Erase the words beside a deleted user, their tokens and all they did: names, notes, addresses
    Erase(Who),
}

/// Words beside a thing, which may be erased.
#[derive(Args, Debug)]
pub(super) struct NameArgs {
    /// What it is called
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// What you note of it: a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Value>,
}

impl NameArgs {
    /// Puts the words into an order.
    pub(super) fn put(self, order: &mut Value) {
        let Some(map) = order.as_object_mut() else {
            return;
        };
        map.extend(self.name.map(|name| ("name".to_owned(), name.into())));
        map.extend(self.metadata.map(|words| ("metadata".to_owned(), words)));
    }
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("a JSON object is wanted, as {\"team\": \"maps\"}".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Runs the command.
pub(super) async fn run(args: UserArgs, out: Out) -> Result<(), Fault> {
    let link = &args.link;
    match args.command {
        UserCommand::Create { words, roles, once } => {
            let mut order = json!({"roles": roles});
            words.put(&mut order);
            let remote = Remote::open(link)?;
            let made = remote.order_once("/v1/users", &order, &once).await?;
            out.thing(&COLUMNS, &made)
        }
        UserCommand::List(pages) => {
            let listed = Remote::open(link)?.list("/v1/users", &[], &pages).await?;
            out.list(&LIST, &listed)
        }
        UserCommand::Show(who) => {
            let shown = Remote::open(link)?
                .get(&format!("/v1/users/{}", who.user))
                .await?;
            out.thing(&COLUMNS, &shown)
        }
        UserCommand::Roles { who, roles, none } => {
            if roles.is_empty() != none {
                return Err(Fault::usage(
                    "say which roles the user shall have: --role, or --none",
                ));
            }
            let path = format!("/v1/users/{}/roles", who.user);
            let order = json!({"roles": roles});
            let after = Remote::open(link)?
                .order(Method::PUT, &path, &order)
                .await?;
            out.thing(&COLUMNS, &after)
        }
        UserCommand::Suspend(who) => stand(link, ("users", &who.user), "suspended", out).await,
        UserCommand::Resume(who) => stand(link, ("users", &who.user), "active", out).await,
        UserCommand::Delete(who) => stand(link, ("users", &who.user), "deleted", out).await,
        UserCommand::Erase(who) => erase(link, ("users", &who.user), out).await,
    }
}

/// Gives a user or an application another standing.
pub(super) async fn stand(
    link: &Link,
    (noun, subject): (&str, &str),
    state: &str,
    out: Out,
) -> Result<(), Fault> {
    let path = format!("/v1/{noun}/{subject}/state");
    let order = json!({"state": state});
    let after = Remote::open(link)?
        .order(Method::PUT, &path, &order)
        .await?;
    out.done(&after, &format!("{subject} is {state}"))
}

/// Erases the words beside a user or an application.
pub(super) async fn erase(
    link: &Link,
    (noun, subject): (&str, &str),
    out: Out,
) -> Result<(), Fault> {
    let path = format!("/v1/{noun}/{subject}/erase");
    let erased = Remote::open(link)?.post(&path).await?;
    let events = erased.get("events").and_then(Value::as_u64).unwrap_or(0);
    let mut words = format!("The words beside {events} events are erased");
    if let Some(kept) = erased.get("kept").and_then(Value::as_u64) {
        let more = "more stay until 24 hours after it was deleted, since it did them itself: erase again then";
        words = format!("{words}; those beside {kept} {more}");
    }
    out.done(&erased, &words)
}
