//! Quarantine: a ledger that is older than one that was shown, or another one, neither allows nor changes nor signs anything.
//!
//! A restored backup does not know what was revoked since. Nobody can tell by looking at it alone: the high-water mark, the
//! witnesses and whoever holds a receipt can. The ways out are a mirror that has the missing part, and a new epoch.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwapOption;
use jeton_verify::check::Verifier;

use crate::node::high_water::{HighWater, Mark};

/// Who has seen more, or something else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Memory {
    /// The mark beside the database.
    HighWater,
    /// A checkpoint that the ledger's own key has signed, in the store itself.
    Checkpoint,
    /// A witness, by name.
    Witness(String),
    /// Nobody: a backup was restored where nothing knows what came after it. The size that was shown may be any, from one more
    /// than the store holds.
    Nobody,
}

impl core::fmt::Display for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::HighWater => f.write_str("the high-water mark"),
            Self::Checkpoint => f.write_str("the newest signed checkpoint"),
            Self::Witness(name) => write!(f, "witness {name}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// Why the authority is in quarantine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantine {
    /// Who remembers.
    pub memory: Memory,
    /// The size that was shown.
    pub served: u64,
    /// The size of the store.
    pub stored: u64,
}

impl core::fmt::Display for Quarantine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            memory,
            served,
            stored,
        } = self;
        if *memory == Memory::Nobody {
            write!(
                f,
                "restored: nobody knows what was served after the backup; the store holds {stored} events"
            )
        } else if served > stored {
            write!(
                f,
                "rollback: {memory} has seen {served} events, the store holds {stored}"
            )
        } else {
            write!(
                f,
                "another history: {memory} has seen other events up to {served} than the store, which holds {stored}"
            )
        }
    }
}

/// Whether the authority is in quarantine, for all who must know.
pub struct Gate {
    why: ArcSwapOption<Quarantine>,
    verifier: Arc<Verifier>,
    high_water: PathBuf,
}

impl Gate {
    /// The gate of a verifier, open; what must outlive this process goes into the file of the high-water mark.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, high_water: PathBuf) -> Self {
        Self {
            why: ArcSwapOption::empty(),
            verifier,
            high_water,
        }
    }

    /// Puts the authority in quarantine. There is no way back but a start; and where somebody else remembers, none by that
    /// either: whoever remembers may be away then, so what they have seen becomes this directory's own mark.
    pub fn close(&self, why: Quarantine, seen: Option<Mark>) {
        self.verifier.close();
        if let Some(mark) = seen {
            let raised = HighWater::open(&self.high_water).and_then(|file| {
                file.raise(&mark)?;
                file.sync()
            });
            if let Err(error) = raised {
                tracing::error!(%error, "the high-water mark does not know of it: a start without witnesses would not either");
            }
        }
        tracing::error!(
            served = why.served,
            stored = why.stored,
            %why,
            "quarantine: nothing is allowed, changed or signed. Stop this node; then `jeton log recover --from-mirror` brings \
             the missing part back, or `jeton log new-epoch` ends everything issued before it"
        );
        self.why.store(Some(Arc::new(why)));
    }

    /// Why the authority is in quarantine, if it is.
    #[must_use]
    pub fn why(&self) -> Option<Arc<Quarantine>> {
        self.why.load_full()
    }

    /// Whether it is.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.verifier.is_closed()
    }
}
