//! A data directory with the real binary on it, seen by somebody who may write to its database and has nothing else.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jeton::net::Client;
use jeton::node::{
    audit::{self, Audited, Reach},
    keyring::{Kek, Keyring},
};
use jeton_core::id::TokenId;
use jeton_store::{
    fsck::{self, Keys, Part, Report},
    sqlite::SqliteReader,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    common::{Said, send},
    server::Server,
};

/// The directory.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir().join("data")
    }

    fn kek(&self) -> PathBuf {
        self.dir().join("kek/key")
    }

    /// Its keys, as only the authority has them.
    pub(crate) fn keyring(&self) -> Keyring {
        let data = self.data();
        let kek = Kek::File(self.kek());
        Keyring::reopen(&data.join("keyring"), &kek, &data.join("ledger.db")).unwrap()
    }

    /// A connection on which no constraint stands in the way.
    pub(crate) fn db(&self) -> Connection {
        let db = Connection::open(self.data().join("ledger.db")).unwrap();
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        db.execute_batch("PRAGMA ignore_check_constraints = ON")
            .unwrap();
        db
    }

    /// `jeton audit --json`: its exit status and what it says.
    pub(crate) fn audit_command(&self) -> (Option<i32>, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
        command
            .args(["--json", "audit", "--data-dir"])
            .arg(self.data());
        let ended = command.arg("--kek-file").arg(self.kek()).output().unwrap();
        let said = serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null);
        (ended.status.code(), said)
    }

    /// The same in this process.
    pub(crate) fn audit(&self) -> Audited {
        let kek = Kek::File(self.kek());
        audit::audit(&self.data(), &kek, None, Reach::Outside(Vec::new())).unwrap()
    }

    /// An audit that leaves out a comparison.
    pub(crate) fn audit_without(&self, part: Part) -> Report {
        let keyring = self.keyring();
        let log = keyring.log_key("jeton.local/ledger").unwrap();
        let tags = |tenant| keyring.tag_key(tenant);
        let keys = Keys {
            tags: &tags,
            seal: keyring.seal_key(),
            log: log.verifier(),
        };
        let mut reader = SqliteReader::open(&self.data().join("ledger.db")).unwrap();
        fsck::danger_without(part, &mut reader, keys).unwrap()
    }

    /// What the audit finds, as the command tells it: exit status and findings. For a control, without a part.
    pub(crate) fn findings(&self, without: Option<Part>) -> (i32, Vec<Value>) {
        let Some(part) = without else {
            let (status, said) = self.audit_command();
            let found = said["findings"].as_array().cloned().unwrap_or_default();
            return (status.unwrap(), found);
        };
        let found = self.audit_without(part).findings;
        let told = found.iter().map(|f| {
            json!({"table": f.table, "row": f.row, "token": f.token.map(|t| t.to_string()),
                "leaf": f.leaf, "field": f.field, "what": f.what})
        });
        let told: Vec<_> = told.collect();
        (if told.is_empty() { 0 } else { 3 }, told)
    }
}

/// A tenant on a server, with an API of two scopes and two users who may have both.
pub(crate) struct Tenant {
    client: Client,
    operator: String,
    admin: String,
    pub(crate) users: [String; 2],
}

async fn ask(client: &Client, token: &str, method: &str, path: &str, body: Option<&Value>) -> Said {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    send(client, method, path, &headers, body).await
}

impl Tenant {
    pub(crate) async fn found(server: &Server) -> Self {
        let client = Client::unix(&server.socket);
        let setup = std::fs::read_to_string(server.dir.join("data/setup-secret")).unwrap();
        let setup = json!({"secret": setup.trim()});
        let said = send(&client, "POST", "/v1/setup", &[], Some(&setup))
            .await
            .is(201);
        let operator = said.text("/secret");
        let order = json!({"prefix": "acme"});
        let said = ask(&client, &operator, "POST", "/v1/tenants", Some(&order))
            .await
            .is(201);
        let admin = said.text("/secret");
        let api = json!({"name": "docs", "audience": "urn:docs", "scopes": [{"name": "read"}, {"name": "write"}]});
        ask(&client, &admin, "POST", "/v1/apis", Some(&api))
            .await
            .is(201);
        let permit = json!({"grants": [{"api": "docs", "scopes": ["read", "write"]}]});
        let role = json!({"name": "both", "permit": permit});
        ask(&client, &admin, "POST", "/v1/roles", Some(&role))
            .await
            .is(201);
        let mut users = Vec::new();
        for _ in 0..2 {
            let order = json!({"roles": ["both"]});
            let said = ask(&client, &admin, "POST", "/v1/users", Some(&order))
                .await
                .is(201);
            users.push(said.text("/id"));
        }
        let users = users.try_into().unwrap();
        Self {
            client,
            operator,
            admin,
            users,
        }
    }

    /// The same tenant on a server that started again.
    pub(crate) fn on(&self, server: &Server) -> Self {
        Self {
            client: Client::unix(&server.socket),
            operator: self.operator.clone(),
            admin: self.admin.clone(),
            users: self.users.clone(),
        }
    }

    pub(crate) async fn order(&self, path: &str, order: &Value) -> Said {
        ask(&self.client, &self.admin, "POST", path, Some(order)).await
    }

    /// Issues a token to read with: id and secret.
    pub(crate) async fn issue(&self, expires_s: u64) -> (TokenId, String) {
        let grants = json!([{"api": "docs", "scopes": ["read"]}]);
        let order = json!({"class": "key", "subject": self.users[0], "grants": grants, "lifetime_s": expires_s});
        let said = self.order("/v1/tokens", &order).await.is(201);
        (
            said.text("/token/id").parse().unwrap(),
            said.text("/secret"),
        )
    }

    /// Whether a token may do something now, and if not, why.
    pub(crate) async fn check(&self, token: &str, scope: &str) -> String {
        let question = json!({"token": token, "api": "docs", "scopes": [scope]});
        let said = self.order("/v1/check", &question).await;
        match said.body["allowed"].as_bool() {
            Some(true) => "allowed".to_owned(),
            // One that is in quarantine decides nothing, and says so in the same place.
            Some(false) | None => said.text("/code"),
        }
    }

    /// How the server's own interface answers its bearer.
    pub(crate) async fn whoami(&self, token: &str) -> u16 {
        ask(&self.client, token, "GET", "/v1/whoami", None)
            .await
            .status
            .as_u16()
    }

    /// A figure of the server's metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let said = ask(&self.client, &self.operator, "GET", "/metrics", None).await;
        let text = String::from_utf8(said.bytes.to_vec()).unwrap();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }
}
