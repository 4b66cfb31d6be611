//! `jeton anchor ots`: proofs in the format of OpenTimestamps, made, completed and compared with headers of Bitcoin's blocks.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use jeton_tlog::VerifierKey;
use serde_json::{Value, json};

use super::{
    anchor::{instant, open, read_checkpoint, read_file},
    fault::{Fault, chain},
    out::Out,
    table::{self, at, by, plain},
};
use crate::{
    anchor::{
        bitcoin::{DIFFICULTY_LEAST, Header, HeaderError},
        calendar::{self, CalendarError},
        ots::{Attestation, Claim, PROOF_BYTES_MAX, Proof, Stamp, commitment},
    },
    capability,
};

/// The most bytes of a file of headers.
const HEADERS_BYTES_MAX: usize = 1 << 20;

/// The most promises that are followed: more than anybody stamps with, and few enough to wait for.
const PROMISES_MAX: usize = 32;

const STAMP_EXAMPLES: &str = "\
Examples:
  jeton anchor ots stamp checkpoint --calendar https://a.pool.opentimestamps.org --ca /etc/ssl/certs/ca-certificates.crt

The calendar learns a hash behind 16 bytes of chance, not the checkpoint. Its promise becomes a proof within hours:
`jeton anchor ots upgrade` fetches it.";

const UPGRADE_EXAMPLES: &str = "\
Examples:
  jeton anchor ots info checkpoint.ots
  jeton anchor ots upgrade checkpoint.ots --calendar https://alice.btc.calendar.opentimestamps.org --ca CA.pem

A proof names the calendars that promised. Only those that you name as well are asked: a proof from elsewhere must not decide
whom this machine talks to.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  jeton anchor ots verify checkpoint checkpoint.ots --header \"$(bitcoin-cli getblockheader BLOCKHASH false)\"
  jeton anchor ots verify checkpoint checkpoint.ots --headers headers.txt --key VKEY

Compared: the file's SHA-256 with the proof's; what the proof's operations make of it with the block's Merkle root; the hash
of the header with the header's own target; the target's difficulty with --least-difficulty. Not compared: whether the block
is in Bitcoin's longest chain. Take the header from a node, or compare the block's hash with several.";

/// What to do with a proof.
#[derive(Args, Debug)]
pub(super) struct OtsArgs {
    #[command(subcommand)]
    command: OtsCommand,
}

#[derive(Subcommand, Debug)]
enum OtsCommand {
    /// Ask calendars to put a checkpoint's hash into a block
    Stamp(StampArgs),
    /// Ask the calendars what has become of their promise
    Upgrade(UpgradeArgs),
    /// Show what a proof claims, and compare nothing
    Info(InfoArgs),
    /// Compare a checkpoint and its proof with headers of Bitcoin's blocks
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
#[command(after_long_help = STAMP_EXAMPLES)]
struct StampArgs {
    /// The checkpoint's file
    checkpoint: PathBuf,
    /// A calendar to ask; several are asked for the same hash
    #[arg(long, value_name = "URL", required = true)]
    calendar: Vec<String>,
    /// The file that the calendars' certificates must come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The log's key: the checkpoint must be signed by it
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    key: Option<VerifierKey>,
    /// Where the proof goes; beside the checkpoint, with .ots behind its name, unless told
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_long_help = UPGRADE_EXAMPLES)]
struct UpgradeArgs {
    /// The proof's file, which is replaced
    proof: PathBuf,
    /// A calendar that may be asked
    #[arg(long, value_name = "URL", required = true)]
    calendar: Vec<String>,
    /// The file that the calendars' certificates must come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct InfoArgs {
    /// The proof's file
    proof: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_long_help = VERIFY_EXAMPLES)]
struct VerifyArgs {
    /// The checkpoint's file
    checkpoint: PathBuf,
    /// The proof's file
    proof: PathBuf,
    /// The 80 bytes of a block's header in hexadecimal digits; with HEIGHT: before them, the height is compared, too
    #[arg(long, value_name = "[HEIGHT:]HEX")]
    header: Vec<String>,
    /// A file with a header on each line
    #[arg(long, value_name = "FILE", required_unless_present = "header")]
    headers: Option<PathBuf>,
    /// The log's key: the checkpoint must be signed by it
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    key: Option<VerifierKey>,
    /// The least difficulty that is believed; 0 for a test chain
    #[arg(long, value_name = "N", default_value_t = DIFFICULTY_LEAST)]
    least_difficulty: u64,
}

/// Runs the command.
pub(super) async fn run(args: OtsArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        OtsCommand::Stamp(args) => stamp(args, out).await,
        OtsCommand::Upgrade(args) => upgrade(args, out).await,
        OtsCommand::Info(args) => info(&args, out),
        OtsCommand::Verify(args) => verify(&args, out),
    }
}

async fn stamp(args: StampArgs, out: Out) -> Result<(), Fault> {
    let told = read_checkpoint(&args.checkpoint, args.key.as_ref())?;
    let path = args
        .output
        .unwrap_or_else(|| with_suffix(&args.checkpoint, ".ots"));
    if path.exists() {
        return Err(taken(&path));
    }
    // All are known to be servers before the first is asked.
    let calendars = args.calendar.iter().map(|url| open(url, args.ca.as_ref()));
    let calendars = calendars.collect::<Result<Vec<_>, _>>()?;
    let nonce = capability::draw();
    let message = commitment(&told.digest, &nonce);
    let mut answered: Option<Stamp> = None;
    let mut rows = Vec::new();
    for calendar in &calendars {
        let outcome = match calendar::submit(calendar, &message).await {
            Ok(stamp) => {
                match &mut answered {
                    Some(answered) => answered.merge(stamp),
                    None => answered = Some(stamp),
                }
                "took it".to_owned()
            }
            Err(error) => chain(&error),
        };
        rows.push(json!({"calendar": calendar.server(), "outcome": outcome}));
    }
    let Some(answered) = answered else {
        return Err(Fault::failed("no calendar took the hash").hint(outcomes(&rows).join("; ")));
    };
    let proof = Proof::begun(told.digest, &nonce, answered);
    write_new(&path, &bytes_of(&proof)?)?;
    let shown = path.display().to_string();
    let value = json!({
        "proof": shown, "digest": HEXLOWER.encode(&told.digest), "calendars": rows, "claims": claims(&proof),
    });
    tell_failures(out, &rows, "took it");
    out.done(
        &value,
        &format!("{shown}: promised; `jeton anchor ots upgrade` completes it in some hours"),
    )
}

async fn upgrade(args: UpgradeArgs, out: Out) -> Result<(), Fault> {
    let mut proof = read_proof(&args.proof)?;
    let promises = pending(&proof);
    if promises.len() > PROMISES_MAX {
        let words = format!(
            "the proof has {} promises, and {PROMISES_MAX} are followed at most",
            promises.len()
        );
        return Err(Fault::failed(words));
    }
    let mut rows = Vec::new();
    for (message, uri) in promises {
        let named = args.calendar.iter().find(|url| same_server(url, &uri));
        let outcome = match named {
            None => "not asked: not named with --calendar".to_owned(),
            Some(url) => match calendar::follow(&open(url, args.ca.as_ref())?, &message).await {
                Ok(more) => {
                    proof.merge_at(&message, &more);
                    "answered".to_owned()
                }
                Err(CalendarError::NotYet(_)) => "not yet".to_owned(),
                Err(error) => chain(&error),
            },
        };
        rows.push(json!({"calendar": uri, "outcome": outcome}));
    }
    if rows
        .iter()
        .any(|row| row.get("outcome") == Some(&json!("answered")))
    {
        replace(&args.proof, &bytes_of(&proof)?)?;
    }
    let heights = heights(&proof);
    if heights.is_empty() {
        let promised = outcomes(&rows).join("; ");
        return Err(Fault::failed("the proof is in no block yet")
            .hint(format!("calendars take some hours: {promised}")));
    }
    tell_failures(out, &rows, "answered");
    let value = json!({"proof": args.proof, "calendars": rows, "blocks": heights});
    let blocks: Vec<String> = heights.iter().map(u64::to_string).collect();
    out.done(
        &value,
        &format!("{}: in block {}", args.proof.display(), blocks.join(", ")),
    )
}

fn info(args: &InfoArgs, out: Out) -> Result<(), Fault> {
    let proof = read_proof(&args.proof)?;
    let value = json!({
        "proof": args.proof, "digest": HEXLOWER.encode(proof.digest()), "claims": claims(&proof),
    });
    let lines = |value: &Value| {
        let claims = value.get("claims").and_then(Value::as_array);
        let line = |claim: &Value| {
            let of = |name: &str| claim.get(name).map(table::show).unwrap_or_default();
            format!("{} {}{}", of("by"), of("height"), of("calendar"))
                .trim_end()
                .to_owned()
        };
        let lines: Vec<String> = claims.into_iter().flatten().map(line).collect();
        lines.join("\n")
    };
    let columns = [
        at("proof", "/proof"),
        at("sha256 of the file", "/digest"),
        by("claims", lines),
    ];
    out.thing(&columns, &value)
}

fn verify(args: &VerifyArgs, out: Out) -> Result<(), Fault> {
    let told = read_checkpoint(&args.checkpoint, args.key.as_ref())?;
    let proof = read_proof(&args.proof)?;
    if told.digest != *proof.digest() {
        let words = format!("{} is a proof for another file", args.proof.display());
        return Err(Fault::failed(words).hint(
            "keep the very file that was stamped: a checkpoint with one more signature is another",
        ));
    }
    let headers = headers(args)?;
    let (height, header) = earliest(&proof, &headers, args.least_difficulty)?;
    let value = json!({
        "checkpoint": args.checkpoint,
        "origin": told.checkpoint.origin(),
        "size": told.checkpoint.size(),
        "root": told.checkpoint.root().to_string(),
        "signed": args.key.is_some(),
        "block": height,
        "block_hash": header.to_string(),
        "block_time": instant(header.time_s().into()),
        "difficulty": header.difficulty(),
        "longest_chain": "not checked",
    });
    let columns = [
        at("log", "/origin"),
        at("size", "/size"),
        at("root", "/root"),
        at("existed at", "/block_time"),
        at("by block", "/block"),
        at("block hash", "/block_hash"),
        at("difficulty", "/difficulty"),
    ];
    out.thing(&columns, &value)?;
    out.note("that the block is in Bitcoin's longest chain was not checked: compare its hash with a node");
    if args.key.is_none() {
        out.note("nor was the checkpoint's signature: that takes --key");
    }
    Ok(())
}

/// The earliest block that proves it, of those whose headers are there.
fn earliest<'h>(
    proof: &Proof,
    headers: &'h [Header],
    least: u64,
) -> Result<(u64, &'h Header), Fault> {
    let mut best: Option<(u64, &Header)> = None;
    let mut why: Option<HeaderError> = None;
    let mut wanted = Vec::new();
    for Claim {
        message,
        attestation,
    } in proof.claims()
    {
        let (Some(message), Attestation::Bitcoin { height }) = (message, attestation) else {
            continue;
        };
        wanted.push(format!("{height} (Merkle root {})", reversed(&message)));
        for header in headers {
            match header.check(&message, height, least) {
                Ok(()) if best.is_none_or(|(_, b)| header.time_s() < b.time_s()) => {
                    best = Some((height, header));
                }
                Ok(()) => {}
                // Most headers are of other blocks: what else is wrong says more.
                Err(HeaderError::MerkleRoot) => {}
                Err(error) => why = Some(error),
            }
        }
    }
    if wanted.is_empty() {
        return Err(Fault::failed("the proof is in no block yet")
            .hint("`jeton anchor ots upgrade` asks the calendars that promised"));
    }
    let why = why.unwrap_or(HeaderError::MerkleRoot);
    best.ok_or_else(|| {
        let hint = if matches!(why, HeaderError::TooEasy { .. }) {
            "a header so easily made proves nothing; on a test chain, say --least-difficulty 0"
                .to_owned()
        } else {
            format!(
                "the proof needs the header of block {}",
                wanted.join(" or ")
            )
        };
        Fault::caused("no header that was given proves it", &why).hint(hint)
    })
}

fn headers(args: &VerifyArgs) -> Result<Vec<Header>, Fault> {
    let file = match &args.headers {
        Some(path) => String::from_utf8_lossy(&read_file(path, HEADERS_BYTES_MAX)?).into_owned(),
        None => String::new(),
    };
    let lines = file
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let given = args.header.iter().map(|header| header.trim());
    let read = |text: &str| Header::parse(text).map_err(|e| Fault::usage(e.to_string()));
    given.chain(lines).map(read).collect()
}

fn claims(proof: &Proof) -> Vec<Value> {
    let claim = |Claim {
                     message,
                     attestation,
                 }: Claim| {
        let message = message.map(|m| HEXLOWER.encode(&m));
        match attestation {
            Attestation::Bitcoin { height } => {
                json!({"by": "bitcoin", "height": height, "message": message})
            }
            Attestation::Pending { uri } => {
                json!({"by": "calendar", "calendar": uri, "message": message})
            }
            Attestation::Unknown { tag, .. } => {
                json!({"by": format!("unknown:{}", HEXLOWER.encode(&tag)), "message": message})
            }
        }
    };
    proof.claims().into_iter().map(claim).collect()
}

/// The messages that calendars promised, and which.
fn pending(proof: &Proof) -> Vec<(Vec<u8>, String)> {
    let promise = |claim: Claim| match (claim.message, claim.attestation) {
        (Some(message), Attestation::Pending { uri }) => Some((message, uri)),
        (
            _,
            Attestation::Pending { .. } | Attestation::Bitcoin { .. } | Attestation::Unknown { .. },
        ) => None,
    };
    proof.claims().into_iter().filter_map(promise).collect()
}

fn heights(proof: &Proof) -> Vec<u64> {
    let height = |claim: Claim| match claim.attestation {
        Attestation::Bitcoin { height } => Some(height),
        Attestation::Pending { .. } | Attestation::Unknown { .. } => None,
    };
    proof.claims().into_iter().filter_map(height).collect()
}

fn same_server(url: &str, uri: &str) -> bool {
    url.trim_end_matches('/') == uri.trim_end_matches('/')
}

/// As block explorers write a hash: the last byte first.
fn reversed(hash: &[u8]) -> String {
    HEXLOWER.encode(&hash.iter().rev().copied().collect::<Vec<u8>>())
}

/// What each calendar did, in words that cannot paint the terminal.
fn outcomes(rows: &[Value]) -> Vec<String> {
    let of = |row: &Value, name: &str| {
        let text = row.get(name).and_then(Value::as_str).unwrap_or_default();
        plain(text)
    };
    let outcome = |row| format!("{}: {}", of(row, "calendar"), of(row, "outcome"));
    rows.iter().map(outcome).collect()
}

/// Which calendars did not do as they were asked: people see it besides, scripts see it in the answer.
fn tell_failures(out: Out, rows: &[Value], good: &str) {
    for (row, words) in rows.iter().zip(outcomes(rows)) {
        if row.get("outcome") != Some(&json!(good)) {
            out.note(&words);
        }
    }
}

fn read_proof(path: &Path) -> Result<Proof, Fault> {
    let bytes = read_file(path, PROOF_BYTES_MAX)?;
    Proof::parse(&bytes).map_err(|e| Fault::caused(format!("cannot read {}", path.display()), &e))
}

fn bytes_of(proof: &Proof) -> Result<Vec<u8>, Fault> {
    proof
        .to_bytes()
        .map_err(|e| Fault::caused("the calendars' answers make no proof", &e))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn taken(path: &Path) -> Fault {
    Fault::failed(format!("{} exists", path.display())).hint("name another file with --output")
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return taken(path);
        }
        Fault::caused(format!("cannot write {}", path.display()), &error)
    })
}

/// Puts another proof in the place of one: after a crash it is the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let draft = with_suffix(path, ".new");
    // One that a crash left behind is nobody's; if it is something else, writing fails below.
    drop(fs::remove_file(&draft));
    write_new(&draft, bytes)?;
    fs::rename(&draft, path)
        .map_err(|e| Fault::caused(format!("cannot replace {}", path.display()), &e))
}
