//! What a witness can show that the store does not hold.
//!
//! A witness is a stranger, so its word counts only where a key of this authority has signed what it shows. But the store is what
//! is in doubt: one that was put back may know neither the newest key nor the newest name of the ledger. So the keyring's keys
//! and those of the policy are believed beside the store's own, and every name that the policy knows is asked for.

use std::sync::Arc;

use jeton_core::directory::Log;
use jeton_tlog::{Checkpoint, Policy, VerifiedCheckpoint, VerifierKey};

use crate::node::{
    dir::root_at,
    high_water::{Mark, Seen},
    quarantine::{Memory, Quarantine},
    start::Node,
    witness::{WitnessClient, WitnessError},
};

/// What somebody remembers that the store does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct More {
    /// Why nothing may be allowed.
    pub why: Quarantine,
    /// What must not be forgotten at the next start, whoever is away then.
    pub mark: Mark,
}

/// Asks a witness what it remembers of the ledger, under each of its names: what the store does not hold, and the size that it
/// has seen under the present one.
///
/// # Errors
/// [`WitnessError`] if it cannot say, or shows what nobody here has signed, and nothing that counts under another name.
pub(super) async fn more_seen(
    (name, client): (&str, &WitnessClient),
    node: &Arc<Node>,
    policy: &Policy,
) -> Result<(Option<More>, u64), WitnessError> {
    let log = Arc::clone(node.verifier.directory().log());
    let (mut known, mut failed) = (0, None);
    for origin in origins(&log, policy) {
        let shown = match shown(client, node, policy, (&log, &origin)).await {
            Ok(Some(shown)) => shown,
            Ok(None) => continue,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        if origin == log.origin() {
            known = shown.size();
        }
        if let Some(more) = compare(name, node, &log, &shown).await {
            return Ok((Some(more), known));
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok((None, known)),
    }
}

/// The names to ask for: the present one, and those of the policy that the store does not know. Those of ended epochs are over.
fn origins(log: &Log, policy: &Policy) -> Vec<String> {
    let mut out = vec![log.origin().to_owned()];
    let ended = |name: &str| log.epochs.iter().any(|e| e.origin == name);
    for key in policy.logs().iter().map(|log| log.key().name()) {
        if !ended(key) && !out.iter().any(|known| known == key) {
            out.push(key.to_owned());
        }
    }
    out
}

/// What a witness shows under a name, if a key of this authority has signed it that was not stolen by then.
async fn shown(
    client: &WitnessClient,
    node: &Node,
    policy: &Policy,
    (log, origin): (&Log, &str),
) -> Result<Option<VerifiedCheckpoint>, WitnessError> {
    let Some(note) = client.latest(origin).await? else {
        return Ok(None);
    };
    let mut keys = node.keyring.all_log_keys(origin).unwrap_or_default();
    let told = log.keys.iter();
    keys.extend(told.filter_map(|key| VerifierKey::new(origin, &key.public).ok()));
    let named = policy.logs().iter().map(jeton_tlog::PolicyLog::key);
    keys.extend(named.filter(|key| key.name() == origin).cloned());
    keys.dedup();
    let open = Checkpoint::open_any(note.as_bytes(), &keys).map_err(WitnessError::Answer)?;
    let stolen = |key: &VerifierKey| {
        let of = log.keys.iter().find(|k| k.public == *key.public_key());
        let from = of.and_then(|key| key.compromised_from);
        from.is_some_and(|from| open.size() >= from)
    };
    let believed = open.note().signers().iter().any(|s| !stolen(s.key()));
    Ok(believed.then_some(open))
}

/// Whether the store holds what was shown.
async fn compare(
    name: &str,
    node: &Arc<Node>,
    log: &Log,
    shown: &VerifiedCheckpoint,
) -> Option<More> {
    let (size, root) = (shown.size(), *shown.root());
    let present = shown.origin() == log.origin();
    // A head may be signed a moment before the verifier knows of it.
    let signed = node
        .signed
        .borrow()
        .as_ref()
        .map_or(0, |signed| signed.size);
    let stored = node.verifier.size().max(signed);
    if present && size <= stored {
        // A root that cannot be computed is for the audit to name: it says nothing about the witness.
        let ours = node.read(move |reader| root_at(reader, size)).await;
        if ours.ok().is_none_or(|ours| ours == root) {
            return None;
        }
    }
    let epoch = log.epoch().saturating_add(u32::from(!present));
    Some(More {
        why: Quarantine {
            memory: Memory::Witness(name.to_owned()),
            served: size,
            stored,
        },
        mark: Mark {
            size,
            seen: Seen::Root(root),
            epoch,
        },
    })
}
