//! A snapshot of the node's memory, so that a start need not replay everything. Authenticated with a key of the keyring and
//! bound to the ledger's size and right edge: whoever cannot forge events cannot forge this.

use std::{
    fs,
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
};

use jeton_core::{directory::Directory, time::Time, token::record::Terms};
use jeton_tlog::{HASH_BYTES, Hash};
use jeton_verify::{check::Verifier, index::Index, record::SlotWords};

use crate::node::keyring::Keyring;

const MAGIC: &[u8; 8] = b"jetonsn1";
const LABEL: &str = "snapshot/v1";
const SECTION_BYTES_MAX: u64 = 8 << 30;

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

/// Writes a snapshot of what the verifier holds. The caller sees to it that nothing is published meanwhile.
///
/// # Errors
/// The system's error; the snapshot before it stays then.
pub fn write(
    path: &Path,
    keyring: &Keyring,
    verifier: &Verifier,
    partial: &[Vec<Hash>],
) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    // What a crash left of another is not written to.
    drop(fs::remove_file(&fresh));
    let written = write_to(&fresh, keyring, verifier, partial);
    if written.is_err() {
        // Half a snapshot is worth nothing, and on a full disk revocations need its room.
        drop(fs::remove_file(&fresh));
    }
    written.and_then(|()| fs::rename(&fresh, path))
}

fn write_to(
    fresh: &Path,
    keyring: &Keyring,
    verifier: &Verifier,
    partial: &[Vec<Hash>],
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
    out.put_section(&cbor(&verifier.directory().image()))?;
    verifier.with_index(|index| {
        out.put(
            &u64::try_from(index.all_terms().len())
                .unwrap_or(0)
                .to_le_bytes(),
        )?;
        for terms in index.all_terms() {
            out.put_section(&cbor(terms))?;
        }
        out.put(&u64::from(index.len()).to_le_bytes())?;
        for words in index.words() {
            out.put(&words.to_bytes())?;
        }
        let beside: Vec<_> = index.beside().collect();
        out.put_section(&cbor(&beside))
    })?;
    let tag = out.tag.sign();
    out.stream.write_all(tag.as_ref())?;
    let file = out
        .stream
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()
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
    let file = BufReader::with_capacity(1 << 20, fs::File::open(path).ok()?);
    let mut from = Tagged {
        stream: file,
        tag: keyring.mac_context(LABEL),
    };
    if from.get::<8>()? != *MAGIC {
        return None;
    }
    let partial = levels(&from.section()?)?;
    let image = minicbor::decode(&from.section()?).ok()?;
    let directory = Directory::from_image(image).ok()?;
    let terms: Option<Vec<Vec<u8>>> = (0..from.number()?).map(|_| from.section()).collect();
    let count = from.number()?;
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
    let beside: Vec<(u32, u32, Option<Time>, u64)> = minicbor::decode(&from.section()?).ok()?;
    for (position, generation, until, more) in beside {
        index.restore_beside(position, generation, until, more);
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
