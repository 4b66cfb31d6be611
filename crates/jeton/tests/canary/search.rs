//! Searching a heap of bytes for thousands of secrets in one pass.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

/// How much of a secret must stand somewhere to count: 20 characters of base62 hold 119 bits.
pub(crate) const PART: usize = 20;

/// The parts that must not be found, and the raw bytes that must not be found.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Texts, by their first eight bytes.
    parts: HashMap<[u8; 8], Vec<[u8; PART]>>,
    /// The first eight bytes of digests and keys.
    raw: HashSet<[u8; 8]>,
}

impl Wanted {
    /// A secret's text: its part from `at` on.
    pub(crate) fn text(&mut self, text: &str, at: usize) {
        let part: [u8; PART] = text.as_bytes()[at..at + PART].try_into().unwrap();
        let first = part.first_chunk().copied().unwrap();
        self.parts.entry(first).or_default().push(part);
    }

    /// A token, in every form in which a log could write it: as it is, in base64 at each of three offsets, in hexadecimal,
    /// and its plain digests.
    pub(crate) fn token(&mut self, text: &str) {
        use sha2::Digest as _;
        let random = text.rfind('_').unwrap() + 1;
        self.text(text, random);
        for pad in 0..3 {
            let shifted = format!("{}{text}", &"xyz"[..pad]);
            let encoded = data_encoding::BASE64.encode(shifted.as_bytes());
            self.text(&encoded, 24);
        }
        let hex = data_encoding::HEXLOWER.encode(text.as_bytes());
        self.text(&hex, 2 * random);
        let plain: [u8; 32] = sha2::Sha256::digest(text.as_bytes()).into();
        self.raw(&plain);
    }

    /// A digest or a key, as raw bytes and in hexadecimal.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.raw.insert(bytes.first_chunk().copied().unwrap());
        self.text(&data_encoding::HEXLOWER.encode(bytes), 0);
    }

    /// The secrets that stand in the bytes, each once.
    pub(crate) fn found(&self, bytes: &[u8]) -> Vec<String> {
        let mut out = HashSet::new();
        let nothing = [0; 4096];
        let mut next = 0;
        while let Some(first) = bytes[next..].first_chunk::<8>() {
            let at = next;
            // Most of a ballast is nothing.
            if *first == [0; 8] && bytes[at..].starts_with(&nothing) {
                next += nothing.len() - 7;
                continue;
            }
            next += 1;
            if self.raw.contains(first) {
                out.insert(format!("raw {}", data_encoding::HEXLOWER.encode(first)));
            }
            let here = |part: &&[u8; PART]| bytes[at..].starts_with(*part);
            if let Some(part) = self.parts.get(first).and_then(|p| p.iter().find(here)) {
                let line = bytes[..at]
                    .iter()
                    .rposition(|b| *b == b'\n')
                    .map_or(0, |n| n + 1);
                let around = &bytes[line.max(at.saturating_sub(200))..(at + 60).min(bytes.len())];
                let text = String::from_utf8_lossy(part).into_owned();
                out.insert(format!("{text} in …{}…", String::from_utf8_lossy(around)));
            }
        }
        out.into_iter().collect()
    }

    /// The secrets in a file, piece by piece.
    pub(crate) fn found_in(&self, path: &Path) -> Vec<String> {
        const PIECE: usize = 4 << 20;
        let Ok(file) = fs::File::open(path) else {
            return Vec::new();
        };
        let (mut reader, mut kept, mut out) = (BufReader::new(file), Vec::new(), Vec::new());
        loop {
            let from = kept.len();
            let read = (&mut reader)
                .take(u64::try_from(PIECE).unwrap())
                .read_to_end(&mut kept);
            read.unwrap();
            out.extend(self.found(&kept));
            if kept.len() < from + PIECE {
                out.sort();
                out.dedup();
                return out;
            }
            kept.drain(..kept.len() - 2 * PART);
        }
    }
}

/// Every file under a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            out.extend(files(&path));
        } else if kind.is_file() {
            out.push(path);
        }
    }
    out
}

#[test]
fn what_is_planted_is_found_in_every_form() {
    let mut wanted = Wanted::default();
    let token = "acme_key_0123456789abcdefghijABCDEFGHIJ123456";
    wanted.token(token);
    let basic = data_encoding::BASE64.encode(format!("user:{token}").as_bytes());
    let hex = data_encoding::HEXLOWER.encode(token.as_bytes());
    for text in [token, &basic, &hex, &token[9..29]] {
        for before in ["", "x", "\0\0\0\0\0\0\0\0", "a line\n"] {
            let heap = format!("{before}{text} and more");
            assert!(!wanted.found(heap.as_bytes()).is_empty(), "{heap}");
        }
    }
    assert!(wanted.found(&token.as_bytes()[..28]).is_empty());
}
