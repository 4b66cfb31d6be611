//! What the ledger says of itself: its name, its keys, its witnesses.

use minicbor::{Decode, Encode};

use super::Inapplicable;
use crate::event::{KeyPurpose, LogEvent};

/// A key that signs checkpoints, or did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct LogKey {
    /// The Ed25519 public key.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub public: [u8; 32],
    /// The index of the event that put it in force.
    #[n(1)]
    pub added: u64,
    /// The index of the event that retired it.
    #[n(2)]
    pub retired: Option<u64>,
    /// What it signed from this size on is not to be believed.
    #[n(3)]
    pub compromised_from: Option<u64>,
}

impl LogKey {
    /// Whether it may have signed a checkpoint of `size`, and is to be believed.
    #[must_use]
    pub fn signs_at(&self, size: u64) -> bool {
        let stolen = self.compromised_from.is_some_and(|from| size >= from);
        self.in_force_at(size) && !stolen
    }

    /// Whether the ledger itself may have signed a checkpoint of `size` with it. After a theft this is no reason to believe one.
    #[must_use]
    pub fn in_force_at(&self, size: u64) -> bool {
        self.added < size && self.retired.is_none_or(|at| size <= at)
    }
}

/// A name of the ledger, and from where on it had it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Epoch {
    /// The index of its first event.
    #[n(0)]
    pub from: u64,
    /// The name, as in checkpoints.
    #[n(1)]
    pub origin: String,
}

/// What the ledger says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub struct Log {
    /// Its names, oldest first.
    #[n(0)]
    pub epochs: Vec<Epoch>,
    /// Its keys, oldest first, retired ones included.
    #[n(1)]
    pub keys: Vec<LogKey>,
    /// Who must cosign a checkpoint before it is published (c2sp.org/tlog-policy).
    #[n(2)]
    pub policy: Option<String>,
    /// The epoch in which somebody redeemed a setup secret last; 0: nobody did.
    #[n(3)]
    pub operated_in: u32,
}

impl Log {
    /// Its name now; empty before the first event.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.epochs.last().map_or("", |e| &e.origin)
    }

    /// Its name in a checkpoint of `size`.
    #[must_use]
    pub fn origin_at(&self, size: u64) -> &str {
        let epochs = self.epochs.iter().rev();
        let mut begun = epochs.filter(|e| e.from < size);
        begun.next().map_or("", |e| &e.origin)
    }

    /// In which epoch it is, from 1; 0 before the first event.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        u32::try_from(self.epochs.len()).unwrap_or(u32::MAX)
    }

    /// Whether it has an operator: an epoch ends the credentials of the one before.
    #[must_use]
    pub fn is_operated(&self) -> bool {
        self.operated_in == self.epoch()
    }

    /// The index of the first event of the epoch.
    #[must_use]
    pub fn epoch_from(&self) -> u64 {
        self.epochs.last().map_or(0, |e| e.from)
    }

    /// The keys that sign now: two while one takes over from the other.
    pub fn signing(&self) -> impl Iterator<Item = &LogKey> {
        self.keys.iter().filter(|k| k.retired.is_none())
    }

    pub(super) fn begin(&mut self, origin: &str, key: [u8; 32]) {
        self.epochs.push(Epoch {
            from: 0,
            origin: origin.to_owned(),
        });
        self.add(key, 0);
    }

    fn add(&mut self, public: [u8; 32], added: u64) {
        self.keys.push(LogKey {
            public,
            added,
            retired: None,
            compromised_from: None,
        });
    }

    pub(super) fn change(&mut self, index: u64, event: &LogEvent) -> Result<(), Inapplicable> {
        let public = |key: &[u8]| {
            <[u8; 32]>::try_from(key).map_err(|_| Inapplicable("a ledger key has 32 bytes"))
        };
        match event {
            LogEvent::KeyAdded {
                purpose: KeyPurpose::Ledger,
                key,
            } => {
                let key = public(key)?;
                if self.keys.iter().any(|k| k.public == key) {
                    return Err(Inapplicable("a ledger key is added twice"));
                }
                self.add(key, index);
            }
            LogEvent::KeyRetired {
                purpose: KeyPurpose::Ledger,
                key,
                compromised_from,
            } => {
                let key = public(key)?;
                let last = self.signing().count() < 2;
                let found = self.keys.iter_mut().find(|k| k.public == key);
                let found = found.filter(|k| k.retired.is_none() && !last);
                let found = found.ok_or(Inapplicable("the only ledger key, or no such key"))?;
                found.retired = Some(index);
                found.compromised_from = *compromised_from;
            }
            LogEvent::PolicySet { policy } => self.policy.clone_from(policy),
            LogEvent::EpochBegan { origin, .. } => {
                if self.epochs.iter().any(|e| e.origin == *origin) {
                    return Err(Inapplicable("an epoch has a name that was used before"));
                }
                self.epochs.push(Epoch {
                    from: index,
                    origin: origin.clone(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(key: u8) -> LogEvent {
        LogEvent::KeyAdded {
            purpose: KeyPurpose::Ledger,
            key: vec![key; 32],
        }
    }

    fn retired(key: u8, compromised_from: Option<u64>) -> LogEvent {
        LogEvent::KeyRetired {
            purpose: KeyPurpose::Ledger,
            key: vec![key; 32],
            compromised_from,
        }
    }

    fn signers(log: &Log, size: u64) -> Vec<u8> {
        let keys = log.keys.iter().filter(|k| k.signs_at(size));
        keys.map(|k| k.public[0]).collect()
    }

    #[test]
    fn keys_overlap_and_one_always_signs() {
        let mut log = Log::default();
        log.begin("a", [1; 32]);
        assert!(log.change(5, &retired(1, None)).is_err(), "the only key");
        log.change(10, &added(2)).unwrap();
        assert!(log.change(11, &added(1)).is_err(), "twice");
        log.change(20, &retired(1, None)).unwrap();
        assert!(log.change(21, &retired(1, None)).is_err(), "twice");
        assert!(log.change(21, &retired(2, None)).is_err(), "the only key");
        for (size, due) in [
            (0, vec![]),
            (1, vec![1]),
            (10, vec![1]),
            (11, vec![1, 2]),
            (20, vec![1, 2]),
            (21, vec![2]),
        ] {
            assert_eq!(signers(&log, size), due, "at size {size}");
        }
    }

    #[test]
    fn what_a_stolen_key_signed_is_believed_up_to_the_theft() {
        let mut log = Log::default();
        log.begin("a", [1; 32]);
        log.change(10, &added(2)).unwrap();
        log.change(20, &retired(1, Some(15))).unwrap();
        assert_eq!(signers(&log, 14), [1, 2]);
        assert_eq!(signers(&log, 15), [2]);
    }

    #[test]
    fn an_epoch_has_its_name_from_its_first_event_on() {
        let mut log = Log::default();
        log.begin("a", [1; 32]);
        let epoch = |origin: &str| LogEvent::EpochBegan {
            origin: origin.to_owned(),
            served: 9,
            reason: "restored".to_owned(),
        };
        log.change(7, &epoch("a/2")).unwrap();
        assert!(log.change(8, &epoch("a")).is_err(), "a name comes once");
        assert_eq!((log.origin_at(7), log.origin_at(8)), ("a", "a/2"));
        assert_eq!(log.origin(), "a/2");
    }
}
