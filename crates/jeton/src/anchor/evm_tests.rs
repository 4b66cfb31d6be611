//! The contract's bytes: as the compiler says, and as they are read back.

use serde_json::{Value, json};

use super::evm::*;

fn artifact() -> Value {
    serde_json::from_str(ARTIFACT).unwrap()
}

#[test]
fn selectors_and_topic_are_the_compilers() {
    let artifact = artifact();
    for (signature, selector) in [
        ("anchor(bytes32,uint64,bytes32,bytes32)", ANCHOR),
        ("head(bytes32)", HEAD),
        ("owner()", OWNER),
    ] {
        assert_eq!(
            artifact["selectors"][signature],
            hex(&selector),
            "{signature}"
        );
    }
    let selectors = artifact["selectors"].as_object().unwrap();
    assert_eq!(
        selectors.len(),
        3,
        "the contract has a door that nobody knows"
    );
    let topic = &artifact["topics"]["Anchored(bytes32,uint64,bytes32,bytes32)"];
    assert_eq!(*topic, hex(&ANCHORED));
}

#[test]
fn the_code_is_there_and_the_chain_gets_the_most_of_it() {
    let code = code().unwrap();
    let (creation, runtime) = (code.creation, code.runtime);
    assert!(runtime.len() > 500 && runtime.starts_with("0x"));
    assert!(
        creation.ends_with(&runtime[2..]),
        "nothing is filled in when it is deployed"
    );
}

#[test]
fn calls_are_words_behind_a_selector() {
    let head = Head {
        size: 0x0102,
        root: [3; 32],
        note: [4; 32],
    };
    let call = anchor_call(&[5; 32], &head);
    let size = format!("{}0102", "00".repeat(30));
    let due = [
        "0x7f00e393",
        &"05".repeat(32),
        &size,
        &"03".repeat(32),
        &"04".repeat(32),
    ]
    .concat();
    assert_eq!(call, due);
    assert_eq!(
        head_call(&[5; 32]),
        format!("0xf339e3b2{}", "05".repeat(32))
    );
    assert_eq!(owner_call(), "0x8da5cb5b");
}

#[test]
fn an_answer_is_five_words_and_nothing_else() {
    let words = |size: u64| [word(size), [1; 32], [2; 32], word(7), word(8)].concat();
    let head = Head {
        size: 9,
        root: [1; 32],
        note: [2; 32],
    };
    let anchored = Anchored {
        head,
        number: 7,
        time_s: 8,
    };
    assert_eq!(head_answer(&words(9)), Some(Some(anchored)));
    assert_eq!(head_answer(&words(0)), Some(None));
    assert_eq!(head_answer(&words(9)[1..]), None);
    assert_eq!(head_answer(&[words(9), vec![0]].concat()), None);
    assert_eq!(
        head_answer(&[]),
        None,
        "an address without code answers nothing"
    );
    let mut too_large = words(9);
    too_large[23] = 1;
    assert_eq!(head_answer(&too_large), None);
}

#[test]
fn values_of_json_rpc_are_read_strictly() {
    assert_eq!(number_of(&json!("0x0")), Some(0));
    assert_eq!(number_of(&json!("0xffffffffffffffff")), Some(u64::MAX));
    for bad in [
        json!("0x10000000000000000"),
        json!("0x"),
        json!("7"),
        json!("0x+7"),
        json!(7),
        json!(null),
    ] {
        assert_eq!(number_of(&bad), None, "{bad}");
    }
    assert_eq!(bytes_of(&json!("0x")), Some(vec![]));
    assert_eq!(bytes_of(&json!("0xAb01")), Some(vec![0xab, 1]));
    let most = format!("0x{}", "00".repeat(64 * 1024));
    assert!(bytes_of(&json!(most)).is_some());
    for bad in [
        json!(format!("{most}00")),
        json!("0x0"),
        json!("ab"),
        json!([1]),
    ] {
        assert_eq!(bytes_of(&bad), None);
    }
}

#[test]
fn addresses_are_forty_digits() {
    let text = format!("0x{}", "aB".repeat(20));
    let address = Address::parse(&text).unwrap();
    assert_eq!(address.to_string(), text.to_lowercase());
    for bad in [
        "",
        "0x",
        &text[2..],
        &text[..40],
        &format!("{text}00"),
        &text.replace('a', "g"),
    ] {
        assert_eq!(Address::parse(bad), None, "{bad}");
    }
    let mut word = [0; 32];
    word[12..].copy_from_slice(&[0xab; 20]);
    assert_eq!(Address::from_word(&word), Some(address));
    word[11] = 1;
    assert_eq!(Address::from_word(&word), None);
}

#[test]
fn a_log_is_named_by_the_hash_of_its_origin() {
    // sha256sum
    let due = "0xa379a6f6eeafb9a55e378c118034e2751e682fab9f2d30ab13d2125586ce1947";
    assert_eq!(hex(&origin_hash("example.com")), due);
}
