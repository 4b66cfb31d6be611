//! The ledger's own keys: another one comes in force, an older one is retired.
//!
//! The seed of a new key is on the disk before the ledger says that it signs, and that of an old one goes after the ledger has
//! said that it signs no more. So whatever the ledger wants signed can be signed:
//!
//! | the machine dies … | then |
//! |---|---|
//! | after a seed was made, before its event | a seed that nothing uses; the next order takes that one |
//! | after the event of a new key, before the answer | it signs; a repetition is told that two keys do |
//! | after the event of a retirement, before its seed goes | it signs nothing any more; the next start, or a repetition, removes the seed |

use std::sync::Arc;

use jeton_core::{
    authority::Authority,
    decision::Decision,
    directory::{Directory, Log},
    ledger_key,
    refusal::{Blame, Refusal},
    scope::ScopeSet,
};
use jeton_tlog::{Policy, VerifierKey};

use crate::{
    app::{Ctx, Words, authority},
    node::{
        keyring::{Keyring, KeyringError},
        writer::{Facts, Purpose, Ruling},
    },
};

/// Makes another ledger key, and puts it in force beside the one that is: its public half, and the ledger's size.
///
/// # Errors
/// The rule's [`Blame`]; [`Refusal::Unavailable`] if its seed cannot be kept.
pub async fn add(ctx: &Ctx) -> Result<([u8; 32], u64), Blame> {
    let directory = Directory::clone(&ctx.node.verifier.directory());
    // Refuse what can be refused before a key is made for it.
    {
        let record = ctx.node.verifier.record(ctx.token);
        let record = record.ok_or(Refusal::TokenUnknown)?;
        let now = ctx.node.clock.time();
        let operator = Authority::of_token(&directory, &record, ScopeSet::EMPTY, now)?;
        ledger_key::may_add(&operator, &directory)?;
    }
    let log = Arc::clone(directory.log());
    let key = kept(ctx, move |keyring| keyring.add_log_key(&log)).await?;
    let size = changed(ctx, move |facts, operator| {
        ledger_key::add(operator, &key, facts.directory)
    });
    Ok((key, size.await?))
}

/// Retires a ledger key. The seed goes when that is durable.
///
/// # Errors
/// The rule's [`Blame`]; [`Refusal::StateConflict`] where the other key is not here, or not in the witness policy: nothing could
/// be signed or shown any more. [`Refusal::Unavailable`] if the seed cannot be removed: a repetition tries again.
pub async fn retire(ctx: &Ctx, key: [u8; 32], compromised_from: Option<u64>) -> Result<u64, Blame> {
    {
        let directory = ctx.node.verifier.directory();
        can_go_on(&ctx.node.keyring, &directory, &key)?;
    }
    let size = changed(ctx, move |facts, operator| {
        ledger_key::retire(operator, &key, compromised_from, facts.directory)
    });
    let size = size.await?;
    let log = Arc::clone(ctx.node.verifier.directory().log());
    kept(ctx, move |keyring| keyring.forget_retired_log_keys(&log)).await?;
    Ok(size)
}

/// Whether checkpoints can be signed and shown without a key, as far as another signs at all: that is for the rule to say.
fn can_go_on(keyring: &Keyring, directory: &Directory, key: &[u8; 32]) -> Result<(), Blame> {
    let log = directory.log();
    let others: Vec<[u8; 32]> = log
        .signing()
        .map(|k| k.public)
        .filter(|k| k != key)
        .collect();
    let here = keyring.log_keys(log, directory.size());
    let here = here.map_err(|_| Refusal::Unavailable)?;
    let kept = |other: &[u8; 32]| here.iter().any(|k| k.verifier().public_key() == other);
    if !others.iter().all(kept) {
        return Err(conflict("the keyring does not hold the other key"));
    }
    if !others.is_empty() && !named_in_policy(log, &others) {
        return Err(conflict(
            "the witness policy has no log line of the other key: add it, or nothing more is shown",
        ));
    }
    Ok(())
}

/// Whether the witness policy, if there is one, names one of these keys.
fn named_in_policy(log: &Log, keys: &[[u8; 32]]) -> bool {
    let Some(policy) = log.policy.as_deref().and_then(|p| Policy::parse(p).ok()) else {
        return true;
    };
    let mut logs = policy.logs().iter();
    logs.any(|log| keys.contains(log.key().public_key()))
}

fn conflict(rule: &str) -> Blame {
    Blame {
        refusal: Refusal::StateConflict,
        field: None,
        rule: Some(rule.to_owned()),
    }
}

/// A key as verifiers know it, under the ledger's name.
///
/// # Errors
/// [`Refusal::Internal`]: the ledger holds a key that is none.
pub fn named(log: &Log, public: &[u8; 32]) -> Result<VerifierKey, Refusal> {
    VerifierKey::new(log.origin(), public).map_err(|_| Refusal::Internal)
}

async fn changed<F>(ctx: &Ctx, rule: F) -> Result<u64, Blame>
where
    F: FnOnce(&Facts<'_>, &Authority) -> Decision<()> + Send + 'static,
{
    let (tenant, token, words) = (ctx.tenant, ctx.token, Words::of(ctx).to_json());
    let done = ctx.node.writer.submit(Purpose::Grow, move |facts| {
        let operator = match authority(facts, token) {
            Ok(operator) => operator,
            Err(blame) => return Ruling::no(tenant, blame),
        };
        Ruling {
            tenant,
            actor: operator.actor(),
            request: None,
            words,
            decision: rule(facts, &operator),
        }
    });
    done.await.map(|done| done.size)
}

/// Changes the keyring, on a thread that may block.
async fn kept<T: Send + 'static>(
    ctx: &Ctx,
    change: impl FnOnce(&Keyring) -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, Blame> {
    let keyring = Arc::clone(&ctx.node.keyring);
    let changed = tokio::task::spawn_blocking(move || change(&keyring)).await;
    changed.map_err(|_| Refusal::Internal)?.map_err(|error| {
        tracing::error!(%error, "the keyring was not changed");
        Refusal::Unavailable.into()
    })
}
