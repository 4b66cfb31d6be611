//! `jeton log`: the ledger as static files, from the authority itself or kept by somebody else.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use jeton_tlog::Policy;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    fault::{FINDINGS, Fault, chain},
    link::Link,
    log_repair,
    out::{Out, line},
    receipt, remote,
    store::Place,
    units::span,
};
use crate::mirror::{Dir, Finding, MirrorError, Pull, Pulled, Source, StoreSource, split_url};

const EXAMPLES: &str = "\
Examples:
  jeton log export ./public
  jeton log export ./public --data-dir /var/lib/jeton
  jeton log mirror https://tokens.example.com/log ./mirror --ca ca.pem --policy policy --every 1s
  jeton log mirror https://tokens.example.com/log ./mirror --profile operator --openings --once

  jeton log recover --data-dir /var/lib/jeton --from-mirror ./mirror
  jeton log new-epoch --data-dir /var/lib/jeton --reason 'disk lost' --yes

Export and mirror write the files of c2sp.org/tlog-tiles, the checkpoint last, and nothing that was not verified. Exit status: 0 done, 3 the \
log is not what it must be (rollback, fork, …).

A mirror is readable by its owner only, since the log may have asked for a token: directories are made with mode 0700, files with 0600. An \
export is made to be served: 0755 and 0644, less the umask. What was there before keeps its mode.";

/// The ledger as files.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct LogArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Subcommand, Debug)]
enum LogCommand {
    /// Write the ledger's tiles and checkpoint into a directory, or what is new of them
    Export(Export),
    /// Keep a verified copy of a log, this one or any other of C2SP
    Mirror(Mirror),
    /// Bring back what a restored store lacks, from a mirror that kept the openings
    Recover(log_repair::Recover),
    /// Go on without what is lost: end everything that was issued before
    NewEpoch(log_repair::NewEpoch),
}

#[derive(Args, Debug)]
struct Export {
    /// The directory, made to be served to everybody; what is in it is continued
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The data directory of an authority on this machine, in place of a server
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The policy that the checkpoint must satisfy; the ledger's own unless told
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Mirror {
    /// Where the log is, such as https://HOST/log
    #[arg(value_name = "URL")]
    url: String,
    /// The directory to keep it in, for its owner only; what is in it is continued
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The policy that a checkpoint must satisfy; unless told, the one kept at the first round, which is the log's own
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Keep the openings, too: takes a token of the operator's that may read the ledger
    #[arg(long)]
    openings: bool,
    /// How often to look for more
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1s", conflicts_with = "once")]
    every: u64,
    /// Look once, and end
    #[arg(long)]
    once: bool,
}

/// Runs the command.
pub(super) async fn run(args: LogArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        LogCommand::Export(given) => export(&args.link, &given, out).await,
        LogCommand::Mirror(given) => mirror(&args.link, &given, out).await,
        LogCommand::Recover(given) => {
            args.link.none_for("log recover")?;
            log_repair::bring_back(given, out).await
        }
        LogCommand::NewEpoch(given) => {
            args.link.none_for("log new-epoch")?;
            log_repair::begin(given, out).await
        }
    }
}

/// What went wrong with a log, as a fault.
pub(super) fn fault(error: &MirrorError) -> Fault {
    match error {
        MirrorError::Net { source, .. } => Fault::net(source),
        MirrorError::Status { status, .. } if matches!(status.as_u16(), 401 | 403) => {
            let fault = Fault::failed(error.to_string());
            fault.hint(if status.as_u16() == 403 {
                "this token may not read it: entries take jeton:events:read, openings jeton:ledger:read of the operator's tenant"
            } else {
                "this log asks for a token: add --profile NAME or --token-file FILE"
            })
        }
        MirrorError::Status { .. }
        | MirrorError::File { .. }
        | MirrorError::Busy(_)
        | MirrorError::Empty(_)
        | MirrorError::Policy { .. }
        | MirrorError::Store(_)
        | MirrorError::Found(_) => {
            let cause = core::error::Error::source(error);
            match cause {
                Some(cause) => Fault::caused(error.to_string(), cause),
                None => Fault::failed(error.to_string()),
            }
        }
    }
}

/// A log at a URL. A token goes there only if one is named, or a profile whose server it is.
pub(super) fn source(url: &str, link: &mut Link) -> Result<(Source, bool), Fault> {
    if link.server.is_some() || link.socket.is_some() {
        let words = "the URL says where the log is: --server and --socket mean nothing here";
        return Err(Fault::usage(words));
    }
    let (base, prefix) = split_url(url);
    link.server = Some(base.to_owned());
    if link.token_file.is_some() || link.profile.is_some() {
        let resolved = link.resolve()?;
        let client = remote::client(&resolved.place)?;
        return Ok((Source::http(client, prefix, resolved.token), true));
    }
    let place = link.named().unwrap_or(Place::Url {
        server: base.to_owned(),
        ca: None,
    });
    Ok((Source::http(remote::client(&place)?, prefix, None), false))
}

async fn export(link: &Link, given: &Export, out: Out) -> Result<(), Fault> {
    let source = match &given.data_dir {
        Some(data) => {
            link.none_for("log export --data-dir")?;
            let store = StoreSource::open(&data.join("ledger.db"));
            Source::Store(store.map_err(|e| fault(&e))?)
        }
        None => {
            let resolved = link.resolve()?;
            Source::http(remote::client(&resolved.place)?, "/log", resolved.token)
        }
    };
    let dir = Dir::open_public(&given.dir).map_err(|e| fault(&e))?;
    // The authority's own word is enough for its own export: whoever reads it brings a policy.
    let text = match &given.policy {
        Some(path) => policy_text(path)?,
        None => source.danger_policy().await.map_err(|e| fault(&e))?,
    };
    let policy = believe(&text, &given.dir)?;
    let pull = Pull {
        source: &source,
        dir: &dir,
        policy: &policy,
        openings: false,
    };
    dir.publish_policy(&text, &policy).map_err(|e| fault(&e))?;
    tell(&pull.round().await, &given.dir, out)
}

async fn mirror(link: &Link, given: &Mirror, out: Out) -> Result<(), Fault> {
    let mut link = link.clone();
    let (source, _) = source(&given.url, &mut link)?;
    let dir = Dir::open(&given.dir).map_err(|e| fault(&e))?;
    let text = trusted(&source, &dir, given, out).await?;
    let policy = believe(&text, &given.dir)?;
    dir.publish_policy(&text, &policy).map_err(|e| fault(&e))?;
    let pull = Pull {
        source: &source,
        dir: &dir,
        policy: &policy,
        openings: given.openings,
    };
    if given.once {
        return tell(&pull.round().await, &given.dir, out);
    }
    let mut ticks = interval(Duration::from_secs(given.every.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = String::new();
    loop {
        ticks.tick().await;
        let round = pull.round().await;
        match &round {
            Ok(pulled) if pulled.new == 0 => last.clear(),
            Ok(_) => {
                last.clear();
                tell(&round, &given.dir, out)?;
            }
            // Nothing that a later round could mend: what was kept stays as it was.
            Err(MirrorError::Found(
                Finding::Rollback { .. }
                | Finding::Fork { .. }
                | Finding::AnotherLog { .. }
                | Finding::Damaged { .. },
            )) => return tell(&round, &given.dir, out),
            Err(error) => {
                let words = chain(error);
                if words != last {
                    out.note(&format!("{words}; trying again"));
                }
                last = words;
            }
        }
    }
}

/// The policy of a mirror: the one named, else the one kept, else the log's own, taken on trust and said so.
async fn trusted(source: &Source, dir: &Dir, given: &Mirror, out: Out) -> Result<String, Fault> {
    if let Some(path) = &given.policy {
        return policy_text(path);
    }
    if let Some(kept) = dir.policy().map_err(|e| fault(&e))? {
        return Ok(kept);
    }
    let text = source.danger_policy().await.map_err(|e| fault(&e))?;
    out.note("no policy is named: the log's own is taken and kept; compare it with one that somebody else gives you");
    Ok(text)
}

fn policy_text(path: &Path) -> Result<String, Fault> {
    let bytes = receipt::read(path, jeton_tlog::POLICY_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn believe(text: &str, of: &Path) -> Result<Policy, Fault> {
    let policy = Policy::parse(text);
    policy.map_err(|e| Fault::caused(format!("the policy for {} is none", of.display()), &e))
}

fn tell(round: &Result<Pulled, MirrorError>, dir: &Path, out: Out) -> Result<(), Fault> {
    match round {
        Ok(pulled) => {
            let view = json!({
                "dir": dir, "origin": pulled.origin, "size": pulled.size, "root": pulled.root.to_string(),
                "new": pulled.new, "openings": pulled.openings, "erased": pulled.erased,
            });
            if out.json {
                return line(&view.to_string());
            }
            let more = pulled
                .openings
                .map(|n| format!(", {n} openings"))
                .unwrap_or_default();
            line(&format!(
                "{}: {} entries of {}, {} new{more}; root {}",
                dir.display(),
                pulled.size,
                pulled.origin,
                pulled.new,
                pulled.root
            ))
        }
        Err(MirrorError::Found(finding)) => {
            let (name, what) = (finding.name(), finding.to_string());
            if out.json {
                line(&json!({"dir": dir, "finding": name, "what": what}).to_string())?;
            } else {
                line(&format!("{name}: {what}"))?;
            }
            Err(Fault::Told(FINDINGS))
        }
        Err(error) => Err(fault(error)),
    }
}
