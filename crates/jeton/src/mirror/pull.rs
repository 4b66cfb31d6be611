//! One round of a mirror: the youngest checkpoint, everything that it signs beyond what is kept, and then, at last, itself.

use jeton_tlog::{Hash, Policy, TileBuilder};

use super::{
    Dir, MirrorError, Seen, Shown, Source,
    follow::{Grown, grow, judge},
    openings::{Openings, fetch},
};

/// A mirror: from where, to where, and what is believed.
pub struct Pull<'a> {
    /// The log.
    pub source: &'a Source,
    /// Where it is kept.
    pub dir: &'a Dir,
    /// What a checkpoint must satisfy.
    pub policy: &'a Policy,
    /// Whether openings are kept, too.
    pub openings: bool,
}

/// What a round brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Which log.
    pub origin: String,
    /// How many entries are kept now.
    pub size: u64,
    /// The root above them.
    pub root: Hash,
    /// How many of them are new.
    pub new: u64,
    /// How many openings are new, if they are kept.
    pub openings: Option<u64>,
    /// How many events something was erased from.
    pub erased: u64,
}

impl Pull<'_> {
    /// Mirrors what the log has.
    ///
    /// # Errors
    /// [`MirrorError::Found`] if the log is not what it must be; the mirror then stays as it was, and the checkpoint that
    /// proves it is kept as `conflict`. The other errors of [`MirrorError`].
    pub async fn round(&self) -> Result<Pulled, MirrorError> {
        let kept = self.dir.seen()?;
        let seen = kept.as_ref().map(|(seen, _)| seen);
        let note = self.source.checkpoint().await?;
        let shown = match judge(note.clone(), self.policy, seen) {
            Ok(shown) => shown,
            Err(finding) => return Err(self.convict(&note, finding.into())),
        };
        let old = seen.map_or(0, |seen| seen.size);
        if old < shown.seen.size {
            let grown = self.grow(seen, &shown).await;
            grown.map_err(|error| self.convict(&note, error))?;
        }
        let (openings, erased) = if self.openings {
            let kept = Openings::open(self.dir.path(), old)?;
            let fetched = fetch(self.source, kept, shown.seen.size).await?;
            (Some(fetched.new), fetched.erased)
        } else {
            (None, 0)
        };
        if kept.as_ref().is_none_or(|(_, kept)| *kept != note) {
            self.dir.commit(&note)?;
        }
        let Seen { origin, size, root } = shown.seen;
        self.dir.forget_partials(old, size)?;
        Ok(Pulled {
            origin,
            size,
            root,
            new: size - old,
            openings,
            erased,
        })
    }

    /// Writes everything between two checkpoints but the checkpoint.
    async fn grow(&self, seen: Option<&Seen>, shown: &Shown) -> Result<(), MirrorError> {
        let tree = match seen {
            Some(seen) => self.dir.tree(seen)?,
            None => TileBuilder::new(),
        };
        let mut keep = |grown: Grown<'_>| {
            self.dir.put(&grown.bundle.path(), grown.bytes)?;
            let mut tiles = grown.tiles.iter();
            tiles.try_for_each(|tile| self.dir.put(&tile.id.path(), &tile.bytes))
        };
        let tree = grow(self.source, tree, shown, &mut keep).await?;
        let edge = tree.partial_tiles();
        let mut edge = edge.iter();
        edge.try_for_each(|tile| self.dir.put(&tile.id.path(), &tile.bytes))
    }

    /// Keeps the checkpoint by which a log convicts itself.
    fn convict(&self, note: &[u8], error: MirrorError) -> MirrorError {
        let found = matches!(error, MirrorError::Found(_));
        match self.dir.put("conflict", note) {
            Err(unkept) if found => {
                tracing::warn!(error = %unkept, "the checkpoint that proves it was not kept");
                error
            }
            Ok(()) | Err(_) => error,
        }
    }
}
