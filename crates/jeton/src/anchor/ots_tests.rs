//! Proofs: what the reference wrote is read and written back alike; both sides of each bound.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::bitcoin::Header;
use super::ots::*;

/// Made by the reference implementation for `tests/anchor/checkpoint`; so was the block.
const PROOF: &[u8] = include_bytes!("../../tests/anchor/checkpoint.ots");
const CHECKPOINT: &[u8] = include_bytes!("../../tests/anchor/checkpoint");
const HEADER: &str = include_str!("../../tests/anchor/header");
/// Magic, version and the mark of SHA-256.
const HEAD_BYTES: usize = 33;

const CALENDAR: &str = "https://calendar.example.test";

/// A proof of a digest of zeros, with this tree.
fn proof(tree: &[u8]) -> Result<Proof, OtsError> {
    Proof::parse(&[&PROOF[..HEAD_BYTES], &[0; 32], tree].concat())
}

fn stamp(tree: &[u8]) -> Stamp {
    Stamp::parse(tree, b"message").unwrap()
}

fn attestation(tag: [u8; 8], payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0], &tag[..], &[length], payload].concat()
}

fn bitcoin(height: u8) -> Vec<u8> {
    attestation([5, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 1], &[height])
}

fn pending(uri: &str) -> Vec<u8> {
    let length = u8::try_from(uri.len()).unwrap();
    let tag = [0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e];
    attestation(tag, &[&[length], uri.as_bytes()].concat())
}

#[test]
fn a_proof_of_the_reference_leads_from_the_file_to_the_block() {
    let read = Proof::parse(PROOF).unwrap();
    assert_eq!(read.digest()[..], Sha256::digest(CHECKPOINT)[..]);
    assert_eq!(read.to_bytes().unwrap(), PROOF);
    let claims = read.claims();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].attestation, Attestation::Bitcoin { height: 101 });
    let header = Header::parse(HEADER.trim()).unwrap();
    let message = claims[0].message.as_deref().unwrap();
    assert_eq!(header.check(message, 101, 0), Ok(()));
}

#[test]
fn every_changed_bit_of_the_tree_is_no_proof_or_leads_elsewhere() {
    let header = Header::parse(HEADER.trim()).unwrap();
    for at in HEAD_BYTES..PROOF.len() {
        for bit in 0..8 {
            let mut bytes = PROOF.to_vec();
            bytes[at] ^= 1 << bit;
            let claims = Proof::parse(&bytes).map(|p| p.claims()).unwrap_or_default();
            let proves = claims.into_iter().any(|claim| {
                let Attestation::Bitcoin { height } = claim.attestation else {
                    return false;
                };
                let message = claim.message.unwrap_or_default();
                height == 101 && header.check(&message, height, 0).is_ok()
            });
            assert!(!proves, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn what_is_cut_off_or_followed_by_something_is_no_proof() {
    for end in 0..PROOF.len() {
        assert!(Proof::parse(&PROOF[..end]).is_err(), "{end}");
    }
    let longer = [PROOF, &[0]].concat();
    assert_eq!(Proof::parse(&longer), Err(OtsError::Trailing));
    let mut other = PROOF.to_vec();
    other[31] = 2;
    assert_eq!(Proof::parse(&other), Err(OtsError::Version(2)));
    other[31] = 1;
    other[32] = 3;
    assert_eq!(Proof::parse(&other), Err(OtsError::FileHash(3)));
    assert_eq!(Proof::parse(CHECKPOINT), Err(OtsError::NoProof));
}

#[test]
fn operations_do_what_their_names_say() {
    let of = |ops: &[u8]| {
        let claims = proof(&[ops, &bitcoin(1)].concat()).unwrap().claims();
        claims[0].message.clone()
    };
    let zeros = [0; 32];
    assert_eq!(of(&[0x08]), Some(Sha256::digest(zeros).to_vec()));
    assert_eq!(of(&[0xf0, 1, 7]).unwrap()[32], 7);
    assert_eq!(of(&[0xf1, 1, 7]).unwrap()[0], 7);
    assert_eq!(of(&[0xf1, 1, 7, 0xf2]).unwrap()[32], 7);
    assert_eq!(of(&[0xf3]), Some(vec![b'0'; 64]));
    // From another implementation: SHA-1 of 32 zeros.
    let sha1 = of(&[0x02]).unwrap();
    let hex = data_encoding::HEXLOWER.encode(&sha1);
    assert_eq!(hex, "de8a847bff8c343d69b853a215e6ee775ef2ef96");
    // Kept, and what follows is not known.
    assert_eq!(of(&[0x03]), None);
    assert_eq!(of(&[0x67, 0x08]), None);
    assert_eq!(proof(&[0x09]), Err(OtsError::Operation(9)));
    assert_eq!(proof(&[0xff, 0xff]), Err(OtsError::Operation(0xff)));
}

#[test]
fn both_sides_of_each_bound() {
    let too_many = Err(OtsError::TooManySteps);
    let deep = |edges: usize| proof(&[vec![0xf2; edges], bitcoin(1)].concat());
    assert!(deep(DEPTH_MAX - 1).is_ok());
    assert_eq!(deep(DEPTH_MAX), too_many);
    let wide = |leaves: usize| {
        let mut tree = Vec::new();
        for n in 0..leaves {
            if n + 1 < leaves {
                tree.push(0xff);
            }
            tree.extend(attestation(
                [1; 8],
                &u16::try_from(n).unwrap().to_be_bytes(),
            ));
        }
        proof(&tree)
    };
    assert_eq!(wide(STEPS_MAX).unwrap().claims().len(), STEPS_MAX);
    assert_eq!(wide(STEPS_MAX + 1), too_many);
    // 32 bytes doubled seven times are 4,096.
    let doubled = |times: usize| proof(&[vec![0xf3; times], bitcoin(1)].concat());
    assert!(doubled(7).is_ok());
    assert!(matches!(doubled(8), Err(OtsError::Length { .. })));
    let argument = |length: &[u8], count: usize| {
        proof(&[&[0xf0], length, &vec![1; count], &bitcoin(1)].concat())
    };
    assert!(argument(&[1], 1).is_ok());
    assert!(matches!(argument(&[0], 0), Err(OtsError::Length { .. })));
    // 4,064 bytes behind 32 are as long as a message may be; one more is not.
    assert!(argument(&[0xe0, 0x1f], 4064).is_ok());
    assert!(matches!(
        argument(&[0xe1, 0x1f], 4065),
        Err(OtsError::Length { .. })
    ));
    let long = vec![0; PROOF_BYTES_MAX + 1];
    assert!(matches!(Proof::parse(&long), Err(OtsError::TooLong { .. })));
    assert_eq!(Proof::parse(&long[1..]), Err(OtsError::NoProof));
    let long = vec![0; ANSWER_BYTES_MAX + 1];
    assert!(matches!(
        Stamp::parse(&long, b"m"),
        Err(OtsError::TooLong { .. })
    ));
}

#[test]
fn a_number_has_one_spelling() {
    let tag = [5, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 1];
    let height = |digits: &[u8]| match &proof(&attestation(tag, digits)).map(|p| p.claims())?[0] {
        Claim {
            attestation: Attestation::Bitcoin { height },
            ..
        } => Ok(*height),
        other => panic!("{other:?}"),
    };
    assert_eq!(height(&[0]), Ok(0));
    assert_eq!(height(&[0x80, 1]), Ok(128));
    let most = [&[0xff; 9][..], &[1]].concat();
    assert_eq!(height(&most), Ok(u64::MAX));
    assert_eq!(
        height(&[&[0xff; 9][..], &[2]].concat()),
        Err(OtsError::Number)
    );
    assert_eq!(height(&[0x80; 11]), Err(OtsError::Number));
    assert_eq!(height(&[0x80, 0]), Err(OtsError::Number));
    assert_eq!(height(&[0x80]), Err(OtsError::CutOff));
    assert_eq!(height(&[1, 1]), Err(OtsError::Attestation));
}

#[test]
fn a_calendar_cannot_name_anything_but_a_plain_url() {
    assert!(proof(&pending(CALENDAR)).is_ok());
    for uri in [
        "https://a.test/?x",
        "https://u@a.test",
        "https://a.test/%0a",
        "https://a.test\n",
        "https://ä.test",
    ] {
        assert_eq!(proof(&pending(uri)), Err(OtsError::Uri), "{uri:?}");
    }
}

#[test]
fn a_kept_promise_is_put_where_the_promise_was() {
    let nonce = [3; NONCE_BYTES];
    let message = commitment(&[1; 32], &nonce);
    let promised = Stamp::parse(&[vec![0x08], pending(CALENDAR)].concat(), &message).unwrap();
    let mut proof = Proof::begun([1; 32], &nonce, promised);
    let at = Sha256::digest(message);
    assert_eq!(proof.claims()[0].message.as_deref(), Some(&at[..]));
    let kept = [vec![0xf0, 1, 9], bitcoin(7)].concat();
    let kept = Stamp::parse(&kept, &at).unwrap();
    assert!(!proof.merge_at(b"elsewhere", &kept));
    assert_eq!(proof.claims().len(), 1);
    assert!(proof.merge_at(&at, &kept));
    assert!(proof.merge_at(&at, &kept), "a second time changes nothing");
    let claims = proof.claims();
    assert_eq!(claims.len(), 2);
    assert_eq!(claims[1].attestation, Attestation::Bitcoin { height: 7 });
    assert_eq!(Proof::parse(&proof.to_bytes().unwrap()).unwrap(), proof);
}

#[test]
fn two_calendars_of_one_message_stand_side_by_side() {
    let mut both = stamp(&[vec![0xf0, 1, 1], pending("https://b.test")].concat());
    both.merge(stamp(
        &[vec![0xf0, 1, 1], pending("https://a.test")].concat(),
    ));
    both.merge(stamp(&bitcoin(2)));
    let proof = Proof::begun([0; 32], &[0; NONCE_BYTES], both);
    let by: Vec<Attestation> = proof.claims().into_iter().map(|c| c.attestation).collect();
    let calendar = |uri: &str| Attestation::Pending {
        uri: uri.to_owned(),
    };
    let due = [
        Attestation::Bitcoin { height: 2 },
        calendar("https://a.test"),
        calendar("https://b.test"),
    ];
    assert_eq!(by, due);
    assert_eq!(Proof::parse(&proof.to_bytes().unwrap()).unwrap(), proof);
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_alike(tree in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(read) = proof(&tree) {
            let written = read.to_bytes().unwrap();
            prop_assert_eq!(Proof::parse(&written).unwrap(), read);
        }
    }
}
