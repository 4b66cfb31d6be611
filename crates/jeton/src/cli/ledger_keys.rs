//! `jeton keys log`: the keys that sign the ledger, for the operator alone.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::{
    fault::Fault,
    out::Out,
    remote::Remote,
    table::{Column, at},
};

const KEYS: [Column; 6] = [
    at("id", "/id"),
    at("state", "/state"),
    at("since", "/added_index"),
    at("until", "/retired_index"),
    at("stolen from", "/compromised_from"),
    at("verifier key", "/vkey"),
];

#[derive(Subcommand, Debug)]
pub(super) enum LedgerKeysCommand {
    /// List the keys of the ledger, oldest first
    List,
    /// Put another key in force; the one before it signs still, until it is retired
    Rotate,
    /// Retire a key: it signs no more, and is removed from the keyring
    Retire(Retire),
}

#[derive(Args, Debug)]
pub(super) struct Retire {
    /// Its id, as it stands in signature lines: eight hexadecimal digits
    #[arg(value_name = "ID", value_parser = key_id)]
    id: String,
    /// Somebody else may have it: what it signed from this ledger size on is not to be believed
    #[arg(long, value_name = "SIZE")]
    compromised_from: Option<u64>,
}

fn key_id(text: &str) -> Result<String, String> {
    let hex = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hex {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("eight hexadecimal digits are wanted: `jeton keys log list` shows them".to_owned())
    }
}

/// Runs the command.
pub(super) async fn run(
    remote: &Remote,
    command: LedgerKeysCommand,
    out: Out,
) -> Result<(), Fault> {
    match command {
        LedgerKeysCommand::List => out.list(&KEYS, &remote.whole("/v1/ledger/keys").await?),
        LedgerKeysCommand::Rotate => {
            let made = remote.post("/v1/ledger/keys").await?;
            out.thing(&KEYS, &made)?;
            out.note(
                "Checkpoints carry both signatures from now on. Give the new verifier key to whoever verifies (it stands in \
                 /log/vkey too), name it in the witness policy, then retire the older one.",
            );
            Ok(())
        }
        LedgerKeysCommand::Retire(retire) => {
            let path = format!("/v1/ledger/keys/{}/retire", retire.id);
            let mut order = Map::new();
            let from = retire.compromised_from;
            order.extend(from.map(|size| ("compromised_from".to_owned(), Value::from(size))));
            let order = Value::Object(order);
            let retired = remote.order(Method::POST, &path, &order).await?;
            out.thing(&KEYS, &retired)
        }
    }
}
