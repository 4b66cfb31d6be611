//! The keys of the ledger itself: one signs, and while one takes over from another, two.

use std::sync::PoisonError;

use jeton_core::directory::Log;
use jeton_tlog::{KeyError, SigningKey};
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

    /// Makes another ledger key, durably, and gives its public half. It signs nothing before the ledger says that it may. A
    /// crash after this leaves a key that nothing uses.
    ///
    /// # Errors
    /// [`KeyringError`] if the file cannot be written.
    pub fn add_log_key(&self) -> Result<[u8; 32], KeyringError> {
        let seed = Zeroizing::new(capability::draw::<32>());
        self.change(|content| {
            let more = content.log_seeds_more.get_or_insert_default();
            more.push(Seed(*seed));
            Ok(())
        })?;
        let sealed = || KeyringError::Sealed(self.path.clone());
        let key = SigningKey::from_seed("ledger", &seed).map_err(|_| sealed())?;
        Ok(*key.verifier().public_key())
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
