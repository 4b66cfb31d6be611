//! An authority with witnesses, all of them real: what is shown was cosigned, what must be witnessed waits, and what a witness
//! remembers no restored backup can take back.

mod common;

use std::{fs, path::PathBuf};

use common::{Authority, Said, config, send};
use jeton::{
    config::Config,
    witness::{self, Settings},
};
use jeton_tlog::{Policy, VerifierKey};
use serde_json::{Value, json};

struct Witness {
    config: Config,
    name: String,
    running: Option<witness::Running>,
}

impl Witness {
    async fn start(&mut self, log: &VerifierKey) {
        let settings = Settings {
            config: self.config.clone(),
            name: self.name.clone(),
            logs: vec![log.clone()],
        };
        let running = witness::start(settings).await.unwrap();
        // It comes back where it was.
        self.config.listen = running.address.to_string();
        self.running = Some(running);
    }

    async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

struct World {
    a: Option<Authority>,
    witnesses: Vec<Witness>,
    log: VerifierKey,
    policy: PathBuf,
    ca: PathBuf,
}

impl World {
    /// An authority whose checkpoints three of four witnesses must cosign.
    async fn build() -> Self {
        let a = Authority::start().await;
        let log = a.running.doors.node.log_keys().remove(0);
        let dir = a.dir.path().to_owned();
        let (mut witnesses, mut lines, mut cas) = (Vec::new(), String::new(), Vec::new());
        lines.push_str(&format!("log {log}\n"));
        for n in 1..=4 {
            let name = format!("w{n}.example");
            let config = Config {
                data_dir: dir.join(&name),
                listen: "127.0.0.1:0".to_owned(),
                ..Config::default()
            };
            let mut witness = Witness {
                config,
                name,
                running: None,
            };
            witness.start(&log).await;
            let running = witness.running.as_ref().unwrap();
            let (key, address) = (&running.key, running.address);
            lines.push_str(&format!("witness w{n} {key} https://{address}\n"));
            cas.extend(fs::read(running.ca_pem.as_ref().unwrap()).unwrap());
            witnesses.push(witness);
        }
        lines.push_str("group all 3 w1 w2 w3 w4\nquorum all\n");
        let (policy, ca) = (dir.join("policy"), dir.join("witnesses.pem"));
        fs::write(&policy, lines).unwrap();
        fs::write(&ca, cas).unwrap();
        let mut world = Self {
            a: Some(a),
            witnesses,
            log,
            policy,
            ca,
        };
        world.restart().await;
        world
    }

    fn config(&self) -> Config {
        Config {
            witness_policy: Some(self.policy.clone()),
            witness_ca: Some(self.ca.clone()),
            ..config(self.a().dir.path())
        }
    }

    fn a(&self) -> &Authority {
        self.a.as_ref().unwrap()
    }

    async fn restart(&mut self) {
        self.restart_after(|| ()).await;
    }

    async fn restart_after(&mut self, between: impl FnOnce()) {
        let config = self.config();
        let a = self.a.take().unwrap();
        self.a = Some(a.restart_as(&config, between).await);
    }

    fn met(&self, note: &[u8]) -> bool {
        let policy = fs::read_to_string(&self.policy).unwrap();
        Policy::parse(&policy).unwrap().verify(note).is_ok()
    }

    async fn shown(&self) -> Said {
        send(&self.a().client, "GET", "/log/checkpoint", &[], None).await
    }

    /// Waits until so much of the ledger is shown.
    async fn shown_from(&self, size: u64) -> Vec<u8> {
        let mut shown = self.a().running.doors.node.published.subscribe();
        let due = shown.wait_for(|s| s.as_ref().is_some_and(|s| s.size >= size));
        due.await.unwrap();
        self.shown().await.is(200).bytes.to_vec()
    }

    /// `jeton audit --policy`: its exit status, and what it says.
    fn audited(&self) -> (Option<i32>, Value) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_jeton"));
        let command = command.args(["--json", "audit", "--data-dir"]);
        let command = command.arg(self.a().dir.path().join("data"));
        let command = command.arg("--policy").arg(&self.policy);
        let ended = command.arg("--witness-ca").arg(&self.ca).output().unwrap();
        let said = serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null);
        (ended.status.code(), said)
    }

    fn size(&self) -> u64 {
        self.a().running.doors.node.verifier.size()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_must_be_witnessed_waits_for_a_quorum_and_its_revocation_for_nobody() {
    let mut w = World::build().await;
    w.a().api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = w.a().user("reader", grants.clone()).await;
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 86_400, "permanent": false,
        "overlap_max_s": 3600, "inclusion": "witnessed"});
    let set = w.a().order("PUT", "/v1/policies/key", policy).await.is(200);
    assert_eq!(set.text("/policy/inclusion"), "witnessed");
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let (_, first) = w.a().issue(order.clone()).await;
    let note = w.shown_from(w.size()).await;
    assert!(w.met(&note), "{}", String::from_utf8_lossy(&note));
    assert_eq!(
        w.a().check(&first, "docs", &["read"]).await["allowed"],
        true
    );

    // Two of four are not enough.
    w.witnesses[0].stop().await;
    w.witnesses[1].stop().await;
    let (id, waiting) = w.a().issue(order.clone()).await;
    let (revoked, gone) = w.a().issue(order).await;
    let said = w.a().check(&waiting, "docs", &["read"]).await;
    assert_eq!(
        (&said["allowed"], &said["code"]),
        (&json!(false), &json!("token_not_witnessed"))
    );
    let pat = json!({"class": "pat", "subject": user, "grants": grants});
    let (_, logged) = w.a().issue(pat).await;
    assert_eq!(
        w.a().check(&logged, "docs", &["read"]).await["allowed"],
        true
    );
    let path = format!("/v1/tokens/{revoked}/revoke");
    w.a().order("POST", &path, json!({})).await.is(200);
    assert_eq!(
        w.a().check(&gone, "docs", &["read"]).await["code"],
        "token_revoked"
    );
    let first_revoked = w.a().check(&first, "docs", &["read"]).await;
    assert_eq!(
        first_revoked["allowed"], true,
        "what was witnessed stays so"
    );

    // A third one comes back.
    let log = w.log.clone();
    w.witnesses[0].start(&log).await;
    let note = w.shown_from(w.size()).await;
    assert!(w.met(&note));
    assert_eq!(
        w.a().check(&waiting, "docs", &["read"]).await["allowed"],
        true
    );

    // A rotation makes another secret: that one waits, the one before it goes on.
    w.witnesses[0].stop().await;
    let path = format!("/v1/tokens/{id}/rotate");
    let rotated = w
        .a()
        .order("POST", &path, json!({"overlap_s": 600}))
        .await
        .is(200);
    let fresh = rotated.text("/secret");
    assert_eq!(
        w.a().check(&fresh, "docs", &["read"]).await["code"],
        "token_not_witnessed"
    );
    assert_eq!(
        w.a().check(&waiting, "docs", &["read"]).await["allowed"],
        true
    );
    // And it waits after a start, too, with the snapshot and without.
    w.restart().await;
    assert_eq!(
        w.a().check(&fresh, "docs", &["read"]).await["code"],
        "token_not_witnessed"
    );
    assert_eq!(
        w.a().check(&waiting, "docs", &["read"]).await["allowed"],
        true
    );
    w.witnesses[1].start(&log).await;
    w.shown_from(w.size()).await;
    assert_eq!(
        w.a().check(&fresh, "docs", &["read"]).await["allowed"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_witnesses_no_class_can_ask_for_them() {
    let a = Authority::start().await;
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 86_400, "permanent": false,
        "overlap_max_s": 3600, "inclusion": "witnessed"});
    let said = a.order("PUT", "/v1/policies/key", policy).await;
    said.refused(422, "field_invalid");
    assert!(said.body.to_string().contains("inclusion"), "{}", said.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_its_own_high_water_mark_is_caught_by_the_witnesses() {
    let mut w = World::build().await;
    w.a().api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = w.a().user("reader", grants.clone()).await;
    let (id, secret) = w
        .a()
        .issue(json!({"class": "key", "subject": user, "grants": grants}))
        .await;
    w.shown_from(w.size()).await;
    // What the witnesses have seen is what there is; one that is away is shown, and is no finding.
    let (status, said) = w.audited();
    let seen: Vec<&Value> = said["witnesses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["seen"])
        .collect();
    assert_eq!(
        (status, said["findings"] == json!([])),
        (Some(0), true),
        "{said}"
    );
    // The slowest may not have been waited for, and is behind then.
    let same = seen.iter().filter(|seen| **seen == "same").count();
    assert!(seen.len() == 4 && same >= 3, "{said}");
    w.witnesses[3].stop().await;
    let (status, said) = w.audited();
    assert_eq!(
        (status, &said["witnesses"][3]["seen"]),
        (Some(0), &json!("unheard")),
        "{said}"
    );
    assert!(said["witnesses"][3]["why"].is_string());
    // Everything is copied: database, mark and keys.
    let data = w.a().dir.path().join("data");
    let copy = w.a().dir.path().join("copy");
    let stored = w.size();
    w.restart_after(|| copy_dir(&data, &copy)).await;
    w.a()
        .order("POST", &format!("/v1/tokens/{id}/revoke"), json!({}))
        .await
        .is(200);
    let served = w.size();
    w.shown_from(served).await;
    w.restart_after(|| {
        fs::remove_dir_all(&data).unwrap();
        copy_dir(&copy, &data);
    })
    .await;
    let why = w
        .a()
        .running
        .doors
        .node
        .gate
        .why()
        .expect("it is in quarantine");
    assert_eq!((why.served, why.stored), (served, stored));
    assert!(why.to_string().contains("witness w"), "{why}");
    let (status, said) = w.audited();
    assert_eq!(status, Some(3), "{said}");
    let found = said["findings"].as_array().unwrap();
    let told = found.iter().filter(|f| f["table"] == "witness");
    for finding in told.clone() {
        let what = finding["what"].as_str().unwrap();
        let due = format!("has seen {served} events, the store holds {stored}");
        assert!(what.contains(&due) && finding["field"] == "size", "{what}");
    }
    assert!(told.count() >= 3, "{said}");
    // Nothing is allowed, by any door.
    let question = json!({"token": secret, "api": "docs", "scopes": ["read"]});
    w.a()
        .order("POST", "/v1/check", question)
        .await
        .refused(503, "quarantined");
    w.a()
        .order("POST", "/v1/users", json!({}))
        .await
        .refused(503, "quarantined");
    send(
        &w.a().client,
        "POST",
        "/v1/revoke",
        &[],
        Some(&json!({"token": secret})),
    )
    .await
    .refused(503, "quarantined");
    let said = send(&w.a().client, "GET", "/readyz", &[], None).await;
    assert_eq!(said.status, 503);
    assert_eq!(said.body["status"], "quarantined");
    assert_eq!(
        (&said.body["ledger_size"], &said.body["served_size"]),
        (&Value::from(stored), &Value::from(served))
    );
    send(&w.a().client, "GET", "/healthz", &[], None)
        .await
        .is(200);
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
