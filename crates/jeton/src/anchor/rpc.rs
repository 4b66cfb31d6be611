//! JSON-RPC to the node of an Ethereum-like chain: a question, an answer, nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use super::endpoint::{Endpoint, EndpointError};
use super::evm::{Address, bytes_of, number_of};

/// How often a node is asked whether a transaction is in a block.
const PACE: Duration = Duration::from_millis(250);

/// Why a node's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// It could not be asked.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It said no: of a contract's no, the reason stands in the message.
    #[error("the node refuses {method}: {message}")]
    Refused {
        /// What it was asked.
        method: &'static str,
        /// In its words.
        message: String,
    },
    /// What it answered is not of the shape of an answer.
    #[error("the node's answer to {method} makes no sense")]
    Shape {
        /// What it was asked.
        method: &'static str,
    },
    /// The transaction is in no block yet.
    #[error("transaction {transaction} is in no block after {after:?}")]
    NotMined {
        /// The transaction, which may still come into one.
        transaction: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The transaction is in a block, and was reverted there.
    #[error("transaction {transaction} was reverted")]
    Reverted {
        /// The transaction.
        transaction: String,
    },
}

/// A transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its hash, as the node writes it.
    pub transaction: String,
    /// The block's number.
    pub number: u64,
    /// The gas that it took.
    pub gas: u64,
    /// The contract that it made, if it made one.
    pub contract: Option<Address>,
}

/// A node: what it says is believed.
pub struct Node {
    endpoint: Endpoint,
}

impl Node {
    /// The node behind a server.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// [`RpcError::Endpoint`], [`RpcError::Refused`], [`RpcError::Shape`] if it is no JSON-RPC 2.0 answer.
    pub async fn ask(&self, method: &'static str, params: Value) -> Result<Value, RpcError> {
        let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = question.to_string().into_bytes();
        let body = self.endpoint.post("", "application/json", body).await?;
        let shape = || RpcError::Shape { method };
        let mut answer: Value = serde_json::from_slice(&body).map_err(|_| shape())?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let message = error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("no reason given");
            // As much as a person reads.
            let message = message.chars().take(300).collect();
            return Err(RpcError::Refused { method, message });
        }
        if answer.get("id") != Some(&json!(1)) {
            return Err(shape());
        }
        answer.get_mut("result").map(Value::take).ok_or_else(shape)
    }

    /// Asks for a number.
    ///
    /// # Errors
    /// As [`Node::ask`].
    pub async fn number(&self, method: &'static str, params: Value) -> Result<u64, RpcError> {
        let answer = self.ask(method, params).await?;
        number_of(&answer).ok_or(RpcError::Shape { method })
    }

    /// Asks for bytes.
    ///
    /// # Errors
    /// As [`Node::ask`].
    pub async fn bytes(&self, method: &'static str, params: Value) -> Result<Vec<u8>, RpcError> {
        let answer = self.ask(method, params).await?;
        bytes_of(&answer).ok_or(RpcError::Shape { method })
    }

    /// Sends a transaction from an account whose key the node holds, and waits until it is in a block.
    ///
    /// It is sent once. When the answer is lost or the wait is over, it may be in a block all the same: both ways have a
    /// question that tells (`eth_getTransactionReceipt`; the contract's head).
    ///
    /// # Errors
    /// As [`Node::ask`]; [`RpcError::NotMined`], [`RpcError::Reverted`].
    pub async fn transact(&self, order: Value, wait: Duration) -> Result<Receipt, RpcError> {
        let method = "eth_sendTransaction";
        let sent = self.ask(method, json!([order])).await?;
        let hash = bytes_of(&sent).filter(|hash| hash.len() == 32);
        let (Some(_), Some(transaction)) = (hash, sent.as_str()) else {
            return Err(RpcError::Shape { method });
        };
        match tokio::time::timeout(wait, self.mined(transaction)).await {
            Ok(receipt) => receipt,
            Err(_) => Err(RpcError::NotMined {
                transaction: transaction.to_owned(),
                after: wait,
            }),
        }
    }

    async fn mined(&self, transaction: &str) -> Result<Receipt, RpcError> {
        let method = "eth_getTransactionReceipt";
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let receipt = self.ask(method, json!([transaction])).await?;
            if receipt.is_null() {
                continue;
            }
            let number = |name: &str| receipt.get(name).and_then(number_of);
            let shape = RpcError::Shape { method };
            let (Some(status), Some(block), Some(gas)) =
                (number("status"), number("blockNumber"), number("gasUsed"))
            else {
                return Err(shape);
            };
            let transaction = transaction.to_owned();
            if status != 1 {
                return Err(RpcError::Reverted { transaction });
            }
            let contract = receipt.get("contractAddress").and_then(Value::as_str);
            return Ok(Receipt {
                transaction,
                number: block,
                gas,
                contract: contract.and_then(Address::parse),
            });
        }
    }
}
