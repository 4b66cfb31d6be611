//! `jeton witness`: cosigns the heads of somebody else's log.

use std::{fmt::Write as _, fs, io::Read as _, path::PathBuf};

use clap::Args;
use jeton_tlog::VerifierKey;
use serde_json::json;

use super::{
    fault::{Fault, chain},
    link::absolute,
    out::{Out, line},
    serve::{Signals, log},
};
use crate::{
    config::Config,
    witness::{self, Running, Settings},
};

const EXAMPLES: &str = "\
Examples:
  jeton witness --name witness.example.com/w1 --log 'auth.example.com+1a2b3c4d+AX…'
  jeton witness --name w.example/2 --logs logs.txt --listen 0.0.0.0:8444 --names w.example

It prints its line for the policies of those who rely on it. Its directory holds its key and its memory, and neither is \
worth anything without the other: never start it from an older copy.";

/// The longest file of keys.
const LOGS_BYTES_MAX: u64 = 1 << 20;

/// What the witness is told.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct WitnessArgs {
    /// The name it signs under: a URL without https://, that is yours
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The directory of its key and its memory
    #[arg(long, value_name = "DIR", default_value = "./jeton-witness")]
    data_dir: PathBuf,
    /// The key of a log that it cosigns; may be given again
    #[arg(long, value_name = "VKEY")]
    log: Vec<String>,
    /// A file of such keys, one a line; lines that begin with # are comments
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Where it listens, with TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    listen: String,
    /// Where it listens without TLS: an address of this machine only
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    plain_listen: String,
    /// Names of the server in its certificate, by comma
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    names: Vec<String>,
    /// The server's certificate; made by a local CA unless told
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// What is logged: a tracing filter
    #[arg(long, value_name = "TEXT", default_value = "info")]
    log_filter: String,
    /// How it is logged: text or json
    #[arg(long, value_name = "TEXT", default_value = "text")]
    log_format: String,
}

/// Runs the witness until a signal stops it.
pub(super) async fn run(args: WitnessArgs, out: Out) -> Result<(), Fault> {
    let settings = settings(args)?;
    log(&settings.config)?;
    let (name, names) = (settings.name.clone(), settings.config.names.clone());
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        started = witness::start(settings) => {
            started.map_err(|e| Fault::failed(chain(e.as_ref())))?
        }
        () = signals.next() => return Ok(()),
    };
    tell(&name, names.first().map(String::as_str), &running, out)?;
    signals.next().await;
    tracing::info!("stopping: a second signal ends it at once");
    tokio::select! {
        () = running.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.next() => Err(Fault::Told(super::fault::FAILED)),
    }
}

fn settings(args: WitnessArgs) -> Result<Settings, Fault> {
    let mut texts = args.log;
    if let Some(path) = &args.logs {
        let unread = |e| Fault::caused(format!("cannot read {}", path.display()), &e);
        let mut text = String::new();
        let file = fs::File::open(path).map_err(unread)?;
        file.take(LOGS_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(unread)?;
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        texts.extend(keys.map(str::to_owned));
    }
    let mut logs = Vec::new();
    for text in &texts {
        let key = VerifierKey::parse(text);
        let hint =
            "a log's key is name+id+key, as `/log/vkey` of its server or its `policy` has it";
        logs.push(key.map_err(|e| Fault::usage(format!("{text}: {e}")).hint(hint))?);
    }
    if logs.is_empty() {
        let words = "a witness of nothing: name the keys of logs";
        return Err(Fault::usage(words).hint("--log VKEY, or --logs FILE"));
    }
    let config = Config {
        data_dir: args.data_dir,
        listen: args.listen,
        plain_listen: args.plain_listen,
        names: args.names,
        tls_cert: args.tls_cert,
        tls_key: args.tls_key,
        log_filter: args.log_filter,
        log_format: args.log_format,
        unix_socket: None,
        ..Config::default()
    };
    Ok(Settings {
        config,
        name: args.name,
        logs,
    })
}

/// Tells where it is, and the line that those who rely on it put into their policy.
fn tell(name: &str, host: Option<&str>, running: &Running, out: Out) -> Result<(), Fault> {
    let address = running.address;
    let host = match host.filter(|name| !name.starts_with('*')) {
        Some(host) => format!("{host}:{}", address.port()),
        None if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        None => address.to_string(),
    };
    let url = format!("https://{host}");
    let policy = format!("witness {name} {} {url}", running.key);
    let ca = running.ca_pem.as_deref().map(absolute);
    if out.json {
        let started = json!({
            "address": url,
            "listen": address.to_string(),
            "plain": running.plain_address.map(|a| format!("http://{a}")),
            "ca": ca,
            "name": name,
            "vkey": running.key.to_string(),
            "policy": policy,
        });
        return line(&started.to_string());
    }
    let mut text = format!("The witness {name} is ready.\n\n  address    {url}\n");
    if let Some(plain) = running.plain_address {
        _ = writeln!(text, "  plain      http://{plain} (this machine only)");
    }
    if let Some(ca) = ca {
        _ = writeln!(text, "  CA file    {}", ca.display());
    }
    _ = write!(
        text,
        "  key        {}\n\nFor the policies of those who rely on it:\n\n  {policy}\n\nCtrl-C stops it.",
        running.key
    );
    line(&text)
}
