//! The witnesses of a policy, together: what they remember of the log at a start, and the cosignatures that a checkpoint needs
//! before it is shown.
//!
//! A witness is a stranger. Its word alone puts nobody in quarantine: what it remembers counts only where the log's own key has
//! signed it. And nobody waits for the slowest: a checkpoint is shown when a quorum has cosigned it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jeton_store::tree::{Tree, TreeError};
use jeton_tlog::{Checkpoint, Note, Policy, PolicyError};
use tokio::task::JoinSet;

use crate::{
    net::NetError,
    node::{
        memory::{More, more_seen},
        publish::Signed,
        start::Node,
        witness::{WITNESS_TIMEOUT, WitnessClient, WitnessError},
    },
};

/// How often one witness is asked about one checkpoint: from a size that it is not at, it says at which it is.
const TRIES: usize = 3;
/// How long the others may still take once a quorum has cosigned.
const GRACE: Duration = Duration::from_millis(200);

/// Why a policy cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    /// The file.
    #[error("cannot read the witness policy {path}")]
    File {
        /// Which.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The policy.
    #[error("the witness policy {path}: {source}")]
    Policy {
        /// Which.
        path: String,
        /// What is wrong with it.
        #[source]
        source: PolicyError,
    },
    /// It is of another log.
    #[error("the witness policy has no `log` line of this ledger: add `log {0}`")]
    OtherLog(String),
    /// A witness without an address cannot be asked.
    #[error("witness {0} has no URL in the policy, so it cannot be asked to cosign")]
    NoUrl(String),
    /// A witness cannot be asked.
    #[error("witness {name}: {source}")]
    Client {
        /// Which.
        name: String,
        /// What is wrong with its URL or CA.
        #[source]
        source: NetError,
    },
}

/// One witness.
struct Witness {
    name: String,
    client: WitnessClient,
    /// The size that it cosigned last, as far as it is known here.
    size: AtomicU64,
    /// It has said what it remembers.
    heard: AtomicBool,
}

impl Witness {
    async fn recall(
        &self,
        node: &Arc<Node>,
        policy: &Policy,
    ) -> Result<Option<More>, WitnessError> {
        let (more, known) = more_seen((&self.name, &self.client), node, policy).await?;
        self.size.store(known, Relaxed);
        Ok(more)
    }
}

/// The witnesses of a policy.
pub struct Quorum {
    text: String,
    policy: Arc<Policy>,
    witnesses: Vec<Arc<Witness>>,
}

/// What one witness remembers of a ledger, as it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recalled {
    /// The name of the witness.
    pub witness: String,
    /// The name of the ledger.
    pub origin: String,
    /// The last checkpoint that it cosigned, under its own verified cosignature; `None`: it knows none. `Err`: why it did not say.
    pub latest: Result<Option<String>, String>,
}

/// What asking one witness came to.
enum Asked {
    Cosigned(Vec<String>),
    Older(More),
    Failed,
}

impl Quorum {
    /// Reads a policy, and makes a client for each of its witnesses.
    ///
    /// # Errors
    /// [`QuorumError`].
    pub fn read(path: &Path, ca: Option<&Path>) -> Result<Self, QuorumError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| QuorumError::File {
            path: shown(),
            source,
        })?;
        let policy = Policy::parse(&text).map_err(|source| QuorumError::Policy {
            path: shown(),
            source,
        })?;
        let mut witnesses = Vec::new();
        for witness in policy.witnesses() {
            let name = witness.name().to_owned();
            let url = witness
                .url()
                .ok_or_else(|| QuorumError::NoUrl(name.clone()))?;
            let client = WitnessClient::new(url, witness.key().clone(), ca, WITNESS_TIMEOUT);
            let client = client.map_err(|source| QuorumError::Client {
                name: name.clone(),
                source,
            })?;
            witnesses.push(Arc::new(Witness {
                name,
                client,
                size: AtomicU64::new(0),
                heard: AtomicBool::new(false),
            }));
        }
        Ok(Self {
            text,
            policy: Arc::new(policy),
            witnesses,
        })
    }

    /// The policy as it stands in the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the policy is about this log.
    ///
    /// # Errors
    /// [`QuorumError::OtherLog`].
    pub fn is_of(&self, node: &Node) -> Result<(), QuorumError> {
        let keys = node.log_keys();
        let known = |key| self.policy.logs().iter().any(|log| log.key() == key);
        match keys.first() {
            Some(first) if !keys.iter().any(known) => Err(QuorumError::OtherLog(first.to_string())),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a checkpoint satisfies the policy.
    #[must_use]
    pub fn is_met(&self, note: &str) -> bool {
        self.opened(note).is_some()
    }

    /// The checkpoint in a note that satisfies the policy.
    #[must_use]
    pub fn opened(&self, note: &str) -> Option<Checkpoint> {
        let open = self.policy.verify(note.as_bytes()).ok()?;
        Some(open.checkpoint().checkpoint().clone())
    }

    /// The name of each witness, and the size that it cosigned last.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let witnesses = self.witnesses.iter();
        witnesses.map(|w| (w.name.as_str(), w.size.load(Relaxed)))
    }

    /// What each witness remembers of the ledgers that the policy names, whoever signed that: for an audit, which has no node.
    pub async fn recall(&self) -> Vec<Recalled> {
        let mut origins: Vec<&str> = self.policy.logs().iter().map(|l| l.key().name()).collect();
        origins.sort_unstable();
        origins.dedup();
        let mut asking = JoinSet::new();
        for witness in &self.witnesses {
            for origin in &origins {
                let (witness, origin) = (Arc::clone(witness), (*origin).to_owned());
                asking.spawn(async move {
                    let latest = witness.client.latest(&origin).await;
                    Recalled {
                        witness: witness.name.clone(),
                        origin,
                        latest: latest.map_err(|error| in_words(&error)),
                    }
                });
            }
        }
        let mut recalled = asking.join_all().await;
        recalled.sort_by(|a, b| (&a.witness, &a.origin).cmp(&(&b.witness, &b.origin)));
        recalled
    }

    /// What the witnesses remember that the store does not hold: at a start before anything is allowed, and again and again until
    /// each has been heard once. One that takes longer than `patience` is asked later, since a store that was put back need not
    /// have anything to cosign.
    pub async fn remember(&self, node: &Arc<Node>, patience: Duration) -> Option<More> {
        let mut asking = JoinSet::new();
        for witness in self.witnesses.iter().filter(|w| !w.heard.load(Relaxed)) {
            let (witness, node) = (Arc::clone(witness), Arc::clone(node));
            let policy = Arc::clone(&self.policy);
            asking.spawn(async move {
                let recalled = witness.recall(&node, &policy).await;
                (witness, recalled)
            });
        }
        let mut most: Option<More> = None;
        let listening = async {
            while let Some(answer) = asking.join_next().await {
                let Ok((witness, recalled)) = answer else {
                    continue;
                };
                match recalled {
                    // Heard only now: what is not listened to any more is asked for again.
                    Ok(more) => {
                        witness.heard.store(true, Relaxed);
                        let served = |more: &More| more.why.served;
                        most = most.take().into_iter().chain(more).max_by_key(served);
                    }
                    Err(error) => told(
                        &witness.name,
                        &error,
                        "a witness cannot say what it remembers",
                    ),
                }
            }
        };
        if tokio::time::timeout(patience, listening).await.is_err() {
            tracing::warn!(
                "not every witness has said in time what it remembers: they are asked again"
            );
        }
        most
    }

    /// Whether each witness has said once what it remembers.
    #[must_use]
    pub fn all_heard(&self) -> bool {
        self.witnesses.iter().all(|w| w.heard.load(Relaxed))
    }

    /// Has a signed checkpoint cosigned: the note that satisfies the policy. `None`: too few answered, or somebody remembers
    /// more than there is, and the gate is closed.
    pub async fn cosign(&self, node: &Arc<Node>, signed: &Signed) -> Option<String> {
        let mut asking = JoinSet::new();
        for witness in &self.witnesses {
            let (witness, node, signed) = (Arc::clone(witness), Arc::clone(node), signed.clone());
            let policy = Arc::clone(&self.policy);
            asking.spawn(async move { ask(&witness, &node, &signed, &policy).await });
        }
        let mut note = Note::parse(signed.note.as_bytes()).ok()?;
        while let Some(asked) = asking.join_next().await {
            take(&mut note, node, asked.ok())?;
            if self.is_met(&note.to_string()) {
                break;
            }
        }
        let rest = async {
            while let Some(asked) = asking.join_next().await {
                take(&mut note, node, asked.ok())?;
            }
            Some(())
        };
        if tokio::time::timeout(GRACE, rest).await == Ok(None) {
            return None;
        }
        match self.policy.verify(note.to_string().as_bytes()) {
            Ok(_) => Some(note.to_string()),
            Err(error) => {
                tracing::warn!(size = signed.size, %error, "a checkpoint is not witnessed, and is not shown");
                None
            }
        }
    }
}

/// Adds what a witness said; `None` if it closed the gate.
fn take(note: &mut Note, node: &Node, asked: Option<Asked>) -> Option<()> {
    match asked {
        Some(Asked::Cosigned(lines)) => {
            let lines = jeton_tlog::Signature::parse_lines(&lines.concat()).ok();
            for line in lines.into_iter().flatten() {
                if let Err(error) = note.add(line) {
                    tracing::warn!(%error, "a cosignature does not fit into the note");
                }
            }
            Some(())
        }
        Some(Asked::Older(more)) => {
            node.gate.close(more.why, Some(more.mark));
            None
        }
        Some(Asked::Failed) | None => Some(()),
    }
}

/// An error with its cause, on one line.
fn in_words(error: &WitnessError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn told(witness: &str, error: &WitnessError, what: &'static str) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(witness, %error, cause, "{what}");
}

async fn ask(witness: &Witness, node: &Arc<Node>, signed: &Signed, policy: &Policy) -> Asked {
    for _ in 0..TRIES {
        let (old, size) = (witness.size.load(Relaxed), signed.size);
        if old > size {
            break;
        }
        let proof = node.read(
            move |reader| match Tree::new(reader, size).consistency(old) {
                Ok(proof) => Ok(Some(proof)),
                Err(TreeError::Proof(_)) => Ok(None),
                Err(TreeError::Store(error)) => Err(error),
            },
        );
        let Ok(Some(proof)) = proof.await else {
            tracing::error!(old, size, "there is no proof for a witness");
            return Asked::Failed;
        };
        match witness
            .client
            .add_checkpoint(&signed.note, old, &proof)
            .await
        {
            Ok(lines) => {
                witness.size.store(size, Relaxed);
                return Asked::Cosigned(lines);
            }
            Err(WitnessError::Conflict { size }) => witness.size.store(size, Relaxed),
            Err(error) => {
                told(&witness.name, &error, "a witness did not cosign");
                if !error.is_split() {
                    return Asked::Failed;
                }
                break;
            }
        }
    }
    // It is ahead, or it has seen something else: if it can show what the log's own key has signed, that is the truth.
    match witness.recall(node, policy).await {
        Ok(Some(more)) => Asked::Older(more),
        Ok(None) => Asked::Failed,
        Err(error) => {
            told(&witness.name, &error, "a witness refuses and shows nothing");
            Asked::Failed
        }
    }
}
