//! The command line as people and scripts use it: the real binary, a real server over TLS, and what both leave behind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

#[path = "cli/shell.rs"]
mod shell;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use serde_json::Value;
use shell::{Server, Shell, mode};

/// A served authority with an operator and the tenant `acme`, whose profile is current.
fn acme() -> (Shell, Server) {
    let shell = Shell::new();
    let server = Server::start(&shell);
    shell
        .run(&["setup", "--server", &server.address, "--data-dir", "data"])
        .ok();
    shell
        .run(&["tenant", "create", "--prefix", "acme", "--use"])
        .ok();
    (shell, server)
}

fn documents(shell: &Shell) {
    let args = [
        "api",
        "create",
        "documents",
        "--audience",
        "https://documents.example.test",
        "--scope",
        "docs:read=Read documents.",
        "--scope",
        "docs:write=Change documents.",
        "--default-scope",
        "docs:read",
    ];
    shell.run(&args).ok();
}

#[test]
fn the_main_job_from_setup_to_fsck() {
    let (shell, server) = acme();
    documents(&shell);
    let grant = "documents=docs:read,docs:write";
    let role = ["role", "create", "writer", "--grant", grant];
    shell.run(&role).ok();
    let user = ["user", "create", "--name", "Ada", "--role", "writer"];
    let user = shell.json(&user).text("/id");
    let app = ["app", "create", "--name", "export", "--sponsor", &user];
    let app = [&app[..], &["--grant", "documents=docs:read@projects/**"]].concat();
    let app = shell.json(&app).text("/id");
    let (token, secret) = issued(&shell, &user);
    checked(&shell, &secret);
    rotated_changed_revoked(&shell, &token, &secret);
    shell.run(&["app", "suspend", &app]).ok();
    trail(&shell, &token);
    shell.run(&["doctor", "--data-dir", "data"]).ok();
    let fsck = ["fsck", "--data-dir", "data"];
    shell.run(&fsck).fails(1, "jeton is running");
    let audit = ["audit", "--data-dir", "data"];
    let beside = shell.run(&audit).ok();
    assert!(beside.stdout.starts_with("sound: "), "{}", beside.stdout);
    assert!(beside.stderr.contains("the authority runs"));

    let visible = server.visible();
    let log = server.stop();
    let alone = shell.run(&audit).ok();
    assert!(!alone.stderr.contains("the authority runs"));
    let high_water = shell.path("data/high-water");
    fs::write(&high_water, "1000000\n").unwrap();
    shell.run(&audit).fails(3, "rollback: 1000000 events");
    let sound = shell.run(&fsck).ok();
    assert!(sound.stdout.starts_with("sound: "), "{}", sound.stdout);
    nothing_leaked(&shell, &[&secret], &format!("{visible}{log}"));
    shell.run(&["user", "list"]).fails(1, "jeton serve");
}

#[test]
fn setup_works_once_and_keeps_credentials_private() {
    let (shell, server) = acme();
    assert_eq!(mode(&shell.credentials()), 0o600);
    assert!(!shell.path("data/setup-secret").exists(), "it is spent");
    let again = ["setup", "--server", &server.address, "--ca", &server.ca];
    shell
        .run_with(&again, "nonsense\n")
        .fails(1, "profile operator already");
    let other = [&again[..], &["--profile", "other"]].concat();
    shell
        .run_with(&other, "nonsense\n")
        .fails(1, "[setup_spent]");
    shell
        .run(&["tenant", "list"])
        .fails(1, "--profile operator");
    let list = ["--profile", "operator", "tenant", "list"];
    assert!(shell.run(&list).ok().stdout.contains("acme"));
    let operator = ["keys", "--profile", "operator"];
    shell
        .run(&[&operator[..], &["rotate", "acme"]].concat())
        .ok();
    shell
        .run(&[&operator[..], &["rotate", "acme"]].concat())
        .fails(1, "[state_conflict]");
    shell.run(&["profile", "remove", "acme"]).ok();
    shell
        .run(&["user", "list"])
        .fails(2, "no profile is chosen");
    server.stop();
}

#[test]
fn what_is_personal_is_erased_and_the_ledgers_keys_take_over() {
    let (shell, server) = acme();
    documents(&shell);
    let grant = ["role", "create", "writer", "--grant", "documents=docs:read"];
    shell.run(&grant).ok();
    let user = ["user", "create", "--name", "Ada", "--role", "writer"];
    let user = shell.json(&user).text("/id");
    let (token, _) = issued(&shell, &user);
    shell
        .run(&["user", "erase", &user])
        .fails(1, "[state_conflict]");
    shell
        .run(&["token", "erase", &token])
        .fails(1, "revoke it first");
    shell.run(&["user", "delete", &user]).ok();
    let erased = shell.run(&["user", "erase", &user]).ok();
    // Registered, its token issued, deleted.
    let due = "The words beside 3 events are erased\n";
    assert_eq!(erased.stdout, due);
    let again = shell.json(&["user", "erase", &user]);
    assert_eq!(again.json()["events"], 0);
    assert!(!shell.run(&["user", "list"]).ok().stdout.contains("Ada"));

    let keys = ["--profile", "operator", "keys", "log"];
    let of = |more: &[&'static str]| [&keys[..], more].concat();
    let old = shell.json(&of(&["list"])).text("/items/0/id");
    shell
        .run(&[&of(&["retire"])[..], &[&old]].concat())
        .fails(1, "[state_conflict]");
    shell.run(&of(&["retire", "nonsense"])).fails(2, "eight");
    let made = shell.run(&of(&["rotate"])).ok();
    assert!(made.stdout.contains("signing") && made.stderr.contains("witness policy"));
    let retired = of(&["retire", "--compromised-from", "3"]);
    let retired = shell.json(&[&retired[..], &[&old]].concat());
    assert_eq!(retired.text("/state"), "retired");
    assert_eq!(retired.json()["compromised_from"], 3);
    shell
        .run(&["keys", "log", "list"])
        .fails(1, "--profile operator");
    server.stop();
}

/// Issues a key and returns its id and secret.
fn issued(shell: &Shell, user: &str) -> (String, String) {
    let key = ["token", "create", "--class", "key", "--subject", user];
    let grant = ["--grant", "documents=docs:read", "--name", "laptop"];
    let bounds = [
        "--lifetime",
        "30d",
        "--limit",
        "100/60s",
        "--network",
        "127.0.0.0/8",
    ];
    let made = shell.run(&[&key[..], &grant, &bounds].concat()).ok();
    let secret = made.stdout.trim().to_owned();
    let alone = secret.starts_with("acme_key_") && !secret.contains('\n');
    assert!(alone, "the secret stands alone on standard output");
    assert!(made.stderr.contains("laptop") && !made.stderr.contains(&secret));
    let find = shell.run_with(&["--json", "token", "find"], &made.stdout);
    (find.ok().text("/id"), secret)
}

const CHECK: [&str; 5] = ["check", "--api", "documents", "--address", "127.0.0.1"];

fn checked(shell: &Shell, secret: &str) {
    let may = |scope: &str, text: &str| {
        let args = [&CHECK[..], &["--scope", scope]].concat();
        shell.run_with(&args, text)
    };
    let allowed = may("docs:read", secret).ok();
    assert!(allowed.stdout.starts_with("allowed"));
    may("docs:write", secret)
        .fails(1, "[scope_missing]")
        .fails(1, "jeton explain scope_missing");
    may("docs:read", "acme_key_nonsense").fails(1, "[token_unknown]");
    may("docs:wrong", secret).fails(1, "[scope_unknown]");
}

fn rotated_changed_revoked(shell: &Shell, token: &str, secret: &str) {
    let rotate = ["token", "rotate", token, "--overlap", "0"];
    let rotate = [&rotate[..], &["--secret-file", "key"]].concat();
    let rotated = shell.run(&rotate).ok();
    assert!(!rotated.stdout.contains("acme_key_"));
    assert_eq!(mode(&shell.path("key")), 0o600);
    shell.run_with(&CHECK, secret).fails(1, "[token_replaced]");
    let fresh = [&CHECK[..], &["--of", "key"]].concat();
    shell.run(&fresh).ok();
    let change = ["token", "change", token, "--method", "get"];
    let changed = shell.run(&change).ok().stdout;
    let both = changed.contains("127.0.0.0/8") && changed.contains("GET");
    assert!(both, "what is not named stays: {changed}");
    let revoke = [
        "token", "revoke", token, "--reason", "leaked", "--note", "found",
    ];
    shell.run(&revoke).ok();
    shell.run(&fresh).fails(1, "[token_revoked]");
}

fn trail(shell: &Shell, token: &str) {
    let trail = shell.json(&["events", "--token", token, "--all"]).json();
    let events = trail["items"].as_array().unwrap();
    let names: Vec<&str> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    let due = [
        "token.revoked",
        "token.changed",
        "token.rotated",
        "token.issued",
    ];
    assert_eq!(names, due);
    let some = shell.run(&["events", "--limit", "2"]).ok();
    assert!(some.stderr.contains("there are more"));
    let page = shell.json(&["events", "--limit", "2"]).json();
    assert!(page["items"].as_array().unwrap().len() == 2 && page["next"].is_string());
}

/// No token stood in an argument, in the server's arguments and environment, or in a log line, be it at level trace.
fn nothing_leaked(shell: &Shell, secrets: &[&str], seen: &str) {
    let store = fs::read_to_string(shell.credentials()).unwrap();
    let kept = store
        .lines()
        .filter_map(|l| l.strip_prefix("token = \"")?.strip_suffix('"'));
    let file = fs::read_to_string(shell.path("key")).unwrap();
    let said = shell.said.lock().unwrap().join("\n");
    let all: Vec<&str> = kept
        .chain(secrets.iter().copied())
        .chain([file.trim()])
        .collect();
    assert_eq!(all.len(), 4, "operator, acme, and both secrets of the key");
    for secret in all {
        assert!(secret.len() > 40);
        // The control: a search that finds it where it is.
        assert!(store.contains(secret) || file.contains(secret) || secrets.contains(&secret));
        let random = &secret[secret.len() - 36..];
        assert!(!said.contains(random), "a token stood in an argument");
        assert!(!seen.contains(random), "a token stood in the log or in ps");
    }
    assert!(seen.contains("request"), "there is a log to look through");
}

#[test]
fn wrong_input_is_told_with_field_and_rule() {
    let (shell, server) = acme();
    documents(&shell);
    let user = shell.json(&["user", "create"]).text("/id");
    let create = ["token", "create", "--class", "key", "--subject", &user];
    let order = |more: &[&str]| shell.run(&[&create[..], more].concat());
    order(&["--grant", "documents"]).fails(2, "there is no '='");
    order(&["--grant", "none=a"]).fails(1, "(grants[0].api: ");
    order(&["--lifetime", "30"]).fails(2, "30d for days");
    order(&["--lifetime", "30d", "--permanent"]).fails(2, "cannot be used with");
    order(&["--lifetime", "99y"]).fails(1, "hint: jeton explain ");
    order(&["--limit", "0/60s"]).fails(2, "the count is 1 to 1000000");
    order(&["--network", "10.0.0.0/33"]).fails(1, "(conditions.networks[0]: ");
    order(&["--give-lifetime-max", "1d"]).fails(2, "add one of them");
    order(&["--idempotency-key", "a b"]).fails(2, "without spaces");
    shell
        .run(&["user", "show", "tok_0123"])
        .fails(2, "usr_ and 26");
    shell
        .run(&["api", "show", "nope"])
        .fails(1, "there are: documents");
    shell.run(&["nope"]).fails(2, "unrecognized subcommand");
    shell
        .run(&["--json", "api", "show"])
        .fails(2, "\"code\":\"cli_usage\"");
    let problem = shell.run(&["--json", "user", "show", &user.replace("usr_0", "usr_1")]);
    assert_eq!(problem.status, 1);
    let problem: Value = serde_json::from_str(&problem.stderr).unwrap();
    assert_eq!(problem["code"], "not_found");
    server.stop();
}

#[test]
fn wrong_places_and_files_are_told() {
    let (shell, server) = acme();
    documents(&shell);
    fs::write(shell.path("api.yaml"), "openapi: 3.1.0\n").unwrap();
    let import = ["api", "import", "documents", "--openapi", "api.yaml"];
    shell.run(&import).fails(1, "not YAML");
    shell
        .run(&["--profile", "none", "user", "list"])
        .fails(1, "acme, operator");
    shell
        .run(&["--server", "https://127.0.0.1:1", "user", "list"])
        .fails(2, "its token is not sent");
    shell
        .run(&["--profile", "acme", "explain", "list"])
        .fails(2, "means nothing to explain");
    let both = [
        "token",
        "find",
        "--server",
        &server.address,
        "--ca",
        &server.ca,
    ];
    shell
        .run(&[&both[..], &["--token-file", "-"]].concat())
        .fails(2, "both the token to use");
    shell
        .run(&["token", "cut-off", "--everything"])
        .fails(2, "--yes");

    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(shell.credentials(), readable).unwrap();
    shell.run(&["user", "list"]).fails(1, "chmod 600");
    shell
        .run(&["doctor", "--data-dir", "data"])
        .fails(1, "fail  credential store");
    server.stop();
}

#[test]
fn a_repeated_order_is_carried_out_once() {
    let (shell, server) = acme();
    documents(&shell);
    let user = shell.json(&["user", "create"]).text("/id");
    let create = ["token", "create", "--class", "key", "--subject", &user];
    let order = [&create[..], &["--idempotency-key", "k1", "--secret-file"]].concat();
    shell.run(&[&order[..], &["one"]].concat()).ok();
    shell.run(&[&order[..], &["two"]].concat()).ok();
    let read = |name: &str| fs::read_to_string(shell.path(name)).unwrap();
    assert_eq!(read("one"), read("two"));
    shell
        .run(&[&order[..], &["two"]].concat())
        .fails(1, "exists");
    let listed = shell.json(&["token", "list", "--subject", &user]).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    server.stop();
}

#[test]
fn what_needs_no_server() {
    let shell = Shell::new();
    let page = shell.run(&["explain", "token_expired"]).ok();
    assert!(page.stdout.starts_with("# token_expired"));
    let list = shell.run(&["explain", "list"]).ok();
    assert!(list.stdout.contains("scope_missing"));
    shell
        .run(&["explain", "token_expird"])
        .fails(2, "did you mean token_expired");
    shell
        .run(&["user", "list"])
        .fails(2, "there is no profile yet");
    shell
        .run(&["fsck", "--data-dir", "none"])
        .fails(1, "holds no ledger");
    assert!(!shell.path("none").exists(), "looking makes nothing");
    shell
        .run(&["serve", "--listen", "nowhere"])
        .fails(2, "--listen: listen must be an address");
    shell
        .run(&["serve", "--log-filter", "a=b=c"])
        .fails(2, "log_filter must be");
    let inspected = shell.run_with(&["token", "inspect"], "acme_key_hello\n");
    inspected.fails(1, "not a token");
    // A text of the right shape whose checksum is wrong: even so it is never shown.
    let slip = format!("acme_key_{}", "0".repeat(36));
    let inspected = shell.run_with(&["token", "inspect"], &slip);
    assert!(!inspected.stdout.contains("0000"));
    inspected.fails(1, "wrong");
    let shown = shell.run(&["token", "show", &slip]);
    assert!(!shown.stderr.contains("0000"));
    shown.fails(2, "a token stands on the command line");
    shell.run(&["--help"]).ok();
}

#[test]
fn serve_tells_people_where_it_is_and_keeps_the_secret_off_the_record() {
    let shell = Shell::new();
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    let mut command = shell.command(&args);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        assert_ne!(out.read_line(&mut text).unwrap(), 0, "{text}");
    }
    let secret = fs::read_to_string(shell.path("data/setup-secret")).unwrap();
    assert!(text.contains("jeton setup --server https://127.0.0.1:"));
    assert!(text.contains("curl --cacert "));
    assert!(
        !text.contains(secret.trim()),
        "standard output is no terminal"
    );
    shell.run(&args).fails(1, "another jeton is running");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    out.read_to_string(&mut text).unwrap();

    let db = rusqlite::Connection::open(shell.path("data/ledger.db")).unwrap();
    let changed = db.execute("UPDATE event SET leaf = zeroblob(106) WHERE idx = 1", []);
    assert_eq!(changed.unwrap(), 1);
    drop(db);
    let found = shell.run(&["fsck", "--data-dir", "data"]);
    found.fails(3, "the leaf does not commit to the record");
    let json = shell.run(&["--json", "fsck", "--data-dir", "data"]);
    assert_eq!(json.status, 3);
    assert!(!json.json()["findings"].as_array().unwrap().is_empty());
}
