//! The openings beside a mirrored log: what each leaf stands for, in files that only their owner may read.
//!
//! 4,096 events to a file, each as `/log/openings` gives it, in a CBOR sequence (RFC 8742) that only grows at its end. What the
//! ledger erases goes from these files, too, and goes before the event that orders it is kept: so a crash between the two
//! erases once more, and never forgets to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jeton_core::{
    event::{Erasure, Event},
    leaf::{Opening, aside_hash},
};
use jeton_store::ledger;
use jeton_tlog::{BundleId, TILE_WIDTH, TilePath, decode_bundle};

use super::{
    Finding, MirrorError, Source,
    dir::{make, read, read_tile, write_new},
};
use crate::http::log::Mirrored;

/// So many events are in a file.
pub(super) const CHUNK_EVENTS: u64 = 4096;
/// The most bytes of such a file.
const CHUNK_BYTES_MAX: usize = 1 << 31;
/// So many events are asked for at once.
const AT_ONCE: u64 = 1024;

/// The file that holds an event.
pub(super) fn chunk_name(index: u64) -> String {
    format!("{:012}.cbor", index / CHUNK_EVENTS)
}

/// The openings of a mirror, being written.
pub(super) struct Openings {
    root: PathBuf,
    dir: PathBuf,
    /// How many events are kept.
    count: u64,
    ledger: Gaps,
}

/// What the log erased, and what is missing without that being known yet.
#[derive(Default)]
struct Gaps {
    missing: BTreeMap<u64, &'static str>,
    erased: u64,
}

/// What a round brought.
pub(super) struct Fetched {
    pub(super) new: u64,
    pub(super) erased: u64,
}

impl Openings {
    /// Opens what is kept beside a checkpoint of `size` entries. What a crash left beyond it is cut off.
    pub(super) fn open(root: &Path, size: u64) -> Result<Self, MirrorError> {
        let dir = root.join("openings");
        make(&dir, 0o700).map_err(MirrorError::file("make", &dir))?;
        let mut openings = Self {
            root: root.to_owned(),
            dir,
            count: 0,
            ledger: Gaps::default(),
        };
        openings.count = openings.cut(size)?;
        if openings.count < size {
            // A first round that did not come to its end: what it missed is looked for again.
            for chunk in 0..openings.count.div_ceil(CHUNK_EVENTS) {
                for event in read_chunk(&openings.dir, chunk * CHUNK_EVENTS)? {
                    let opened = open_event(&event)?;
                    openings.ledger.note(&event, opened.as_ref());
                }
            }
        }
        Ok(openings)
    }

    /// Cuts off what lies beyond `size`, and what a crash tore; says how many events are left.
    fn cut(&self, size: u64) -> Result<u64, MirrorError> {
        let mut count = 0;
        let listed = fs::read_dir(&self.dir).map_err(MirrorError::file("list", &self.dir))?;
        let mut names = BTreeSet::new();
        for entry in listed {
            let entry = entry.map_err(MirrorError::file("list", &self.dir))?;
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
        let last = (0..=size / CHUNK_EVENTS)
            .rev()
            .find(|chunk| names.contains(&chunk_name(chunk * CHUNK_EVENTS)));
        if let Some(chunk) = last {
            let first = chunk * CHUNK_EVENTS;
            let mut events = read_chunk(&self.dir, first)?;
            events.retain(|event| event.0 < size);
            count = first + u64::try_from(events.len()).unwrap_or(0);
            let path = self.dir.join(chunk_name(first));
            let whole = read(&path, CHUNK_BYTES_MAX)?;
            if whole.as_deref() != Some(&encode(&events)[..]) {
                self.replace(first, &events)?;
            }
        }
        let beyond = chunk_name(count.div_ceil(CHUNK_EVENTS) * CHUNK_EVENTS);
        for name in names.iter().filter(|name| **name >= beyond) {
            let path = self.dir.join(name);
            fs::remove_file(&path).map_err(MirrorError::file("remove", &path))?;
        }
        Ok(count)
    }

    /// Keeps events that follow those that are kept, and applies what they erase.
    fn append(&mut self, mut events: Vec<Mirrored>) -> Result<(), MirrorError> {
        let from = self.count;
        let mut older: BTreeMap<u64, Vec<(u64, What)>> = BTreeMap::new();
        let mut within: Vec<(u64, What)> = Vec::new();
        for event in &events {
            let opened = open_event(event)?;
            self.ledger.note(event, opened.as_ref());
            for (index, what) in erased_by(opened.as_ref()) {
                self.ledger.erased += 1;
                if index < from {
                    let chunk = index / CHUNK_EVENTS;
                    older.entry(chunk).or_default().push((index, what));
                } else {
                    within.push((index, what));
                }
            }
        }
        for (chunk, erased) in older {
            let first = chunk * CHUNK_EVENTS;
            let mut kept = read_chunk(&self.dir, first)?;
            erase(&mut kept, &erased);
            self.replace(first, &kept)?;
        }
        erase(&mut events, &within);
        for some in events.chunk_by(|a, b| a.0 / CHUNK_EVENTS == b.0 / CHUNK_EVENTS) {
            let Some(first) = some.first() else { continue };
            self.extend(&self.dir.join(chunk_name(first.0)), some)?;
            self.count += u64::try_from(some.len()).unwrap_or(0);
        }
        Ok(())
    }

    fn extend(&self, path: &Path, events: &[Mirrored]) -> Result<(), MirrorError> {
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options.append(true).create(true).mode(0o600).open(path)?;
            std::io::Write::write_all(&mut file, &encode(events))?;
            file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(MirrorError::file("write", path))
    }

    /// Writes a file anew: after a crash it is the old one or the new one.
    fn replace(&self, first: u64, events: &[Mirrored]) -> Result<(), MirrorError> {
        let path = self.dir.join(chunk_name(first));
        let draft = self.dir.join(".draft");
        let write = || {
            write_new(&draft, &encode(events), 0o600, true)?;
            fs::rename(&draft, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(MirrorError::file("write", &path))
    }
}

/// Brings every opening up to `size`, and compares each with the leaf that is kept.
pub(super) async fn fetch(
    source: &Source,
    mut kept: Openings,
    size: u64,
) -> Result<Fetched, MirrorError> {
    let began = kept.count;
    while kept.count < size {
        let bytes = source.openings(kept.count, AT_ONCE).await?;
        let mut events = decode(&bytes).map_err(|()| Finding::Opening {
            index: kept.count,
            what: "it is no CBOR of an event",
        })?;
        events.retain(|event| (kept.count..size).contains(&event.0));
        let counted = events.iter().zip(kept.count..);
        if events.is_empty() || counted.into_iter().any(|(event, due)| event.0 != due) {
            let (index, what) = (kept.count, "opening");
            return Err(Finding::Withheld { index, what }.into());
        }
        let mut leaves = Leaves::new(&kept.root, size);
        for event in &events {
            if *leaves.leaf(event.0)? != event.1[..] {
                let what = "it is another leaf's";
                return Err(Finding::Opening {
                    index: event.0,
                    what,
                }
                .into());
            }
        }
        kept.append(events)?;
    }
    if let Some((index, what)) = kept.ledger.missing.first_key_value() {
        let (index, what) = (*index, *what);
        return Err(Finding::Withheld { index, what }.into());
    }
    Ok(Fetched {
        new: kept.count - began,
        erased: kept.ledger.erased,
    })
}

/// The leaves that a mirror keeps, bundle by bundle.
pub(super) struct Leaves<'a> {
    root: &'a Path,
    size: u64,
    at: Option<u64>,
    entries: Vec<Vec<u8>>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(root: &'a Path, size: u64) -> Self {
        Self {
            root,
            size,
            at: None,
            entries: Vec::new(),
        }
    }

    /// The leaf at an index below the size.
    pub(super) fn leaf(&mut self, index: u64) -> Result<&[u8], MirrorError> {
        let width = u64::from(TILE_WIDTH);
        let bundle = index / width;
        let damaged = |what: String| Finding::Damaged {
            path: self.root.to_owned(),
            what,
        };
        if self.at != Some(bundle) {
            let there = self.size.saturating_sub(bundle * width).min(width);
            let there = u16::try_from(there).unwrap_or(TILE_WIDTH);
            let id = BundleId::new(bundle, there).map_err(|e| damaged(e.to_string()))?;
            let bytes = read_tile(self.root, TilePath::Entries(id))?;
            let entries = decode_bundle(&bytes, there);
            let entries = entries.map_err(|e| damaged(format!("{}: {e}", id.path())))?;
            self.entries = entries.into_iter().map(<[u8]>::to_vec).collect();
            self.at = Some(bundle);
        }
        let within = usize::try_from(index % width).unwrap_or(usize::MAX);
        let missing = || damaged(format!("entry {index} is missing"));
        let leaf = self.entries.get(within).ok_or_else(missing)?;
        Ok(leaf)
    }
}

/// How much of an event is erased.
#[derive(Clone, Copy)]
enum What {
    Words,
    Opening,
}

fn erased_by(event: Option<&Event>) -> Vec<(u64, What)> {
    let Some(Event::Erased(erasure)) = event else {
        return Vec::new();
    };
    let what = match erasure {
        Erasure::Words { .. } => What::Words,
        Erasure::Openings { .. } => What::Opening,
    };
    erasure
        .indexes()
        .iter()
        .map(|index| (*index, what))
        .collect()
}

fn erase(events: &mut [Mirrored], erased: &[(u64, What)]) {
    for (index, what) in erased {
        let Some(event) = events.iter_mut().find(|event| event.0 == *index) else {
            continue;
        };
        if matches!(what, What::Opening) {
            (event.2, event.3) = (None, None);
        }
        (event.4, event.5) = (None, None);
    }
}

impl Gaps {
    fn note(&mut self, event: &Mirrored, opened: Option<&Event>) {
        if event.2.is_none() {
            self.missing.insert(event.0, "opening");
        } else if words_missing(event) {
            self.missing.insert(event.0, "words");
        }
        for (index, what) in erased_by(opened) {
            let explained = match (self.missing.get(&index), what) {
                (Some(&"opening"), What::Words) | (None, _) => false,
                (Some(_), What::Words | What::Opening) => true,
            };
            if explained {
                self.missing.remove(&index);
            }
        }
    }
}

fn words_missing(event: &Mirrored) -> bool {
    let record = event.3.as_ref().and_then(|bytes| ledger::decode(bytes));
    event.5.is_none() && record.is_some_and(|record| record.aside.is_some())
}

/// What an event says, once its opening explains its leaf and its words are those that it was made with.
pub(super) fn open_event(event: &Mirrored) -> Result<Option<Event>, Finding> {
    let (index, leaf, salt, record, aside_salt, words) = event;
    let wrong = |what| Finding::Opening {
        index: *index,
        what,
    };
    let (Some(salt), Some(record)) = (salt, record) else {
        return match (salt, record, aside_salt, words) {
            (None, None, None, None) => Ok(None),
            _ => Err(wrong("a part of it is missing")),
        };
    };
    let opening = Opening::of(leaf, **salt, record.to_vec());
    if opening.is_none_or(|opening| opening.leaf()[..] != leaf[..]) {
        return Err(wrong("its commitment is another"));
    }
    let record = ledger::decode(record).ok_or_else(|| wrong("its record cannot be read"))?;
    let right = match (aside_salt, words) {
        (None, None) => true,
        (Some(salt), Some(words)) => record.aside == Some(aside_hash(salt, words)),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if right {
        Ok(Some(record.event))
    } else {
        Err(wrong("the words beside it are others"))
    }
}

fn encode(events: &[Mirrored]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        let encoded = minicbor::encode(event, &mut out);
        debug_assert!(encoded.is_ok(), "encoding into memory");
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<Mirrored>, ()> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let mut events = Vec::new();
    while decoder.position() < bytes.len() {
        events.push(decoder.decode().map_err(|_| ())?);
    }
    Ok(events)
}

/// The events of a file, from the one at `first` on, as far as they are whole.
pub(super) fn read_chunk(dir: &Path, first: u64) -> Result<Vec<Mirrored>, MirrorError> {
    let path = dir.join(chunk_name(first));
    let bytes = read(&path, CHUNK_BYTES_MAX)?.unwrap_or_default();
    let mut decoder = minicbor::Decoder::new(&bytes);
    let mut events: Vec<Mirrored> = Vec::new();
    let mut due = first - first % CHUNK_EVENTS;
    while decoder.position() < bytes.len() {
        // A torn end is what a crash leaves: it is fetched again.
        let Ok(event) = decoder.decode::<Mirrored>() else {
            break;
        };
        if event.0 != due {
            let what = format!("event {} stands where event {due} belongs", event.0);
            return Err(Finding::Damaged { path, what }.into());
        }
        events.push(event);
        due += 1;
    }
    Ok(events)
}

#[cfg(test)]
mod tests;
