//! An authority and four witnesses, all of them real; three must cosign.

#![expect(unreachable_pub, reason = "a part of several tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use jeton::{
    config::Config,
    witness::{self, Settings},
};
use jeton_tlog::{Policy, VerifierKey};
use serde_json::Value;

use super::common::{Authority, Said, config, send};

/// One witness.
pub struct Witness {
    config: Config,
    name: String,
    pub running: Option<witness::Running>,
}

impl Witness {
    pub async fn start(&mut self, log: &VerifierKey) {
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

    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

/// An authority with four of them.
pub struct World {
    a: Option<Authority>,
    pub witnesses: Vec<Witness>,
    pub log: VerifierKey,
    pub policy: PathBuf,
    pub ca: PathBuf,
}

impl World {
    /// An authority whose checkpoints three of four witnesses must cosign.
    pub async fn build() -> Self {
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

    pub fn config(&self) -> Config {
        Config {
            witness_policy: Some(self.policy.clone()),
            witness_ca: Some(self.ca.clone()),
            ..config(self.a().dir.path())
        }
    }

    pub fn a(&self) -> &Authority {
        self.a.as_ref().unwrap()
    }

    pub async fn restart(&mut self) {
        self.restart_after(|| ()).await;
    }

    pub async fn restart_after(&mut self, between: impl FnOnce()) {
        let config = self.config();
        self.restart_with(&config, between).await;
    }

    pub async fn restart_with(&mut self, config: &Config, between: impl FnOnce()) {
        let a = self.a.take().unwrap();
        self.a = Some(a.restart_as(config, between).await);
    }

    pub fn met(&self, note: &[u8]) -> bool {
        let policy = fs::read_to_string(&self.policy).unwrap();
        Policy::parse(&policy).unwrap().verify(note).is_ok()
    }

    pub async fn shown(&self) -> Said {
        send(&self.a().client, "GET", "/log/checkpoint", &[], None).await
    }

    /// Waits until so much of the ledger is shown.
    pub async fn shown_from(&self, size: u64) -> Vec<u8> {
        let mut shown = self.a().running.doors.node.published.subscribe();
        let due = shown.wait_for(|s| s.as_ref().is_some_and(|s| s.size >= size));
        due.await.unwrap();
        self.shown().await.is(200).bytes.to_vec()
    }

    /// `jeton audit --policy`: its exit status, and what it says.
    pub fn audited(&self) -> (Option<i32>, Value) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_jeton"));
        let command = command.args(["--json", "audit", "--data-dir"]);
        let command = command.arg(self.a().dir.path().join("data"));
        let command = command.arg("--policy").arg(&self.policy);
        let ended = command.arg("--witness-ca").arg(&self.ca).output().unwrap();
        let said = serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null);
        (ended.status.code(), said)
    }

    pub fn size(&self) -> u64 {
        self.a().running.doors.node.verifier.size()
    }
}

pub fn copy_dir(from: &Path, to: &Path) {
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
