//! Trust policies: which logs are believed, and how many witnesses must have seen the same head.
//!
//! A policy is a text file that everybody who verifies holds (c2sp.org/tlog-policy). It turns "the
//! log has signed this" into "the log has signed this, and enough others would have noticed another
//! version of it". What a file says, and whether that is enough, are two questions: [`Policy::parse`]
//! answers the first, [`Policy::lint`] the second.
//!
//! The specification treats names as octets; here a policy must be UTF-8, as the keys in it are.

use crate::checkpoint::{Checkpoint, CheckpointError, VerifiedCheckpoint};
use crate::cosignature::{Cosignature, WitnessKey};
use crate::key::{KeyError, VerifierKey};
use crate::note::{Note, NoteError};

mod lint;
mod quorum;
mod read;

pub use lint::{Severity, Warning};
pub use quorum::{SAFE_QUORUMS, Strength, safe_quorum};

use quorum::{Group, Quorum};

/// The longest policy that is read: 64 KiB.
pub const POLICY_BYTES_MAX: usize = 64 * 1_024;

/// The most logs, witnesses and groups, of each; the specification asks for at least 32.
pub const POLICY_ITEMS_MAX: usize = 64;

/// The longest name of a witness or group.
pub const POLICY_NAME_BYTES_MAX: usize = 255;

/// The longest URL.
pub const POLICY_URL_BYTES_MAX: usize = 2_048;

/// Why a text is not a policy, or a checkpoint does not satisfy one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The text is longer than [`POLICY_BYTES_MAX`].
    #[error("a policy has at most 65536 bytes, not {actual}")]
    TooLong {
        /// Its length.
        actual: usize,
    },
    /// A line is wrong.
    #[error("line {line}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        fault: LineFault,
    },
    /// There is no quorum line.
    #[error("the policy has no quorum line")]
    QuorumMissing,
    /// The checkpoint is not one, or no log of the policy has signed it.
    #[error("the checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// A cosignature of a known witness is bad.
    #[error("the cosignatures")]
    Cosignatures(#[source] NoteError),
    /// Too few witnesses have cosigned, or not the right ones.
    #[error(
        "the quorum is not met: cosigned by {}, missing {missing}",
        told(signed)
    )]
    QuorumNotMet {
        /// The names in the policy of the witnesses that have cosigned.
        signed: Vec<String>,
        /// What is missing, in words: "1 more of w2, w4".
        missing: String,
    },
}

fn told(signed: &[String]) -> String {
    if signed.is_empty() {
        return "nobody".to_owned();
    }
    signed.join(", ")
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It has a control character other than the tab.
    #[error("it has a control character")]
    Control,
    /// It is the last one, and no newline ends it: the file may have been cut short.
    #[error("no newline ends it")]
    Unfinished,
    /// Its first word is none of log, witness, group, quorum.
    #[error("it begins with none of log, witness, group, quorum")]
    Keyword,
    /// It has too few or too many words.
    #[error("it must be `{form}`")]
    Form {
        /// The form it must have.
        form: &'static str,
    },
    /// The key cannot be read, or is of the wrong type.
    #[error("the key")]
    Key(#[source] KeyError),
    /// Another line has the same public key.
    #[error("line {earlier} has the same public key")]
    DuplicateKey {
        /// That line.
        earlier: usize,
    },
    /// The name is taken, reserved (`none`) or too long.
    #[error("the name {name} is taken or cannot be one")]
    Name {
        /// The name.
        name: String,
    },
    /// The URL is too long.
    #[error("a url has at most 2048 bytes")]
    Url,
    /// The name is of no witness or group above.
    #[error("no line above defines {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The witness or group is a member of another group already, or twice of this one.
    #[error("{name} is a member of a group already")]
    MemberTwice {
        /// The name.
        name: String,
    },
    /// The threshold is not `any`, `all`, or a number from 1 to the number of members.
    #[error("the threshold is neither any, all, nor a number from 1 to {members}")]
    Threshold {
        /// How many members the group has.
        members: usize,
    },
    /// There was a quorum line before.
    #[error("there is a quorum line already")]
    QuorumTwice,
    /// There are more than [`POLICY_ITEMS_MAX`] lines of the kind.
    #[error("there are more than 64 lines of the kind")]
    TooMany,
}

/// A log that the policy believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLog {
    key: VerifierKey,
    url: Option<String>,
}

impl PolicyLog {
    /// Its key, whose name is the origin of the log.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Where it is, if the policy says.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

/// A witness that the policy knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWitness {
    name: String,
    key: WitnessKey,
    url: Option<String>,
}

impl PolicyWitness {
    /// What the policy calls it, which need not be the name of its key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// Its submission prefix (c2sp.org/tlog-witness), if the policy says.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

/// Which logs are believed, and which witnesses must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

impl Policy {
    /// Reads a policy (c2sp.org/tlog-policy, "Policy file syntax and structure").
    ///
    /// # Errors
    /// [`PolicyError::TooLong`], [`PolicyError::Line`], [`PolicyError::QuorumMissing`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        read::read(text)
    }

    /// The logs, in the order of the file; any one of them may have signed.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the order of the file, also those that no quorum asks for.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether the witnesses of which `cosigned` says yes are a quorum.
    pub fn is_met(&self, cosigned: impl Fn(&PolicyWitness) -> bool) -> bool {
        self.missing(&cosigned).is_none()
    }

    /// Believes a checkpoint if one of the logs has signed it and a quorum has cosigned it.
    ///
    /// # Errors
    /// [`PolicyError::Checkpoint`], [`PolicyError::Cosignatures`], [`PolicyError::QuorumNotMet`].
    pub fn verify(&self, note: &[u8]) -> Result<WitnessedCheckpoint, PolicyError> {
        let note = Note::parse(note)
            .map_err(CheckpointError::Note)
            .map_err(PolicyError::Checkpoint)?;
        let keys: Vec<VerifierKey> = self.logs.iter().map(|log| log.key.clone()).collect();
        let checkpoint = Checkpoint::open_note(&note, &keys).map_err(PolicyError::Checkpoint)?;
        let keys: Vec<WitnessKey> = self.witnesses.iter().map(|w| w.key.clone()).collect();
        let cosignatures = note.cosignatures(&keys);
        let cosignatures = cosignatures.map_err(PolicyError::Cosignatures)?;
        let has = |witness: &PolicyWitness| cosignatures.iter().any(|c| *c.key() == witness.key);
        if let Some(missing) = self.missing(&has) {
            let signed = self.witnesses.iter().filter(|witness| has(witness));
            let signed = signed.map(|witness| witness.name.clone()).collect();
            return Err(PolicyError::QuorumNotMet { signed, missing });
        }
        Ok(WitnessedCheckpoint {
            checkpoint,
            cosignatures,
        })
    }
}

/// A checkpoint that satisfies a policy, made only by [`Policy::verify`].
///
/// ```compile_fail,E0451
/// # fn forge(checkpoint: jeton_tlog::VerifiedCheckpoint) {
/// let forged = jeton_tlog::WitnessedCheckpoint { checkpoint, cosignatures: Vec::new() };
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedCheckpoint {
    checkpoint: VerifiedCheckpoint,
    cosignatures: Vec<Cosignature>,
}

impl WitnessedCheckpoint {
    /// The checkpoint, which its log has signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// Who of the policy's witnesses has cosigned it, and when: at least a quorum.
    #[must_use]
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }

    /// The earliest time of a cosignature, in seconds since 1970; `None` if nobody cosigned.
    #[must_use]
    pub fn earliest_s(&self) -> Option<u64> {
        self.cosignatures.iter().map(Cosignature::time_s).min()
    }

    /// The latest time of a cosignature, in seconds since 1970; `None` if nobody cosigned.
    #[must_use]
    pub fn latest_s(&self) -> Option<u64> {
        self.cosignatures.iter().map(Cosignature::time_s).max()
    }
}

#[cfg(test)]
mod tests;
