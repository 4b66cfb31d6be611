//! Proofs against an independent tree, at sizes no test could fill, and with each byte flipped.

use ct_merkle::ConsistencyProof;
use ct_merkle::InclusionProof;
use ct_merkle::RootHash;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::hash::leaf_hash;

/// Old and new size, path, old and new root, and what verifying them gives.
type Row<'p> = (u64, u64, &'p [Hash], Hash, Hash, Result<(), ProofError>);

type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn oracle(size: u64) -> Oracle {
    let mut oracle = Oracle::new();
    (0..size).for_each(|index| oracle.push(entry(index)));
    oracle
}

fn root_of(oracle: &Oracle) -> Hash {
    Hash::from_bytes(oracle.root().as_bytes().as_slice().try_into().unwrap())
}

fn bytes_of(path: &[Hash]) -> Vec<u8> {
    path.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// All complete subtrees of a small tree, by level: the reader of the tests.
struct Nodes(Vec<Vec<Hash>>);

impl Nodes {
    fn new(size: u64) -> Self {
        let mut levels = vec![
            (0..size)
                .map(|index| leaf_hash(&entry(index)))
                .collect::<Vec<_>>(),
        ];
        while levels.last().unwrap().len() > 1 {
            let (pairs, _) = levels.last().unwrap().as_chunks::<2>();
            levels.push(
                pairs
                    .iter()
                    .map(|[left, right]| node_hash(left, right))
                    .collect(),
            );
        }
        Self(levels)
    }

    fn read(&self, level: u8, index: u64) -> Option<Hash> {
        self.0
            .get(usize::from(level))?
            .get(usize::try_from(index).unwrap())
            .copied()
    }
}

#[test]
fn inclusion_agrees_with_an_independent_tree_at_every_size_to_600() {
    let mut tree = Oracle::new();
    for size in 1_u64..=600 {
        tree.push(entry(size - 1));
        let (nodes, root) = (Nodes::new(size), root_of(&tree));
        // Each leaf of small trees; of larger ones a spread that moves with the size, and both ends.
        let step = if size <= 70 { 1 } else { 37 };
        let indices = (size % step..size).step_by(usize::try_from(step).unwrap());
        for index in indices.chain([0, size - 1]) {
            let path = prove_inclusion(index, size, |level, at| nodes.read(level, at)).unwrap();
            let theirs = tree.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(bytes_of(&path), theirs.as_bytes(), "leaf {index} of {size}");
            let leaf = leaf_hash(&entry(index));
            assert_eq!(verify_inclusion(index, size, &leaf, &path, &root), Ok(()));
            let ours = InclusionProof::<Sha256>::try_from_bytes(bytes_of(&path)).unwrap();
            tree.root()
                .verify_inclusion(&entry(index), index, &ours)
                .unwrap();
        }
    }
}

#[test]
fn consistency_agrees_with_an_independent_tree_at_every_size_to_600() {
    let roots: Vec<Hash> = (0..=600).map(|size| root_of(&oracle(size))).collect();
    let root = |size: u64| roots[usize::try_from(size).unwrap()];
    let nodes = Nodes::new(600);
    let mut tree = Oracle::new();
    for new in 1_u64..=600 {
        tree.push(entry(new - 1));
        let step = if new <= 70 { 1 } else { 41 };
        for old in (1 + new % step..=new)
            .step_by(usize::try_from(step).unwrap())
            .chain([1, new])
        {
            let path = prove_consistency(old, new, |level, at| nodes.read(level, at)).unwrap();
            let theirs = tree.prove_consistency(usize::try_from(new - old).unwrap());
            if old < new {
                assert_eq!(bytes_of(&path), theirs.as_bytes(), "{old} to {new}");
            }
            assert_eq!(
                verify_consistency(old, new, &path, &root(old), &root(new)),
                Ok(())
            );
            let ours = ConsistencyProof::<Sha256>::try_from_bytes(bytes_of(&path)).unwrap();
            let old_root = RootHash::new((*root(old).as_bytes()).into(), old);
            tree.root().verify_consistency(&old_root, &ours).unwrap();
        }
    }
}

/// Nodes of a tree whose leaves are all the same: a reader for trees of any size.
fn uniform() -> Vec<Hash> {
    let mut levels = vec![leaf_hash(b"same")];
    (0..63).for_each(|_| levels.push(node_hash(levels.last().unwrap(), levels.last().unwrap())));
    levels
}

fn uniform_root(size: u64, levels: &[Hash]) -> Hash {
    range_hash(0, size, &mut |level, _| {
        levels.get(usize::from(level)).copied()
    })
    .unwrap()
}

#[test]
fn the_largest_trees_are_proved_and_larger_ones_refused() {
    let levels = uniform();
    let mut asked = Vec::new();
    for size in [1, 2, 3, (1 << 62) + 1, TREE_SIZE_MAX - 1, TREE_SIZE_MAX] {
        let root = uniform_root(size, &levels);
        for index in [0, size / 2, size - 1] {
            let mut read = |level: u8, at: u64| {
                assert!(
                    (u128::from(at) + 1) << level <= u128::from(size),
                    "outside the tree"
                );
                asked.push(level);
                levels.get(usize::from(level)).copied()
            };
            let path = prove_inclusion(index, size, &mut read).unwrap();
            assert!(path.len() < PATH_HASHES_MAX);
            assert_eq!(
                verify_inclusion(index, size, &levels[0], &path, &root),
                Ok(())
            );
            let old = index + 1;
            let path = prove_consistency(old, size, &mut read).unwrap();
            assert!(path.len() <= PATH_HASHES_MAX);
            let old_root = uniform_root(old, &levels);
            assert_eq!(
                verify_consistency(old, size, &path, &old_root, &root),
                Ok(())
            );
        }
    }
    let size = TREE_SIZE_MAX + 1;
    let too_large = ProofError::SizeTooLarge { size };
    let read = |_: u8, _: u64| Some(Hash::EMPTY);
    assert_eq!(prove_inclusion(0, size, read), Err(too_large));
    assert_eq!(prove_consistency(1, size, read), Err(too_large));
    assert_eq!(
        verify_inclusion(0, size, &Hash::EMPTY, &[], &Hash::EMPTY),
        Err(too_large)
    );
    let both = verify_consistency(size, size, &[], &Hash::EMPTY, &Hash::EMPTY);
    assert_eq!(both, Err(too_large));
}

#[test]
fn the_ends_of_the_questions() {
    let (one, nodes) = (leaf_hash(&entry(0)), Nodes::new(9));
    let read = |level: u8, at: u64| nodes.read(level, at);
    let other = leaf_hash(b"other");
    let no_leaf = ProofError::NoSuchLeaf { index: 9, size: 9 };
    assert_eq!(prove_inclusion(9, 9, read), Err(no_leaf));
    assert_eq!(verify_inclusion(9, 9, &one, &[], &one), Err(no_leaf));
    let none = ProofError::NoSuchLeaf { index: 0, size: 0 };
    assert_eq!(prove_inclusion(0, 0, read), Err(none));
    assert_eq!(verify_inclusion(0, 0, &one, &[], &Hash::EMPTY), Err(none));
    assert_eq!(verify_inclusion(0, 1, &one, &[], &one), Ok(()));
    assert_eq!(
        verify_inclusion(0, 1, &one, &[other], &one),
        Err(ProofError::PathTooLong)
    );
    // The size is part of the question: a path that ends at a true root of another size is refused.
    assert_eq!(
        verify_inclusion(0, 2, &one, &[], &one),
        Err(ProofError::PathTooShort)
    );
    let (four, path) = (
        nodes.read(2, 0).unwrap(),
        prove_inclusion(1, 4, read).unwrap(),
    );
    let second = leaf_hash(&entry(1));
    assert_eq!(verify_inclusion(1, 4, &second, &path, &four), Ok(()));
    assert_eq!(
        verify_inclusion(1, 8, &second, &path, &four),
        Err(ProofError::PathTooShort)
    );
    assert_eq!(
        verify_inclusion(1, 2, &second, &path, &four),
        Err(ProofError::PathTooLong)
    );

    let shrunk = ProofError::Shrunk {
        old_size: 9,
        new_size: 8,
    };
    assert_eq!(prove_consistency(9, 8, read), Err(shrunk));
    let empty = Hash::EMPTY;
    let table: [Row<'_>; 9] = [
        (9, 8, &[], one, one, Err(shrunk)),
        (0, 0, &[], empty, empty, Ok(())),
        (0, 0, &[], one, one, Err(ProofError::OldRootMismatch)),
        (0, 7, &[], empty, one, Ok(())),
        (0, 7, &[], one, one, Err(ProofError::OldRootMismatch)),
        (0, 7, &[other], empty, one, Err(ProofError::PathTooLong)),
        (7, 7, &[], one, one, Ok(())),
        (7, 7, &[], one, other, Err(ProofError::RootMismatch)),
        (7, 7, &[other], one, one, Err(ProofError::PathTooLong)),
    ];
    for (old, new, path, old_root, new_root, want) in table {
        assert_eq!(
            verify_consistency(old, new, path, &old_root, &new_root),
            want,
            "{old} {new}"
        );
    }
    for old in [0, 7] {
        assert_eq!(prove_consistency(old, 7, read), Ok(Vec::new()));
    }
}

#[test]
fn a_reader_without_an_answer_is_named() {
    let missing = ProofError::NodeMissing { level: 2, index: 1 };
    let read = |level: u8, index: u64| (level != 2).then_some(Hash::EMPTY).filter(|_| index < 99);
    assert_eq!(prove_inclusion(0, 8, read), Err(missing));
    assert_eq!(prove_consistency(4, 8, read), Err(missing));
}

fn flipped(hash: &Hash, byte: usize, bit: u8) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[byte] ^= 1 << bit;
    Hash::from_bytes(bytes)
}

#[test]
fn a_flip_of_any_byte_is_refused() {
    for (index, size) in [
        (0_u64, 1_u64),
        (0, 7),
        (6, 7),
        (4, 7),
        (3, 8),
        (64, 65),
        (99, 300),
    ] {
        let (nodes, root) = (Nodes::new(size), root_of(&oracle(size)));
        let leaf = leaf_hash(&entry(index));
        let path = prove_inclusion(index, size, |level, at| nodes.read(level, at)).unwrap();
        let old = index + 1;
        let old_root = root_of(&oracle(old));
        let growth = prove_consistency(old, size, |level, at| nodes.read(level, at)).unwrap();
        for byte in 0..32 {
            let bit = u8::try_from(byte % 8).unwrap();
            let bad = flipped(&leaf, byte, bit);
            verify_inclusion(index, size, &bad, &path, &root).unwrap_err();
            let bad = flipped(&root, byte, bit);
            verify_inclusion(index, size, &leaf, &path, &bad).unwrap_err();
            verify_consistency(old, size, &growth, &old_root, &bad).unwrap_err();
            let bad = flipped(&old_root, byte, bit);
            verify_consistency(old, size, &growth, &bad, &root).unwrap_err();
            for at in 0..path.len() {
                let mut bad = path.clone();
                bad[at] = flipped(&bad[at], byte, bit);
                verify_inclusion(index, size, &leaf, &bad, &root).unwrap_err();
            }
            for at in 0..growth.len() {
                let mut bad = growth.clone();
                bad[at] = flipped(&bad[at], byte, bit);
                verify_consistency(old, size, &bad, &old_root, &root).unwrap_err();
            }
        }
    }
}

proptest! {
    #[test]
    fn another_place_or_length_is_refused(size in 2_u64..600, at in any::<u64>(), to in any::<u64>()) {
        let (index, other) = (at % size, to % size);
        let (nodes, tree) = (Nodes::new(size), oracle(size));
        let (leaf, root) = (leaf_hash(&entry(index)), root_of(&tree));
        let mut path = prove_inclusion(index, size, |level, at| nodes.read(level, at)).unwrap();
        prop_assume!(index != other);
        prop_assert!(verify_inclusion(other, size, &leaf, &path, &root).is_err());
        path.push(leaf);
        let longer = verify_inclusion(index, size, &leaf, &path, &root);
        prop_assert_eq!(longer, Err(ProofError::PathTooLong));
        path.truncate(path.len() - 2);
        prop_assert!(verify_inclusion(index, size, &leaf, &path, &root).is_err());
    }

    #[test]
    fn another_history_is_refused(new in 2_u64..600, at in any::<u64>()) {
        let old = 1 + at % (new - 1);
        let nodes = Nodes::new(new);
        let new_root = root_of(&oracle(new));
        let mut forked = oracle(old - 1);
        forked.push(b"another entry".to_vec());
        let mut path = prove_consistency(old, new, |level, at| nodes.read(level, at)).unwrap();
        let fork = verify_consistency(old, new, &path, &root_of(&forked), &new_root);
        prop_assert!(fork.is_err());
        let old_root = root_of(&oracle(old));
        path.push(new_root);
        let longer = verify_consistency(old, new, &path, &old_root, &new_root);
        prop_assert_eq!(longer, Err(ProofError::PathTooLong));
        path.truncate(path.len() - 2);
        prop_assert!(verify_consistency(old, new, &path, &old_root, &new_root).is_err());
    }

    #[test]
    fn rubbish_neither_panics_nor_proves(
        sizes in any::<(u64, u64)>(),
        path in prop::collection::vec(any::<[u8; 32]>(), 0..70),
        ends in any::<([u8; 32], [u8; 32])>(),
    ) {
        let path: Vec<Hash> = path.into_iter().map(Hash::from_bytes).collect();
        let (old, new) = (Hash::from_bytes(ends.0), Hash::from_bytes(ends.1));
        for shift in [0, 1, 20, 50, 60] {
            let (at, size) = (sizes.0 >> shift, sizes.1 >> shift);
            prop_assert!(verify_inclusion(at, size, &old, &path, &new).is_err());
            let grown = verify_consistency(at, size, &path, &old, &new);
            prop_assert!(grown.is_err());
        }
    }
}
