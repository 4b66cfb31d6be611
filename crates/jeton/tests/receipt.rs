//! Receipts, verified with nothing but themselves and a policy: by the command line as people use it, and a hundred of them
//! under three of four witnesses (the gate `ledger-receipt`).

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use common::Authority;
use jeton::receipt::{Asked, Unproven, verify};
use jeton_core::leaf::Opening;
use jeton_tlog::{
    Checkpoint, CosigningKey, Hash, Note, Policy, PolicyError, Receipt, SigningKey, VerifierKey,
    leaf_hash, node_hash, prove_inclusion, verify_inclusion,
};
use serde_json::{Value, json};

const BIN: &str = env!("CARGO_BIN_EXE_jeton");

/// With `JETON_CONTROL` two of four are enough: then receipts with two cosignatures are believed, and the test must fail.
fn quorum() -> u8 {
    if jeton::capability::environment("JETON_CONTROL").is_some() {
        2
    } else {
        3
    }
}

/// Four witnesses of a log, and the policy that asks for so many of them.
fn witnesses(log: &VerifierKey) -> (Vec<CosigningKey>, Policy) {
    let key = |n: u8| CosigningKey::from_seed(&format!("w{n}.example"), &[n; 32]).unwrap();
    let keys: Vec<CosigningKey> = (1..=4).map(key).collect();
    let mut text = format!("log {log}\n");
    for (n, key) in keys.iter().enumerate() {
        text.push_str(&format!("witness w{} {}\n", n + 1, key.witness()));
    }
    text.push_str(&format!("group all {} w1 w2 w3 w4\nquorum all\n", quorum()));
    (keys, Policy::parse(&text).unwrap())
}

/// A checkpoint with cosignatures of these.
fn cosigned(note: &str, by: &[&CosigningKey]) -> String {
    let mut note = Note::parse(note.as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.unverified_text()).unwrap();
    for key in by {
        let line = key.cosign(&checkpoint, 1_800_000_000).unwrap();
        note.add_cosignature(&line, key.witness()).unwrap();
    }
    note.to_string()
}

fn with_note(receipt: &Receipt, note: String) -> Receipt {
    let extra = receipt.unverified_extra().to_vec();
    Receipt::new(receipt.index(), receipt.path().to_vec(), note, extra).unwrap()
}

async fn tokens(a: &Authority, count: usize) -> Vec<String> {
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let mut tokens = Vec::new();
    for _ in 0..count {
        let order = json!({"class": "key", "subject": user, "grants": grants});
        tokens.push(a.issue(order).await.0);
    }
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_receipts_hold_under_three_of_four() {
    let a = Authority::start().await;
    let log = a.running.doors.node.log_keys().remove(0);
    let (keys, policy) = witnesses(&log);
    let asked = |token: &str| Asked {
        policy: &policy,
        key: None,
        token: token.parse().ok(),
    };
    let (mut held, mut refused, mut largest, mut sample) = (0, 0, 0, None);
    for token in tokens(&a, 100).await {
        let path = format!("/log/proof/{token}");
        let said = a.call(&a.admin, "GET", &path, None).await.is(200);
        let receipt = Receipt::parse(&said.bytes).unwrap();
        for out in 0..4 {
            let by: Vec<&CosigningKey> = keys
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != out)
                .map(|(_, k)| k)
                .collect();
            let three = with_note(&receipt, cosigned(receipt.note(), &by)).to_string();
            let proven = verify(three.as_bytes(), &asked(&token)).unwrap();
            assert_eq!((proven.index, proven.cosigned.len()), (receipt.index(), 3));
            largest = largest.max(three.len());
            let two = with_note(&receipt, cosigned(receipt.note(), &by[1..])).to_string();
            let no = verify(two.as_bytes(), &asked(&token)).err();
            let no = no.filter(|no| no.name() == "no_quorum");
            let short = matches!(no, Some(Unproven::Policy(PolicyError::QuorumNotMet { .. })));
            refused += u32::from(short);
        }
        held += 1;
        sample = Some(Opening::parse(receipt.unverified_extra()).unwrap());
    }
    let (bytes, path_ns) = a_million(&sample.unwrap());
    let told = json!({
        "receipts": held, "refused_with_two": refused, "largest_bytes": largest,
        "bytes_at_1m_3_cosigners": bytes, "path_verify_ns_at_1m": path_ns,
    });
    println!("receipt: {told}");
    assert_eq!(
        (held, refused),
        (100, 400),
        "two of four are too few, whichever"
    );
    assert!(
        bytes <= 2_500,
        "a receipt of a million events has {bytes} bytes"
    );
    // The full gate is built for speed; only there the figure means something.
    let full = jeton::capability::environment("JETON_FULL").is_some();
    assert!(!full || path_ns <= 5_000, "a path takes {path_ns} ns");
    a.running.stop().await;
}

/// The receipt of a real event in a log of a million, cosigned by three: its length, and how long its path takes to verify.
fn a_million(opening: &Opening) -> (usize, u128) {
    let (size, index) = (1_000_000u64, 765_432u64);
    let mut levels: Vec<Vec<Hash>> = vec![
        (0..size)
            .map(|n| {
                if n == index {
                    leaf_hash(&opening.leaf())
                } else {
                    leaf_hash(&n.to_be_bytes())
                }
            })
            .collect(),
    ];
    while levels.last().unwrap().len() > 1 {
        let below = levels.last().unwrap().chunks_exact(2);
        levels.push(below.map(|pair| node_hash(&pair[0], &pair[1])).collect());
    }
    let node = |level: u8, index: u64| {
        levels
            .get(usize::from(level))?
            .get(usize::try_from(index).ok()?)
            .copied()
    };
    let path = prove_inclusion(index, size, node).unwrap();
    // The root: what the path of any leaf leads to.
    let key = SigningKey::from_seed("jeton.example.com/ledger", &[5; 32]).unwrap();
    let mut frontier = jeton_tlog::Frontier::new();
    levels[0].iter().for_each(|leaf| frontier.push(*leaf));
    let root = frontier.root();
    let note = Checkpoint::new(key.name(), size, root)
        .unwrap()
        .sign(&key)
        .unwrap();
    let (keys, policy) = witnesses(key.verifier());
    let note = cosigned(&note, &keys[..3].iter().collect::<Vec<_>>());
    let receipt = Receipt::new(index, path.clone(), note, opening.to_bytes())
        .unwrap()
        .to_string();
    let asked = Asked {
        policy: &policy,
        key: None,
        token: None,
    };
    assert_eq!(verify(receipt.as_bytes(), &asked).unwrap().size, size);
    let leaf = leaf_hash(&opening.leaf());
    let rounds = 2_000u32;
    let watch = jeton::capability::stopwatch();
    for _ in 0..rounds {
        verify_inclusion(core::hint::black_box(index), size, &leaf, &path, &root).unwrap();
    }
    (receipt.len(), watch().as_nanos() / u128::from(rounds))
}

/// A home with an authority's admin token, its policy, and the tenant's key.
struct Home {
    dir: tempfile::TempDir,
    link: Vec<String>,
}

impl Home {
    async fn of(a: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let said = common::send(&a.client, "GET", "/log/policy", &[], None)
            .await
            .is(200);
        fs::write(dir.path().join("policy"), &said.bytes).unwrap();
        let token = dir.path().join("token");
        fs::write(&token, &a.admin).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let ca = a.running.ca_pem.clone().unwrap();
        let server = format!("https://{}", a.running.address);
        let text = |path: &Path| path.display().to_string();
        let link = [
            "--server",
            &server,
            "--ca",
            &text(&ca),
            "--token-file",
            &text(&token),
        ];
        let link = link.iter().map(|word| (*word).to_owned()).collect();
        Self { dir, link }
    }

    /// Runs the command line there, with the connection or without.
    fn run(&self, args: &[&str], link: bool) -> (i32, String) {
        let mut command = Command::new(BIN);
        command.args(args).current_dir(self.dir.path()).env_clear();
        if link {
            command.args(&self.link);
        }
        let done = command.output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (
            done.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    #[track_caller]
    fn refused(&self, args: &[&str], reason: &str) {
        let args = [&["--json", "receipt", "verify", "--policy", "policy"], args].concat();
        let (status, said) = self.run(&args, false);
        let told: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        assert_eq!(
            (status, told["reason"].as_str()),
            (3, Some(reason)),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_fetches_and_verifies_and_says_why_not() {
    let a = Authority::start().await;
    let made = tokens(&a, 2).await;
    let (token, other) = (&made[0], &made[1]);
    let home = Home::of(&a).await;
    for (args, status) in [
        (vec!["receipt", "get", token, "-o", "r"], 0),
        (vec!["receipt", "get", "tok_nonsense"], 2),
        (vec!["receipt", "get", "99999999"], 1),
        (vec!["tenant", "key", "acme.key"], 0),
        (vec!["tenant", "key", "acme.key"], 1),
    ] {
        let (ended, said) = home.run(&args, true);
        assert_eq!(ended, status, "{args:?}: {said}");
        assert!(
            !said.contains("jeton-tenant-key"),
            "the key is shown nowhere"
        );
    }
    let key = fs::metadata(home.dir.path().join("acme.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let held = [
        "receipt",
        "verify",
        "r",
        "--policy",
        "policy",
        "--tenant-key",
        "acme.key",
        "--token-id",
        token,
    ];
    let (status, said) = home.run(&held, false);
    assert_eq!(status, 0, "{said}");
    for word in ["verified", "token.issued", token, "key", "usr_", "api_"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
    let (status, said) = home.run(&[&["--json"], &held[..]].concat(), false);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status, 0);
    assert_eq!(told["event"]["grants"][0]["scope_numbers"], json!([0]));
    assert_eq!(told["tags"]["about_sequence"], 0);
    assert!(told["tags"]["tenant_sequence"].as_u64().unwrap() > 3);
    // The last event of a revoked token.
    a.order(
        "POST",
        &format!("/v1/tokens/{token}/revoke"),
        json!({"reason": "leaked"}),
    )
    .await
    .is(200);
    let (status, said) = home.run(&["receipt", "get", token, "--last", "-o", "last"], true);
    assert_eq!(status, 0, "{said}");
    let (_, said) = home.run(&["receipt", "verify", "last", "--policy", "policy"], false);
    assert!(
        said.contains("token.revoked") && said.contains("leaked"),
        "{said}"
    );
    why_not(&home, token, other);
    // Another tenant's key explains nothing here.
    let foreign = a.tenant("other").await.text("/secret");
    fs::write(home.dir.path().join("token"), foreign).unwrap();
    assert_eq!(home.run(&["tenant", "key", "other.key"], true).0, 0);
    home.refused(&["r", "--tenant-key", "other.key"], "foreign_tags");
    a.running.stop().await;
}

fn why_not(home: &Home, token: &str, other: &str) {
    home.refused(&["r", "--token-id", other], "another_token");
    let path = |name: &str| home.dir.path().join(name);
    let good = fs::read(path("r")).unwrap();
    let receipt = Receipt::parse(&good).unwrap();
    let opening = Opening::parse(receipt.unverified_extra()).unwrap();
    let remade = |extra: Vec<u8>| {
        Receipt::new(
            receipt.index(),
            receipt.path().to_vec(),
            receipt.note().to_owned(),
            extra,
        )
        .unwrap()
    };
    let with = |change: &dyn Fn(&mut Opening)| {
        let mut changed = opening.clone();
        change(&mut changed);
        remade(changed.to_bytes()).to_string()
    };
    let last = opening.record.len() - 1;
    let text = receipt.to_string();
    for (reason, bad) in [
        ("malformed", "nonsense".to_owned()),
        ("malformed", text.replace("index ", "index 0")),
        ("no_opening", remade(Vec::new()).to_string()),
        ("no_opening", remade(vec![2; 200]).to_string()),
        ("not_included", with(&|o| o.record[last] ^= 1)),
        ("not_included", with(&|o| o.salt[0] ^= 1)),
        ("not_included", with(&|o| o.head[73] ^= 1)),
        (
            "not_included",
            text.replace(&format!("index {}", receipt.index()), "index 0"),
        ),
        (
            "checkpoint",
            text.replace(" example.", " exbmple.")
                .replace("\n\u{2014} ", "\n\u{2014} x"),
        ),
    ] {
        fs::write(path("bad"), bad).unwrap();
        home.refused(&["bad"], reason);
    }
    assert!(
        home.run(&["receipt", "verify", "r", "--policy", "none"], false)
            .0
            == 1
    );
    let with_link = home.run(&["receipt", "verify", "r", "--policy", "policy"], true);
    assert!(
        with_link.0 == 2 && with_link.1.contains("means nothing"),
        "{}",
        with_link.1
    );
    // By a policy that asks for a witness, the same receipt proves nothing.
    let policy = fs::read_to_string(path("policy")).unwrap();
    let witness = CosigningKey::from_seed("w.example", &[3; 32]).unwrap();
    let line = format!("witness w {}\nquorum w\n", witness.witness());
    fs::write(path("strict"), policy.replace("quorum none\n", &line)).unwrap();
    let args = [
        "--json",
        "receipt",
        "verify",
        "r",
        "--policy",
        "strict",
        "--token-id",
        token,
    ];
    let (status, said) = home.run(&args, false);
    assert!(status == 3 && said.contains("no_quorum"), "{said}");
}
