//! The command line as people and scripts use it: the real binary, a real server over TLS, and what both leave behind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_jeton");

/// A home of its own, and every argument that was ever given in it.
struct Shell {
    dir: tempfile::TempDir,
    said: Mutex<Vec<String>>,
}

struct Done {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Done {
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn fails(self, status: i32, says: &str) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        let all = format!("{}\n{}", self.stdout, self.stderr);
        assert!(all.contains(says), "{says:?} is not in:\n{all}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    #[track_caller]
    fn text(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("no {pointer} in {json}"))
            .to_owned()
    }
}

impl Shell {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            said: Mutex::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut said = self.said.lock().unwrap();
        said.extend(args.iter().map(|a| (*a).to_owned()));
        let mut command = Command::new(BIN);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path());
        command
    }

    fn run_with(&self, args: &[&str], input: &str) -> Done {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that never reads its input closes it early.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let out = child.wait_with_output().unwrap();
        Done {
            status: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8(out.stdout).unwrap(),
            stderr: String::from_utf8(out.stderr).unwrap(),
        }
    }

    fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    fn json(&self, args: &[&str]) -> Done {
        let args: Vec<&str> = ["--json"].into_iter().chain(args.iter().copied()).collect();
        self.run(&args).ok()
    }

    fn credentials(&self) -> PathBuf {
        self.path(".config/jeton/credentials.toml")
    }
}

struct Server {
    child: Child,
    address: String,
    ca: String,
    log: PathBuf,
}

impl Server {
    fn start(shell: &Shell) -> Self {
        let log = shell.path("log");
        let err = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let args = [
            "--json",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "data",
            "--log-filter",
            "trace",
        ];
        let mut command = shell.command(&args);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(err).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("{e}: {line}{}", fs::read_to_string(&log).unwrap()));
        let text = |name: &str| started[name].as_str().unwrap_or_default().to_owned();
        assert!(!text("address").ends_with(":0"), "the real port is told");
        Self {
            address: text("address"),
            ca: text("ca"),
            child,
            log,
        }
    }

    /// What everybody on the machine can see of it.
    fn visible(&self) -> String {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let read = |name: &str| fs::read(proc.join(name)).unwrap_or_default();
        let both = [read("cmdline"), read("environ")].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    fn stop(mut self) -> String {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "it stops well");
        fs::read_to_string(&self.log).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

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
    assert_eq!(mode(&shell.credentials()), 0o600);
    assert!(!shell.path("data/setup-secret").exists(), "it is spent");
    let again = ["setup", "--server", &server.address, "--data-dir", "data"];
    shell.run(&again).fails(1, "profile operator already");
    let again = ["setup", "--server", &server.address, "--ca", &server.ca];
    let again = [&again[..], &["--profile", "other"]].concat();
    shell
        .run_with(&again, "nonsense\n")
        .fails(1, "[setup_spent]");
    shell
        .run(&["tenant", "list"])
        .fails(1, "--profile operator");
    let tenants = shell.run(&["--profile", "operator", "tenant", "list"]).ok();
    assert!(tenants.stdout.contains("acme"));

    documents(&shell);
    let grant = "documents=docs:read,docs:write";
    shell
        .run(&["role", "create", "writer", "--grant", grant])
        .ok();
    let user = shell
        .json(&["user", "create", "--name", "Ada", "--role", "writer"])
        .text("/id");
    let app = ["app", "create", "--name", "export", "--sponsor", &user];
    let app = [&app[..], &["--grant", "documents=docs:read@projects/**"]].concat();
    let app = shell.json(&app).text("/id");

    let key = [
        "token",
        "create",
        "--class",
        "key",
        "--subject",
        &user,
        "--grant",
        "documents=docs:read",
        "--lifetime",
        "30d",
        "--limit",
        "100/60s",
        "--network",
        "127.0.0.0/8",
        "--name",
        "laptop",
    ];
    let made = shell.run(&key).ok();
    let secret = made.stdout.trim().to_owned();
    assert!(
        secret.starts_with("acme_key_") && !secret.contains('\n'),
        "the secret stands alone"
    );
    assert!(made.stderr.contains("laptop") && !made.stderr.contains(&secret));
    let find = shell
        .run_with(&["--json", "token", "find"], &made.stdout)
        .ok();
    let token = find.text("/id");

    let check = [
        "check",
        "--api",
        "documents",
        "--address",
        "127.0.0.1",
        "--scope",
    ];
    let may = |scope: &str, text: &str| shell.run_with(&[&check[..], &[scope]].concat(), text);
    assert!(may("docs:read", &secret).ok().stdout.starts_with("allowed"));
    may("docs:write", &secret)
        .fails(1, "[scope_missing]")
        .fails(1, "jeton explain scope_missing");
    may("docs:read", "acme_key_nonsense").fails(1, "[token_unknown]");
    may("docs:wrong", &secret).fails(1, "[scope_unknown]");

    let rotate = [
        "token",
        "rotate",
        &token,
        "--overlap",
        "0",
        "--secret-file",
        "key",
    ];
    let rotated = shell.run(&rotate).ok();
    assert!(!rotated.stdout.contains("acme_key_") && mode(&shell.path("key")) == 0o600);
    may("docs:read", &secret).fails(1, "[token_replaced]");
    let of = [
        "check",
        "--api",
        "documents",
        "--address",
        "127.0.0.1",
        "--of",
        "key",
    ];
    shell.run(&of).ok();
    let change = ["token", "change", &token, "--method", "get"];
    let changed = shell.run(&change).ok().stdout;
    assert!(
        changed.contains("127.0.0.0/8") && changed.contains("GET"),
        "what is not named stays"
    );
    let revoke = [
        "token", "revoke", &token, "--reason", "leaked", "--note", "found",
    ];
    shell.run(&revoke).ok();
    shell.run(&of).fails(1, "[token_revoked]");
    shell.run(&["app", "suspend", &app]).ok();

    let trail = shell.json(&["events", "--token", &token, "--all"]).json();
    let names: Vec<&str> = trail["items"]
        .as_array()
        .unwrap()
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
    shell.run(&["doctor", "--data-dir", "data"]).ok();
    shell
        .run(&["fsck", "--data-dir", "data"])
        .fails(1, "jeton is running");

    let visible = server.visible();
    let log = server.stop();
    let sound = shell.run(&["fsck", "--data-dir", "data"]).ok();
    assert!(sound.stdout.starts_with("sound: "), "{}", sound.stdout);
    nothing_leaked(&shell, &[&secret], &format!("{visible}{log}"));
    shell.run(&["user", "list"]).fails(1, "jeton serve");
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
