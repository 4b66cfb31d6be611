//! `jeton anchor` on files, as people run it. What takes a chain or a calendar is the gate `ledger-anchor`'s.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "cli/shell.rs"]
#[expect(dead_code, reason = "most of it is for other tests")]
mod shell;

use std::fs;

use shell::{Server, Shell};

const KEY: &str = "log.example.test+b1cf3ede+AceA/mSNM9C/HTcMKFJtcK/qMkIYQc4u1gCYQ2zJJfqG";

/// A checkpoint, a fork of it, and the proof that the reference implementation made of the former on a block of its own.
fn files() -> (Shell, String) {
    let shell = Shell::new();
    for (name, bytes) in [
        ("checkpoint", &include_bytes!("anchor/checkpoint")[..]),
        ("fork", include_bytes!("anchor/checkpoint.fork")),
        ("checkpoint.ots", include_bytes!("anchor/checkpoint.ots")),
    ] {
        fs::write(shell.path(name), bytes).unwrap();
    }
    let header = include_str!("anchor/header").trim().to_owned();
    fs::write(shell.path("headers"), format!("# one\n\n101:{header}\n")).unwrap();
    (shell, header)
}

#[test]
fn a_proof_is_compared_with_the_header_that_is_given() {
    let (shell, header) = files();
    let verify = ["anchor", "ots", "verify", "checkpoint", "checkpoint.ots"];
    let with = |more: &[&str]| shell.run(&[&verify[..], more].concat());
    let test_chain = ["--least-difficulty", "0"];
    let told = with(&[
        "--headers",
        "headers",
        "--json",
        "--key",
        KEY,
        "--least-difficulty",
        "0",
    ])
    .ok();
    assert_eq!(told.text("/origin"), "log.example.test");
    assert_eq!(told.text("/block_time"), "2026-01-01T00:00:00Z");
    assert_eq!(told.text("/longest_chain"), "not checked");
    let bare = [&["--header", &header][..], &test_chain].concat();
    let told = with(&bare).ok();
    assert!(
        told.stdout.contains("existed at") && told.stderr.contains("longest chain was not checked")
    );
    with(&["--header", &header]).fails(1, "10000000000000 is not believed");
    let other = format!("00{}", &header[2..]).replace("31865e68", "31865e69");
    with(&[&["--header", &other][..], &test_chain].concat()).fails(1, "Merkle root is another");
    let height = format!("7:{header}");
    with(&[&["--header", &height][..], &test_chain].concat()).fails(1, "said to be of block 7");
    with(&["--header", "00"]).fails(2, "160 hexadecimal digits");
    with(&[]).fails(2, "--headers");
    let key = KEY.replace("log.", "lag.");
    with(&["--header", &header, "--key", &key]).fails(2, "--key");
}

#[test]
fn a_proof_is_for_one_file() {
    let (shell, header) = files();
    let of = |checkpoint: &str, proof: &str| {
        shell.run(&[
            "anchor",
            "ots",
            "verify",
            checkpoint,
            proof,
            "--header",
            &header,
            "--least-difficulty",
            "0",
        ])
    };
    of("checkpoint", "checkpoint.ots").ok();
    of("fork", "checkpoint.ots").fails(1, "a proof for another file");
    of("checkpoint", "fork").fails(1, "no OpenTimestamps proof");
    of("headers", "checkpoint.ots").fails(1, "no checkpoint to believe");
    of("nothing", "checkpoint.ots").fails(1, "cannot read nothing");
}

#[test]
fn what_is_stamped_is_a_checkpoint_and_nothing_is_overwritten() {
    let (shell, _) = files();
    let calendar = ["--calendar", "https://calendar.example.test"];
    let stamp =
        |more: &[&str]| shell.run(&[&["anchor", "ots", "stamp"][..], more, &calendar].concat());
    stamp(&["checkpoint"]).fails(1, "checkpoint.ots exists");
    stamp(&["headers"]).fails(1, "no checkpoint to believe");
    stamp(&["checkpoint", "-o", "new"]).fails(2, "which CA to trust");
    let open = [
        "anchor",
        "ots",
        "stamp",
        "checkpoint",
        "-o",
        "new",
        "--calendar",
        "http://192.0.2.1",
    ];
    shell.run(&open).fails(1, "only a loopback address");
    assert!(!shell.path("new").exists());
}

#[test]
fn a_proof_is_shown_and_a_kept_one_asks_nobody() {
    let (shell, _) = files();
    let told = shell.json(&["anchor", "ots", "info", "checkpoint.ots"]);
    assert_eq!(told.text("/claims/0/by"), "bitcoin");
    let before = fs::read(shell.path("checkpoint.ots")).unwrap();
    let upgrade = [
        "anchor",
        "ots",
        "upgrade",
        "checkpoint.ots",
        "--calendar",
        "https://calendar.example.test",
    ];
    assert!(shell.run(&upgrade).ok().stdout.contains("in block 101"));
    assert_eq!(fs::read(shell.path("checkpoint.ots")).unwrap(), before);
}

#[test]
fn the_contract_takes_a_key_an_address_and_a_node() {
    let (shell, _) = files();
    let address = format!("0x{}", "ab".repeat(20));
    let put = |key: &str, file: &str, contract: &str, rpc: &[&str]| {
        let words = [
            "anchor",
            "evm",
            "verify",
            file,
            "--key",
            key,
            "--contract",
            contract,
        ];
        shell.run(&[&words[..], rpc].concat())
    };
    let node = ["--rpc", "http://127.0.0.1:1"];
    put(KEY, "checkpoint", "0xab", &node).fails(2, "40 hexadecimal digits");
    put(KEY, "checkpoint", &address, &[]).fails(2, "--rpc");
    put(KEY, "headers", &address, &node).fails(1, "no checkpoint to believe");
    put(KEY, "checkpoint", &address, &node).fails(1, "cannot ask the node");
    put(
        KEY,
        "checkpoint",
        &address,
        &["--rpc", "https://node.example.test/secret"],
    )
    .fails(2, "which CA to trust");
    fs::write(
        shell.path("url"),
        "https://u:secret@node.example.test/secret\n",
    )
    .unwrap();
    let told = put(KEY, "checkpoint", &address, &["--rpc-file", "url"]).fails(2, "no URL");
    assert!(!told.stderr.contains("secret"), "{}", told.stderr);
}

#[test]
fn over_tls_a_server_is_asked_under_its_path_and_its_no_is_told_without_it() {
    let (shell, _) = files();
    let server = Server::start(&shell);
    let url = format!("{}/secret/path", server.address);
    let address = format!("0x{}", "ab".repeat(20));
    let ask = |ca: &str| {
        shell.run(&[
            "anchor",
            "evm",
            "verify",
            "checkpoint",
            "--key",
            KEY,
            "--contract",
            &address,
            "--rpc",
            &url,
            "--ca",
            ca,
        ])
    };
    let told = ask(&server.ca).fails(1, "answered 404");
    assert!(!told.stderr.contains("secret"), "{}", told.stderr);
    ask("headers").fails(1, "cannot use the server");
    let calendar = [
        "anchor",
        "ots",
        "stamp",
        "checkpoint",
        "-o",
        "new",
        "--ca",
        &server.ca,
        "--calendar",
        &url,
    ];
    shell.run(&calendar).fails(1, "no calendar took the hash");
    assert!(!shell.path("new").exists());
    server.stop();
}
