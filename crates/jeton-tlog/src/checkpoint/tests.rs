//! Checkpoints: one text each, nothing around it, and belief only in a log's own.

use proptest::prelude::*;

use super::*;
use crate::hash::leaf_hash;

const ORIGIN: &str = "example.com/behind-the-sofa";
const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

/// The example of c2sp.org/tlog-checkpoint.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &[7; 32]).unwrap()
}

#[test]
fn the_example_of_the_specification_is_read_and_printed() {
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.unverified_text()).unwrap();
    assert_eq!(
        (checkpoint.origin(), checkpoint.size()),
        (ORIGIN, 20_852_163)
    );
    assert_eq!(checkpoint.root().to_string(), ROOT);
    assert_eq!(checkpoint.to_string(), note.unverified_text());
    assert_eq!(note.signatures()[0].name(), ORIGIN);
    // Its key was not published, so nobody here can believe it.
    let stranger = Checkpoint::open(EXAMPLE.as_bytes(), key(ORIGIN).verifier());
    assert_eq!(stranger, Err(CheckpointError::Note(NoteError::NotSigned)));
}

#[test]
fn any_other_text_is_refused() {
    use CheckpointError::{EmptyRoot, Lines, Origin, Root, Size};
    let empty = Hash::EMPTY.to_string();
    let table = [
        (format!("o\n0\n{empty}\n"), None),
        (format!("o\n9223372036854775808\n{ROOT}\n"), None),
        (format!("an origin with spaces + plus\n1\n{ROOT}\n"), None),
        (format!("o\n9223372036854775809\n{ROOT}\n"), Some(Size)),
        (format!("o\n18446744073709551616\n{ROOT}\n"), Some(Size)),
        (format!("o\n01\n{ROOT}\n"), Some(Size)),
        (format!("o\n00\n{ROOT}\n"), Some(Size)),
        (format!("o\n+1\n{ROOT}\n"), Some(Size)),
        (format!("o\n-1\n{ROOT}\n"), Some(Size)),
        (format!("o\n 1\n{ROOT}\n"), Some(Size)),
        (format!("o\n1 \n{ROOT}\n"), Some(Size)),
        (format!("o\n1\r\n{ROOT}\n"), Some(Size)),
        (format!("o\n0x1\n{ROOT}\n"), Some(Size)),
        (format!("o\n\u{661}\n{ROOT}\n"), Some(Size)),
        (format!("o\n\n{ROOT}\n"), Some(Size)),
        (format!("o\n0\n{ROOT}\n"), Some(EmptyRoot)),
        (format!("\n1\n{ROOT}\n"), Some(Origin)),
        (format!("o\t\n1\n{ROOT}\n"), Some(Origin)),
        (
            format!("o\n1\n{}\n", ROOT.trim_end_matches('=')),
            Some(Root),
        ),
        (
            format!("o\n1\n{}\n", ROOT.replace("2I=", "2J=")),
            Some(Root),
        ),
        (format!("o\n1\n {ROOT}\n"), Some(Root)),
        ("o\n1\n\n".to_owned(), Some(Root)),
        (format!("o\n1\n{ROOT}"), Some(Lines)),
        (format!("o\n1\n{ROOT}\n\n"), Some(Lines)),
        (format!("o\n1\n{ROOT}\nextension\n"), Some(Lines)),
        (format!("o\n1\n{ROOT}\nextension"), Some(Lines)),
        ("o\n1\n".to_owned(), Some(Lines)),
        ("o".to_owned(), Some(Lines)),
        (String::new(), Some(Lines)),
    ];
    for (text, error) in table {
        let parsed = Checkpoint::parse(&text);
        assert_eq!(parsed.as_ref().err(), error.as_ref(), "{text:?}");
        assert!(parsed.is_err() || parsed.unwrap().to_string() == text);
    }
    let long = format!("{}\n1\n{ROOT}\n", "o".repeat(NOTE_BYTES_MAX));
    assert_eq!(
        Checkpoint::parse(&long),
        Err(CheckpointError::TooLong { actual: long.len() })
    );
}

#[test]
fn a_log_speaks_only_for_itself() {
    let checkpoint = Checkpoint::new(ORIGIN, 1, leaf_hash(b"first")).unwrap();
    let signed = checkpoint.sign(&key(ORIGIN)).unwrap();
    let verified = Checkpoint::open(signed.as_bytes(), key(ORIGIN).verifier()).unwrap();
    assert_eq!(verified.checkpoint(), &checkpoint);
    assert_eq!((verified.origin(), verified.size()), (ORIGIN, 1));
    assert_eq!(verified.root(), &leaf_hash(b"first"));
    assert!(verified.note().is_signed_by(key(ORIGIN).verifier()));

    let (other, origin) = ("example.com/other".to_owned(), ORIGIN.to_owned());
    let mismatch = CheckpointError::OriginMismatch {
        origin,
        name: other.clone(),
    };
    assert_eq!(checkpoint.sign(&key(&other)), Err(mismatch.clone()));
    let borrowed = key(&other).sign_note(&checkpoint.to_string()).unwrap();
    assert_eq!(
        Checkpoint::open(borrowed.as_bytes(), key(&other).verifier()),
        Err(mismatch)
    );
    let unknown = Err(CheckpointError::Note(NoteError::NotSigned));
    assert_eq!(
        Checkpoint::open(borrowed.as_bytes(), key(ORIGIN).verifier()),
        unknown
    );
    // Witnesses add their lines; the log's signature still counts.
    let cosigned = format!(
        "{signed}{}",
        key("w.example").sign(&checkpoint.to_string()).unwrap()
    );
    assert!(Checkpoint::open(cosigned.as_bytes(), key(ORIGIN).verifier()).is_ok());
    // Signed, but not a checkpoint.
    let extended = key(ORIGIN)
        .sign_note(&format!("{checkpoint}extension\n"))
        .unwrap();
    let opened = Checkpoint::open(extended.as_bytes(), key(ORIGIN).verifier());
    assert_eq!(opened, Err(CheckpointError::Lines));
}

#[test]
fn a_flip_of_any_bit_is_refused() {
    let checkpoint = Checkpoint::new(ORIGIN, 70_000, leaf_hash(b"root")).unwrap();
    let signed = checkpoint.sign(&key(ORIGIN)).unwrap();
    for at in 0..signed.len() {
        for bit in 0..8 {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let opened = Checkpoint::open(&bytes, key(ORIGIN).verifier());
            assert!(opened.is_err(), "byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn checkpoints_round_trip_and_the_oracles_read_them(
        size in 1..=TREE_SIZE_MAX, root in any::<[u8; 32]>(), origin in "[a-z./é]{1,40}",
    ) {
        let checkpoint = Checkpoint::new(&origin, size, Hash::from_bytes(root)).unwrap();
        let text = checkpoint.to_string();
        let parsed = Checkpoint::parse(&text);
        prop_assert_eq!(parsed.as_ref(), Ok(&checkpoint));
        let signed = checkpoint.sign(&key(&origin)).unwrap();
        let note = signed_note::Note::from_bytes(signed.as_bytes()).unwrap();
        let theirs = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        prop_assert_eq!((theirs.origin(), theirs.size()), (origin.as_str(), size));
        prop_assert_eq!(theirs.hash().0, root);
    }

    #[test]
    fn what_parses_prints_the_same(text in "[a-c ]{0,2}\n[0-9]{0,3}\n(CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2[A-Z]=)?\n(\n|x)?") {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}

#[test]
fn several_keys_of_one_log_may_sign_and_each_is_believed() {
    let checkpoint = Checkpoint::new(ORIGIN, 1, leaf_hash(b"first")).unwrap();
    let [old, new, next] =
        [1, 2, 3].map(|seed| SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap());
    let signed = checkpoint.sign_all(&[&old, &new]).unwrap();
    let lines = [&old, &new].map(|key| key.sign(&checkpoint.to_string()).unwrap());
    assert_eq!(signed, format!("{checkpoint}\n{}", lines.concat()));
    let open = |keys: &[&SigningKey]| {
        let keys: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
        Checkpoint::open_any(signed.as_bytes(), &keys)
    };
    let other = key("other.example");
    for keys in [
        vec![&old],
        vec![&new],
        vec![&next, &new],
        vec![&other, &old, &new],
    ] {
        assert_eq!(open(&keys).unwrap().checkpoint(), &checkpoint);
    }
    assert_eq!(open(&[&old, &new]).unwrap().note().signers().len(), 2);
    let not_signed = CheckpointError::Note(NoteError::NotSigned);
    assert_eq!(open(&[&next]), Err(not_signed));
    let origin = ORIGIN.to_owned();
    let unknown = CheckpointError::UnknownLog { origin };
    assert_eq!(open(&[&other]), Err(unknown.clone()));
    assert_eq!(open(&[]), Err(unknown));
    let nobody = CheckpointError::Note(NoteError::NoSignatures);
    assert_eq!(checkpoint.sign_all(&[]), Err(nobody));
    assert!(matches!(
        checkpoint.sign_all(&[&old, &other]),
        Err(CheckpointError::OriginMismatch { .. })
    ));
}
