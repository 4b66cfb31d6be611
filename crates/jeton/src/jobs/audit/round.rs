//! One round: the ledger from its first event, then every row, each compared with the memory of the node.
//!
//! Memory is the truth here: it came by replay alone, each opening checked against its leaf, and what is stored since was
//! decided in it. The store may run ahead of memory for a moment, so what looks wrong is looked at again while the writer
//! stands still ([`super::confirm`]).

use std::{sync::Arc, time::Duration};

use jeton_store::{StoreError, fsck::Finding, sqlite::SqliteReader};
use tokio::runtime::Handle;

use super::{ledger::Ledger, rows};
use crate::{capability, node::start::Node};

/// The most findings of one round.
pub(super) const FINDINGS_MAX: usize = 1000;

/// What a round works with.
pub struct Means<'a> {
    /// The node.
    pub node: &'a Arc<Node>,
    /// Where the writer is asked.
    pub runtime: &'a Handle,
    /// Rests after so much work. `false`: it is time to stop.
    pub rest: &'a dyn Fn(Duration) -> bool,
    /// Hears of each finding as soon as it is sure.
    pub found: &'a dyn Fn(&Finding),
}

/// What a round saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Round {
    /// How many events it walked.
    pub events: u64,
    /// How many rows it compared.
    pub rows: u64,
    /// What it found.
    pub findings: Vec<Finding>,
}

/// A round that goes on.
pub(super) struct Going<'a> {
    pub(super) means: &'a Means<'a>,
    pub(super) reader: SqliteReader,
    /// The size of the ledger that memory held when the round began: only what is below is compared.
    pub(super) limit: u64,
    pub(super) round: Round,
}

impl Going<'_> {
    pub(super) fn found(&mut self, finding: Finding) {
        if self.round.findings.len() < FINDINGS_MAX && !self.round.findings.contains(&finding) {
            (self.means.found)(&finding);
            self.round.findings.push(finding);
        }
    }

    /// Does a piece of work and rests from it, as long as there is more.
    pub(super) fn piecewise(
        &mut self,
        mut piece: impl FnMut(&mut Self) -> Result<More, StoreError>,
    ) -> Result<Ended, StoreError> {
        loop {
            let since = capability::stopwatch();
            let more = piece(self)?;
            if !(self.means.rest)(since()) {
                return Ok(Ended::Stopped);
            }
            if more == More::No {
                return Ok(Ended::Through);
            }
        }
    }
}

/// Whether there is more of a kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum More {
    Yes,
    No,
}

/// How a kind of work ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    Through,
    Stopped,
}

/// Goes one round. `None`: it was stopped.
///
/// # Errors
/// [`StoreError`] if the store cannot be read to its end.
pub fn round(means: &Means<'_>) -> Result<Option<Round>, StoreError> {
    let path = means.node.dir.join("ledger.db");
    // Between two batches memory is exactly what is stored. No moment: the writer has ended.
    let Some(moment) = means.node.writer.moment() else {
        return Ok(None);
    };
    let limit = moment.directory().size();
    drop(moment);
    let mut going = Going {
        means,
        reader: SqliteReader::open(&path)?,
        limit,
        round: Round::default(),
    };
    let mut ledger = Ledger::new(&mut going)?;
    if going.piecewise(|going| ledger.piece(going))? == Ended::Stopped {
        return Ok(None);
    }
    ledger.end(&mut going)?;
    let counted = ledger.counted();
    if rows::tokens(&mut going, &counted)? == Ended::Stopped
        || rows::things(&mut going, &counted)? == Ended::Stopped
    {
        return Ok(None);
    }
    Ok(Some(going.round))
}
