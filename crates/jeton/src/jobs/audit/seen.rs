//! What the rolling audit has seen, for metrics and for whoever asks.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jeton_store::fsck::Finding;

use super::Round;

/// What the rolling audit has seen.
#[derive(Default)]
pub struct Seen {
    rounds: AtomicU64,
    events: AtomicU64,
    rows: AtomicU64,
    took_ms: AtomicU64,
    findings: Mutex<Vec<Finding>>,
}

impl Seen {
    /// How many rounds ended.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Relaxed)
    }

    /// How many events the last round walked.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// How many rows the last round compared.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// How long the last round took, in milliseconds.
    #[must_use]
    pub fn took_ms(&self) -> u64 {
        self.took_ms.load(Relaxed)
    }

    /// What stands: the findings of the last round that ended, with those of the one that runs.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.lock().clone()
    }

    /// How many those are.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.lock().len()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A round that still goes on found this.
    pub(super) fn found(&self, finding: &Finding) {
        let mut standing = self.lock();
        if !standing.contains(finding) {
            standing.push(finding.clone());
        }
    }

    /// A round ended: what it found is what stands.
    pub(super) fn ended(&self, round: &Round, took: Duration) {
        self.lock().clone_from(&round.findings);
        self.events.store(round.events, Relaxed);
        self.rows.store(round.rows, Relaxed);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.took_ms.store(took_ms, Relaxed);
        self.rounds.fetch_add(1, Relaxed);
    }
}
