//! The contract at work: deployed, given heads, asked for them.
//!
//! A node is believed in what it says of its chain. That the contract is the one whose source is in `deploy/anchor/`, and so
//! takes growing sizes only, is compared: its code must be ours, byte for byte.

use std::time::Duration;

use serde_json::{Value, json};

use super::evm::{self, Address, Anchored, Head, Word, bytes_of, hex, number_of};
use super::rpc::{Node, Receipt, RpcError};

/// Why a head was not anchored, or is not what the contract says.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The node is at fault, or says no.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// This build has no code of the contract.
    #[error("this build holds no code of the contract")]
    NoCode,
    /// The node says that the transaction made no contract.
    #[error("transaction {0} made no contract")]
    NotDeployed(String),
    /// Another contract, or none, is at the address.
    #[error("the code at {0} is not that of JetonAnchor")]
    OtherCode(Address),
    /// The contract holds a head that is as large or larger.
    #[error(
        "the contract holds {held} leaves of this log, so it takes no head of {offered}: size must grow"
    )]
    NotGrown {
        /// The size it holds.
        held: u64,
        /// The size it was to take.
        offered: u64,
    },
    /// The contract holds no head of this size.
    #[error("no head of {size} leaves of this log was anchored; the last has {last}")]
    NotAnchored {
        /// The size that was asked for.
        size: u64,
        /// The size of the last head; 0 if there is none.
        last: u64,
    },
    /// The head of this size that was anchored has another root.
    #[error("another root was anchored for {size} leaves: {root}")]
    OtherRoot {
        /// The size.
        size: u64,
        /// The root that was anchored.
        root: String,
    },
    /// The same head was anchored from another file.
    #[error(
        "the head of {size} leaves was anchored from another checkpoint file, with other signatures"
    )]
    OtherNote {
        /// The size.
        size: u64,
    },
}

/// What became of a head that was to be anchored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// A transaction anchored it.
    Now(Receipt),
    /// It was anchored before.
    Before(Anchored),
}

/// The contract on a chain.
pub struct Contract<'n> {
    node: &'n Node,
    address: Address,
}

/// Deploys the contract; `from` is its owner.
///
/// # Errors
/// [`ChainError::Rpc`], [`ChainError::NotDeployed`], [`ChainError::OtherCode`].
pub async fn deploy(
    node: &Node,
    from: Address,
    wait: Duration,
) -> Result<(Address, Receipt), ChainError> {
    let code = evm::code().ok_or(ChainError::NoCode)?;
    let order = json!({"from": from.to_string(), "data": code.creation});
    let receipt = node.transact(order, wait).await?;
    let Some(address) = receipt.contract else {
        return Err(ChainError::NotDeployed(receipt.transaction));
    };
    Contract::at(node, address).await?;
    Ok((address, receipt))
}

impl<'n> Contract<'n> {
    /// The contract at an address, whose code is compared.
    ///
    /// # Errors
    /// [`ChainError::Rpc`], [`ChainError::OtherCode`].
    pub async fn at(node: &'n Node, address: Address) -> Result<Self, ChainError> {
        let code = evm::code().ok_or(ChainError::NoCode)?;
        let params = json!([address.to_string(), "latest"]);
        let found = node.bytes("eth_getCode", params).await?;
        if hex(&found) != code.runtime {
            return Err(ChainError::OtherCode(address));
        }
        Ok(Self { node, address })
    }

    /// Who may anchor.
    ///
    /// # Errors
    /// [`ChainError::Rpc`].
    pub async fn owner(&self) -> Result<Address, ChainError> {
        let answer = self.call(evm::owner_call()).await?;
        let word = answer.as_slice().try_into().ok();
        let owner = word.and_then(|word: &Word| Address::from_word(word));
        Ok(owner.ok_or(RpcError::Shape { method: "eth_call" })?)
    }

    /// The last head of a log.
    ///
    /// # Errors
    /// [`ChainError::Rpc`].
    pub async fn head(&self, origin: &Word) -> Result<Option<Anchored>, ChainError> {
        let answer = self.call(evm::head_call(origin)).await?;
        let method = "eth_call";
        Ok(evm::head_answer(&answer).ok_or(RpcError::Shape { method })?)
    }

    /// Anchors a head from an account whose key the node holds. The same head a second time costs nothing.
    ///
    /// The call is tried first without a transaction, so that a no costs nothing either.
    ///
    /// # Errors
    /// [`ChainError::NotGrown`], [`ChainError::Rpc`].
    pub async fn put(
        &self,
        from: Address,
        origin: &Word,
        head: &Head,
        wait: Duration,
    ) -> Result<Put, ChainError> {
        let held = self.head(origin).await?;
        if let Some(same) = held.filter(|held| held.head == *head) {
            return Ok(Put::Before(same));
        }
        let order = json!({
            "from": from.to_string(),
            "to": self.address.to_string(),
            "data": evm::anchor_call(origin, head),
        });
        if let Err(refused) = self.node.bytes("eth_call", json!([order, "latest"])).await {
            // The contract decides; here its no is only told in figures.
            let held = held
                .map(|held| held.head.size)
                .filter(|held| *held >= head.size);
            return Err(match (refused, held) {
                (RpcError::Refused { .. }, Some(held)) => ChainError::NotGrown {
                    held,
                    offered: head.size,
                },
                (other, _) => other.into(),
            });
        }
        Ok(Put::Now(self.node.transact(order, wait).await?))
    }

    /// Compares a head with what was anchored: the last head, or an earlier one by the contract's events.
    ///
    /// # Errors
    /// [`ChainError::NotAnchored`], [`ChainError::OtherRoot`], [`ChainError::OtherNote`], [`ChainError::Rpc`].
    pub async fn check(&self, origin: &Word, head: &Head) -> Result<Anchored, ChainError> {
        let size = head.size;
        let last = self.head(origin).await?;
        let anchored = match last {
            Some(last) if last.head.size == size => Some(last),
            Some(last) if last.head.size > size => self.earlier(origin, size).await?,
            Some(_) | None => None,
        };
        let Some(anchored) = anchored else {
            let last = last.map_or(0, |last| last.head.size);
            return Err(ChainError::NotAnchored { size, last });
        };
        if anchored.head.root != head.root {
            let root = hex(&anchored.head.root);
            return Err(ChainError::OtherRoot { size, root });
        }
        if anchored.head.note != head.note {
            return Err(ChainError::OtherNote { size });
        }
        Ok(anchored)
    }

    /// A head that a later one has replaced.
    async fn earlier(&self, origin: &Word, size: u64) -> Result<Option<Anchored>, ChainError> {
        let method = "eth_getLogs";
        let filter = json!([{
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": self.address.to_string(),
            "topics": [hex(&evm::ANCHORED), hex(origin), hex(&evm::word(size))],
        }]);
        let logs = self.node.ask(method, filter).await?;
        let shape = || ChainError::Rpc(RpcError::Shape { method });
        // The contract's rule makes it one at most.
        let Some(log) = logs.as_array().ok_or_else(shape)?.first() else {
            return Ok(None);
        };
        let data = log.get("data").and_then(bytes_of);
        let [root, note] = data
            .as_deref()
            .and_then(evm::event_data)
            .ok_or_else(shape)?;
        let number = log
            .get("blockNumber")
            .and_then(number_of)
            .ok_or_else(shape)?;
        let time_s = self.time_s(number).await?;
        let head = Head { size, root, note };
        Ok(Some(Anchored {
            head,
            number,
            time_s,
        }))
    }

    async fn time_s(&self, number: u64) -> Result<u64, ChainError> {
        let method = "eth_getBlockByNumber";
        let block = self
            .node
            .ask(method, json!([format!("{number:#x}"), false]))
            .await?;
        let time = block.get("timestamp").and_then(number_of);
        Ok(time.ok_or(RpcError::Shape { method })?)
    }

    async fn call(&self, data: String) -> Result<Vec<u8>, ChainError> {
        let order: Value = json!({"to": self.address.to_string(), "data": data});
        Ok(self
            .node
            .bytes("eth_call", json!([order, "latest"]))
            .await?)
    }
}
