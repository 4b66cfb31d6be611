//! Headers: two of Bitcoin's own, and what is wrong with those that are not.

use data_encoding::HEXLOWER;

use super::bitcoin::*;

/// Block 0.
const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
    67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
/// Block 125,552.
const LATER: &str = "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b\
    1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695";

fn header(text: &str) -> Header {
    Header::parse(text).unwrap()
}

fn root(text: &str) -> Vec<u8> {
    HEXLOWER.decode(&text.as_bytes()[72..136]).unwrap()
}

/// The genesis block's header with another target.
fn with_bits(bits: u32) -> Header {
    let bytes = HEXLOWER.decode(GENESIS.as_bytes()).unwrap();
    let mut bytes: [u8; HEADER_BYTES] = bytes.try_into().unwrap();
    bytes[72..76].copy_from_slice(&bits.to_le_bytes());
    Header::from_bytes(&bytes)
}

#[test]
fn two_blocks_of_bitcoin_are_what_everybody_knows_they_are() {
    let genesis = header(GENESIS);
    let name = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
    assert_eq!(genesis.to_string(), name);
    assert_eq!((genesis.time_s(), genesis.difficulty()), (1_231_006_505, 1));
    assert_eq!(genesis.check(&root(GENESIS), 0, 1), Ok(()));
    let later = header(LATER);
    let name = "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d";
    assert_eq!(later.to_string(), name);
    assert_eq!(
        (later.time_s(), later.difficulty()),
        (1_305_998_791, 244_112)
    );
    assert_eq!(later.check(&root(LATER), 125_552, 244_112), Ok(()));
}

#[test]
fn another_root_height_or_difficulty_is_refused() {
    let later = header(LATER);
    assert_eq!(
        later.check(&root(GENESIS), 0, 0),
        Err(HeaderError::MerkleRoot)
    );
    assert_eq!(
        later.check(&root(LATER)[..31], 0, 0),
        Err(HeaderError::MerkleRoot)
    );
    assert_eq!(later.check(&[], 0, 0), Err(HeaderError::MerkleRoot));
    let told = header(&format!("125552:{LATER}"));
    assert_eq!(told.check(&root(LATER), 125_552, 0), Ok(()));
    let (given, attested) = (125_552, 7);
    let other = Err(HeaderError::Height { given, attested });
    assert_eq!(told.check(&root(LATER), 7, 0), other);
    let (difficulty, least) = (244_112, 244_113);
    let easy = Err(HeaderError::TooEasy { difficulty, least });
    assert_eq!(later.check(&root(LATER), 125_552, least), easy);
}

#[test]
fn a_header_without_work_is_refused() {
    let mut bytes: [u8; HEADER_BYTES] = HEXLOWER
        .decode(LATER.as_bytes())
        .unwrap()
        .try_into()
        .unwrap();
    for byte in [0, 4, 68, 76] {
        bytes[byte] ^= 1;
        let forged = Header::from_bytes(&bytes);
        assert_eq!(
            forged.check(&root(LATER), 125_552, 0),
            Err(HeaderError::NoWork)
        );
        bytes[byte] ^= 1;
    }
}

#[test]
fn targets_that_are_none_are_met_by_nobody() {
    // Zero, negative, cut to zero, beyond 256 bits.
    for bits in [
        0,
        0x1d00_0000,
        0x1d80_0001,
        0x0000_ffff,
        0x0100_ffff,
        0x2101_0000,
        0xff00_0001,
    ] {
        let checked = with_bits(bits).check(&root(GENESIS), 0, 0);
        assert_eq!(checked, Err(HeaderError::NoWork), "{bits:x}");
    }
    // The easiest that there is: half of all headers meet it, so that one of these does.
    let met = |bits: u32| with_bits(bits).check(&root(GENESIS), 0, 0).is_ok();
    assert!((0x207f_ff00..0x207f_ffff).any(met));
    assert_eq!(with_bits(0x207f_ffff).difficulty(), 0);
    // A target so small that its difficulty fits no number.
    assert_eq!(with_bits(0x0301_0000).difficulty(), u64::MAX);
    assert_eq!(with_bits(0x1d00_0000).difficulty(), 0);
    // What is believed unless told, and the block a little easier than that.
    assert!(with_bits(0x1707_0000).difficulty() >= DIFFICULTY_LEAST);
    assert!(with_bits(0x1723_0000).difficulty() < DIFFICULTY_LEAST);
}

#[test]
fn a_header_is_160_digits() {
    for bad in [
        "",
        "00",
        &GENESIS[1..],
        &format!("{GENESIS}00"),
        &format!("x:{GENESIS}"),
        &format!("-1:{GENESIS}"),
    ] {
        assert_eq!(Header::parse(bad), Err(HeaderError::Format), "{bad}");
    }
    assert_eq!(header(&GENESIS.to_uppercase()), header(GENESIS));
}
