//! Paths byte for byte, both sides of each bound, and tiles against an independent reader.

use proptest::prelude::*;

use super::*;
use crate::hash::leaf_hash;

fn tile(level: u8, index: u64, width: u16) -> TilePath {
    TilePath::Hashes(TileId::new(level, index, width).unwrap())
}

fn entries(index: u64, width: u16) -> TilePath {
    TilePath::Entries(BundleId::new(index, width).unwrap())
}

#[test]
fn paths_are_the_published_ones() {
    let table = [
        (tile(0, 0, 256), "tile/0/000"),
        (tile(0, 0, 1), "tile/0/000.p/1"),
        (tile(0, 0, 255), "tile/0/000.p/255"),
        (tile(0, 999, 256), "tile/0/999"),
        (tile(0, 1_000, 256), "tile/0/x001/000"),
        (tile(0, 1_234, 5), "tile/0/x001/234.p/5"),
        // The example of the specification.
        (tile(4, 1_234_067, 256), "tile/4/x001/x234/067"),
        (tile(1, 1_000_000, 256), "tile/1/x001/x000/000"),
        (
            tile(0, (1 << 55) - 1, 256),
            "tile/0/x036/x028/x797/x018/x963/967",
        ),
        (tile(7, 0, 128), "tile/7/000.p/128"),
        (entries(0, 256), "tile/entries/000"),
        (entries(1_234, 5), "tile/entries/x001/234.p/5"),
        (
            entries((1 << 55) - 1, 255),
            "tile/entries/x036/x028/x797/x018/x963/967.p/255",
        ),
    ];
    for (id, path) in table {
        assert_eq!(id.to_string(), path);
        assert_eq!(TilePath::parse(path), Ok(id));
        assert!(path.len() < TILE_PATH_BYTES_MAX);
        match id {
            TilePath::Hashes(tile) => assert_eq!(tile.path(), path),
            TilePath::Entries(bundle) => {
                assert_eq!(bundle.path(), path);
                assert_eq!(
                    tile(0, bundle.index(), bundle.width()).to_string(),
                    bundle.tile().path()
                );
            }
        }
    }
}

#[test]
fn any_other_text_is_refused() {
    let refused = [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile//000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/01/000",
        "tile/+1/000",
        "tile/-1/000",
        "tile/a/000",
        "tile/008/000",
        "tile/100/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x1/000",
        "tile/0/xx01/000",
        "tile/0/X001/000",
        "tile/0/+01",
        "tile/0/ 01",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/1000",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p/+1",
        "tile/0/000.P/1",
        "tile/0/000p/1",
        "tile/0/x001.p/1/000",
        "tile/entries",
        "tile/entries/",
        "tile/entries/x000/000",
        "tile/entries/000.p/256",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/00\u{661}",
        "tile/0/..",
        "tile/0/../000",
        "tile/0/000?x",
        "tile/0/000 ",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
    ];
    for path in refused {
        assert_eq!(TilePath::parse(path), Err(TileError::Path), "{path:?}");
    }
    for path in [
        "tile/8/000",
        "tile/63/000.p/1",
        "tile/64/000",
        "tile/99/000",
        "tile/7/000",
    ] {
        let parsed = TilePath::parse(path);
        assert!(
            matches!(parsed, Err(TileError::NoSuchTile { .. })),
            "{path:?} {parsed:?}"
        );
    }
}

#[test]
fn ids_end_where_the_largest_tree_ends() {
    let table = [
        (0, 0, 0, false),
        (0, 0, 1, true),
        (0, 0, 256, true),
        (0, 0, 257, false),
        (0, (1 << 55) - 1, 256, true),
        (0, 1 << 55, 1, false),
        (0, u64::MAX, 256, false),
        (1, (1 << 47) - 1, 256, true),
        (1, 1 << 47, 1, false),
        (6, 127, 256, true),
        (6, 128, 1, false),
        (7, 0, 128, true),
        (7, 0, 129, false),
        (7, 1, 1, false),
        (7, u64::MAX, 256, false),
        (8, 0, 1, false),
        (u8::MAX, 0, 1, false),
    ];
    for (level, index, width, good) in table {
        assert_eq!(
            TileId::new(level, index, width).is_ok(),
            good,
            "{level} {index} {width}"
        );
    }
    assert!(TileId::new(0, 0, 256).unwrap().is_full());
    assert!(!TileId::new(0, 0, 255).unwrap().is_full());
}

#[test]
fn the_right_edge_is_the_one_of_the_specification() {
    let edge = |size| TileId::partials(size).map(TileId::path).collect::<Vec<_>>();
    assert_eq!(
        edge(70_000),
        ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    );
    assert_eq!(edge(256), ["tile/1/000.p/1"]);
    assert_eq!(edge(255), ["tile/0/000.p/255"]);
    assert_eq!(edge(65_537), ["tile/0/256.p/1", "tile/2/000.p/1"]);
    assert_eq!(edge(0), Vec::<String>::new());
    assert_eq!(edge(TREE_SIZE_MAX), ["tile/7/000.p/128"]);
}

#[test]
fn a_node_is_found_only_where_it_is_complete() {
    let span = |level, index, size| {
        TileSpan::of_node(level, index, size)
            .map(|span| (span.tile().path(), span.start, span.count))
    };
    let at = |path: &str, start, count| Some((path.to_owned(), start, count));
    assert_eq!(span(0, 0, 1), at("tile/0/000.p/1", 0, 1));
    assert_eq!(span(0, 1, 1), None);
    assert_eq!(span(0, 255, 256), at("tile/0/000", 255, 1));
    assert_eq!(span(7, 1, 256), at("tile/0/000", 128, 128));
    assert_eq!(span(8, 0, 255), None);
    assert_eq!(span(8, 0, 256), at("tile/1/000.p/1", 0, 1));
    assert_eq!(span(3, 34, 280), at("tile/0/001.p/24", 16, 8));
    assert_eq!(span(3, 35, 280), None);
    assert_eq!(span(62, 1, TREE_SIZE_MAX), at("tile/7/000.p/128", 64, 64));
    assert_eq!(span(63, 0, TREE_SIZE_MAX), at("tile/7/000.p/128", 0, 128));
    assert_eq!(span(63, 0, TREE_SIZE_MAX + 1), None);
    assert_eq!(span(64, 0, u64::MAX), None);
    assert_eq!(span(u8::MAX, 0, u64::MAX), None);
}

#[test]
fn a_span_takes_its_tile_or_a_wider_one() {
    let leaves: Vec<u8> = (0_u64..256)
        .flat_map(|index| *leaf_hash(&index.to_be_bytes()).as_bytes())
        .collect();
    let span = TileSpan::of_node(2, 1, 9).unwrap();
    let hash = span.hash(&leaves[..9 * 32]).unwrap();
    assert_eq!(span.hash(&leaves), Ok(hash));
    let longer = [leaves.as_slice(), &leaves[..32]].concat();
    let bad = [
        &leaves[..8 * 32],
        &leaves[..9 * 32 - 1],
        &leaves[..289],
        &[],
        &longer,
    ];
    for bytes in bad {
        let actual = bytes.len();
        let refused = TileError::Length {
            width: 9,
            expected: 9 * 32,
            actual,
        };
        assert_eq!(span.hash(bytes), Err(refused));
    }
}

proptest! {
    #[test]
    fn paths_round_trip(level in 0_u8..7, index in any::<u64>(), width in 1_u16..=256, cut in 0_u32..60) {
        let index = index >> 9 >> (level * 8) >> cut.min(54 - u32::from(level) * 8);
        let id = tile(level, index, width);
        prop_assert_eq!(TilePath::parse(&id.to_string()), Ok(id));
        let id = entries(index, width);
        prop_assert_eq!(TilePath::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn paths_are_the_oracles_paths(level in 0_u8..=5, index in 0_u64..1 << 15, width in 1_u16..=256) {
        let theirs = tlog_tiles::Tile::new(8, level, index, u32::from(width), false).path();
        prop_assert_eq!(theirs.replacen("tile/8/", "tile/", 1), tile(level, index, width).to_string());
        let theirs = tlog_tiles::Tile::new(8, 0, index, u32::from(width), true).path();
        let ours = entries(index, width).to_string();
        prop_assert_eq!(theirs.replacen("tile/8/data/", "tile/entries/", 1), ours);
    }

    #[test]
    fn a_text_that_parses_is_the_one_path(path in "tile/(entries|[0-9]{1,2})/(x?[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(id) = TilePath::parse(&path) {
            prop_assert_eq!(id.to_string(), path);
        }
    }

    #[test]
    fn rubbish_does_not_panic(path in "\\PC{0,80}") {
        prop_assert!(TilePath::parse(&path).is_err());
    }
}
