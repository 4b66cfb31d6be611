//! Tiles at the sizes where tilings go wrong, against an independent implementation.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::hash::leaf_hash;
use crate::prove::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};
use crate::tile::TileSpan;

const SIZES: [u64; 9] = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000];

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

/// Grows a builder to a size, and keeps each full tile by its path.
fn grow(builder: &mut TileBuilder, size: u64, full: &mut HashMap<String, Vec<u8>>) {
    for index in builder.size()..size {
        for tile in builder.push(leaf(index)) {
            assert_eq!(tile.bytes.len(), TILE_BYTES);
            let earlier = full.insert(tile.id.path(), tile.bytes);
            assert!(earlier.is_none(), "{} was given twice", tile.id.path());
        }
    }
}

fn stored(builder: &TileBuilder, full: &HashMap<String, Vec<u8>>) -> HashMap<String, Vec<u8>> {
    let mut tiles = full.clone();
    tiles.extend(
        builder
            .partial_tiles()
            .into_iter()
            .map(|tile| (tile.id.path(), tile.bytes)),
    );
    tiles
}

/// The hash storage of the oracle, in its own order.
#[derive(Default)]
struct Oracle(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Oracle {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[usize::try_from(*index).unwrap()])
            .collect())
    }
}

impl Oracle {
    fn grow(&mut self, from: u64, to: u64) {
        for index in from..to {
            let hashes = tlog_tiles::stored_hashes(index, &index.to_be_bytes(), self).unwrap();
            self.0.extend(hashes);
        }
    }
}

#[test]
fn tiles_and_roots_are_the_oracles_at_each_boundary() {
    let (mut builder, mut full, mut oracle) =
        (TileBuilder::new(), HashMap::new(), Oracle::default());
    let mut previous = 0;
    for size in SIZES {
        grow(&mut builder, size, &mut full);
        oracle.grow(previous, size);
        let root = tlog_tiles::tree_hash(size, &oracle).unwrap();
        assert_eq!(builder.root().as_bytes(), &root.0, "root of {size}");
        assert_eq!(builder.frontier().size(), size);
        let tiles = stored(&builder, &full);
        // All tiles of the tree, and no others.
        let theirs = tlog_tiles::Tile::new_tiles(8, 0, size);
        assert_eq!(tiles.len(), theirs.len(), "tiles of {size}");
        for tile in theirs {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            assert_eq!(
                tiles[&path],
                tile.read_data(&oracle).unwrap(),
                "{path} of {size}"
            );
        }
        previous = size;
    }
    // 273 full tiles of leaves and one above them: the specification's own example.
    assert_eq!(full.len(), 274);
}

#[test]
fn a_resumed_builder_goes_on_as_if_it_had_never_stopped() {
    let (mut straight, mut full) = (TileBuilder::new(), HashMap::new());
    for size in SIZES {
        grow(&mut straight, size, &mut full);
        let partial: Vec<Vec<Hash>> = (0..8)
            .map(|level| straight.partial(level).to_vec())
            .collect();
        let mut resumed = TileBuilder::resume(size, partial).unwrap();
        assert_eq!(resumed, straight, "at {size}");
        let (mut ahead, mut ours, mut theirs) = (straight.clone(), HashMap::new(), HashMap::new());
        grow(&mut ahead, size + 300, &mut theirs);
        grow(&mut resumed, size + 300, &mut ours);
        assert_eq!((ours, resumed), (theirs, ahead), "after {size}");
    }
}

#[test]
fn proofs_are_read_from_stored_tiles() {
    let (mut builder, mut full) = (TileBuilder::new(), HashMap::new());
    let (mut old_size, mut old_root) = (0, Hash::EMPTY);
    for size in SIZES {
        grow(&mut builder, size, &mut full);
        let (tiles, root) = (stored(&builder, &full), builder.root());
        let read = |level: u8, index: u64| {
            let span = TileSpan::of_node(level, index, size)?;
            span.hash(tiles.get(&span.tile().path())?).ok()
        };
        for index in [0, 1, size / 3, size / 2, size - 1]
            .into_iter()
            .filter(|at| *at < size)
        {
            let path = prove_inclusion(index, size, read).unwrap();
            assert_eq!(
                verify_inclusion(index, size, &leaf(index), &path, &root),
                Ok(())
            );
        }
        let path = prove_consistency(old_size, size, read).unwrap();
        assert_eq!(
            verify_consistency(old_size, size, &path, &old_root, &root),
            Ok(())
        );
        (old_size, old_root) = (size, root);
    }
}

#[test]
fn an_edge_of_another_size_is_refused() {
    let row = |count: usize| vec![Hash::EMPTY; count];
    let table = [
        (0, vec![], true),
        (0, vec![vec![]; 8], true),
        (0, vec![vec![]; 9], false),
        (0, vec![row(1)], false),
        (1, vec![], false),
        (1, vec![row(1)], true),
        (1, vec![row(1), row(1)], false),
        (255, vec![row(255)], true),
        (255, vec![row(254)], false),
        (256, vec![row(256)], false),
        (256, vec![row(0), row(1)], true),
        (256, vec![row(0)], false),
        (257, vec![row(1), row(1)], true),
        (65_535, vec![row(255), row(255)], true),
        (65_536, vec![row(0), row(0), row(1)], true),
        (65_537, vec![row(1), row(0), row(1)], true),
        (65_537, vec![row(1), row(1), row(1)], false),
        (
            TREE_SIZE_MAX,
            [vec![vec![]; 7], vec![row(128)]].concat(),
            true,
        ),
        (
            TREE_SIZE_MAX + 1,
            [vec![vec![]; 7], vec![row(128)]].concat(),
            false,
        ),
        (u64::MAX, vec![row(255); 8], false),
    ];
    for (size, partial, good) in table {
        let widths: Vec<usize> = partial.iter().map(Vec::len).collect();
        assert_eq!(
            TileBuilder::resume(size, partial).is_ok(),
            good,
            "{size}: {widths:?}"
        );
    }
}

#[test]
fn a_flipped_edge_shows_in_the_root() {
    let (mut builder, mut full) = (TileBuilder::new(), HashMap::new());
    grow(&mut builder, 65_537, &mut full);
    for level in [0_u8, 2] {
        let mut partial: Vec<Vec<Hash>> = (0..3)
            .map(|level| builder.partial(level).to_vec())
            .collect();
        let mut bytes = *partial[usize::from(level)][0].as_bytes();
        bytes[31] ^= 1;
        partial[usize::from(level)][0] = Hash::from_bytes(bytes);
        assert_ne!(
            TileBuilder::resume(65_537, partial).unwrap().root(),
            builder.root()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_builder_has_the_frontiers_root(size in 0_u64..1_500) {
        let (mut builder, mut frontier) = (TileBuilder::new(), Frontier::new());
        let mut count = 0;
        for index in 0..size {
            count += builder.push(leaf(index)).len();
            frontier.push(leaf(index));
        }
        prop_assert_eq!(builder.frontier(), &frontier);
        prop_assert_eq!(builder.root(), frontier.root());
        prop_assert_eq!(u64::try_from(count).unwrap(), size / 256);
    }
}
