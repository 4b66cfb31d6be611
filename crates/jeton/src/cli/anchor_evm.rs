//! `jeton anchor evm`: heads of a log in the contract `JetonAnchor`, by the JSON-RPC of a node.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use jeton_tlog::VerifierKey;
use serde_json::{Value, json};

use super::{
    anchor::{Told, instant, open, read_checkpoint, read_file},
    fault::Fault,
    out::Out,
    table::at,
    units,
};
use crate::anchor::{
    chain::{self, ChainError, Contract, Put},
    evm::{Address, Head, origin_hash},
    rpc::{Node, Receipt, RpcError},
};

/// The most bytes of a file with a URL.
const URL_BYTES_MAX: usize = 4096;

const EXAMPLES: &str = "\
Examples:
  jeton anchor evm deploy --rpc http://127.0.0.1:8545 --from ADDRESS
  jeton anchor evm put checkpoint --key VKEY --rpc http://127.0.0.1:8545 --contract ADDRESS --from ADDRESS
  jeton anchor evm verify checkpoint --key VKEY --rpc-file provider-url --ca CA.pem --contract ADDRESS

The node signs (eth_sendTransaction): it, or a signer in front of it, holds the key of --from. jeton holds none. A provider's
URL with a secret in its path belongs into a file that others cannot read. What the node says is believed.";

/// What to do with the contract.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct EvmArgs {
    #[command(subcommand)]
    command: EvmCommand,
}

#[derive(Subcommand, Debug)]
enum EvmCommand {
    /// Deploy the contract; the account that pays for it is the one that may anchor
    Deploy(DeployArgs),
    /// Anchor a checkpoint's head
    Put(PutArgs),
    /// Compare a checkpoint with what was anchored
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
struct NodeArgs {
    /// The node's JSON-RPC
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    /// A file that holds the URL of the node's JSON-RPC
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "rpc",
        required_unless_present = "rpc"
    )]
    rpc_file: Option<PathBuf>,
    /// The file that the node's certificate must come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct PayArgs {
    /// The account that pays: its key is with the node
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    from: Address,
    /// How long to wait for the block
    #[arg(long, value_name = "SPAN", default_value = "2m", value_parser = units::span)]
    wait: u64,
}

#[derive(Args, Debug)]
struct SubjectArgs {
    /// The checkpoint's file
    checkpoint: PathBuf,
    /// The log's key: the checkpoint must be signed by it
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    key: VerifierKey,
    /// The contract
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    contract: Address,
}

#[derive(Args, Debug)]
struct DeployArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    pay: PayArgs,
}

#[derive(Args, Debug)]
struct PutArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    pay: PayArgs,
}

#[derive(Args, Debug)]
struct VerifyArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the command.
pub(super) async fn run(args: EvmArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        EvmCommand::Deploy(args) => deploy(args, out).await,
        EvmCommand::Put(args) => put(args, out).await,
        EvmCommand::Verify(args) => verify(args, out).await,
    }
}

async fn deploy(args: DeployArgs, out: Out) -> Result<(), Fault> {
    let node = node(&args.node)?;
    let chain_id = chain_id(&node).await?;
    let wait = Duration::from_secs(args.pay.wait);
    let deployed = chain::deploy(&node, args.pay.from, wait).await;
    let (address, receipt) = deployed.map_err(|e| fault("cannot deploy the contract", &e))?;
    let mut value = paid(&receipt);
    put_in(&mut value, "contract", address.to_string().into());
    put_in(&mut value, "owner", args.pay.from.to_string().into());
    put_in(&mut value, "chain_id", chain_id.into());
    let columns = [
        at("contract", "/contract"),
        at("owner", "/owner"),
        at("chain", "/chain_id"),
        at("transaction", "/transaction"),
        at("block", "/block"),
        at("gas", "/gas"),
    ];
    out.thing(&columns, &value)
}

async fn put(args: PutArgs, out: Out) -> Result<(), Fault> {
    let (told, head) = subject(&args.subject)?;
    let node = node(&args.node)?;
    let what = "cannot anchor the checkpoint";
    let chain_id = chain_id(&node).await?;
    let contract = Contract::at(&node, args.subject.contract).await;
    let contract = contract.map_err(|e| fault(what, &e))?;
    let origin = origin_hash(told.checkpoint.origin());
    let wait = Duration::from_secs(args.pay.wait);
    let done = contract.put(args.pay.from, &origin, &head, wait).await;
    let mut value = match done.map_err(|e| fault(what, &e))? {
        Put::Now(receipt) => paid(&receipt),
        Put::Before(anchored) => {
            out.note("it was anchored before: nothing was sent");
            json!({"block": anchored.number})
        }
    };
    tell(&mut value, &told, chain_id);
    let columns = [
        at("log", "/origin"),
        at("size", "/size"),
        at("root", "/root"),
        at("chain", "/chain_id"),
        at("transaction", "/transaction"),
        at("block", "/block"),
        at("gas", "/gas"),
    ];
    out.thing(&columns, &value)
}

async fn verify(args: VerifyArgs, out: Out) -> Result<(), Fault> {
    let (told, head) = subject(&args.subject)?;
    let node = node(&args.node)?;
    let what = "the checkpoint is not as it was anchored";
    let chain_id = chain_id(&node).await?;
    let contract = Contract::at(&node, args.subject.contract).await;
    let contract = contract.map_err(|e| fault("cannot look into the contract", &e))?;
    let owner = contract.owner().await.map_err(|e| fault(what, &e))?;
    let origin = origin_hash(told.checkpoint.origin());
    let checked = contract.check(&origin, &head).await;
    let anchored = checked.map_err(|e| fault(what, &e))?;
    let mut value = json!({
        "owner": owner.to_string(),
        "block": anchored.number,
        "block_time": instant(anchored.time_s),
    });
    tell(&mut value, &told, chain_id);
    let columns = [
        at("log", "/origin"),
        at("size", "/size"),
        at("root", "/root"),
        at("anchored at", "/block_time"),
        at("in block", "/block"),
        at("of chain", "/chain_id"),
        at("by", "/owner"),
    ];
    out.thing(&columns, &value)
}

fn subject(args: &SubjectArgs) -> Result<(Told, Head), Fault> {
    let told = read_checkpoint(&args.checkpoint, Some(&args.key))?;
    let head = Head {
        size: told.checkpoint.size(),
        root: *told.checkpoint.root().as_bytes(),
        note: told.digest,
    };
    if head.size == 0 {
        return Err(Fault::failed("an empty log has no head to anchor"));
    }
    Ok((told, head))
}

fn node(args: &NodeArgs) -> Result<Node, Fault> {
    let url = match (&args.rpc, &args.rpc_file) {
        (Some(url), _) => url.clone(),
        (None, Some(path)) => {
            let bytes = read_file(path, URL_BYTES_MAX)?;
            String::from_utf8_lossy(&bytes).trim().to_owned()
        }
        (None, None) => return Err(Fault::usage("it is not said which node to ask: --rpc URL")),
    };
    Ok(Node::new(open(&url, args.ca.as_ref())?))
}

async fn chain_id(node: &Node) -> Result<u64, Fault> {
    let told = node.number("eth_chainId", json!([])).await;
    told.map_err(|e| Fault::caused("cannot ask the node", &e))
}

fn tell(value: &mut Value, told: &Told, chain_id: u64) {
    let checkpoint = &told.checkpoint;
    put_in(value, "origin", checkpoint.origin().into());
    put_in(value, "size", checkpoint.size().into());
    put_in(value, "root", checkpoint.root().to_string().into());
    put_in(value, "note", HEXLOWER.encode(&told.digest).into());
    put_in(value, "chain_id", chain_id.into());
}

fn paid(receipt: &Receipt) -> Value {
    json!({"transaction": receipt.transaction, "block": receipt.number, "gas": receipt.gas})
}

fn put_in(value: &mut Value, name: &str, what: Value) {
    if let Some(map) = value.as_object_mut() {
        map.insert(name.to_owned(), what);
    }
}

fn fault(what: &str, error: &ChainError) -> Fault {
    let fault = Fault::caused(what, error);
    match error {
        ChainError::NotGrown { .. } => {
            fault.hint("this checkpoint is old, or the log was rolled back: compare with what witnesses hold")
        }
        ChainError::OtherRoot { .. } => {
            fault.hint("two checkpoints of one size with two roots, both signed, are proof of a forked log: keep both")
        }
        ChainError::OtherNote { .. } => fault.hint("keep the very file that was anchored"),
        ChainError::OtherCode(_) => fault.hint("is the address right, and the node on the right chain?"),
        ChainError::Rpc(RpcError::NotMined { .. }) => {
            fault.hint("it may still come into a block: the same command, given again, looks first")
        }
        ChainError::Rpc(RpcError::Endpoint(_) | RpcError::Refused { .. } | RpcError::Shape { .. } | RpcError::Reverted { .. })
        | ChainError::NoCode
        | ChainError::NotDeployed(_)
        | ChainError::NotAnchored { .. } => fault,
    }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| "an address is 0x and 40 hexadecimal digits".to_owned())
}
