//! What lies outside of a store and knows something of its ledger: the mark, the keyring, the witnesses.

use std::path::Path;

use jeton_store::fsck::{Finding, Report};

use super::recalled::Witnessed;
use crate::node::high_water::{self, Mark};

/// What lies outside of the store and knows something of its ledger.
#[derive(Debug)]
pub struct Outside {
    /// The end of the ledger that was shown last, as the file beside the store says.
    pub high_water: HighWater,
    /// The Ed25519 keys that sign the checkpoints now, as far as the keyring holds their seeds.
    pub log_keys: Vec<[u8; 32]>,
    /// What each witness remembers, if any was asked.
    pub witnesses: Vec<Witnessed>,
}

/// The file beside the store that keeps the highest size ever shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HighWater {
    /// So far the ledger was shown.
    Shown(Mark),
    /// There is none: a fresh directory, or a copy of a store without it.
    Absent,
    /// It holds no mark.
    Unreadable,
}

impl HighWater {
    /// Reads the file of a data directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        match high_water::HighWater::read(&dir.join("high-water")) {
            Ok(Some(mark)) => Self::Shown(mark),
            Ok(None) => Self::Absent,
            Err(_) => Self::Unreadable,
        }
    }

    /// The mark in it.
    #[must_use]
    pub const fn mark(&self) -> Option<Mark> {
        match self {
            Self::Shown(mark) => Some(*mark),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// Compares what the store held with what lies outside of it. `origin` is the name by which the ledger was asked for.
#[must_use]
pub fn outside(report: &Report, known: &Outside, origin: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    match known.high_water {
        HighWater::Unreadable => {
            found.push(Finding::new("high-water", "file", "it holds no mark").field("size"));
        }
        HighWater::Shown(mark) => found.extend(above(report, &mark)),
        HighWater::Absent => {}
    }
    let here = |public: &[u8; 32]| known.log_keys.contains(public);
    let lost = report.log.signing().filter(|key| !here(&key.public));
    found.extend(lost.map(|key| {
        let what = "the keyring holds no seed of this key, which signs the checkpoints";
        Finding::new("keyring", "log key", what)
            .field("log_key")
            .leaf(Some(key.added))
    }));
    if let Some((named, _)) = &report.genesis
        && named != origin
    {
        let what = format!("the ledger names itself {named}, not {origin}");
        found.push(Finding::at_leaf(0, what).field("origin"));
    }
    let witnesses = known.witnesses.iter();
    found.extend(witnesses.filter_map(Witnessed::finding));
    found
}

/// What the mark has seen that the store does not hold, or holds otherwise.
fn above(report: &Report, mark: &Mark) -> Option<Finding> {
    let finding = |what: String| Finding::new("high-water", "file", what);
    let (stored, epoch) = (report.head?, report.log.epoch());
    // Without a first event nobody knows the epoch; that it is missing was told.
    if epoch > 0 && mark.epoch > epoch {
        let what = format!(
            "rollback: epoch {} has begun, the store holds {epoch}",
            mark.epoch
        );
        return Some(finding(what).field("epoch"));
    }
    if epoch > mark.epoch {
        // What was shown before the epoch is lost, as the ledger says itself.
        return None;
    }
    if mark.is_unknown() {
        let what = "restored: nobody knows what was served after the backup, so a revocation may be missing";
        return Some(finding(what.to_owned()).field("size"));
    }
    let shown = mark.size;
    if shown > stored {
        let what = format!("rollback: {shown} events were shown, the store holds {stored}");
        return Some(finding(what).field("size"));
    }
    let root = report.roots.iter().find(|(size, _)| *size == shown)?.1;
    let other = mark.root().is_some_and(|due| due != root);
    let what =
        format!("another history: of {shown} events, others were shown than the store holds");
    other.then(|| finding(what).field("root").leaf(shown.checked_sub(1)))
}

#[cfg(test)]
mod tests {
    use jeton_core::directory::{Epoch, Log, LogKey};
    use jeton_tlog::Hash;

    use super::*;
    use crate::node::high_water::Seen;

    fn report(head: u64, epochs: u64) -> Report {
        let epochs = (0..epochs).map(|n| Epoch {
            from: n * 3,
            origin: format!("a.test/log/{n}"),
        });
        let key = LogKey {
            public: [1; 32],
            added: 0,
            retired: None,
            compromised_from: None,
        };
        Report {
            head: Some(head),
            genesis: Some(("a.test/log".into(), [1; 32])),
            log: Log {
                epochs: epochs.collect(),
                keys: vec![key],
                ..Log::default()
            },
            roots: (0..=head).map(|size| (size, root(size))).collect(),
            ..Report::default()
        }
    }

    fn root(of: u64) -> Hash {
        Hash::from_bytes([u8::try_from(of).unwrap(); 32])
    }

    fn known(high_water: HighWater, log_keys: Vec<[u8; 32]>) -> Outside {
        Outside {
            high_water,
            log_keys,
            witnesses: Vec::new(),
        }
    }

    fn shown(size: u64, root: Option<Hash>, epoch: u32) -> HighWater {
        let seen = root.map_or(Seen::Size, Seen::Root);
        HighWater::Shown(Mark { size, seen, epoch })
    }

    fn unknown(after: u64, epoch: u32) -> HighWater {
        HighWater::Shown(Mark::unknown_after(after, epoch))
    }

    #[test]
    fn the_mark_is_on_the_way_of_the_store() {
        for (mark, head, epochs, due) in [
            (HighWater::Absent, 7, 1, None),
            (HighWater::Unreadable, 7, 1, Some("size")),
            (shown(7, None, 1), 7, 1, None),
            (shown(7, Some(root(7)), 1), 7, 1, None),
            (shown(6, Some(root(6)), 1), 7, 1, None),
            (shown(6, Some(root(9)), 1), 7, 1, Some("root")),
            (shown(8, Some(root(8)), 1), 7, 1, Some("size")),
            (shown(8, None, 1), 7, 1, Some("size")),
            // However large the store is, it does not know what came after; a new epoch ends that.
            (unknown(6, 1), 7, 1, Some("size")),
            (unknown(7, 1), 7, 1, Some("size")),
            (unknown(7, 1), 7, 2, None),
            // What was shown before an epoch began is lost by its own word; an epoch that is lost is not.
            (shown(9, Some(root(9)), 1), 7, 2, None),
            (shown(7, Some(root(7)), 2), 7, 2, None),
            (shown(8, Some(root(8)), 2), 7, 2, Some("size")),
            (shown(5, Some(root(5)), 2), 7, 1, Some("epoch")),
        ] {
            let found = outside(
                &report(head, epochs),
                &known(mark, vec![[1; 32]]),
                "a.test/log",
            );
            let fields: Vec<_> = found.iter().map(|f| (f.table, f.field)).collect();
            let due: Vec<_> = due
                .map(|field| ("high-water", Some(field)))
                .into_iter()
                .collect();
            assert_eq!(fields, due, "{mark:?} {head} {epochs}");
        }
    }

    #[test]
    fn a_key_that_is_not_here_and_another_name_are_told() {
        let fields = |report: &Report, keys: Vec<[u8; 32]>, origin: &str| {
            let found = outside(report, &known(HighWater::Absent, keys), origin);
            let told = found.iter().filter_map(|f| f.field);
            told.collect::<Vec<_>>()
        };
        let mut report = report(7, 1);
        assert_eq!(fields(&report, vec![[1; 32]], "a.test/log"), [""; 0]);
        assert_eq!(
            fields(&report, vec![[9; 32]], "b.test/log"),
            ["log_key", "origin"]
        );
        // One that was retired need not be here; the one that took over must.
        let first = &mut report.log.keys[0];
        first.retired = Some(5);
        let second = LogKey {
            public: [2; 32],
            added: 4,
            retired: None,
            compromised_from: None,
        };
        report.log.keys.push(second);
        assert_eq!(fields(&report, vec![[1; 32]], "a.test/log"), ["log_key"]);
        assert_eq!(fields(&report, vec![[2; 32]], "a.test/log"), [""; 0]);
    }
}
