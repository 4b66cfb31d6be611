//! Cosignatures: the layout byte for byte, belief, and what must never pass for one.

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;
use crate::hash::{Hash, leaf_hash};
use crate::key::SigningKey;

const ORIGIN: &str = "example.com/behind-the-sofa";

/// The example of c2sp.org/tlog-cosignature; its keys were not published.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

fn witness(name: &str, seed: u8) -> CosigningKey {
    CosigningKey::from_seed(name, &[seed; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 20_852_163, leaf_hash(b"root")).unwrap()
}

/// A note of the log with these lines after its own.
fn cosigned(lines: &[String]) -> Note {
    let log = SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap();
    let note = checkpoint().sign(&log).unwrap() + &lines.concat();
    Note::parse(note.as_bytes()).unwrap()
}

#[test]
fn the_example_of_the_specification_has_our_layout() {
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(note.to_string(), EXAMPLE);
    let line = &note.signatures()[1];
    assert_eq!(line.name(), "witness.example.com/w1");
    assert_eq!(line.bytes().len(), 8 + 64);
    // The time of the example's signed message: 1679315147.
    assert_eq!(line.bytes()[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(
        message(1_679_315_147, note.unverified_text()),
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
         CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

#[test]
fn a_cosignature_is_the_time_and_a_plain_signature_of_the_message() {
    let line = witness("w", 1).cosign(&checkpoint(), 258).unwrap();
    let encoded = line.strip_prefix("— w ").unwrap().strip_suffix('\n');
    let bytes = BASE64.decode(encoded.unwrap().as_bytes()).unwrap();
    assert_eq!(bytes[..4], *witness("w", 1).witness().key_id().as_bytes());
    assert_eq!(bytes[4..12], [0, 0, 0, 0, 0, 0, 1, 2]);
    // The same seed as a note's key signs the same bytes, and has another id.
    let plain = SigningKey::from_seed("w", &[1; 32]).unwrap();
    let message = format!("cosignature/v1\ntime 258\n{}", checkpoint());
    assert!(plain.verifier().made(&bytes[12..], message.as_bytes()));
    assert_ne!(plain.key_id(), witness("w", 1).witness().key_id());
}

#[test]
fn keys_of_witnesses_and_of_logs_are_not_mixed_up() {
    let witness = witness("w.example/1", 1);
    let text = witness.witness().to_string();
    assert_eq!(WitnessKey::parse(&text).as_ref(), Ok(witness.witness()));
    assert_eq!(format!("{:?}", witness.witness()), text);
    let log = SigningKey::from_seed("w.example/1", &[1; 32]).unwrap();
    let log_text = log.verifier().to_string();
    assert_eq!(WitnessKey::parse(&log_text), Err(KeyError::UnknownType));
    assert_eq!(
        crate::key::VerifierKey::parse(&text),
        Err(KeyError::UnknownType)
    );
    assert_eq!(witness.witness().public_key(), log.verifier().public_key());
    let again = WitnessKey::new("w.example/1", log.verifier().public_key());
    assert_eq!(again.as_ref(), Ok(witness.witness()));
}

#[test]
fn who_cosigned_and_when() {
    let (one, two) = (witness("w/1", 1), witness("w/2", 2));
    let at = |key: &CosigningKey, time| key.cosign(&checkpoint(), time).unwrap();
    let keys = [one.witness().clone(), two.witness().clone()];
    let times = |lines: &[String], keys: &[WitnessKey]| {
        let found = cosigned(lines).cosignatures(keys)?;
        let told = found
            .iter()
            .map(|c| (c.key().name().to_owned(), c.time_s()));
        Ok::<_, NoteError>(told.collect::<Vec<_>>())
    };
    let named = |name: &str, time| (name.to_owned(), time);
    assert_eq!(times(&[], &keys).unwrap(), []);
    assert_eq!(times(&[at(&one, 5)], &keys).unwrap(), [named("w/1", 5)]);
    assert_eq!(times(&[at(&one, 5)], &keys[1..]).unwrap(), []);
    let all = [at(&one, 9), at(&two, 4), at(&one, 5)];
    let both = [named("w/1", 9), named("w/2", 4)];
    assert_eq!(times(&all, &keys).unwrap(), both);
    let last = COSIGNATURE_TIME_S_MAX;
    assert_eq!(
        times(&[at(&one, last)], &keys).unwrap(),
        [named("w/1", last)]
    );
}

#[test]
fn a_time_that_says_nothing_is_neither_made_nor_believed() {
    let one = witness("w/1", 1);
    for time_s in [0, COSIGNATURE_TIME_S_MAX + 1, u64::MAX] {
        let refused = one.cosign(&checkpoint(), time_s);
        assert_eq!(refused, Err(CosignError::Time { time_s }));
        // Signed all the same, by somebody who does not check.
        let message = message(time_s, &checkpoint().to_string());
        let signature = one.private.sign(message.as_bytes()).unwrap();
        let bytes = [time_s.to_be_bytes().as_slice(), &signature].concat();
        let line = Signature::new(one.witness().named(), bytes).to_string();
        let bad = NoteError::BadSignature {
            name: "w/1".to_owned(),
            id: one.witness().key_id(),
        };
        let note = cosigned(&[line]);
        assert_eq!(note.cosignatures(&[one.witness().clone()]), Err(bad));
    }
}

#[test]
fn every_flip_of_a_bit_is_refused() {
    let one = witness("w/1", 1);
    let note = cosigned(&[one.cosign(&checkpoint(), 1_700_000_000).unwrap()]).to_string();
    let from = note.find("— w/1").unwrap();
    for at in from..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let believed = Note::parse(&bytes)
                .and_then(|note| note.cosignatures(&[one.witness().clone()]))
                .unwrap_or_default();
            assert_eq!(believed, [], "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn an_answer_is_taken_over_only_where_it_verifies() {
    let (one, two) = (witness("w/1", 1), witness("w/2", 2));
    let at = |key: &CosigningKey, time| key.cosign(&checkpoint(), time).unwrap();
    let bare = cosigned(&[]);
    let not_signed = CheckpointError::Note(NoteError::NotSigned);

    let mut note = bare.clone();
    let added = note.add_cosignature(&(at(&two, 3) + &at(&one, 5)), one.witness());
    assert_eq!(added.unwrap().time_s(), 5);
    assert_eq!(note.to_string(), bare.to_string() + &at(&one, 5));
    // The same again, and a later one: still one line.
    note.add_cosignature(&at(&one, 5), one.witness()).unwrap();
    assert_eq!(note.to_string(), bare.to_string() + &at(&one, 5));
    note.add_cosignature(&at(&one, 8), one.witness()).unwrap();
    assert_eq!(note.to_string(), bare.to_string() + &at(&one, 8));

    let other = Checkpoint::new(ORIGIN, 1, leaf_hash(b"other")).unwrap();
    let of_other = one.cosign(&other, 9).unwrap();
    let refused = [
        (at(&two, 3), not_signed.clone()),
        (
            of_other.clone(),
            CheckpointError::Note(NoteError::BadSignature {
                name: "w/1".to_owned(),
                id: one.witness().key_id(),
            }),
        ),
        (
            String::new(),
            CheckpointError::Note(NoteError::NoSignatures),
        ),
        (
            "hello\n".to_owned(),
            CheckpointError::Note(NoteError::SignatureLine { line: 1 }),
        ),
    ];
    for (lines, error) in refused {
        let mut note = bare.clone();
        assert_eq!(note.add_cosignature(&lines, one.witness()), Err(error));
        assert_eq!(note, bare);
    }
    // What is not a checkpoint is not cosigned.
    let log = SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap();
    let poem = log.sign_note("a poem\n").unwrap();
    let mut poem = Note::parse(poem.as_bytes()).unwrap();
    let refused = poem.add_cosignature(&at(&one, 5), one.witness());
    assert_eq!(refused, Err(CheckpointError::Lines));
}

proptest! {
    #[test]
    fn what_is_cosigned_is_believed_and_the_oracle_reads_it(
        seed in any::<[u8; 32]>(), time_s in 1..=COSIGNATURE_TIME_S_MAX,
        size in 1..=crate::merkle::TREE_SIZE_MAX, root in any::<[u8; 32]>(),
    ) {
        let key = CosigningKey::from_seed("w.example/é", &seed).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, size, Hash::from_bytes(root)).unwrap();
        let line = key.cosign(&checkpoint, time_s).unwrap();
        let note = format!("{checkpoint}\n{line}");
        let ours = Note::parse(note.as_bytes()).unwrap();
        let found = ours.cosignatures(&[key.witness().clone()]).unwrap();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].time_s(), time_s);
        prop_assert_eq!(found[0].key(), key.witness());
        // Another implementation makes the same id, and verifies the same bytes.
        let public = [&[4], key.witness().public_key().as_slice()].concat();
        let id = signed_note::key_id("w.example/é", &public);
        prop_assert_eq!(id.to_be_bytes(), *key.witness().key_id().as_bytes());
        let plain = SigningKey::from_seed("w", &seed).unwrap().verifier().to_string();
        let theirs = signed_note::StandardVerifier::new(&plain).unwrap();
        let message = format!("cosignature/v1\ntime {time_s}\n{checkpoint}");
        let signature = &ours.signatures()[0].bytes()[8..];
        prop_assert!(signed_note::Verifier::verify(&theirs, message.as_bytes(), signature));
    }
}
