//! Taking a backup beside a running server: one moment of the ledger, read while the writer goes on. It takes no lock and stops
//! nobody; meanwhile the write-ahead log cannot be shortened, so the disk must have room for what is written in that time.
//!
//! A backup ends at a signed checkpoint. An authority signs one about every second, so whoever wants all that was acknowledged
//! by now asks [`signed`] until it has come so far.

use std::{
    collections::HashMap,
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use jeton_core::{
    event::{Erasure, Event, Record},
    id::TenantId,
    time::Time,
};
use jeton_store::{Continue, Reader, StoreError, Stored, ledger::Aside, sqlite::SqliteReader};
use jeton_tlog::{Checkpoint, Frontier, Hash, leaf_hash};

use crate::backup::{
    error::BackupError,
    frame::{self, Frame, FrameError, Header, Trailer},
};

/// So many events are read at once.
const PAGE: usize = 1024;
/// A keyring that changes while it is read is read again so often.
const KEYRING_TRIES: u32 = 10;

/// What a backup was taken of.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The name of the ledger.
    pub origin: String,
    /// How many events.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// How many last uses.
    pub uses: u64,
    /// Whether the wrapped keyring is in it.
    pub keyring: bool,
}

/// Whether the wrapped keyring goes into a backup. Its key-encryption key never does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithKeyring {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// How many events the youngest checkpoint of a data directory vouches for, and how many there are.
///
/// # Errors
/// [`BackupError::Store`].
pub fn signed(dir: &Path) -> Result<(u64, u64), BackupError> {
    let mut reader = SqliteReader::open(&dir.join("ledger.db"))?;
    let signed = reader.last_checkpoint()?.map_or(0, |(size, _)| size);
    Ok((signed, reader.head()?.size))
}

/// Writes the ledger of a data directory, up to its youngest checkpoint, to `out`. `events` tells how far it is.
///
/// # Errors
/// [`BackupError::Unsound`] for a ledger whose leaves do not give the signed root: a backup of it would be worth nothing.
/// [`BackupError::Store`], [`BackupError::File`], [`BackupError::Stream`] else.
pub fn take(
    dir: &Path,
    with: WithKeyring,
    out: &mut impl Write,
    now: Time,
    events: &AtomicU64,
) -> Result<Taken, BackupError> {
    let mut reader = SqliteReader::open(&dir.join("ledger.db"))?;
    let keyring = freeze(&mut reader, dir, with)?;
    let header = header(&mut reader, now)?;
    frame::begin(out).map_err(writing)?;
    let mut put = |frame: &Frame| frame::put(out, frame).map_err(writing);
    put(&Frame::Header(header.clone()))?;
    let taken = Taken {
        origin: header.origin.clone(),
        size: header.size,
        root: Hash::from_bytes(header.root),
        uses: 0,
        keyring: keyring.is_some(),
    };
    if let Some(keyring) = keyring {
        put(&Frame::Keyring(keyring))?;
    }
    let mut told = Trailer::default();
    for kept in checkpoints(&mut reader)? {
        told.checkpoints += 1;
        put(&Frame::Checkpoint(kept))?;
    }
    let tree = put_events(&mut reader, &header, &mut put, events)?;
    if *tree.root().as_bytes() != header.root {
        return Err(unsound("the leaves do not give the signed root"));
    }
    told.events = tree.size();
    told.root = *tree.root().as_bytes();
    told.uses = put_uses(&mut reader, &mut put)?;
    put(&Frame::Trailer(told.clone()))?;
    Ok(Taken {
        uses: told.uses,
        ..taken
    })
}

fn unsound(what: &str) -> BackupError {
    BackupError::Unsound(what.to_owned())
}

fn writing(error: FrameError) -> BackupError {
    match error {
        FrameError::Stream(source) => BackupError::Stream {
            doing: "write",
            source,
        },
        FrameError::Shape(what) => unsound(what),
    }
}

/// Stops the reader at a moment, with the keyring of that moment: keys of a tenant are made before its events, and a pepper is
/// retired after the last one that needs it, so a keyring that is the same before and after has all that the events need.
fn freeze(
    reader: &mut SqliteReader,
    dir: &Path,
    with: WithKeyring,
) -> Result<Option<Vec<u8>>, BackupError> {
    let path = dir.join("keyring");
    let read = || std::fs::read(&path).map_err(BackupError::file("read", &path));
    for _ in 0..KEYRING_TRIES {
        if with == WithKeyring::No {
            reader.freeze()?;
            return Ok(None);
        }
        let before = read()?;
        reader.freeze()?;
        if read()? == before {
            return Ok(Some(before));
        }
        reader.thaw()?;
    }
    Err(unsound("the keyring changes all the time"))
}

fn header(reader: &mut SqliteReader, now: Time) -> Result<Header, BackupError> {
    let (size, note) = reader
        .last_checkpoint()?
        .ok_or_else(|| unsound("no checkpoint of it was signed yet"))?;
    // What it says is believed once the leaves say the same; who signed it is for those to check who read the backup.
    let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
    let signed = text.and_then(|text| Checkpoint::parse(&text).ok());
    let signed = signed.filter(|signed| signed.size() == size);
    let signed = signed.ok_or_else(|| unsound("its last checkpoint cannot be read"))?;
    if reader.head()?.size < size {
        return Err(unsound("a checkpoint was signed of more than it holds"));
    }
    Ok(Header {
        origin: origin(reader)?,
        size,
        root: *signed.root().as_bytes(),
        checkpoint: note,
        made_ms: now.millis(),
    })
}

/// The name of the ledger, as its first event has it.
///
/// # Errors
/// [`BackupError::Unsound`] if it does not.
pub(super) fn origin(reader: &mut dyn Reader) -> Result<String, BackupError> {
    let mut named = None;
    reader.events(0, &mut |stored| {
        if let Some(Event::Genesis { origin, .. }) = record(&stored).map(|r| r.event) {
            named = Some(origin);
        }
        Ok(Continue::No)
    })?;
    named.ok_or_else(|| unsound("the first event does not name it"))
}

fn record(stored: &Stored) -> Option<Record> {
    let (_, bytes) = stored.opening.as_ref()?;
    minicbor::decode(bytes).ok()
}

fn checkpoints(reader: &mut SqliteReader) -> Result<Vec<frame::Kept>, BackupError> {
    let mut kept = Vec::new();
    reader.checkpoints(&mut |size, note| kept.push((size, note)))?;
    let legal = |(size, note): (i64, String)| {
        let size = u64::try_from(size).ok()?;
        Some(frame::Kept { size, note })
    };
    let kept: Option<Vec<frame::Kept>> = kept.into_iter().map(legal).collect();
    kept.ok_or_else(|| unsound("a checkpoint is of less than nothing"))
}

fn put_events(
    reader: &mut SqliteReader,
    header: &Header,
    put: &mut impl FnMut(&Frame) -> Result<(), BackupError>,
    events: &AtomicU64,
) -> Result<Frontier, BackupError> {
    let size = header.size;
    let erased = Erased::of(reader, size)?;
    let mut tree = Frontier::new();
    while tree.size() < size {
        let from = tree.size();
        let mut page = Vec::with_capacity(PAGE);
        reader.events(from, &mut |stored| {
            page.push(stored);
            Ok(if page.len() < PAGE {
                Continue::Yes
            } else {
                Continue::No
            })
        })?;
        for stored in page {
            if stored.index >= size {
                break;
            }
            if stored.index != tree.size() {
                return Err(unsound("its indexes have a gap"));
            }
            tree.push(leaf_hash(&stored.leaf));
            let aside = words(reader, &stored)?;
            put(&Frame::Event(event(stored, aside, &erased)?))?;
        }
        if tree.size() == from {
            return Err(unsound("it has fewer events than were signed"));
        }
        events.store(tree.size(), Relaxed);
    }
    Ok(tree)
}

/// The words beside an event: looked for only where its record has their hash.
fn words(reader: &mut SqliteReader, stored: &Stored) -> Result<Option<Aside>, StoreError> {
    match record(stored) {
        Some(record) if record.aside.is_some() => reader.aside(record.tenant, stored.index),
        Some(_) | None => Ok(None),
    }
}

/// Which leaves may have no opening, by the events that erased them.
struct Erased {
    tenants: HashMap<u64, TenantId>,
    /// Whether an event beyond the checkpoint erased something, too.
    more: bool,
}

impl Erased {
    fn of(reader: &mut SqliteReader, size: u64) -> Result<Self, BackupError> {
        let (mut tenants, mut more) = (HashMap::new(), false);
        for stored in reader.erasures()? {
            more |= stored.index >= size;
            let record = record(&stored).filter(|_| stored.index < size);
            if let Some(record) = record
                && let Event::Erased(Erasure::Openings { indexes, .. }) = record.event
            {
                tenants.extend(indexes.into_iter().map(|index| (index, record.tenant)));
            }
        }
        Ok(Self { tenants, more })
    }

    fn tenant(&self, index: u64) -> Result<TenantId, BackupError> {
        match self.tenants.get(&index) {
            Some(tenant) => Ok(*tenant),
            None if self.more => Err(BackupError::Unsigned),
            None => Err(BackupError::Unsound(format!(
                "event {index} has no opening, and none says that it erased it"
            ))),
        }
    }
}

fn event(
    stored: Stored,
    aside: Option<Aside>,
    erased: &Erased,
) -> Result<frame::Event, BackupError> {
    let erased = match stored.opening {
        Some(_) => None,
        None => Some(*erased.tenant(stored.index)?.bytes()),
    };
    let leaf = stored.leaf.try_into();
    Ok(frame::Event {
        leaf: leaf.map_err(|_| unsound("a leaf has another length than leaves have"))?,
        opening: stored
            .opening
            .map(|(salt, record)| frame::Opening { salt, record }),
        aside: aside.map(|a| frame::Words {
            salt: a.salt,
            words: a.words,
        }),
        erased,
    })
}

fn put_uses(
    reader: &mut SqliteReader,
    put: &mut impl FnMut(&Frame) -> Result<(), BackupError>,
) -> Result<u64, BackupError> {
    let (mut count, mut put_all) = (0, Ok(()));
    reader.last_uses(&mut |seen| {
        let frame = Frame::Use(frame::Use {
            token: *seen.token.bytes(),
            at_s: seen.at.seconds(),
            address: seen.address,
        });
        if put_all.is_ok() {
            put_all = put(&frame);
            count += 1;
        }
    })?;
    put_all.map(|()| count)
}
