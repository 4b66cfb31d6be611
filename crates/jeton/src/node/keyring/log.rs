//! The keys of the ledger itself: one signs, and while one takes over from another, two.

use std::sync::PoisonError;

use jeton_core::directory::Log;
use jeton_tlog::{KeyError, SigningKey, VerifierKey};
use zeroize::Zeroizing;

use super::{Keyring, KeyringError, Seed};
use crate::capability;

impl Keyring {
    /// The key that a ledger begins with.
    ///
    /// # Errors
    /// [`KeyError`] if the origin cannot name a key.
    pub fn log_key(&self, origin: &str) -> Result<SigningKey, KeyError> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        SigningKey::from_seed(origin, &content.log_seed)
    }

    /// What is made of each seed of a ledger key, oldest first.
    ///
    /// # Errors
    /// The first that `make` gives.
    fn log_seeds<T, E>(&self, make: impl Fn(&[u8; 32]) -> Result<T, E>) -> Result<Vec<T>, E> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let more = content.log_seeds_more.iter().flatten();
        core::iter::once(&content.log_seed)
            .chain(more.map(|Seed(seed)| seed))
            .map(make)
            .collect()
    }

    /// Another ledger key, durably kept: its public half. It signs nothing before the ledger says that it may. A crash after this
    /// leaves a key that the ledger does not know; then that one is given.
    ///
    /// # Errors
    /// [`KeyringError`] if the file cannot be written.
    pub fn add_log_key(&self, log: &Log) -> Result<[u8; 32], KeyringError> {
        let known = |public: &[u8; 32]| log.keys.iter().any(|k| k.public == *public);
        let here = self.log_seeds(|seed| self.public(seed))?;
        if let Some(spare) = here.into_iter().find(|public| !known(public)) {
            return Ok(spare);
        }
        let seed = Zeroizing::new(capability::draw::<32>());
        let public = self.public(&seed)?;
        self.change(|content| {
            let more = content.log_seeds_more.get_or_insert_default();
            more.push(Seed(*seed));
            Ok(())
        })?;
        Ok(public)
    }

    /// Removes the seeds of keys that the ledger has retired. The last one stays whatever is said of it: a keyring has one.
    ///
    /// # Errors
    /// [`KeyringError`] if the file cannot be written.
    pub fn forget_retired_log_keys(&self, log: &Log) -> Result<(), KeyringError> {
        let retired = |public: &[u8; 32]| {
            let mut gone = log.keys.iter().filter(|k| k.retired.is_some());
            gone.any(|k| k.public == *public)
        };
        let here = self.log_seeds(|seed| self.public(seed))?;
        let stays: Vec<bool> = here.iter().map(|public| !retired(public)).collect();
        if stays.iter().all(|stays| *stays) || !stays.contains(&true) {
            return Ok(());
        }
        self.change(|content| {
            let more = content.log_seeds_more.take().unwrap_or_default();
            let all = core::iter::once(Seed(content.log_seed)).chain(more);
            let kept = all.zip(&stays).filter(|(_, stays)| **stays);
            let mut kept = kept.map(|(seed, _)| seed);
            if let Some(first) = kept.next() {
                content.log_seed = first.0;
            }
            content.log_seeds_more = Some(kept.collect());
            Ok(())
        })
    }

    /// The public half of a seed: the same under every name.
    fn public(&self, seed: &[u8; 32]) -> Result<[u8; 32], KeyringError> {
        let key = SigningKey::from_seed("ledger", seed);
        let key = key.map_err(|_| KeyringError::Sealed(self.path.clone()))?;
        Ok(*key.verifier().public_key())
    }

    /// The public halves of all that is here, under a name of the ledger.
    ///
    /// # Errors
    /// [`KeyError`] if it cannot name a key.
    pub fn all_log_keys(&self, origin: &str) -> Result<Vec<VerifierKey>, KeyError> {
        self.log_seeds(|seed| {
            let key = SigningKey::from_seed(origin, seed)?;
            Ok(key.verifier().clone())
        })
    }

    /// The keys that sign a checkpoint of `size`, oldest first: two while one takes over from the other.
    ///
    /// # Errors
    /// [`KeyError`] if the ledger's name cannot name a key.
    pub fn log_keys(&self, log: &Log, size: u64) -> Result<Vec<SigningKey>, KeyError> {
        let origin = log.origin_at(size);
        let due = log.keys.iter().filter(|k| k.signs_at(size));
        let due: Vec<[u8; 32]> = due.map(|k| k.public).collect();
        let mut keys = self.log_seeds(|seed| SigningKey::from_seed(origin, seed))?;
        keys.retain(|key| due.contains(key.verifier().public_key()));
        Ok(keys)
    }
}
