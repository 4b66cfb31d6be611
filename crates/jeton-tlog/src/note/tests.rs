//! Notes: the published ones byte for byte, the rules of belief, and every byte flipped.

use data_encoding::BASE64;
use proptest::prelude::*;
use signed_note::VerifierList;

use super::*;

const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS_SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
const PETERS_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const ENOCHS_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

/// The example of c2sp.org/signed-note, whose text has a blank line of its own.
const QUASIMODO: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n\
    ed è subito sera.\n\n\
    — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

fn key(text: &str) -> VerifierKey {
    VerifierKey::parse(text).unwrap()
}

fn peters_key() -> SigningKey {
    let seed = BASE64.decode(PETERS_SEED.as_bytes()).unwrap();
    SigningKey::from_seed("PeterNeumann", seed.as_slice().try_into().unwrap()).unwrap()
}

fn believe(note: &str, keys: &[VerifierKey]) -> Result<VerifiedNote, NoteError> {
    Note::parse(note.as_bytes())?.verify(keys)
}

/// What the independent implementation makes of the same bytes: how many keys have signed.
fn oracle(note: &[u8], keys: &[&str]) -> Option<usize> {
    let boxed = |key: &&str| -> Box<dyn signed_note::Verifier> {
        Box::new(signed_note::StandardVerifier::new(key).unwrap())
    };
    let keys = VerifierList::new(keys.iter().map(boxed).collect());
    let note = signed_note::Note::from_bytes(note).ok()?;
    note.verify(&keys).ok().map(|(verified, _)| verified.len())
}

#[test]
fn signing_gives_the_published_bytes() {
    let peter = peters_key();
    assert_eq!(peter.sign(TEXT).unwrap(), PETERS_LINE);
    let note = peter.sign_note(TEXT).unwrap();
    assert_eq!(note, format!("{TEXT}\n{PETERS_LINE}"));
    let verified = believe(&note, &[key(PETER)]).unwrap();
    assert_eq!(verified.text(), TEXT);
    assert!(verified.is_signed_by(&key(PETER)));
    assert!(!verified.is_signed_by(&key(ENOCH)));
}

#[test]
fn the_example_of_the_specification_is_parsed() {
    let note = Note::parse(QUASIMODO.as_bytes()).unwrap();
    assert!(
        note.unverified_text()
            .ends_with("sole:\n\ned è subito sera.\n")
    );
    let [signature] = note.signatures() else {
        panic!("one signature")
    };
    assert_eq!(signature.name(), "quasimodo.example/salvatore");
    assert_eq!(signature.key_id().to_string(), "367ba04b");
    assert_eq!(signature.bytes().len(), 64);
}

#[test]
fn who_is_trusted_decides() {
    let (peter, enoch) = (key(PETER), key(ENOCH));
    let both = format!("{TEXT}\n{PETERS_LINE}{ENOCHS_LINE}");
    let twice = format!("{TEXT}\n{PETERS_LINE}{ENOCHS_LINE}{PETERS_LINE}");
    let signed = |note: &str, keys: &[VerifierKey]| {
        believe(note, keys).map(|note| {
            note.signers()
                .iter()
                .map(|signer| signer.key().name().to_owned())
                .collect::<Vec<_>>()
        })
    };
    let keys = [peter.clone(), enoch.clone()];
    assert_eq!(signed(&both, &keys[..1]).unwrap(), ["PeterNeumann"]);
    assert_eq!(signed(&both, &keys[1..]).unwrap(), ["EnochRoot"]);
    assert_eq!(signed(&both, &keys).unwrap(), ["PeterNeumann", "EnochRoot"]);
    assert_eq!(
        signed(&twice, &keys).unwrap(),
        ["PeterNeumann", "EnochRoot"]
    );
    assert_eq!(signed(&both, &[]), Err(NoteError::NotSigned));
    // The same name with another key, and so another id: unknown, not bad.
    let namesake = VerifierKey::new("PeterNeumann", enoch.public_key()).unwrap();
    assert_eq!(signed(&both, &[namesake]), Err(NoteError::NotSigned));
    // The same key given twice is no ambiguity.
    assert_eq!(
        signed(&both, &[peter.clone(), peter]).unwrap(),
        ["PeterNeumann"]
    );
}

/// Two keys of one name whose 32-bit ids collide, found by trying seeds in turn.
#[test]
fn two_trusted_keys_of_one_name_and_id_are_refused_where_they_matter() {
    let [one, two] = [77_213_u64, 80_252].map(|number| {
        let mut seed = [0; 32];
        seed[24..].copy_from_slice(&number.to_be_bytes());
        SigningKey::from_seed("a", &seed).unwrap()
    });
    assert_eq!(one.key_id(), two.key_id());
    let keys = [one.verifier().clone(), two.verifier().clone(), key(PETER)];
    let note = one.sign_note(TEXT).unwrap();
    let (name, id) = ("a".to_owned(), one.key_id());
    let ambiguous = NoteError::AmbiguousKey {
        name: name.clone(),
        id,
    };
    assert_eq!(believe(&note, &keys), Err(ambiguous));
    assert!(believe(&note, &keys[..1]).unwrap().is_signed_by(&keys[0]));
    // An id says nothing: the other key is asked, and did not sign.
    assert_eq!(
        believe(&note, &keys[1..]),
        Err(NoteError::BadSignature { name, id })
    );
    assert!(believe(&format!("{TEXT}\n{PETERS_LINE}"), &keys).is_ok());
}

#[test]
fn one_bad_signature_of_a_trusted_key_refuses_the_note() {
    let (peter, enoch) = (key(PETER), key(ENOCH));
    let spoiled = PETERS_LINE.replace("SffcvIAQ", "SffcvIAR");
    let longer = PETERS_LINE.replace("SffcvIAQ", "SffcvIAQABCD");
    let bad = NoteError::BadSignature {
        name: "PeterNeumann".to_owned(),
        id: peter.key_id(),
    };
    let both = [peter, enoch];
    for line in [&spoiled, &longer] {
        for note in [
            format!("{TEXT}\n{line}{ENOCHS_LINE}"),
            format!("{TEXT}\n{ENOCHS_LINE}{line}"),
            format!("{TEXT}\n{PETERS_LINE}{line}"),
        ] {
            assert_eq!(believe(&note, &both), Err(bad.clone()), "{note}");
        }
        // Not trusted: nobody asks whether it is good.
        assert!(believe(&format!("{TEXT}\n{line}{ENOCHS_LINE}"), &both[1..]).is_ok());
    }
    let other_text = format!("x{TEXT}\n{PETERS_LINE}");
    assert_eq!(believe(&other_text, &both), Err(bad));
}

#[test]
fn what_is_not_a_note_is_refused() {
    use NoteError::{NoSignatures, NotPlainText};
    let line = |line| NoteError::SignatureLine { line };
    let id_only = BASE64.encode(b"abcd");
    let table = [
        (String::new(), NoSignatures),
        ("\n".to_owned(), NoSignatures),
        (TEXT.to_owned(), NoSignatures),
        (format!("{TEXT}\n"), NoSignatures),
        (format!("{TEXT}{PETERS_LINE}"), NoSignatures),
        (format!("\n{PETERS_LINE}"), NoSignatures),
        (format!("{TEXT}\n{PETERS_LINE}\n"), NoSignatures),
        (format!("{TEXT}\n{}", PETERS_LINE.trim_end()), line(1)),
        (format!("{TEXT}\n{PETERS_LINE}Unexpected line.\n"), line(2)),
        (format!("{TEXT}\n{PETERS_LINE}\n{PETERS_LINE}—\n"), line(2)),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace('—', "-")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("— ", "—")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("— ", "—  ")),
            line(1),
        ),
        (format!("{TEXT}\n {PETERS_LINE}"), line(1)),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("Peter", "Peter ")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("Peter", "Peter+")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("Peter", "Peter\u{2003}")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("=\n", "\n")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("=\n", "= \n")),
            line(1),
        ),
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("AM=", "AN=")),
            line(1),
        ),
        // Padding within: another text that the library alone would read.
        (
            format!("{TEXT}\n{}", PETERS_LINE.replace("o/ZJ", "o/Y=")),
            line(1),
        ),
        (format!("{TEXT}\n— PeterNeumann {id_only}\n"), line(1)),
        (format!("{TEXT}\n— PeterNeumann \n"), line(1)),
        (format!("{TEXT}\n— PeterNeumann\n"), line(1)),
        (format!("\u{1}{TEXT}\n{PETERS_LINE}"), NotPlainText),
        (
            format!("{}\n{PETERS_LINE}", TEXT.replace('\n', "\r\n")),
            NotPlainText,
        ),
        (format!("\t{TEXT}\n{PETERS_LINE}"), NotPlainText),
        (format!("{TEXT}\0\n{PETERS_LINE}"), NotPlainText),
    ];
    for (note, error) in table {
        assert_eq!(Note::parse(note.as_bytes()), Err(error), "{note:?}");
    }
    let latin = [
        b"\xff".as_slice(),
        TEXT.as_bytes(),
        b"\n",
        PETERS_LINE.as_bytes(),
    ]
    .concat();
    assert_eq!(Note::parse(&latin), Err(NotPlainText));
}

#[test]
fn both_sides_of_each_bound() {
    let lines = |count| format!("{TEXT}\n{}", PETERS_LINE.repeat(count));
    assert_eq!(
        believe(&lines(64), &[key(PETER)]).unwrap().signers().len(),
        1
    );
    assert_eq!(
        Note::parse(lines(65).as_bytes()),
        Err(NoteError::TooManySignatures)
    );

    let peter = peters_key();
    let room = NOTE_BYTES_MAX - PETERS_LINE.len() - 1;
    let longest = format!("{}\n", "a".repeat(room - 1));
    let note = peter.sign_note(&longest).unwrap();
    assert_eq!(note.len(), NOTE_BYTES_MAX);
    assert!(believe(&note, &[key(PETER)]).is_ok());
    let too_long = NoteError::TooLong {
        actual: NOTE_BYTES_MAX + 1,
    };
    assert_eq!(
        Note::parse(format!("a{note}").as_bytes()),
        Err(too_long.clone())
    );
    assert_eq!(peter.sign_note(&format!("a{longest}")), Err(too_long));

    assert_eq!(peter.sign(""), Err(NoteError::TextUnfinished));
    assert_eq!(peter.sign("abc"), Err(NoteError::TextUnfinished));
    assert_eq!(peter.sign("a\tb\n"), Err(NoteError::NotPlainText));
    for text in ["\n", "a\n", "a\n\n", "\n\n\n", "a\n\n— b c\n", "a\n\n\nb\n"] {
        let note = peter.sign_note(text).unwrap();
        assert_eq!(believe(&note, &[key(PETER)]).unwrap().text(), text);
    }
}

#[test]
fn a_flip_of_any_bit_is_refused() {
    let note = format!("{TEXT}\n{PETERS_LINE}");
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let believed = Note::parse(&bytes).and_then(|note| note.verify(&[key(PETER)]));
            assert!(believed.is_err(), "byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn notes_round_trip_and_the_oracle_agrees(
        lines in prop::collection::vec("[^\\x00-\\x1f]{0,20}", 1..6),
        seeds in prop::collection::vec(any::<[u8; 32]>(), 1..4),
    ) {
        let text = format!("{}\n", lines.join("\n"));
        let keys: Vec<SigningKey> =
            seeds.iter().map(|seed| SigningKey::from_seed("a.example/log", seed).unwrap()).collect();
        let mut note = keys[0].sign_note(&text).unwrap();
        for key in &keys[1..] {
            note.push_str(&key.sign(&text).unwrap());
        }
        let known: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
        let verified = believe(&note, &known).unwrap();
        prop_assert_eq!(verified.text(), &text);
        prop_assert_eq!(verified.signers().len(), keys.len());
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        prop_assert_eq!(oracle(note.as_bytes(), &names), Some(keys.len()));
    }

    #[test]
    fn what_we_believe_the_oracle_believes(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[\\n —a=\\t]{0,3}"), 0..3),
    ) {
        let mut note: Vec<char> = format!("{TEXT}\n{PETERS_LINE}{ENOCHS_LINE}").chars().collect();
        for (at, length, with) in cuts {
            let at = at.index(note.len());
            let end = (at + length).min(note.len());
            note.splice(at..end, with.chars());
        }
        let note: String = note.into_iter().collect();
        if let Ok(verified) = believe(&note, &[key(PETER), key(ENOCH)]) {
            prop_assert_eq!(oracle(note.as_bytes(), &[PETER, ENOCH]), Some(verified.signers().len()));
            prop_assert_eq!(verified.text(), TEXT);
        }
    }

    #[test]
    fn rubbish_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let note = Note::parse(&bytes);
        prop_assert!(note.is_err() || note.unwrap().verify(&[key(PETER)]).is_err());
    }
}

#[test]
fn lines_are_added_once_and_the_note_stays_one() {
    let lines = |lines: &str| Signature::parse_lines(lines).unwrap();
    let mut note = Note::parse(format!("{TEXT}\n{PETERS_LINE}").as_bytes()).unwrap();
    note.add(lines(ENOCHS_LINE).remove(0)).unwrap();
    assert_eq!(
        note.to_string(),
        format!("{TEXT}\n{PETERS_LINE}{ENOCHS_LINE}")
    );
    note.add(lines(ENOCHS_LINE).remove(0)).unwrap();
    note.add(lines(PETERS_LINE).remove(0)).unwrap();
    assert_eq!(
        note.to_string(),
        format!("{TEXT}\n{ENOCHS_LINE}{PETERS_LINE}")
    );
    assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note.clone()));
    assert_eq!(lines(ENOCHS_LINE)[0].to_string(), ENOCHS_LINE);
    // Full: one more signer is refused, one that is there already is not.
    for number in note.signatures().len()..NOTE_SIGNATURES_MAX {
        let key = SigningKey::from_seed(&format!("k{number}"), &[7; 32]).unwrap();
        note.add(lines(&key.sign(TEXT).unwrap()).remove(0)).unwrap();
    }
    let full = note.clone();
    let more = SigningKey::from_seed("more", &[7; 32]).unwrap();
    let more = lines(&more.sign(TEXT).unwrap()).remove(0);
    assert_eq!(note.add(more), Err(NoteError::TooManySignatures));
    assert_eq!(note, full);
    assert_eq!(note.add(lines(PETERS_LINE).remove(0)), Ok(()));
    // Too long by its new line.
    let room = NOTE_BYTES_MAX - PETERS_LINE.len() - 1;
    let longest = peters_key().sign_note(&format!("{}\n", "a".repeat(room - 1)));
    let mut longest = Note::parse(longest.unwrap().as_bytes()).unwrap();
    let refused = longest.add(lines(ENOCHS_LINE).remove(0));
    assert!(matches!(refused, Err(NoteError::TooLong { .. })));
    assert_eq!(Signature::parse_lines(""), Err(NoteError::NoSignatures));
    let many = PETERS_LINE.repeat(65);
    let refused = Signature::parse_lines(&many);
    assert_eq!(refused, Err(NoteError::TooManySignatures));
}
