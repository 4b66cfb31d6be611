//! Events about the ledger itself: its keys, its witnesses, its epochs. They stand in the log under kinds that everybody can see.

use minicbor::{Decode, Encode};

use super::LogEvent::{EpochBegan, KeyAdded, KeyRetired, PolicySet};
use crate::leaf::LeafKind;

/// The longest reason that is kept with an epoch, in bytes.
pub const REASON_BYTES_MAX: usize = 512;
/// The longest witness policy that is kept, in bytes.
pub const POLICY_BYTES_MAX: usize = 16 * 1024;

/// What a signing key is for. Numbers are kept for keys of access tokens (1) and of attenuable tokens (2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum KeyPurpose {
    /// Checkpoints of the ledger: Ed25519, 32 bytes.
    #[n(0)]
    Ledger,
}

/// A change of the ledger itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum LogEvent {
    /// A signing key came in force, beside those that are.
    #[n(0)]
    KeyAdded {
        /// What for.
        #[n(0)]
        purpose: KeyPurpose,
        /// The public key.
        #[cbor(n(1), with = "minicbor::bytes")]
        key: Vec<u8>,
    },
    /// A signing key signs no more.
    #[n(1)]
    KeyRetired {
        /// What for.
        #[n(0)]
        purpose: KeyPurpose,
        /// The public key.
        #[cbor(n(1), with = "minicbor::bytes")]
        key: Vec<u8>,
        /// Somebody else may have it, so what it signed from this ledger size on is not to be believed.
        #[n(2)]
        compromised_from: Option<u64>,
    },
    /// Other witnesses must cosign a checkpoint before it is published.
    #[n(2)]
    PolicySet {
        /// The policy (c2sp.org/tlog-policy); none: checkpoints are published unwitnessed.
        #[n(0)]
        policy: Option<String>,
    },
    /// The ledger goes on under another name, since a part of it that was shown is lost. Everything issued before is dead.
    #[n(3)]
    EpochBegan {
        /// The name from now on.
        #[n(0)]
        origin: String,
        /// The highest size that was ever shown under the name before. What lies between is lost.
        #[n(1)]
        served: u64,
        /// Why, in the operator's words.
        #[n(2)]
        reason: String,
    },
}

impl LogEvent {
    /// The name in the audit trail, in metrics and in webhooks.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            KeyAdded { .. } => "ledger.key_added",
            KeyRetired { .. } => "ledger.key_retired",
            PolicySet { .. } => "ledger.policy_set",
            EpochBegan { .. } => "ledger.epoch_began",
        }
    }

    /// The kind under which it stands in the log.
    #[must_use]
    pub const fn kind(&self) -> LeafKind {
        match self {
            KeyAdded {
                purpose: KeyPurpose::Ledger,
                ..
            }
            | KeyRetired {
                purpose: KeyPurpose::Ledger,
                ..
            }
            | PolicySet { .. }
            | EpochBegan { .. } => LeafKind::LogChange,
        }
    }
}
