//! Policies: the grammar and its faults by line, quorums by counting, and what is not to be relied on.

use proptest::prelude::*;

use super::*;
use crate::cosignature::CosigningKey;
use crate::hash::leaf_hash;
use crate::key::SigningKey;

const ORIGIN: &str = "log.example/1";

fn log(seed: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

fn witness(number: u8) -> CosigningKey {
    CosigningKey::from_seed(&format!("w.example/{number}"), &[100 + number; 32]).unwrap()
}

fn witness_line(number: u8) -> String {
    format!("witness w{number} {}\n", witness(number).witness())
}

fn log_line(seed: u8) -> String {
    format!("log {}\n", log(seed).verifier())
}

/// One log, `n` witnesses w1.., and these last lines.
fn policy_text(n: u8, last: &str) -> String {
    let witnesses: String = (1..=n).map(witness_line).collect();
    format!("{}{witnesses}{last}", log_line(1))
}

fn policy(n: u8, last: &str) -> Policy {
    Policy::parse(&policy_text(n, last)).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 7, leaf_hash(b"root")).unwrap()
}

/// A checkpoint of the log, cosigned by these witnesses, each at a time of its own.
fn note(by: &[u8]) -> String {
    let mut note = checkpoint().sign(&log(1)).unwrap();
    for number in by {
        let time_s = 1_000 + u64::from(*number);
        note += &witness(*number).cosign(&checkpoint(), time_s).unwrap();
    }
    note
}

#[test]
fn the_example_of_the_specification_is_read() {
    let names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"];
    let line = |number: u8| {
        let name = names[usize::from(number) - 1];
        format!("witness {name} {}\n", witness(number).witness())
    };
    let text = format!(
        "log {}\n\n{}{}{}group X-witnesses 2 X1 X2 X3\n\n{}{}{}group Y-witnesses any Y1 Y2 Y3\n\n\
         group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
        log(1).verifier(),
        line(1),
        line(2),
        line(3),
        line(4),
        line(5),
        line(6),
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.logs()[0].key(), log(1).verifier());
    let read: Vec<&str> = policy.witnesses().iter().map(PolicyWitness::name).collect();
    assert_eq!(read, names);
    let met = |by: &[&str]| policy.is_met(|witness| by.contains(&witness.name()));
    assert!(met(&["X1", "X2", "Y3"]) && met(&["X1", "X3", "Y1", "Y2"]) && met(&names));
    assert!(!met(&["X1", "X2"]) && !met(&["X1", "Y1", "Y2", "Y3"]) && !met(&[]));
    let strength = policy.strength().unwrap();
    let expected = Strength {
        witnesses: 6,
        smallest: 3,
        overlap: 1,
        blocking: 2,
    };
    assert_eq!(strength, expected);
}

#[test]
fn white_space_comments_and_urls_are_as_the_specification_has_them() {
    let text = format!(
        "# a comment\n \t# one more\n\n \t \n\tlog\t {}  https://log.example/ \n  witness  Wé {}\thttps://w.example/a\t\n\
         #quorum none\nquorum Wé\n",
        log(1).verifier(),
        witness(1).witness()
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.logs()[0].url(), Some("https://log.example/"));
    assert_eq!(policy.witnesses()[0].url(), Some("https://w.example/a"));
    assert_eq!(policy.witnesses()[0].name(), "Wé");
    assert_eq!(policy.witnesses()[0].key(), witness(1).witness());
    assert!(policy.is_met(|_| true) && !policy.is_met(|_| false));
    // Nothing but the quorum is mandatory.
    let none = Policy::parse("quorum none\n").unwrap();
    assert!(none.is_met(|_| false) && none.strength().is_none());
}

#[test]
fn each_fault_is_told_with_its_line() {
    use LineFault::*;
    let name = |name: &str| name.to_owned();
    let long = "n".repeat(POLICY_NAME_BYTES_MAX + 1);
    let forms = |form| Form { form };
    let group_form = "group <name> any|all|<k> <name>...";
    // After `policy_text(3, …)` the first line of its own is line 5.
    let table = [
        ("quorum w1\r\n".to_owned(), 5, Control),
        ("quorum\u{7f} w1\n".to_owned(), 5, Control),
        ("quorum w1".to_owned(), 5, Unfinished),
        ("quorum w1\n#".to_owned(), 6, Unfinished),
        ("Quorum w1\n".to_owned(), 5, Keyword),
        ("quorum\u{a0}w1\n".to_owned(), 5, Keyword),
        ("quorum\n".to_owned(), 5, forms("quorum <name>|none")),
        ("quorum w1 w2\n".to_owned(), 5, forms("quorum <name>|none")),
        ("log\n".to_owned(), 5, forms("log <vkey> [<url>]")),
        ("log a b c\n".to_owned(), 5, forms("log <vkey> [<url>]")),
        (
            "witness w\n".to_owned(),
            5,
            forms("witness <name> <vkey> [<url>]"),
        ),
        (
            "witness a b c d\n".to_owned(),
            5,
            forms("witness <name> <vkey> [<url>]"),
        ),
        ("group g\n".to_owned(), 5, forms(group_form)),
        ("group g any\n".to_owned(), 5, forms(group_form)),
        ("log rubbish\n".to_owned(), 5, Key(KeyError::Format)),
        // Keys in the wrong place.
        (
            format!("log {}\n", witness(9).witness()),
            5,
            Key(KeyError::UnknownType),
        ),
        (
            format!("witness w9 {}\n", log(9).verifier()),
            5,
            Key(KeyError::UnknownType),
        ),
        (log_line(1), 5, DuplicateKey { earlier: 1 }),
        (
            format!("witness again {}\n", witness(2).witness()),
            5,
            DuplicateKey { earlier: 3 },
        ),
        (
            format!("witness w1 {}\n", witness(9).witness()),
            5,
            Name { name: name("w1") },
        ),
        (
            format!("witness none {}\n", witness(9).witness()),
            5,
            Name { name: name("none") },
        ),
        ("group w1 any w2\n".to_owned(), 5, Name { name: name("w1") }),
        (
            "group none any w2\n".to_owned(),
            5,
            Name { name: name("none") },
        ),
        (
            format!("group {long} any w2\n"),
            5,
            Name {
                name: "n".repeat(POLICY_NAME_BYTES_MAX),
            },
        ),
        (
            format!(
                "log {} https://{}\n",
                log(9).verifier(),
                "a".repeat(POLICY_URL_BYTES_MAX)
            ),
            5,
            Url,
        ),
        ("quorum g\n".to_owned(), 5, Unknown { name: name("g") }),
        (
            "quorum g\ngroup g any w1\n".to_owned(),
            5,
            Unknown { name: name("g") },
        ),
        ("group g any g\n".to_owned(), 5, Unknown { name: name("g") }),
        (
            "group g any none\n".to_owned(),
            5,
            Unknown { name: name("none") },
        ),
        (
            "group g any w1 w1\n".to_owned(),
            5,
            MemberTwice { name: name("w1") },
        ),
        (
            "group g any w1\ngroup h any w1 w2\n".to_owned(),
            6,
            MemberTwice { name: name("w1") },
        ),
        ("group g 0 w1\n".to_owned(), 5, Threshold { members: 1 }),
        ("group g 2 w1\n".to_owned(), 5, Threshold { members: 1 }),
        ("group g 01 w1\n".to_owned(), 5, Threshold { members: 1 }),
        ("group g Any w1\n".to_owned(), 5, Threshold { members: 1 }),
        ("group g w1 w2\n".to_owned(), 5, Threshold { members: 1 }),
        ("quorum w1\nquorum w1\n".to_owned(), 6, QuorumTwice),
        ("quorum none\nquorum w1\n".to_owned(), 6, QuorumTwice),
    ];
    for (last, line, fault) in table {
        let told = Policy::parse(&policy_text(3, &last));
        assert_eq!(told, Err(PolicyError::Line { line, fault }), "{last:?}");
    }
    assert_eq!(
        Policy::parse(&policy_text(3, "")),
        Err(PolicyError::QuorumMissing)
    );
}

#[test]
fn both_sides_of_each_bound() {
    let most = u8::try_from(POLICY_ITEMS_MAX).unwrap();
    let groups: String = (1..=most)
        .map(|n| format!("group g{n} any w{n}\n"))
        .collect();
    let logs: String = (2..=most).map(log_line).collect();
    let full = policy(most, &format!("{logs}{groups}quorum g{most}\n"));
    assert_eq!(full.witnesses().len(), POLICY_ITEMS_MAX);
    assert_eq!(full.logs().len(), POLICY_ITEMS_MAX);
    for (last, line) in [
        (witness_line(most + 1), 66),
        (format!("{logs}{}", log_line(most + 1)), 129),
        (format!("{groups}group more any g1\n"), 130),
    ] {
        let told = Policy::parse(&policy_text(most, &last));
        let fault = LineFault::TooMany;
        assert_eq!(told, Err(PolicyError::Line { line, fault }));
    }
    let blank = POLICY_BYTES_MAX - "quorum none\n".len();
    let text = format!("quorum none\n{}", "\n".repeat(blank));
    assert!(Policy::parse(&text).is_ok());
    let actual = POLICY_BYTES_MAX + 1;
    let too_long = Err(PolicyError::TooLong { actual });
    assert_eq!(Policy::parse(&format!("\n{text}")), too_long);
    let longest = "n".repeat(POLICY_NAME_BYTES_MAX);
    policy(1, &format!("group {longest} any w1\nquorum {longest}\n"));
}

#[test]
fn a_checkpoint_needs_its_log_and_a_quorum() {
    let policy = policy(4, "group q 3 w1 w2 w3 w4\nquorum q\n");
    let witnessed = policy.verify(note(&[4, 1, 3]).as_bytes()).unwrap();
    assert_eq!(witnessed.checkpoint().checkpoint(), &checkpoint());
    assert_eq!(
        (witnessed.earliest_s(), witnessed.latest_s()),
        (Some(1_001), Some(1_004))
    );
    assert_eq!(witnessed.cosignatures().len(), 3);
    assert!(policy.verify(note(&[1, 2, 3, 4]).as_bytes()).is_ok());
    // Strangers do not count.
    let refused = policy.verify(note(&[4, 1, 9]).as_bytes()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the quorum is not met: cosigned by w1, w4, missing 1 more of w2, w3 in q"
    );
    let nobody = policy.verify(note(&[]).as_bytes()).unwrap_err();
    assert_eq!(
        nobody.to_string(),
        "the quorum is not met: cosigned by nobody, missing 3 more of w1, w2, w3, w4 in q"
    );
    // One witness three times is one witness.
    assert!(policy.verify(note(&[1, 1, 1]).as_bytes()).is_err());
    // A bad line of a known witness refuses all.
    let other = Checkpoint::new(ORIGIN, 8, leaf_hash(b"root")).unwrap();
    let bad = note(&[1, 2, 3]) + &witness(4).cosign(&other, 5).unwrap();
    assert!(matches!(
        policy.verify(bad.as_bytes()),
        Err(PolicyError::Cosignatures(NoteError::BadSignature { .. }))
    ));
    // Of no log, of another log, signed by another key, no note at all.
    let stranger = Checkpoint::new("other.example", 7, leaf_hash(b"root")).unwrap();
    let other_key = SigningKey::from_seed("other.example", &[1; 32]).unwrap();
    for note in [
        stranger.sign(&other_key).unwrap(),
        checkpoint().sign(&log(2)).unwrap(),
        "rubbish\n".to_owned(),
    ] {
        assert!(matches!(
            policy.verify(note.as_bytes()),
            Err(PolicyError::Checkpoint(_))
        ));
    }
}

#[test]
fn any_key_of_the_log_will_do() {
    let text = format!("{}{}quorum none\n", log_line(1), log_line(2));
    let policy = Policy::parse(&text).unwrap();
    for keys in [
        vec![log(1)],
        vec![log(2)],
        vec![log(1), log(2)],
        vec![log(3), log(2)],
    ] {
        let keys: Vec<&SigningKey> = keys.iter().collect();
        let note = checkpoint().sign_all(&keys).unwrap();
        let witnessed = policy.verify(note.as_bytes()).unwrap();
        assert_eq!(witnessed.earliest_s(), None);
    }
    let note = checkpoint().sign(&log(3)).unwrap();
    assert!(policy.verify(note.as_bytes()).is_err());
    // A log's word for another log is not taken, though both are listed.
    let other = SigningKey::from_seed("other.example", &[4; 32]).unwrap();
    let policy = format!("{}log {}\nquorum none\n", log_line(1), other.verifier());
    let borrowed = other.sign_note(&checkpoint().to_string()).unwrap();
    let refused = Policy::parse(&policy).unwrap().verify(borrowed.as_bytes());
    let not_signed = CheckpointError::Note(NoteError::NotSigned);
    assert_eq!(refused, Err(PolicyError::Checkpoint(not_signed)));
}

#[test]
fn the_safe_thresholds_are_those_of_the_table() {
    for (n, k) in SAFE_QUORUMS {
        assert_eq!(safe_quorum(n), k);
        assert!(3 * k > 2 * n && 3 * (k - 1) <= 2 * n, "{k} of {n}");
        let members: Vec<String> = (1..=n).map(|number| format!("w{number}")).collect();
        for needed in 1..=n {
            let last = format!("group q {needed} {}\nquorum q\n", members.join(" "));
            let strength = policy(u8::try_from(n).unwrap(), &last).strength().unwrap();
            assert_eq!(strength.is_safe(), needed >= k, "{needed} of {n}");
            assert_eq!(strength.overlap, (2 * needed).saturating_sub(n));
            assert_eq!(strength.blocking, n - needed + 1);
        }
    }
}

#[test]
fn what_is_worth_knowing_is_said() {
    let codes =
        |policy: &Policy| -> Vec<&str> { policy.lint().iter().map(Warning::code).collect() };
    let flat = |k: u8, n: u8| {
        let members: Vec<String> = (1..=n).map(|number| format!("w{number}")).collect();
        policy(n, &format!("group q {k} {}\nquorum q\n", members.join(" ")))
    };
    assert_eq!(codes(&flat(3, 4)), [""; 0]);
    assert_eq!(codes(&flat(2, 3)), ["unsafe"]);
    assert!(
        flat(2, 3).lint()[0]
            .to_string()
            .contains("1 colluding of them suffice")
    );
    assert_eq!(codes(&flat(3, 3)), ["no-spare"]);
    assert_eq!(codes(&flat(1, 2)), ["disjoint"]);
    assert_eq!(codes(&flat(2, 4)), ["disjoint"]);
    assert_eq!(codes(&policy(1, "quorum w1\n")), ["one-witness"]);
    assert_eq!(codes(&policy(2, "quorum w1\n")), ["one-witness", "unused"]);
    assert_eq!(codes(&policy(0, "quorum none\n")), ["no-quorum"]);
    assert_eq!(
        codes(&Policy::parse("quorum none\n").unwrap()),
        ["no-log", "no-quorum"]
    );
    let urls = |urls: [&str; 4]| {
        let line = |(url, number): (&&str, u8)| {
            format!("witness w{number} {} {url}\n", witness(number).witness())
        };
        let witnesses: String = urls.iter().zip(1..).map(line).collect();
        let last = "group q 3 w1 w2 w3 w4\nquorum q\n";
        Policy::parse(&format!("{}{witnesses}{last}", log_line(1))).unwrap()
    };
    let apart = [
        "https://a/",
        "HTTPS://b/",
        "https://c:8443/w",
        "https://u@d",
    ];
    assert_eq!(codes(&urls(apart)), [""; 0]);
    let same = urls(["https://a/", "https://A:1/", "https://a./x", "https://d"]);
    let SameHost { host, names } = &same.lint()[0] else {
        panic!("{:?}", same.lint())
    };
    assert_eq!((host.as_str(), names.len()), ("a", 3));
    let local = urls([
        "http://localhost:1",
        "https://127.0.0.2",
        "https://[::1]:3/",
        "http://d",
    ]);
    assert_eq!(
        codes(&local),
        ["loopback", "loopback", "loopback", "plain-http"]
    );
    // A log that is its own witness.
    let own = CosigningKey::from_seed("w", &[1; 32]).unwrap();
    let own = format!("{}witness w {}\nquorum w\n", log_line(1), own.witness());
    let own = Policy::parse(&own).unwrap();
    assert_eq!(codes(&own), ["own-witness", "one-witness"]);
    assert_eq!(own.lint()[0].severity(), Severity::Error);
    assert_eq!(own.lint()[1].severity(), Severity::Warning);
}

use Warning::SameHost;

/// All sets of the witnesses, as bits.
fn met(policy: &Policy, set: u32) -> bool {
    policy.is_met(|witness| {
        let number: u32 = witness.name()[1..].parse().unwrap();
        set >> (number - 1) & 1 == 1
    })
}

proptest! {
    /// Counting agrees with looking at every pair of sets.
    #[test]
    fn strength_is_what_all_sets_say(
        cuts in prop::collection::vec((1_usize..4, 1_usize..4), 1..4), outer in 1_usize..4,
    ) {
        let (mut next, mut last, mut groups) = (1, String::new(), Vec::new());
        for (members, needed) in cuts {
            let members = members.min(8 - next);
            if members == 0 { break }
            let names: Vec<String> = (next..next + members).map(|n| format!("w{n}")).collect();
            last += &format!("group g{next} {} {}\n", needed.min(members), names.join(" "));
            groups.push(format!("g{next}"));
            next += members;
        }
        last += &format!("group q {} {}\nquorum q\n", outer.min(groups.len()), groups.join(" "));
        let witnesses = next - 1;
        let policy = policy(u8::try_from(witnesses).unwrap(), &last);
        let quorums: Vec<u32> = (0..1_u32 << witnesses).filter(|set| met(&policy, *set)).collect();
        let count = |set: u32| usize::try_from(set.count_ones()).unwrap();
        let all = (1_u32 << witnesses) - 1;
        let strength = policy.strength().unwrap();
        prop_assert_eq!(strength.witnesses, witnesses);
        prop_assert_eq!(strength.smallest, quorums.iter().map(|q| count(*q)).min().unwrap());
        let pairs = quorums.iter().flat_map(|a| quorums.iter().map(move |b| a & b));
        prop_assert_eq!(strength.overlap, pairs.map(count).min().unwrap());
        let silent = (0..=all).filter(|set| !met(&policy, all & !set));
        prop_assert_eq!(strength.blocking, silent.map(count).min().unwrap());
    }

    #[test]
    fn rubbish_does_not_panic(lines in prop::collection::vec("(log|witness|group|quorum|#)?[ \t]?[a-z0-9+/=é ]{0,40}\n?", 0..8)) {
        let text = lines.concat();
        if let Ok(policy) = Policy::parse(&text) {
            prop_assert!(policy.witnesses().is_empty() && !policy.lint().is_empty());
        }
    }
}
