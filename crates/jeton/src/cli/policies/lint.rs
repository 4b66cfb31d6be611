//! `jeton policy lint`: what the author of a policy of logs and witnesses should know (c2sp.org/tlog-policy). Offline.

use std::{fmt::Write as _, fs, io::Read as _, path::PathBuf};

use clap::Args;
use jeton_tlog::{
    POLICY_BYTES_MAX, Policy, PolicyError, SAFE_QUORUMS, Severity, Warning, safe_quorum,
};
use serde_json::{Value, json};

use crate::cli::{
    fault::{FINDINGS, Fault},
    out::{Out, json_line, line},
};

const EXAMPLES: &str = "\
Examples:
  jeton policy lint witnesses.policy
  jeton --json policy lint witnesses.policy

Exit status: 0 nothing is wrong, though there may be warnings; 3 the policy does not give what a policy is for; 1 it cannot be read.";

/// Which file.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct LintArgs {
    /// The policy's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &LintArgs, out: Out) -> Result<(), Fault> {
    let policy = read(args)?;
    let found = policy.lint();
    if out.json {
        json_line(&told(&policy, &found))?;
    } else {
        line(&words(&policy, &found))?;
    }
    if found.iter().any(|w| w.severity() == Severity::Error) {
        return Err(Fault::Told(FINDINGS));
    }
    Ok(())
}

fn read(args: &LintArgs) -> Result<Policy, Fault> {
    let name = args.file.display();
    let unread = |e| Fault::caused(format!("cannot read {name}"), &e);
    let mut text = String::new();
    let file = fs::File::open(&args.file).map_err(unread)?;
    // One byte more than may be: a longer file is refused, not cut.
    let most = u64::try_from(POLICY_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(unread)?;
    Policy::parse(&text).map_err(|error| {
        let at = match &error {
            PolicyError::Line { line, .. } => format!("{name}:{line}"),
            PolicyError::TooLong { .. }
            | PolicyError::QuorumMissing
            | PolicyError::Checkpoint(_)
            | PolicyError::Cosignatures(_)
            | PolicyError::QuorumNotMet { .. } => name.to_string(),
        };
        Fault::caused(format!("{at} is no policy"), &error)
    })
}

fn severity(warning: &Warning) -> &'static str {
    match warning.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn told(policy: &Policy, found: &[Warning]) -> Value {
    let strength = policy.strength().map(|s| {
        json!({
            "witnesses": s.witnesses,
            "smallest": s.smallest,
            "overlap": s.overlap,
            "blocking": s.blocking,
            "safe": s.is_safe(),
            "safe_quorum": safe_quorum(s.witnesses),
        })
    });
    let warning =
        |w: &Warning| json!({"code": w.code(), "severity": severity(w), "words": w.to_string()});
    json!({
        "logs": policy.logs().len(),
        "witnesses": policy.witnesses().len(),
        "quorum": strength,
        "warnings": found.iter().map(warning).collect::<Vec<_>>(),
    })
}

fn words(policy: &Policy, found: &[Warning]) -> String {
    let mut text = String::new();
    for warning in found {
        _ = writeln!(text, "{:<9}{warning}", format!("{}:", severity(warning)));
    }
    if let Some(s) = policy.strength() {
        _ = writeln!(
            text,
            "quorum:  {} of {} witnesses; {} would have to collude for a split view, {} to be silent for a stop",
            s.smallest, s.witnesses, s.overlap, s.blocking
        );
    }
    let row = |(n, k): &(usize, usize)| format!("{k}/{n}");
    let safe: Vec<String> = SAFE_QUORUMS.iter().map(row).collect();
    _ = write!(
        text,
        "safe:    {} (more than two thirds; 3/4 is the smallest that can miss one)",
        safe.join(" ")
    );
    text
}
