//! Witnesses as logs and liars meet them: over TLS, with a memory that outlives the process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

#[path = "cli/shell.rs"]
#[expect(dead_code, reason = "a part of it")]
mod shell;
#[path = "witness/world.rs"]
mod world;

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
};

use http::Method;
use jeton::node::witness::{WITNESS_TIMEOUT, WitnessClient, WitnessError};
use jeton_tlog::{Checkpoint, Note, Policy, PolicyError, SigningKey, WitnessKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shell::Shell;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use world::{Home, Log, ORIGIN, TRUE, client};

const SIZE: &str = "text/x.tlog.size";
const TEXT: &str = "text/plain; charset=utf-8";

fn hash_path() -> String {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(ORIGIN));
    format!("/{hash}/checkpoint")
}

/// Whether an answer has a cosignature of this key on this checkpoint.
fn cosigns(answer: &str, key: &WitnessKey, checkpoint: &Checkpoint) -> bool {
    let note = checkpoint.sign(&Log::key()).unwrap();
    let mut note = Note::parse(note.as_bytes()).unwrap();
    note.add_cosignature(answer, key).is_ok()
}

#[tokio::test]
async fn a_log_grows_and_only_that_is_cosigned() {
    let home = Home::new("w.example/1");
    let witness = home.start().await;
    let key = witness.key();
    let nothing = (404, TEXT.to_owned(), "never cosigned\n".to_owned());
    assert_eq!(witness.ask(Method::GET, &hash_path(), "").await, nothing);

    // First use, growth, and the same head once more.
    for (old, size) in [(0, 5), (5, 8), (8, 8), (8, 200)] {
        let (status, kind, text) = witness.add(&TRUE.request(old, size)).await;
        assert_eq!((status, kind.as_str()), (200, TEXT), "{text}");
        assert!(cosigns(&text, &key, &TRUE.checkpoint(size)), "{text}");
        assert!(!cosigns(&text, &key, &TRUE.checkpoint(size - 1)));
        let (status, _, note) = witness.ask(Method::GET, &hash_path(), "").await;
        assert_eq!(status, 200);
        assert_eq!(note, TRUE.note(size) + &text);
    }
    // A replay: the witness is elsewhere, and says where.
    for (old, size) in [(0, 5), (5, 8), (0, 200), (8, 200), (8, 201)] {
        let conflict = (409, SIZE.to_owned(), "200\n".to_owned());
        assert_eq!(witness.add(&TRUE.request(old, size)).await, conflict);
    }
    // Another history, signed by the log and proved within itself.
    for fork in [0, 100, 199] {
        for size in [200, 201, 255] {
            let (status, _, text) = witness.add(&Log { fork }.request(200, size)).await;
            assert_eq!(status, 422, "{text}");
            assert!(!cosigns(&text, &key, &Log { fork }.checkpoint(size)));
        }
    }
    assert_eq!(witness.add(&TRUE.request(200, 255)).await.0, 200);
    witness.running.stop().await;
}

#[tokio::test]
async fn every_no_has_its_status() {
    let home = Home::new("w.example/1");
    let witness = home.start().await;
    let good = TRUE.request(0, 5);
    let of_key = |key: &SigningKey| {
        let head = Checkpoint::new(key.name(), 5, *TRUE.checkpoint(5).root());
        format!("old 0\n\n{}", head.unwrap().sign(key).unwrap())
    };
    let stranger = SigningKey::from_seed("other.example", &[7; 32]).unwrap();
    let thief = SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap();
    let table = [
        (404, of_key(&stranger)),
        (403, of_key(&thief)),
        (403, good.replace("\n5\n", "\n6\n")),
        (400, good.replace("old 0", "old 6")),
        (400, good.replace("old 0", "old 00")),
        (400, good.replace("old 0\n\n", "")),
        (400, String::new()),
        (409, TRUE.request(1, 5)),
        (
            422,
            good.replace(
                "old 0\n",
                &format!("old 0\n{}\n", TRUE.checkpoint(5).root()),
            ),
        ),
        (413, format!("{good}{}", "x".repeat(16 * 1024))),
    ];
    for (status, body) in table {
        let said = witness.add(&body).await;
        assert_eq!(said.0, status, "{body} {said:?}");
    }
    assert_eq!(witness.add(&TRUE.request(1, 5)).await.2, "0\n");
    // Nothing of that was remembered.
    assert_eq!(witness.ask(Method::GET, &hash_path(), "").await.0, 404);
    let vkey = format!("{}\n", witness.key());
    let asked = [
        (Method::GET, "/vkey", 200, vkey.as_str()),
        (Method::GET, "/healthz", 200, "ok\n"),
        (Method::GET, "/add-checkpoint", 405, "not this method\n"),
        (Method::POST, "/vkey", 405, "not this method\n"),
        (Method::GET, "/", 404, "there is nothing here\n"),
        (
            Method::GET,
            "/00/checkpoint",
            404,
            "there is nothing here\n",
        ),
    ];
    for (method, path, status, text) in asked {
        let said = witness.ask(method, path, "").await;
        assert_eq!((said.0, said.2.as_str()), (status, text), "{path}");
    }
    // An unknown key beside the log's changes nothing, and is not kept.
    let beside = good.clone() + &stranger.sign(&TRUE.checkpoint(5).to_string()).unwrap();
    assert_eq!(witness.add(&beside).await.0, 200);
    let (_, _, note) = witness.ask(Method::GET, &hash_path(), "").await;
    assert_eq!(Note::parse(note.as_bytes()).unwrap().signatures().len(), 2);
    witness.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_forks_at_once_only_one_is_ever_cosigned() {
    let home = Home::new("w.example/1");
    let witness = Arc::new(home.start().await);
    assert_eq!(witness.add(&TRUE.request(0, 10)).await.0, 200);
    let forks = [TRUE, Log { fork: 10 }];
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (witness, fork) = (Arc::clone(&witness), number % 2);
        asking.spawn(async move {
            let size = 11 + (u64::try_from(number).unwrap() / 2) % 3;
            let (status, _, text) = witness.add(&forks[fork].request(10, size)).await;
            let signed = cosigns(&text, &witness.key(), &forks[fork].checkpoint(size));
            assert_eq!(signed, status == 200, "{status} {text}");
            assert!(matches!(status, 200 | 409 | 422), "{status} {text}");
            (fork, size, signed)
        });
    }
    let answers = asking.join_all().await;
    let signed: Vec<_> = answers.iter().filter(|(.., signed)| *signed).collect();
    // From size 10 one request was first; all others were from a size that was past.
    let [(fork, size, _)] = signed.as_slice() else {
        panic!("{signed:?}")
    };
    let latest = witness.client().latest(ORIGIN).await.unwrap().unwrap();
    assert!(latest.starts_with(&forks[*fork].checkpoint(*size).to_string()));
}

#[tokio::test]
async fn the_memory_outlives_the_process_and_belongs_to_one() {
    let home = Home::new("w.example/1");
    let witness = home.start().await;
    let key = witness.key();
    assert_eq!(witness.add(&TRUE.request(0, 20)).await.0, 200);
    witness.running.stop().await;
    let again = home.start().await;
    assert_eq!(again.key(), key);
    assert_eq!(again.add(&TRUE.request(0, 21)).await.2, "20\n");
    assert_eq!(again.add(&Log { fork: 3 }.request(20, 21)).await.0, 422);
    assert_eq!(again.add(&TRUE.request(20, 21)).await.0, 200);
    again.running.stop().await;
}

#[tokio::test]
async fn a_quorum_of_witnesses_makes_a_checkpoint_believed() {
    let homes = [1, 2, 3, 4].map(|number| Home::new(&format!("w.example/{number}")));
    let mut witnesses = Vec::new();
    for home in &homes {
        witnesses.push(home.start().await);
    }
    let mut text = format!("log {}\n", Log::key().verifier());
    for (witness, number) in witnesses.iter().zip(1..) {
        text += &format!("witness w{number} {} {}\n", witness.key(), witness.url());
    }
    text += "group q 3 w1 w2 w3 w4\nquorum q\n";
    let policy = Policy::parse(&text).unwrap();
    let mut note = Note::parse(TRUE.note(42).as_bytes()).unwrap();
    for (done, witness) in witnesses.iter().enumerate() {
        let verified = policy.verify(note.to_string().as_bytes());
        match verified {
            Ok(_) => assert!(done >= 3),
            Err(PolicyError::QuorumNotMet { signed, .. }) => {
                assert!(done < 3 && signed.len() == done);
            }
            Err(error) => panic!("{error}"),
        }
        let client = witness.client();
        let lines = client.add_checkpoint(&TRUE.note(42), 0, &[]).await;
        let line = lines.unwrap().concat();
        note.add_cosignature(&line, client.key()).unwrap();
    }
    let verified = policy.verify(note.to_string().as_bytes()).unwrap();
    assert_eq!(verified.cosignatures().len(), 4);
    let now = u64::from(jeton::capability::Clock::start().time().seconds());
    let (earliest, latest) = (verified.earliest_s(), verified.latest_s());
    assert!(earliest > Some(now - 600) && latest < Some(now + 600));
    for witness in witnesses {
        witness.running.stop().await;
    }
}

/// A log with two histories, three honest witnesses, and one that signs everything. Each round is another log, and another
/// order in which the witnesses are shown the two.
///
/// The gate `ledger-split`: `JETON_FULL=1` has more rounds; with `JETON_CONTROL=1` the verifier is content with two of four.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_histories_both_get_a_quorum() {
    let told = |name| jeton::capability::environment(name).is_some();
    let rounds: u64 = if told("JETON_FULL") { 1_000 } else { 40 };
    let needed = if told("JETON_CONTROL") { 2 } else { 3 };
    let log = |round| SigningKey::from_seed(&format!("log.example/{round}"), &[7; 32]).unwrap();
    let keys: Vec<_> = (0..rounds).map(|r| log(r).verifier().clone()).collect();
    let homes = [1, 2, 3].map(|number| Home::new(&format!("w.example/{number}")));
    let mut witnesses = Vec::new();
    for home in &homes {
        witnesses.push(home.start_for(keys.clone()).await);
    }
    let clients = witnesses.iter().map(|witness| Arc::new(witness.client()));
    let clients: Vec<Arc<WitnessClient>> = clients.collect();
    let liar = jeton_tlog::CosigningKey::from_seed("w.example/4", &[4; 32]).unwrap();
    let line = |key: &WitnessKey, number| format!("witness w{number} {key}\n");
    let honest = clients
        .iter()
        .zip(1..)
        .map(|(client, n)| line(client.key(), n));
    let lines: String = honest.chain([line(liar.witness(), 4)]).collect();

    let (mut both, mut one) = (0, 0);
    for round in 0..rounds {
        let heads = [1, 2].map(|history: u64| {
            let root = jeton_tlog::leaf_hash(&history.to_be_bytes());
            Checkpoint::new(log(round).name(), 1 + round % history, root).unwrap()
        });
        let mut asking = tokio::task::JoinSet::new();
        for (at, client) in clients.iter().enumerate() {
            for turn in 0..2 {
                let history = usize::from((round >> at) & 1 == turn);
                let (client, note) = (
                    Arc::clone(client),
                    heads[history].sign(&log(round)).unwrap(),
                );
                asking.spawn(async move {
                    let answer = client.add_checkpoint(&note, 0, &[]).await;
                    (history, answer.unwrap_or_default().concat())
                });
            }
        }
        let mut notes = heads.each_ref().map(|head| {
            let note = head.sign(&log(round)).unwrap();
            note + &liar.cosign(head, 1).unwrap()
        });
        for (history, lines) in asking.join_all().await {
            notes[history] += &lines;
        }
        let text = format!(
            "log {}\n{lines}group q {needed} w1 w2 w3 w4\nquorum q\n",
            log(round).verifier()
        );
        let policy = Policy::parse(&text).unwrap();
        let believed = notes.map(|note| policy.verify(note.as_bytes()).is_ok());
        both += u64::from(believed == [true; 2]);
        one += u64::from(believed != [false; 2]);
    }
    println!(r#"witness: {{"rounds":{rounds},"needed":{needed},"believed":{one},"split":{both}}}"#);
    assert_eq!(both, 0, "somebody was shown two histories");
    // Of three honest witnesses two have seen the same first: there is always one that is believed.
    assert_eq!(one, rounds);
    for witness in witnesses {
        witness.running.stop().await;
    }
}

#[tokio::test]
async fn the_client_tells_elsewhere_from_never_from_later() {
    let home = Home::new("w.example/1");
    let witness = home.start().await;
    let asks = witness.client();
    assert_eq!(asks.latest(ORIGIN).await.unwrap(), None);
    assert_eq!(asks.size(ORIGIN, &TRUE.note(4)).await.unwrap(), 0);
    assert_eq!(asks.size(ORIGIN, &TRUE.note(4)).await.unwrap(), 4);
    let add = async |log: Log, old, size| {
        let proof = log.proof(old, size);
        asks.add_checkpoint(&log.note(size), old, &proof).await
    };
    assert_eq!(add(TRUE, 4, 9).await.unwrap().len(), 1);
    let elsewhere = add(TRUE, 4, 10).await.unwrap_err();
    assert!(matches!(elsewhere, WitnessError::Conflict { size: 9 }));
    assert!(!elsewhere.is_split() && !elsewhere.is_temporary());
    let never = add(Log { fork: 2 }, 9, 10).await.unwrap_err();
    assert!(never.is_split() && !never.is_temporary(), "{never}");
    // Another log, another key of the witness, nobody there.
    let other = SigningKey::from_seed("other.example", &[7; 32]).unwrap();
    let head = Checkpoint::new("other.example", 1, *TRUE.checkpoint(1).root());
    let note = head.unwrap().sign(&other).unwrap();
    let unknown = asks.add_checkpoint(&note, 0, &[]).await.unwrap_err();
    assert!(matches!(unknown, WitnessError::UnknownLog));
    let wrong_key = jeton_tlog::CosigningKey::from_seed("w.example/1", &[9; 32]).unwrap();
    let ca = witness.running.ca_pem.clone().unwrap();
    let wrong = client(&witness.url(), wrong_key.witness().clone(), &ca);
    let unsigned = wrong.latest(ORIGIN).await.unwrap_err();
    assert!(matches!(unsigned, WitnessError::Answer(_)), "{unsigned}");
    witness.running.stop().await;
    let later = add(TRUE, 9, 10).await.unwrap_err();
    assert!(later.is_temporary(), "{later}");
}

/// Other implementations, as they were seen to answer.
#[tokio::test]
async fn quirks_of_other_witnesses_are_survived() {
    let split = |e: &WitnessError| e.is_split() && !e.is_temporary();
    let elsewhere = |e: &WitnessError| matches!(e, WitnessError::Conflict { size: 7 });
    let later = |e: &WitnessError| e.is_temporary();
    type Judge = fn(&WitnessError) -> bool;
    let table: [(&str, String, Judge); 9] = [
        ("409 Conflict", String::new(), split),
        ("409 Conflict", "different root\n".to_owned(), split),
        // The size that was asked from: to ask again would go round in circles.
        ("409 Conflict", "3\n".to_owned(), split),
        ("409 Conflict", "7\n".to_owned(), elsewhere),
        ("409 Conflict", "7".to_owned(), elsewhere),
        ("503 Service Unavailable", String::new(), later),
        ("429 Too Many Requests", "7\n".to_owned(), later),
        // A yes without a cosignature, and one that never ends.
        ("200 OK", "fine\n".to_owned(), later),
        ("200 OK", "x".repeat(1 << 20), later),
    ];
    let key = jeton_tlog::CosigningKey::from_seed("w", &[9; 32]).unwrap();
    for (status, body, judge) in table {
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix", door.local_addr().unwrap());
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        let answering = tokio::spawn(async move {
            let (mut socket, _) = door.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            let read = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.ok();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let key = key.witness().clone();
        let client = WitnessClient::new(&url, key, None, WITNESS_TIMEOUT).unwrap();
        let proof = TRUE.proof(3, 5);
        let error = client.add_checkpoint(&TRUE.note(5), 3, &proof).await;
        let error = error.unwrap_err();
        assert!(judge(&error), "{status} {length}: {error:?}");
        let request = answering.await.unwrap();
        assert!(request.starts_with("POST /prefix/add-checkpoint HTTP/1.1\r\n"));
    }
}

/// The real binary.
struct Process {
    child: Child,
    told: Value,
}

impl Process {
    fn start(shell: &Shell) -> Self {
        let log = Log::key().verifier().to_string();
        let args = [
            "--json",
            "witness",
            "--name",
            "w.example/1",
            "--data-dir",
            "data",
            "--listen",
            "127.0.0.1:0",
            "--log",
            &log,
        ];
        let mut command = shell.command(&args);
        let command = command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        Self { child, told }
    }

    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap()
    }

    fn client(&self) -> WitnessClient {
        let key = WitnessKey::parse(self.text("vkey")).unwrap();
        client(self.text("address"), key, &PathBuf::from(self.text("ca")))
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_never_cosigns_a_fork() {
    let shell = Shell::new();
    let mut at = 0;
    for round in 1..=6 {
        let process = Process::start(&shell);
        let client = process.client();
        let known = client.size(ORIGIN, &TRUE.note(0)).await.unwrap();
        assert!(known >= at, "{known} after {at} was cosigned");
        at = known;
        if at > 0 {
            let fork = Log { fork: at - 1 };
            for size in [at, at + 1] {
                let proof = fork.proof(at, size);
                let refused = client.add_checkpoint(&fork.note(size), at, &proof).await;
                assert!(refused.unwrap_err().is_split());
            }
        }
        // Every other time it is killed before the answer was read.
        let next = at + round;
        let (note, proof) = (TRUE.note(next), TRUE.proof(at, next));
        if round % 2 == 0 {
            client.add_checkpoint(&note, at, &proof).await.unwrap();
            at = next;
            process.kill();
        } else {
            let asking = tokio::spawn(async move {
                drop(client.add_checkpoint(&note, at, &proof).await);
            });
            tokio::task::yield_now().await;
            process.kill();
            asking.await.unwrap();
        }
    }
    let process = Process::start(&shell);
    let known = process.client().size(ORIGIN, &TRUE.note(0)).await.unwrap();
    assert!(known >= at && at > 0);
    process.kill();
}

#[tokio::test]
async fn the_command_prints_its_line_of_a_policy_and_stops_well() {
    let shell = Shell::new();
    let mut process = Process::start(&shell);
    let line = process.text("policy").to_owned();
    let text = format!(
        "log {}\n{line}\nquorum w.example/1\n",
        Log::key().verifier()
    );
    let policy = Policy::parse(&text).unwrap();
    let witness = &policy.witnesses()[0];
    assert_eq!(witness.key().to_string(), process.text("vkey"));
    assert_eq!(witness.url(), Some(process.text("address")));
    let lines = process.client().add_checkpoint(&TRUE.note(3), 0, &[]).await;
    let note = TRUE.note(3) + &lines.unwrap().concat();
    assert!(policy.verify(note.as_bytes()).is_ok());
    let id = rustix::process::Pid::from_child(&process.child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(process.child.wait().unwrap().success());

    // Under another name the directory is not taken for this witness's.
    let log = Log::key().verifier().to_string();
    let other = ["witness", "--name", "w.example/2", "--data-dir", "data"];
    let other = [&other[..], &["--listen", "127.0.0.1:0", "--log", &log]].concat();
    shell.run(&other).fails(1, "might cosign a second history");
    shell
        .run(&["witness", "--name", "w"])
        .fails(2, "a witness of nothing");
    let cosigning = process.text("vkey").to_owned();
    shell
        .run(&["witness", "--name", "w", "--log", &cosigning])
        .fails(2, "the key is of another type");
}

#[test]
fn the_lint_tells_what_a_policy_is_worth() {
    let shell = Shell::new();
    let witness = |number: u8| {
        let key = jeton_tlog::CosigningKey::from_seed(&format!("w/{number}"), &[number; 32]);
        format!(
            "witness w{number} {} https://w{number}.example\n",
            key.unwrap().witness()
        )
    };
    let write = |last: &str| {
        let witnesses: String = (1..=4).map(witness).collect();
        let text = format!("log {}\n{witnesses}{last}", Log::key().verifier());
        std::fs::write(shell.path("p"), text).unwrap();
    };
    let lint = ["policy", "lint", "p"];
    write("group q 3 w1 w2 w3 w4\nquorum q\n");
    let good = shell.run(&lint).ok();
    assert!(good.stdout.contains("3 of 4 witnesses; 2 would have to"));
    assert!(!good.stdout.contains("warning"), "{}", good.stdout);
    let told = shell.json(&lint).json();
    assert_eq!(told["quorum"]["safe"], true);
    assert_eq!(told["warnings"], serde_json::json!([]));
    write("group q 2 w1 w2 w3\nquorum q\n");
    let warned = shell.run(&lint).ok().stdout;
    assert!(
        warned.contains("warning: 2 of 3 is a quorum: 1 colluding"),
        "{warned}"
    );
    write("group q 2 w1 w2 w3 w4\nquorum q\n");
    shell.run(&lint).fails(3, "error:   2 of 4 is a quorum");
    write("quorum none\n");
    shell.run(&lint).fails(3, "no witness is asked for");
    write("quorum nobody\n");
    shell
        .run(&lint)
        .fails(1, "p:6 is no policy: line 6: no line above defines nobody");
    write("quorum w1");
    shell.run(&lint).fails(1, "no newline ends it");
    shell
        .run(&["policy", "lint", "missing"])
        .fails(1, "cannot read missing");
}
