//! The root of the command line: what commands there are, and how a run ends.

use std::fmt::Write as _;
use std::{future::Future, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};
use jeton_core::{refusal::Refusal, token::text::TokenText};

use super::{
    anchor, apis, apps, audit, backup, check, doctor, events, explain,
    fault::{Fault, USAGE, chain},
    fsck,
    link::{self, Link},
    log, monitor,
    out::Out,
    policies, profiles, receipt, roles, serve, setup, tenants, token_args, tokens, users, witness,
};
use crate::demo;

/// The token authority of an API, in one binary
#[derive(Parser, Debug)]
#[command(name = "jeton", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Answer as JSON on standard output, errors as JSON problems on standard error
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the authority
    Serve(serve::ServeArgs),
    /// Cosign the heads of somebody else's log
    Witness(witness::WitnessArgs),
    /// Show the main job from first token to revocation, on a throw-away authority
    Demo(demo::DemoArgs),
    /// Redeem the setup secret of a fresh authority for the operator's credential
    Setup(setup::SetupArgs),
    /// List, choose and remove the profiles of the credential store
    Profile(profiles::ProfileArgs),
    /// Found, list, suspend and resume tenants (operator)
    Tenant(tenants::TenantArgs),
    /// List, rotate and retire the peppers of a tenant and the keys of the ledger (operator)
    Keys(tenants::KeysArgs),
    /// Define APIs, their scopes and routes
    Api(apis::ApiArgs),
    /// Make and change roles: named sets of rights for users
    Role(roles::RoleArgs),
    /// Register users, set their roles, suspend and delete them
    User(users::UserArgs),
    /// Register applications, set their rights, suspend and delete them
    App(apps::AppArgs),
    /// Show and set what each class of tokens may be
    Policy(policies::PolicyArgs),
    /// Issue, show, change, rotate, revoke tokens
    Token(token_args::TokenArgs),
    /// Ask whether a token may do something
    Check(check::CheckArgs),
    /// Read the audit trail, youngest first
    Events(events::EventsArgs),
    /// Compare ledger, tree, rows and what lies outside of them, beside a running authority too
    Audit(audit::AuditArgs),
    /// Fetch the receipt of an event; verify one offline
    Receipt(receipt::ReceiptArgs),
    /// Write the ledger as static files; keep a verified copy of a log
    Log(log::LogArgs),
    /// Watch the log for a tenant: what it did not order, and what is missing
    Monitor(monitor::MonitorArgs),
    /// Compare ledger, tree and rows of a stopped authority, and name each difference
    Fsck(fsck::FsckArgs),
    /// Take, read, restore and rehearse encrypted backups
    Backup(backup::BackupArgs),
    /// Anchor checkpoints outside: OpenTimestamps, a contract
    Anchor(anchor::AnchorArgs),
    /// Look for what is wrong with this machine, the data directory, the server and the credentials
    Doctor(doctor::DoctorArgs),
    /// Explain a refusal by its code
    Explain(explain::ExplainArgs),
}

/// The commands as `jeton --help` groups them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run", &["serve", "setup", "demo", "witness"]),
    (
        "Define",
        &["tenant", "api", "role", "user", "app", "policy"],
    ),
    ("Work", &["token", "check", "events"]),
    ("Prove", &["receipt", "monitor", "log", "anchor"]),
    (
        "Keep well",
        &[
            "keys", "profile", "audit", "backup", "fsck", "doctor", "explain",
        ],
    ),
];

const AFTER: &str = "`jeton COMMAND --help` has examples. Exit status: 0 done, 1 refused or failed, 2 not understood, \
                     3 findings.";

/// The command with its help in groups: the words of each line are those of the command itself.
fn command() -> clap::Command {
    let command = Cli::command();
    let mut template = "{about}\n\n{usage-heading} {usage}\n".to_owned();
    for (title, names) in GROUPS {
        _ = writeln!(template, "\n{title}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(|c| c.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            _ = writeln!(template, "  {name:<9}{about}");
        }
    }
    template.push_str("\nOptions:\n{options}{after-help}");
    link::root_flags(command)
        .help_template(template)
        .after_help(AFTER)
}

/// Runs what the arguments say.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let json = args.iter().any(|a| a == "--json");
    let outcome = read(args).and_then(|(cli, root)| run(cli.command, root, Out { json: cli.json }));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            fault.tell(json);
            ExitCode::from(fault.exit())
        }
    }
}

/// Reads the arguments. Help is no fault; an error is told as clap tells it, or as JSON.
fn read(args: Vec<std::ffi::OsString>) -> Result<(Cli, Link), Fault> {
    let json = args.iter().any(|a| a == "--json");
    no_token_among(&args)?;
    let matched = command().try_get_matches_from(args);
    matched
        .and_then(|m| Ok((Cli::from_arg_matches(&m)?, Link::from_arg_matches(&m)?)))
        .map_err(|error| {
            let help = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            if json && !help {
                let text = error.render().to_string();
                let ends = ["\n\nUsage:", "\n\nFor more information"];
                let end = ends.iter().filter_map(|e| text.find(e)).min();
                let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
                let words: Vec<&str> = text.split_whitespace().collect();
                return Fault::usage(words.join(" ").trim_start_matches("error: "));
            }
            // A closed terminal is no fault of the command's.
            drop(error.print());
            Fault::Told(if help { 0 } else { USAGE })
        })
}

/// A token on the command line is seen by everybody on the machine, and stays in the shell's history.
fn no_token_among(args: &[std::ffi::OsString]) -> Result<(), Fault> {
    // A wrong checksum is a token with a slip: as much of a leak.
    let is_token = |text: &str| !matches!(TokenText::parse(text), Err(Refusal::TokenMalformed));
    let found = args.iter().filter_map(|a| a.to_str()).any(|arg| {
        let value = arg.split_once('=').map(|(_, value)| value);
        is_token(arg) || value.is_some_and(is_token)
    });
    if !found {
        return Ok(());
    }
    let hint = "it is in the shell's history and was seen in the list of processes: rotate or revoke it. Give tokens by \
                standard input or --token-file, and name them by their id (tok_…)";
    Err(Fault::usage("a token stands on the command line").hint(hint))
}

/// Flags of the connection may stand before the command, too.
fn under(command: &mut Command, root: Link) -> Result<(), Fault> {
    let link = match command {
        Command::Serve(_) => return root.none_for("serve"),
        Command::Witness(_) => return root.none_for("witness"),
        Command::Demo(_) => return root.none_for("demo"),
        Command::Audit(_) => return root.none_for("audit"),
        Command::Fsck(_) => return root.none_for("fsck"),
        Command::Backup(_) => return root.none_for("backup"),
        Command::Explain(_) => return root.none_for("explain"),
        Command::Anchor(_) => return root.none_for("anchor"),
        Command::Setup(args) => return args.under(root),
        Command::Profile(args) => {
            args.credentials = args.credentials.take().or(root.credentials);
            return Ok(());
        }
        Command::Tenant(args) => &mut args.link,
        Command::Keys(args) => &mut args.link,
        Command::Api(args) => &mut args.link,
        Command::Role(args) => &mut args.link,
        Command::User(args) => &mut args.link,
        Command::App(args) => &mut args.link,
        Command::Policy(args) => &mut args.link,
        Command::Token(args) => &mut args.link,
        Command::Check(args) => &mut args.link,
        Command::Events(args) => &mut args.link,
        Command::Receipt(args) => &mut args.link,
        Command::Log(args) => &mut args.link,
        Command::Monitor(args) => &mut args.link,
        Command::Doctor(args) => &mut args.link,
    };
    link.under(root)
}

fn run(mut command: Command, root: Link, out: Out) -> Result<(), Fault> {
    under(&mut command, root)?;
    match command {
        Command::Serve(args) => many(serve::run(args, out)),
        Command::Witness(args) => many(witness::run(args, out)),
        Command::Demo(args) => many(async {
            let told = demo::run(args).await;
            told.map_err(|error| Fault::failed(chain(error.as_ref())))
        }),
        Command::Setup(args) => one(setup::run(args, out)),
        Command::Profile(args) => profiles::run(args, out),
        Command::Tenant(args) => one(tenants::run(args, out)),
        Command::Keys(args) => one(tenants::keys(args, out)),
        Command::Api(args) => one(apis::run(args, out)),
        Command::Role(args) => one(roles::run(args, out)),
        Command::User(args) => one(users::run(args, out)),
        Command::App(args) => one(apps::run(args, out)),
        Command::Policy(args) => one(policies::run(args, out)),
        Command::Token(args) => one(tokens::run(args, out)),
        Command::Check(args) => one(check::run(args, out)),
        Command::Events(args) => one(events::run(args, out)),
        Command::Audit(args) => one(audit::run(args, out)),
        Command::Receipt(args) => one(receipt::run(args, out)),
        Command::Log(args) => one(log::run(args, out)),
        Command::Monitor(args) => one(monitor::run(args, out)),
        Command::Fsck(args) => one(fsck::run(args, out)),
        Command::Backup(args) => one(backup::run(args, out)),
        Command::Anchor(args) => one(anchor::run(args, out)),
        Command::Doctor(args) => one(doctor::run(args, out)),
        Command::Explain(args) => explain::run(&args, out),
    }
}

/// Runs a command on this thread.
fn one(work: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    on(tokio::runtime::Builder::new_current_thread(), work)
}

/// Runs a server on all cores.
fn many(work: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    on(tokio::runtime::Builder::new_multi_thread(), work)
}

fn on(
    mut builder: tokio::runtime::Builder,
    work: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|e| Fault::caused("cannot start", &e))?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    fn worded(command: &clap::Command) {
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            assert!(sub.get_about().is_some(), "{name} has no words");
            for arg in sub.get_arguments() {
                let arg_name = arg.get_id();
                assert!(arg.get_help().is_some(), "{name} {arg_name} has no words");
            }
            worded(sub);
        }
    }

    #[test]
    fn each_command_stands_in_one_group_and_has_words() {
        let command = command();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, n)| n.iter().copied()).collect();
        let mut all: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
        worded(&command);
    }

    #[test]
    fn each_command_that_does_something_has_examples() {
        for sub in command().get_subcommands() {
            let name = sub.get_name();
            let help = sub.clone().render_long_help().to_string();
            // The demo's own words are its author's.
            let has = help.contains(&format!("  jeton {name}")) || name == "demo";
            assert!(has, "{name} has no example");
        }
    }

    #[test]
    fn a_token_on_the_command_line_is_refused_and_not_repeated() {
        let token = "acme_key_000000000000000000000000000000AAAAAA";
        for args in [
            vec!["jeton", "token", "show", token],
            vec!["jeton", "--x=acme_pat_000000000000000000000000000000AAAAAA"],
        ] {
            let args = args.into_iter().map(Into::into).collect();
            let fault = read(args).unwrap_err();
            assert_eq!(fault.exit(), 2);
            let words = format!("{fault:?}");
            assert!(
                words.contains("token stands") && !words.contains("_000"),
                "{words}"
            );
        }
        assert!(
            read(vec![
                "jeton".into(),
                "explain".into(),
                "token_expired".into()
            ])
            .is_ok()
        );
    }
}
