//! Keys: the published one, and every way to spoil it.

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

/// The key pair of the reference implementation's documentation (golang.org/x/mod/sumdb/note).
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";

fn peters_seed() -> [u8; SEED_BYTES] {
    let key = BASE64
        .decode(b"AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
        .unwrap();
    key[1..].try_into().unwrap()
}

#[test]
fn the_published_keys_are_read_and_printed() {
    for text in [PETER, ENOCH] {
        let key = VerifierKey::parse(text).unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(format!("{key:?}"), text);
    }
    let peter = VerifierKey::parse(PETER).unwrap();
    assert_eq!(
        (peter.name(), peter.key_id().to_string().as_str()),
        ("PeterNeumann", "c74f20a3")
    );
    let signer = SigningKey::from_seed("PeterNeumann", &peters_seed()).unwrap();
    assert_eq!(signer.verifier(), &peter);
    assert_eq!(
        (signer.name(), signer.key_id()),
        (peter.name(), peter.key_id())
    );
    assert_eq!(
        VerifierKey::new("PeterNeumann", peter.public_key()).unwrap(),
        peter
    );
}

#[test]
fn every_spoiled_text_is_refused() {
    for start in 0..=PETER.len() {
        for end in start..=PETER.len() {
            let part = VerifierKey::parse(&PETER[start..end]);
            assert_eq!(
                part.is_ok(),
                (start, end) == (0, PETER.len()),
                "{start}..{end}"
            );
        }
    }
    for at in 0..PETER.len() {
        for bit in 0..7 {
            let mut bytes = PETER.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let text = String::from_utf8(bytes).unwrap();
            assert!(VerifierKey::parse(&text).is_err(), "{text}");
        }
    }
    let table = [
        (
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::IdMismatch,
        ),
        (
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::IdMismatch,
        ),
        // Wrong length and unknown type, each with the key id that would fit.
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            KeyError::Format,
        ),
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::UnknownType,
        ),
        (
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Name,
        ),
        (
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Name,
        ),
        ("PeterNeumann+c74f20a3+", KeyError::Format),
        ("PeterNeumann", KeyError::Format),
        ("", KeyError::Format),
    ];
    for (text, error) in table {
        assert_eq!(VerifierKey::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn padding_within_is_no_second_spelling() {
    let peter = VerifierKey::parse(PETER).unwrap();
    let split = ["AQ==", &BASE64.encode(peter.public_key())].concat();
    let bytes = BASE64.decode(split.as_bytes()).unwrap();
    assert_eq!(bytes[1..], *peter.public_key());
    let text = format!("PeterNeumann+c74f20a3+{split}");
    assert_eq!(VerifierKey::parse(&text), Err(KeyError::Format));
}

#[test]
fn names_are_held_to_the_format() {
    let longest = "n".repeat(KEY_NAME_BYTES_MAX);
    for name in ["a", "example.com/log", "é", "—", longest.as_str()] {
        let key = SigningKey::from_seed(name, &[7; 32]).unwrap();
        assert_eq!(
            VerifierKey::parse(&key.verifier().to_string()).as_ref(),
            Ok(key.verifier())
        );
    }
    let too_long = "n".repeat(KEY_NAME_BYTES_MAX + 1);
    for name in [
        "",
        " ",
        "a b",
        "a\u{2003}b",
        "a\u{a0}b",
        "a+b",
        "a\nb",
        "a\tb",
        "a\0",
        &too_long,
    ] {
        assert_eq!(
            SigningKey::from_seed(name, &[7; 32]).err(),
            Some(KeyError::Name),
            "{name:?}"
        );
        assert_eq!(
            VerifierKey::new(name, &[7; 32]).err(),
            Some(KeyError::Name),
            "{name:?}"
        );
    }
    let text = SigningKey::from_seed(&longest, &[7; 32])
        .unwrap()
        .verifier()
        .to_string();
    assert_eq!(
        VerifierKey::parse(&format!("n{text}")).err(),
        Some(KeyError::Format)
    );
}

proptest! {
    #[test]
    fn keys_round_trip_and_the_oracle_reads_them(seed in any::<[u8; 32]>(), name in "[a-z./0-9é-]{1,40}") {
        let key = SigningKey::from_seed(&name, &seed).unwrap();
        let text = key.verifier().to_string();
        let parsed = VerifierKey::parse(&text);
        prop_assert_eq!(parsed.as_ref(), Ok(key.verifier()));
        let theirs = signed_note::StandardVerifier::new(&text).unwrap();
        let id = signed_note::Verifier::key_id(&theirs).to_be_bytes();
        prop_assert_eq!(key.key_id(), KeyId::from_bytes(id));
    }

    #[test]
    fn rubbish_does_not_panic(text in "\\PC{0,400}", seed in any::<[u8; 32]>()) {
        prop_assert!(VerifierKey::parse(&text).is_err());
        // Not every 32 bytes are a point; what is refused must be refused here or on use.
        if let Ok(key) = VerifierKey::new("a", &seed) {
            prop_assert!(!key.made(&[0; 64], b"text\n"));
        }
    }
}
