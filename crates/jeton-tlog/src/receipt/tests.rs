//! Receipts: one text each, and no leaf but the right one at the right place under the right head.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::hash::{leaf_hash, node_hash};
use crate::key::SigningKey;

const ORIGIN: &str = "example.com/fancylog";

fn log() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap()
}

fn policy() -> Policy {
    Policy::parse(&format!("log {}\nquorum none\n", log().verifier())).unwrap()
}

/// The receipt of the second of three leaves.
fn receipt(extra: &[u8]) -> (Hash, Receipt) {
    let leaves = [b"a", b"b", b"c"].map(|leaf| leaf_hash(leaf));
    let root = node_hash(&node_hash(&leaves[0], &leaves[1]), &leaves[2]);
    let checkpoint = Checkpoint::new(ORIGIN, 3, root).unwrap();
    let note = checkpoint.sign(&log()).unwrap();
    let path = vec![leaves[0], leaves[2]];
    (
        leaves[1],
        Receipt::new(1, path, note, extra.to_vec()).unwrap(),
    )
}

#[test]
fn the_layout_is_that_of_the_specification() {
    let (_, with) = receipt(b"opening");
    let hashes: Vec<String> = with.path().iter().map(ToString::to_string).collect();
    let text = format!(
        "c2sp.org/tlog-proof@v1\nextra b3BlbmluZw==\nindex 1\n{}\n{}\n\n{}",
        hashes[0],
        hashes[1],
        with.note()
    );
    assert_eq!(with.to_string(), text);
    assert_eq!(Receipt::parse(text.as_bytes()).as_ref(), Ok(&with));
    assert_eq!(with.unverified_extra(), b"opening");
    let (_, without) = receipt(b"");
    assert_eq!(
        without.to_string(),
        text.replace("extra b3BlbmluZw==\n", "")
    );
    let read = Receipt::parse(without.to_string().as_bytes());
    assert_eq!(read.as_ref(), Ok(&without));
}

#[test]
fn only_the_right_leaf_is_proved() {
    let (leaf, good) = receipt(b"x");
    let verified = good.verify(&leaf, &policy()).unwrap();
    assert_eq!((verified.index(), verified.leaf()), (1, &leaf));
    assert_eq!(verified.checkpoint().checkpoint().size(), 3);
    let wrong = good.verify(&leaf_hash(b"d"), &policy());
    let mismatch = ReceiptError::Inclusion(ProofError::RootMismatch);
    assert_eq!(wrong, Err(mismatch.clone()));
    let elsewhere = Receipt {
        index: 0,
        ..good.clone()
    };
    assert_eq!(elsewhere.verify(&leaf, &policy()), Err(mismatch));
    let beyond = Receipt {
        index: 3,
        ..good.clone()
    };
    let none = ProofError::NoSuchLeaf { index: 3, size: 3 };
    assert_eq!(
        beyond.verify(&leaf, &policy()),
        Err(ReceiptError::Inclusion(none))
    );
    let stranger = SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap();
    let stranger = format!("log {}\nquorum none\n", stranger.verifier());
    let refused = good.verify(&leaf, &Policy::parse(&stranger).unwrap());
    assert!(matches!(refused, Err(ReceiptError::Policy(_))));
    // Another log's head, cosigned or not, is not this one's.
    let spoiled = Receipt {
        note: good.note().replace("\n3\n", "\n4\n"),
        ..good
    };
    let refused = spoiled.verify(&leaf, &policy());
    assert!(matches!(refused, Err(ReceiptError::Policy(_))));
}

#[test]
fn what_is_not_a_receipt_is_refused() {
    use ReceiptError::*;
    let good = receipt(b"opening").1.to_string();
    let hash = receipt(b"").1.path()[0].to_string();
    let table = [
        (String::new(), NoCheckpoint),
        (good.replace("\n\n", "\n"), NoCheckpoint),
        (good.replace("@v1", "@v2"), Version),
        (format!("\n{good}"), Version),
        (format!("\n\n{good}"), Version),
        (good.replace("v1\n", "v1 \n"), Version),
        (good.replace("b3BlbmluZw==", ""), Extra),
        (good.replace("b3BlbmluZw==", "b3BlbmluZw"), Extra),
        (good.replace("b3BlbmluZw==", "b3BlbmluZx=="), Extra),
        (good.replace("extra ", "extra  "), Extra),
        (good.replace("extra", "Extra"), Index),
        (good.replace("index 1", "index 01"), Index),
        (good.replace("index 1", "index  1"), Index),
        (good.replace("index 1", "index 9223372036854775808"), Index),
        (good.replace("index 1", "index 18446744073709551616"), Index),
        (good.replace("index 1\n", ""), Index),
        (good.replace("index 1", "extra YQ==\nindex 1"), Index),
        ("c2sp.org/tlog-proof@v1\n\nx".to_owned(), Index),
        ("c2sp.org/tlog-proof@v1\nextra YQ==\n\nx".to_owned(), Index),
        (good.replace("index 1\n", "index 1\nx\n"), Path { line: 1 }),
        (
            good.replace(&hash, hash.trim_end_matches('=')),
            Path { line: 1 },
        ),
        (
            good.replace(
                "index 1\n",
                &format!("index 1\n{}", format!("{hash}\n").repeat(62)),
            ),
            Path { line: 64 },
        ),
    ];
    for (text, error) in table {
        assert_eq!(Receipt::parse(text.as_bytes()), Err(error), "{text:?}");
    }
    assert_eq!(Receipt::parse(b"\xff"), Err(NotPlainText));
}

#[test]
fn both_sides_of_each_bound() {
    let make = |extra: usize, hashes: usize, index: u64, note: usize| {
        let made = Receipt::new(
            index,
            vec![Hash::EMPTY; hashes],
            "n".repeat(note),
            vec![7; extra],
        )?;
        assert!(made.to_string().len() <= RECEIPT_BYTES_MAX);
        assert_eq!(Receipt::parse(made.to_string().as_bytes())?, made);
        Ok(())
    };
    let last = (1 << 63) - 1;
    assert_eq!(
        make(RECEIPT_EXTRA_BYTES_MAX, 63, last, NOTE_BYTES_MAX),
        Ok(())
    );
    assert_eq!(
        make(RECEIPT_EXTRA_BYTES_MAX + 1, 0, 0, 9),
        Err(ReceiptError::TooLong)
    );
    assert_eq!(make(0, 64, 0, 9), Err(ReceiptError::Path { line: 64 }));
    assert_eq!(make(0, 0, last + 1, 9), Err(ReceiptError::Index));
    assert_eq!(
        make(0, 0, 0, NOTE_BYTES_MAX + 1),
        Err(ReceiptError::TooLong)
    );
    let long = vec![b'\n'; RECEIPT_BYTES_MAX + 1];
    assert_eq!(Receipt::parse(&long), Err(ReceiptError::TooLong));
    assert_eq!(Receipt::parse(&long[1..]), Err(ReceiptError::Version));
}

#[test]
fn a_flip_of_any_bit_is_refused_but_in_the_extra_data() {
    let (leaf, good) = receipt(b"opening");
    let text = good.to_string();
    let extra = text.find("extra ").unwrap() + 6..text.find("index").unwrap() - 1;
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let verified = Receipt::parse(&bytes).and_then(|r| r.verify(&leaf, &policy()));
            assert!(
                verified.is_err() || extra.contains(&at),
                "byte {at}, bit {bit}"
            );
        }
    }
}

proptest! {
    #[test]
    fn what_parses_prints_the_same(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[\\n a=0]{0,3}"), 0..3),
    ) {
        let mut text: Vec<char> = receipt(b"opening").1.to_string().chars().collect();
        for (at, length, with) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(read) = Receipt::parse(text.as_bytes()) {
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
