//! The entries themselves: up to 256 in a file, each behind its length.
//!
//! A bundle is `u16 length (big-endian) || entry`, over and over (c2sp.org/tlog-tiles, "Log
//! entries"). It carries no count: how many entries it must have follows from the tree size, so the
//! reader says it, and a bundle that has fewer or more is refused.

use crate::tile::TILE_WIDTH;

/// The longest entry that fits behind a 16-bit length.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Why entries are not a bundle, or bytes not the bundle of that many entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A bundle has 1 to 256 entries.
    #[error("a bundle has 1 to 256 entries, not {entries}")]
    Width {
        /// The number of entries that was given or asked for.
        entries: usize,
    },
    /// The entry is longer than [`ENTRY_BYTES_MAX`].
    #[error("an entry has at most 65535 bytes, not {actual}")]
    EntryTooLong {
        /// The length of the entry.
        actual: usize,
    },
    /// The bytes end inside an entry, or before the last one.
    #[error("the bundle ends at or in entry {entry}")]
    Truncated {
        /// Which entry of the bundle, from 0.
        entry: usize,
    },
    /// There are bytes after the last entry.
    #[error("the bundle goes on for {bytes} bytes after its last entry")]
    TrailingBytes {
        /// How many there are.
        bytes: usize,
    },
}

/// Appends one entry, behind its length, to a bundle that is being written.
///
/// # Errors
/// [`BundleError::EntryTooLong`]; the bundle is then unchanged.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let actual = entry.len();
    let length = u16::try_from(actual).map_err(|_| BundleError::EntryTooLong { actual })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Writes 1 to 256 entries as a bundle.
///
/// # Errors
/// [`BundleError::Width`] for any other number, [`BundleError::EntryTooLong`].
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, BundleError> {
    if !(1..=usize::from(TILE_WIDTH)).contains(&entries.len()) {
        return Err(BundleError::Width {
            entries: entries.len(),
        });
    }
    let bytes = entries.iter().map(|entry| 2 + entry.as_ref().len()).sum();
    let mut bundle = Vec::with_capacity(bytes);
    for entry in entries {
        push_entry(&mut bundle, entry.as_ref())?;
    }
    Ok(bundle)
}

/// Reads a bundle of exactly `width` entries, which are slices of `bytes`.
///
/// The entries are not yet believed: hash each with [`crate::leaf_hash`] and compare with the tile.
///
/// # Errors
/// [`BundleError::Width`] for a width of 0 or over 256, [`BundleError::Truncated`],
/// [`BundleError::TrailingBytes`].
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let count = usize::from(width);
    if !(1..=TILE_WIDTH).contains(&width) {
        return Err(BundleError::Width { entries: count });
    }
    let mut entries = Vec::with_capacity(count);
    let mut rest = bytes;
    for entry in 0..count {
        let (content, after) = split_entry(rest).ok_or(BundleError::Truncated { entry })?;
        entries.push(content);
        rest = after;
    }
    match rest.len() {
        0 => Ok(entries),
        bytes => Err(BundleError::TrailingBytes { bytes }),
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_the_published_ones() {
        let bundle = encode_bundle(&[b"ab".as_slice(), b"", b"c"]).unwrap();
        assert_eq!(bundle, b"\x00\x02ab\x00\x00\x00\x01c");
        assert_eq!(
            decode_bundle(&bundle, 3),
            Ok(vec![b"ab".as_slice(), b"", b"c"])
        );
        let long = vec![7; 258];
        assert_eq!(encode_bundle(&[&long]).unwrap()[..2], [1, 2]);
    }

    #[test]
    fn both_sides_of_each_bound() {
        let entries = vec![[7_u8]; 257];
        assert_eq!(
            encode_bundle::<[u8; 1]>(&[]),
            Err(BundleError::Width { entries: 0 })
        );
        assert_eq!(
            encode_bundle(&entries),
            Err(BundleError::Width { entries: 257 })
        );
        let full = encode_bundle(&entries[..256]).unwrap();
        assert_eq!(decode_bundle(&full, 256).unwrap().len(), 256);
        assert_eq!(
            decode_bundle(&full, 255),
            Err(BundleError::TrailingBytes { bytes: 3 })
        );
        assert_eq!(
            decode_bundle(&full, 257),
            Err(BundleError::Width { entries: 257 })
        );
        assert_eq!(
            decode_bundle(&full, 0),
            Err(BundleError::Width { entries: 0 })
        );
        assert_eq!(
            decode_bundle(&[], 0),
            Err(BundleError::Width { entries: 0 })
        );
        assert_eq!(
            decode_bundle(&full[..767], 256),
            Err(BundleError::Truncated { entry: 255 })
        );
        assert_eq!(
            decode_bundle(&full[..766], 256),
            Err(BundleError::Truncated { entry: 255 })
        );
        assert_eq!(
            decode_bundle(&full[..765], 256),
            Err(BundleError::Truncated { entry: 255 })
        );
        assert_eq!(
            decode_bundle(&full[..764], 256),
            Err(BundleError::Truncated { entry: 254 })
        );

        let longest = vec![0; ENTRY_BYTES_MAX + 1];
        let bundle = encode_bundle(&[&longest[1..]]).unwrap();
        assert_eq!(decode_bundle(&bundle, 1), Ok(vec![&longest[1..]]));
        let too_long = Err(BundleError::EntryTooLong { actual: 65_536 });
        assert_eq!(encode_bundle(&[&longest]), too_long);
        let mut unchanged = vec![1];
        assert_eq!(
            push_entry(&mut unchanged, &longest),
            Err(BundleError::EntryTooLong { actual: 65_536 })
        );
        assert_eq!(unchanged, [1]);
    }

    proptest! {
        #[test]
        fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..=256)) {
            let bundle = encode_bundle(&entries).unwrap();
            let width = u16::try_from(entries.len()).unwrap();
            prop_assert_eq!(decode_bundle(&bundle, width).unwrap(), entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
            if width > 1 {
                prop_assert!(decode_bundle(&bundle, width - 1).is_err());
            }
            prop_assert!(decode_bundle(&bundle, width + 1).is_err());
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(0_u8..4, 0..40), width in 0_u16..8) {
            if let Ok(entries) = decode_bundle(&bytes, width) {
                prop_assert_eq!(encode_bundle(&entries).unwrap(), bytes);
            }
        }
    }
}
