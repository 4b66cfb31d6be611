//! `jeton serve`: its flags are the registry of the configuration, so that they cannot drift from it.

use std::fmt::Write as _;
use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use clap::{Arg, ArgMatches, Command, builder::ValueParser};
use jeton_store::sqlite::Durability;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{
    fault::{Fault, chain},
    link::{absolute, shell},
    out::{Out, line},
};
use crate::{
    config::{Config, KEYS},
    serve::{self, Running},
};

const EXAMPLES: &str = "\
Examples:
  jeton serve
  jeton serve --data-dir /var/lib/jeton --listen 0.0.0.0:8443 --names auth.example.com
  jeton serve --config /etc/jeton.toml --unix-socket /run/jeton/jeton.sock

Every flag is also a key of the configuration file (with _ for -) and an environment variable (JETON_ and capitals); a flag \
weighs more than the environment, and that more than the file. None takes a secret.";

/// What `serve` was told.
#[derive(Debug, Default)]
pub(super) struct ServeArgs {
    config: Option<PathBuf>,
    flags: Vec<(String, String)>,
}

struct Flag {
    name: &'static str,
    long: String,
    help: String,
    value: &'static str,
}

/// The flags, one for each key.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let flag = |key: &crate::config::Key| {
        let default = match key.default {
            "" => String::new(),
            some => format!(" [default: {some}]"),
        };
        Flag {
            name: key.name,
            long: key.name.replace('_', "-"),
            help: format!("{}{default}", key.doc.trim().trim_end_matches('.')),
            value: value_name(key.rule),
        }
    };
    KEYS.iter().map(flag).collect()
});

fn value_name(rule: &str) -> &'static str {
    match rule {
        _ if rule.contains("path") => "PATH",
        _ if rule.contains("address") => "ADDRESS",
        _ if rule.contains("seconds") => "SECONDS",
        _ if rule.contains("number") => "N",
        _ if rule.contains("comma") => "LIST",
        _ if rule.contains("mode") => "MODE",
        _ => "TEXT",
    }
}

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        let set = FLAGS.iter().filter_map(|flag| {
            let value = matches.get_one::<String>(flag.name)?;
            Some((flag.name.to_owned(), value.clone()))
        });
        self.flags = set.collect();
        Ok(())
    }
}

impl clap::Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(ValueParser::path_buf())
            .help("A configuration file in TOML");
        let mut command = command.arg(config).after_long_help(EXAMPLES);
        for flag in FLAGS.iter() {
            let arg = Arg::new(flag.name)
                .long(flag.long.as_str())
                .value_name(flag.value)
                .help(flag.help.as_str());
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Runs the authority until a signal stops it.
pub(super) async fn run(args: ServeArgs, out: Out) -> Result<(), Fault> {
    let config = Config::load(args.config.as_deref(), &args.flags).map_err(|e| {
        Fault::usage(chain(&e)).hint("`jeton serve --help` lists all keys and their rules")
    })?;
    log(&config)?;
    // The handlers stand before the start: a signal while the ledger is read stops cleanly too.
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        started = serve::start(&config, Durability::Full) => {
            started.map_err(|e| Fault::failed(chain(e.as_ref())))?
        }
        () = signals.next() => return Ok(()),
    };
    tell(&config, &running, out)?;
    signals.next().await;
    tracing::info!("stopping: a second signal ends it at once");
    tokio::select! {
        () = running.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.next() => {
            tracing::warn!("ended at once by a second signal");
            Err(Fault::Told(super::fault::FAILED))
        }
    }
}

/// The signals that stop a server.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    pub(super) fn new() -> Result<Self, Fault> {
        let on = |kind| signal(kind).map_err(|e| Fault::caused("cannot listen for signals", &e));
        Ok(Self {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
        })
    }

    /// Waits for one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Log lines go to standard error.
pub(super) fn log(config: &Config) -> Result<(), Fault> {
    let filter = EnvFilter::builder().parse(&config.log_filter);
    let filter = filter.map_err(|e| {
        Fault::usage(format!(
            "log_filter must be a tracing filter: {}",
            chain(&e)
        ))
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let set = if config.log_format == "json" {
        lines.json().try_init()
    } else {
        lines.try_init()
    };
    set.map_err(|e| Fault::failed(format!("cannot log: {e}")))
}

/// Where clients on this machine reach it.
fn url(config: &Config, running: &Running) -> String {
    let port = running.address.port();
    let ip = running.address.ip();
    let host = match config.names.first().filter(|name| !name.starts_with('*')) {
        Some(name) => name.clone(),
        None if ip.is_unspecified() => "localhost".to_owned(),
        None if ip.is_ipv6() => format!("[{ip}]"),
        None => ip.to_string(),
    };
    if port == 443 {
        return format!("https://{host}");
    }
    format!("https://{host}:{port}")
}

/// Tells where it is, and how to begin.
fn tell(config: &Config, running: &Running, out: Out) -> Result<(), Fault> {
    let url = url(config, running);
    let ca = running.ca_pem.as_deref().map(absolute);
    let secret_file = running.setup.as_ref().map(|(_, file)| absolute(file));
    if out.json {
        let started = json!({
            "address": url,
            "listen": running.address.to_string(),
            "plain": running.plain_address.map(|a| format!("http://{a}")),
            "unix_socket": config.unix_socket.as_deref().map(absolute),
            "ca": ca,
            "data_dir": absolute(&config.data_dir),
            "setup_secret_file": secret_file,
            "ledger_size": running.doors.node.verifier.size(),
        });
        return line(&started.to_string());
    }
    let mut text = format!("jeton {} is ready.\n\n", env!("CARGO_PKG_VERSION"));
    let mut put = |label: &str, value: &dyn core::fmt::Display| {
        _ = writeln!(text, "  {label:<11}{value}");
    };
    put("address", &url);
    if let Some(plain) = running.plain_address {
        put("plain", &format!("http://{plain} (this machine only)"));
    }
    if let Some(socket) = &config.unix_socket {
        put("socket", &absolute(socket).display());
    }
    put("data", &absolute(&config.data_dir).display());
    match &ca {
        Some(ca) => put("CA file", &ca.display()),
        None => put("CA", &"that of your own certificate"),
    }
    let trust = ca.as_ref().map(|ca| shell(ca));
    if let (Some((secret, _)), Some(file)) = (&running.setup, &secret_file) {
        text.push_str(&first_run(
            secret.expose_secret(),
            file,
            &url,
            trust.as_deref(),
        ));
    }
    let cacert = trust
        .map(|ca| format!("--cacert {ca} "))
        .unwrap_or_default();
    _ = write!(
        text,
        "\nIs it there?\n\n  curl {cacert}{url}/healthz\n\nCtrl-C stops it."
    );
    line(&text)
}

fn first_run(secret: &str, file: &Path, url: &str, trust: Option<&str>) -> String {
    // Where standard output is kept (a journal, a file) the secret does not belong: its file is enough.
    let shown = if std::io::stdout().is_terminal() {
        format!("\n\n  {secret}\n\nIt is also in {}.", file.display())
    } else {
        format!(" is in {}.", file.display())
    };
    let trust = trust.unwrap_or("YOUR-CA.pem");
    format!(
        "\nNobody has set it up yet. The setup secret, good once and for an hour,{shown}\nRedeem it in another terminal:\n\n  \
         jeton setup --server {url} --ca {trust} --secret-file {}\n",
        shell(file)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_a_flag_with_words() {
        let command = <ServeArgs as clap::Args>::augment_args(Command::new("serve"));
        for key in KEYS {
            let flag = command.get_arguments().find(|a| a.get_id() == key.name);
            let help = flag.and_then(Arg::get_help).map(ToString::to_string);
            assert!(help.unwrap_or_default().len() > 10, "{}", key.name);
        }
    }
}
