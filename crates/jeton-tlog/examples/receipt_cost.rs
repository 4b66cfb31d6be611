//! `cargo xtask bench receipt`: what the receipt of a ledger of a million events is, cosigned by three, and what it costs to verify.

#![expect(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a measuring program: it reads clocks, and stops at the first surprise"
)]

use std::{hint::black_box, time::Instant};

use jeton_tlog::{
    Checkpoint, CosigningKey, Hash, Note, Policy, Receipt, SigningKey, leaf_hash, node_hash,
    prove_inclusion, verify_inclusion,
};

const SIZE: u64 = 1_000_000;
const INDEX: u64 = 765_432;
/// As long as the opening of an issued token: 107 bytes around a record of some 220.
const OPENING_BYTES: usize = 107 + 220;

fn main() {
    let rounds = if std::env::args().any(|word| word == "--quick") {
        9
    } else {
        31
    };
    let entry = |n: u64| [n.to_be_bytes().as_slice(), &[0; 98]].concat();
    let mut levels: Vec<Vec<Hash>> = vec![(0..SIZE).map(|n| leaf_hash(&entry(n))).collect()];
    while levels[levels.len() - 1].len() > 1 {
        let pairs = levels[levels.len() - 1].chunks_exact(2);
        levels.push(pairs.map(|pair| node_hash(&pair[0], &pair[1])).collect());
    }
    let node = |level: u8, index: u64| {
        let index = usize::try_from(index).ok()?;
        levels.get(usize::from(level))?.get(index).copied()
    };
    let path = prove_inclusion(INDEX, SIZE, node).expect("a path");
    let mut tree = jeton_tlog::Frontier::new();
    levels[0].iter().for_each(|leaf| tree.push(*leaf));
    let (root, leaf) = (tree.root(), leaf_hash(&entry(INDEX)));
    let (note, policy) = cosigned(root);
    let receipt = Receipt::new(INDEX, path.clone(), note, vec![7; OPENING_BYTES]);
    let text = receipt.expect("a receipt").to_string();
    let path_ns = median_ns(rounds, 10_000, || {
        verify_inclusion(black_box(INDEX), SIZE, &leaf, &path, &root).expect("it holds");
    });
    let all_ns = median_ns(rounds, 200, || {
        let read = Receipt::parse(black_box(text.as_bytes())).expect("it reads");
        read.verify(&leaf, &policy).expect("it holds");
    });
    println!(
        "{{\"events\":{SIZE},\"cosigners\":3,\"receipt_bytes\":{},\"path_hashes\":{},\"path_verify_us\":{:.2},\"receipt_verify_us\":{:.1}}}",
        text.len(),
        path.len(),
        path_ns / 1000.0,
        all_ns / 1000.0
    );
}

/// A checkpoint of the tree, cosigned by three of four, and the policy that asks for them.
fn cosigned(root: Hash) -> (String, Policy) {
    let key = SigningKey::from_seed("auth.example.com/ledger", &[5; 32]).expect("a key");
    let checkpoint = Checkpoint::new(key.name(), SIZE, root).expect("a checkpoint");
    let note = checkpoint.sign(&key).expect("a note");
    let mut note = Note::parse(note.as_bytes()).expect("a note");
    let mut policy = format!("log {}\n", key.verifier());
    for n in 1..=4u8 {
        let name = format!("witness{n}.example.org");
        let witness = CosigningKey::from_seed(&name, &[n; 32]).expect("a key");
        policy += &format!("witness w{n} {}\n", witness.witness());
        if n < 4 {
            let line = witness.cosign(&checkpoint, 1_900_000_000).expect("a line");
            note.add_cosignature(&line, witness.witness())
                .expect("it is added");
        }
    }
    policy += "group all 3 w1 w2 w3 w4\nquorum all\n";
    let policy = Policy::parse(&policy).expect("a policy");
    (note.to_string(), policy)
}

/// Nanoseconds for one, the median of rounds.
fn median_ns(rounds: usize, times: u32, mut work: impl FnMut()) -> f64 {
    let mut round = || {
        let start = Instant::now();
        for _ in 0..times {
            work();
        }
        start.elapsed().as_nanos() as f64 / f64::from(times)
    };
    let mut all: Vec<f64> = (0..rounds).map(|_| round()).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
