//! A snapshot of the node's memory, so that a start need not replay everything. Authenticated with a key of the keyring and
//! bound to the ledger's size and right edge: whoever cannot forge events cannot forge this.

use std::{
    fs,
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
};

use jeton_core::{directory::Directory, token::record::Terms};
use jeton_tlog::{HASH_BYTES, Hash};
use jeton_verify::{
    check::Verifier,
    index::{Index, rest::Beside},
    record::SlotWords,
};

use crate::node::{keyring::Keyring, writer::moment::Moment};

const MAGIC: &[u8; 8] = b"jetonsn2";
const LABEL: &str = "snapshot/v2";
const SECTION_BYTES_MAX: u64 = 8 << 30;
/// The bytes of a slot.
const SLOT_BYTES: u64 = 64;
/// How many terms are taken under one hold of the lock.
const TERMS_AT_ONCE: usize = 256;
/// So many bytes are given to the disk at once at most: a commit's own sync may have to wait for what stands before it.
const UNSYNCED_BYTES_MAX: usize = 16 << 20;

/// What a snapshot gives back.
pub struct Loaded {
    /// Everything but the tokens.
    pub directory: Directory,
    /// The tokens.
    pub index: Index,
    /// The hashes in the tree's incomplete tiles, level by level.
    pub partial: Vec<Vec<Hash>>,
}

struct Tagged<S> {
    stream: S,
    tag: aws_lc_rs::hmac::Context,
}

type Writing = Tagged<BufWriter<fs::File>>;

impl<W: Write> Tagged<W> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.tag.update(bytes);
        self.stream.write_all(bytes)
    }

    fn put_section(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.put(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes())?;
        self.put(bytes)
    }
}

impl<R: Read> Tagged<R> {
    fn get<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).ok()?;
        self.tag.update(&bytes);
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.get().map(u64::from_le_bytes)
    }

    fn section(&mut self) -> Option<Vec<u8>> {
        let len = self.number().filter(|n| *n <= SECTION_BYTES_MAX)?;
        let mut bytes = Vec::new();
        (&mut self.stream).take(len).read_to_end(&mut bytes).ok()?;
        self.tag.update(&bytes);
        (u64::try_from(bytes.len()).ok()? == len).then_some(bytes)
    }
}

/// How a snapshot is written: a little at a time.
pub struct Pace<'a> {
    /// How many slots are copied under one hold of the lock.
    pub slots_at_once: u32,
    /// Asked before each of them: `false` gives the snapshot up.
    pub go_on: &'a dyn Fn() -> bool,
}

impl Pace<'_> {
    /// So that neither a check nor the writer waits for longer than a fraction of a millisecond.
    pub const GENTLE: Pace<'static> = Pace {
        slots_at_once: 4096,
        go_on: &|| true,
    };
}

/// Writes a snapshot of a verifier that stands still.
///
/// # Errors
/// The system's error; the snapshot before it stays then.
pub fn write(
    path: &Path,
    keyring: &Keyring,
    verifier: &Verifier,
    partial: &[Vec<Hash>],
) -> std::io::Result<()> {
    let moment = Moment::still(verifier);
    write_moment(path, keyring, verifier, (&moment, partial), &Pace::GENTLE)
}

/// Writes a snapshot of one moment of a verifier that goes on meanwhile, with the hashes in the tree's incomplete tiles of
/// that moment.
///
/// # Errors
/// The system's error, or that it was given up; the snapshot before it stays then.
pub fn write_moment(
    path: &Path,
    keyring: &Keyring,
    verifier: &Verifier,
    moment: (&Moment, &[Vec<Hash>]),
    pace: &Pace<'_>,
) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    // What a crash left of another is not written to.
    drop(fs::remove_file(&fresh));
    let written = write_to(&fresh, keyring, verifier, moment, pace);
    if written.is_err() {
        // Half a snapshot is worth nothing, and on a full disk revocations need its room.
        drop(fs::remove_file(&fresh));
    }
    written?;
    // A crash before this line leaves the old snapshot, and until the directory is on the disk either of the two, whole.
    fs::rename(&fresh, path)?;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
    fs::File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_to(
    fresh: &Path,
    keyring: &Keyring,
    verifier: &Verifier,
    (moment, partial): (&Moment, &[Vec<Hash>]),
    pace: &Pace<'_>,
) -> std::io::Result<()> {
    let file = {
        use std::os::unix::fs::OpenOptionsExt as _;
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(fresh)?
    };
    let mut out = Tagged {
        stream: BufWriter::new(file),
        tag: keyring.mac_context(LABEL),
    };
    out.put(MAGIC)?;
    let levels: Vec<u8> = partial
        .iter()
        .flat_map(|hashes| {
            let count = u16::try_from(hashes.len())
                .unwrap_or(u16::MAX)
                .to_le_bytes();
            count
                .into_iter()
                .chain(hashes.iter().flat_map(|h| *h.as_bytes()))
                .collect::<Vec<u8>>()
        })
        .collect();
    out.put_section(&levels)?;
    out.put_section(&cbor(&moment.directory().image()))?;
    put_terms(&mut out, verifier, moment)?;
    put_slots(&mut out, verifier, moment, pace)?;
    let tag = out.tag.sign();
    out.stream.write_all(tag.as_ref())?;
    let file = out
        .stream
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Terms are only ever added: those of the moment are the first ones of any later one.
fn put_terms(out: &mut Writing, verifier: &Verifier, moment: &Moment) -> std::io::Result<()> {
    let all = moment.terms();
    out.put(&u64::try_from(all).unwrap_or(0).to_le_bytes())?;
    for from in (0..all).step_by(TERMS_AT_ONCE) {
        let count = TERMS_AT_ONCE.min(all - from);
        let some: Vec<Vec<u8>> = verifier.with_index(|index| {
            let some = index.all_terms().skip(from).take(count);
            some.map(cbor).collect()
        });
        for terms in some {
            out.put_section(&terms)?;
        }
    }
    Ok(())
}

fn put_slots(
    out: &mut Writing,
    verifier: &Verifier,
    moment: &Moment,
    pace: &Pace<'_>,
) -> std::io::Result<()> {
    let all = moment.slots();
    out.put(&u64::from(all).to_le_bytes())?;
    let (mut bytes, mut beside, mut from, mut unsynced) = (Vec::new(), Vec::new(), 0, 0);
    while from < all {
        if !(pace.go_on)() {
            return Err(std::io::Error::other("the snapshot was given up"));
        }
        let to = all.min(from.saturating_add(pace.slots_at_once.max(1)));
        bytes.clear();
        verifier.with_index(|index| {
            moment.read(index, from..to, |words, more| {
                bytes.extend_from_slice(&words.to_bytes());
                beside.extend(more);
            });
        });
        out.put(&bytes)?;
        from = to;
        unsynced += bytes.len();
        if unsynced > UNSYNCED_BYTES_MAX {
            out.stream.flush()?;
            out.stream.get_ref().sync_data()?;
            unsynced = 0;
        }
    }
    out.put_section(&cbor(&beside))
}

fn cbor(value: &impl minicbor::Encode<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoded = minicbor::encode(value, &mut bytes);
    debug_assert!(encoded.is_ok(), "encoding into memory");
    bytes
}

/// Reads a snapshot. `None`: there is none, or it is not ours, or not whole: replay then.
#[must_use]
pub fn read(path: &Path, keyring: &Keyring) -> Option<Loaded> {
    let file = fs::File::open(path).ok()?;
    let slots_max = file.metadata().ok()?.len() / SLOT_BYTES;
    let mut from = Tagged {
        stream: BufReader::with_capacity(1 << 20, file),
        tag: keyring.mac_context(LABEL),
    };
    if from.get::<8>()? != *MAGIC {
        return None;
    }
    let partial = levels(&from.section()?)?;
    let image = minicbor::decode(&from.section()?).ok()?;
    let directory = Directory::from_image(image).ok()?;
    let terms: Option<Vec<Vec<u8>>> = (0..from.number()?).map(|_| from.section()).collect();
    // Room is taken before the tag is known: never for more than the file can hold.
    let count = from.number().filter(|n| *n <= slots_max)?;
    let mut index = Index::with_room_for(usize::try_from(count).ok()?);
    index.restore_owners(&directory).ok()?;
    for bytes in terms? {
        index
            .restore_terms(&minicbor::decode::<Terms>(&bytes).ok()?)
            .ok()?;
    }
    for _ in 0..count {
        index.restore(&SlotWords::from_bytes(&from.get()?)).ok()?;
    }
    let beside: Vec<Beside> = minicbor::decode(&from.section()?).ok()?;
    for beside in beside {
        index.restore_beside(beside);
    }
    // Nothing of it is believed before this line: the tag covers every byte before it.
    let due = from.tag.sign();
    let mut kept = [0; 32];
    from.stream.read_exact(&mut kept).ok()?;
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(due.as_ref(), &kept).is_ok();
    same.then_some(Loaded {
        directory,
        index,
        partial,
    })
}

fn levels(mut bytes: &[u8]) -> Option<Vec<Vec<Hash>>> {
    let mut out = Vec::new();
    while let Some((count, rest)) = bytes.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*count)) * HASH_BYTES;
        let (hashes, after) = rest.split_at_checked(len)?;
        let hashes = hashes
            .chunks_exact(HASH_BYTES)
            .filter_map(|h| h.first_chunk());
        out.push(hashes.map(|h| Hash::from_bytes(*h)).collect());
        bytes = after;
    }
    Some(out)
}
