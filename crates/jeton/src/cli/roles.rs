//! `jeton role`: named sets of rights for users.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{
    fault::Fault,
    grants::PermitArgs,
    link::Link,
    out::Out,
    remote::{Once, Remote},
    table::{Column, at, by, give, rights},
};

const EXAMPLES: &str = "\
Examples:
  jeton role create writer --grant documents=docs:read,docs:write
  jeton role create reviewer --grant 'documents=docs:read@projects/**;teams/*'
  jeton role set writer --grant documents=docs:read
  jeton role delete writer";

const COLUMNS: [Column; 4] = [
    at("name", "/name"),
    by("grants", rights),
    by("may give", give),
    at("id", "/id"),
];

/// Roles.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RoleArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: RoleCommand,
}

#[derive(Subcommand, Debug)]
enum RoleCommand {
    /// Make a role
    Create {
        /// Its short name: a-z, 0-9 and -, a letter first
        name: String,
        #[command(flatten)]
        permit: PermitArgs,
        #[command(flatten)]
        once: Once,
    },
    /// List all roles
    List,
    /// Show a role
    Show {
        /// Its name or id
        role: String,
    },
    /// Set all that a role's users may use and give: at once, for all their tokens
    Set {
        /// Its name or id
        role: String,
        #[command(flatten)]
        permit: PermitArgs,
        /// Set it to no right at all
        #[arg(long)]
        nothing: bool,
    },
    /// Delete a role: its users lose what it gave
    Delete {
        /// Its name or id
        role: String,
    },
}

/// Runs the command.
pub(super) async fn run(args: RoleArgs, out: Out) -> Result<(), Fault> {
    let link = &args.link;
    match args.command {
        RoleCommand::Create { name, permit, once } => {
            let order = json!({"name": name, "permit": permit.json()?});
            let remote = Remote::open(link)?;
            let made = remote.order_once("/v1/roles", &order, &once).await?;
            out.thing(&COLUMNS, &made)
        }
        RoleCommand::List => out.list(&COLUMNS, &Remote::open(link)?.whole("/v1/roles").await?),
        RoleCommand::Show { role } => {
            let remote = Remote::open(link)?;
            let id = remote.role(&role).await?;
            out.thing(&COLUMNS, &remote.get(&format!("/v1/roles/{id}")).await?)
        }
        RoleCommand::Set {
            role,
            permit,
            nothing,
        } => {
            if permit.is_empty() != nothing {
                let words = "say what the role shall hold: --grant, --give, or --nothing";
                return Err(Fault::usage(words));
            }
            let order = permit.json()?;
            let remote = Remote::open(link)?;
            let path = format!("/v1/roles/{}", remote.role(&role).await?);
            out.thing(&COLUMNS, &remote.order(Method::PUT, &path, &order).await?)
        }
        RoleCommand::Delete { role } => {
            let remote = Remote::open(link)?;
            let id = remote.role(&role).await?;
            let path = format!("/v1/roles/{id}");
            remote.delete(&path).await?;
            out.done(&json!({"deleted": id}), &format!("{role} is deleted"))
        }
    }
}
