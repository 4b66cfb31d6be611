//! `jeton demo tamper`: half a minute in the place of somebody who has the database of an authority, then its keys, then a
//! backup of the whole machine. Each of six edits is made for real, and each must be caught by name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::Method;
use jeton_core::{
    event::Event,
    id::TokenId,
    leaf::commit,
    token::text::{Class, Prefix, mint},
};
use jeton_store::{
    Continue, Reader as _,
    ledger::{self, Sealer},
    sqlite::{Durability, SqliteReader, danger_edit},
};
use serde_json::json;

use super::{
    story::setting,
    talk::{Talk, heading, line, text},
};
use crate::{
    capability,
    config::Config,
    node::{
        audit::{self, Reach},
        keyring::Kek,
    },
    serve::{self, Running},
    witness::{self, Settings},
};

/// A directory of its own for each edit, all made from one life.
struct Scene {
    root: PathBuf,
    config: Config,
    witness: Option<witness::Running>,
    admin: String,
    /// A token that is alive, and one that was revoked: id and text.
    alive: (String, String),
    revoked: (String, String),
    /// The size that the witness has cosigned.
    cosigned: u64,
}

/// Runs it.
///
/// # Errors
/// The first edit that was not caught as it should be.
pub(super) async fn run(root: &Path) -> anyhow::Result<()> {
    println!("jeton demo tamper: what somebody with your database can do, and how it is caught");
    let scene = Scene::live(root).await?;
    scene.edit_row().await?;
    scene.ghost_row().await?;
    scene.write_record().await?;
    scene.take_back_revocation().await?;
    scene.put_backup_back().await?;
    scene.rewrite_history().await?;
    if let Some(witness) = scene.witness {
        witness.stop().await;
    }
    println!("\nSix edits, six findings. What no log can catch is in docs/ledger.md.");
    Ok(())
}

async fn start(config: &Config) -> anyhow::Result<(Running, Talk)> {
    let running = serve::start(config, Durability::Full).await?;
    let ca = running.ca_pem.clone();
    let ca = ca.ok_or_else(|| anyhow::anyhow!("the demo wants the local CA"))?;
    let talk = Talk::to(&format!("https://{}", running.address), &fs::read(&ca)?)?;
    Ok((running, talk))
}

impl Scene {
    /// An authority with a witness lives a little: a token that stays, one that is revoked.
    async fn live(root: &Path) -> anyhow::Result<Self> {
        heading(
            1,
            "An authority, a witness, two tokens; one of them is revoked.",
        );
        let config = Config {
            data_dir: root.join("data"),
            listen: "127.0.0.1:0".to_owned(),
            ballast_mib: 1,
            ..Config::default()
        };
        let (running, jeton) = start(&config).await?;
        let (_, admin) = setting::found(&running, &jeton).await?;
        let log = running.doors.node.log_keys();
        let log = log.into_iter().next();
        let log = log.ok_or_else(|| anyhow::anyhow!("the ledger has no key"))?;
        let user = jeton
            .order(Method::POST, "/v1/users", &admin, &json!({}))
            .await?;
        let user = text(&user, &["id"])?;
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let order = json!({"class": "key", "subject": user, "inherit": true});
            let issued = jeton
                .order(Method::POST, "/v1/tokens", &admin, &order)
                .await?;
            tokens.push((
                text(&issued, &["token", "id"])?,
                text(&issued, &["secret"])?,
            ));
        }
        running.stop().await;
        let witness = witness::start(Settings {
            config: Config {
                data_dir: root.join("witness"),
                listen: "127.0.0.1:0".to_owned(),
                ..Config::default()
            },
            name: "witness.example/w1".to_owned(),
            logs: vec![log.clone()],
        })
        .await?;
        let policy = format!(
            "log {log}\nwitness w1 {} https://{}\nquorum w1\n",
            witness.key, witness.address
        );
        fs::write(root.join("policy"), policy)?;
        let [alive, revoked] =
            <[_; 2]>::try_from(tokens).map_err(|_| anyhow::anyhow!("two tokens were ordered"))?;
        let mut scene = Self {
            root: root.to_owned(),
            config,
            admin,
            alive,
            revoked,
            cosigned: 0,
            witness: Some(witness),
        };
        copy(&scene.config.data_dir, &scene.root.join("monday"))?;
        let (running, jeton) = start(&scene.watched(&scene.config.data_dir)).await?;
        let path = format!("/v1/tokens/{}/revoke", scene.revoked.0);
        jeton
            .order(
                Method::POST,
                &path,
                &scene.admin,
                &json!({"reason": "leaked"}),
            )
            .await?;
        let size = running.doors.node.verifier.size();
        let mut shown = running.doors.node.published.subscribe();
        drop(
            shown
                .wait_for(|s| s.as_ref().is_some_and(|s| s.size >= size))
                .await?,
        );
        scene.cosigned = size;
        line(&format!("{size} events, cosigned by witness.example/w1"));
        running.stop().await;
        Ok(scene)
    }

    /// The configuration of a directory whose checkpoints the witness must cosign.
    fn watched(&self, data_dir: &Path) -> Config {
        let ca = self.witness.as_ref().and_then(|w| w.ca_pem.clone());
        Config {
            data_dir: data_dir.to_owned(),
            witness_policy: Some(self.root.join("policy")),
            witness_ca: ca,
            ..self.config.clone()
        }
    }

    /// A copy of the authority as it is, for one edit.
    fn copy(&self, name: &str) -> anyhow::Result<PathBuf> {
        let to = self.root.join(name);
        copy(&self.config.data_dir, &to)?;
        Ok(to)
    }

    async fn code(&self, jeton: &Talk, secret: &str) -> anyhow::Result<String> {
        let question = json!({"token": secret, "api": "jeton"});
        let said = jeton
            .say(
                Method::POST,
                "/v1/check",
                Some(&self.admin),
                Some(&question),
            )
            .await?;
        Ok(said.text("code").to_owned())
    }

    /// A row of the projection: nothing is decided from it.
    async fn edit_row(&self) -> anyhow::Result<()> {
        heading(
            2,
            "A row is edited by SQL: the revoked token is active again, says the table.",
        );
        let dir = self.copy("edited")?;
        let id = hex(self
            .revoked
            .0
            .parse::<TokenId>()
            .map_err(|_| anyhow::anyhow!("no id"))?
            .bytes());
        let (running, jeton) = start(&Config {
            data_dir: dir.clone(),
            ..self.config.clone()
        })
        .await?;
        danger_edit(
            &dir.join("ledger.db"),
            &format!("UPDATE token SET state = 0 WHERE id = x'{id}'"),
        )?;
        let code = self.code(&jeton, &self.revoked.1).await?;
        caught("the server, while it runs", &code, "token_revoked")?;
        running.stop().await;
        named(&dir, "token", "state")
    }

    /// A token that no event has issued.
    async fn ghost_row(&self) -> anyhow::Result<()> {
        heading(
            3,
            "A ghost is inserted: a well-formed row of a token that nobody issued.",
        );
        let dir = self.copy("ghost")?;
        let sql = "INSERT INTO token SELECT tenant, randomblob(16), event, subject, class, 0, NULL, body FROM token LIMIT 1";
        danger_edit(&dir.join("ledger.db"), sql)?;
        let (running, jeton) = start(&Config {
            data_dir: dir.clone(),
            ..self.config.clone()
        })
        .await?;
        let prefix = Prefix::parse(b"acme").ok_or_else(|| anyhow::anyhow!("the prefix"))?;
        let ghost = mint(prefix, Class::Key, &capability::draw_text());
        let ghost = ghost.ok_or_else(|| anyhow::anyhow!("no text was drawn: try again"))?;
        let code = self.code(&jeton, ghost.expose_secret()).await?;
        caught(
            "whoever shows a token of that shape",
            &code,
            "token_unknown",
        )?;
        running.stop().await;
        named(&dir, "token", "no event")
    }

    /// A record, with leaf, tree and head made to fit.
    async fn write_record(&self) -> anyhow::Result<()> {
        heading(
            4,
            "A record is written anew: the living token shall never end. Leaf, tree and head are made to fit.",
        );
        let dir = self.copy("record")?;
        for name in ["snapshot", "high-water"] {
            drop(fs::remove_file(dir.join(name)));
        }
        forge(&dir.join("ledger.db"), &self.alive.0)?;
        let error = refused(&Config {
            data_dir: dir.clone(),
            ..self.config.clone()
        })
        .await?;
        caught("the next start", &error, "not sealed by this authority")?;
        named(&dir, "event", "salt")
    }

    /// The revocation's event, gone.
    async fn take_back_revocation(&self) -> anyhow::Result<()> {
        heading(
            5,
            "A revocation is taken back: its event's opening is deleted, the old row restored.",
        );
        let dir = self.copy("unrevoked")?;
        drop(fs::remove_file(dir.join("snapshot")));
        let last = self.cosigned - 1;
        let sql = format!("UPDATE event SET salt = NULL, record = NULL WHERE idx = {last}");
        danger_edit(&dir.join("ledger.db"), &sql)?;
        danger_edit(&dir.join("ledger.db"), "UPDATE token SET state = 0")?;
        let error = refused(&Config {
            data_dir: dir.clone(),
            ..self.config.clone()
        })
        .await?;
        caught("the next start", &error, "has no opening")?;
        named(&dir, "event", &format!("leaf {last} has no opening"))
    }

    /// Monday's backup, with its own high-water mark: only somebody else can remember.
    async fn put_backup_back(&self) -> anyhow::Result<()> {
        heading(
            6,
            "Monday's backup of the whole machine is put back: there the token was not revoked.",
        );
        let dir = self.root.join("restored");
        copy(&self.root.join("monday"), &dir)?;
        let (running, jeton) = start(&self.watched(&dir)).await?;
        let why = running.doors.node.gate.why();
        let why = why.map(|why| why.to_string()).unwrap_or_default();
        caught("the witness", &why, "rollback: witness w1 has seen")?;
        let question = json!({"token": self.revoked.1, "api": "jeton"});
        let said = jeton
            .say(
                Method::POST,
                "/v1/check",
                Some(&self.admin),
                Some(&question),
            )
            .await?;
        caught("every check", said.text("code"), "quarantined")?;
        running.stop().await;
        Ok(())
    }

    /// The same backup, continued with the authority's own keys until it is longer than the truth.
    async fn rewrite_history(&self) -> anyhow::Result<()> {
        heading(
            7,
            "History is rewritten with the authority's own keys: Monday's backup goes on another way, unseen.",
        );
        let dir = self.root.join("monday");
        let (running, jeton) = start(&Config {
            data_dir: dir.clone(),
            ..self.config.clone()
        })
        .await?;
        while running.doors.node.verifier.size() <= self.cosigned {
            jeton
                .order(Method::POST, "/v1/users", &self.admin, &json!({}))
                .await?;
        }
        running.stop().await;
        let (running, _) = start(&self.watched(&dir)).await?;
        let why = running.doors.node.gate.why();
        let why = why.map(|why| why.to_string()).unwrap_or_default();
        caught(
            "the witness",
            &why,
            "another history: witness w1 has seen other events",
        )?;
        running.stop().await;
        Ok(())
    }
}

/// Says who caught it, and how; an edit that nobody caught ends the demo.
fn caught(by: &str, told: &str, due: &str) -> anyhow::Result<()> {
    anyhow::ensure!(told.contains(due), "{by} said {told:?}, and not {due:?}");
    line(&format!("caught by {by}: {told}"));
    Ok(())
}

/// What the audit says of a directory: a finding in a table, with a field or words.
fn named(dir: &Path, table: &str, due: &str) -> anyhow::Result<()> {
    let audited = audit::audit(dir, &Kek::File(dir.join("kek")), None, Reach::Store)?;
    let findings = audited.report.findings;
    let found = findings
        .iter()
        .find(|f| f.table == table && (f.what.contains(due) || f.field == Some(due)));
    let found = found.ok_or_else(|| anyhow::anyhow!("the audit does not name it: {findings:?}"))?;
    let leaf = found
        .leaf
        .map(|leaf| format!(", leaf {leaf}"))
        .unwrap_or_default();
    let field = found
        .field
        .map(|field| format!(", field {field}"))
        .unwrap_or_default();
    line(&format!(
        "named by jeton audit: {} {}{leaf}{field}: {}",
        found.table, found.row, found.what
    ));
    Ok(())
}

/// How a start ends that must not succeed.
async fn refused(config: &Config) -> anyhow::Result<String> {
    match serve::start(config, Durability::Full).await {
        Err(error) => Ok(format!("{error:#}")),
        Ok(running) => {
            running.stop().await;
            Ok("it started".to_owned())
        }
    }
}

/// Writes the event that issued a token anew, as good as anybody can without the authority's keys.
fn forge(database: &Path, id: &str) -> anyhow::Result<()> {
    let id: TokenId = id.parse().map_err(|_| anyhow::anyhow!("no id"))?;
    let mut reader = SqliteReader::open(database)?;
    let mut events = Vec::new();
    reader.events(0, &mut |stored| {
        events.push(stored);
        Ok(Continue::Yes)
    })?;
    drop(reader);
    let (mut tree, mut sql) = (Sealer::new(), Vec::new());
    for stored in &mut events {
        let opening = stored.opening.as_ref();
        let record = opening.and_then(|(_, bytes)| ledger::decode(bytes));
        if let (Some((salt, _)), Some(mut record)) = (opening, record)
            && let Event::TokenIssued { token, expires, .. } = &mut record.event
            && *token == id
        {
            *expires = None;
            let bytes = ledger::encode(&record)?;
            let keep = stored.leaf.len().saturating_sub(32);
            stored.leaf.truncate(keep);
            stored.leaf.extend(commit(salt, &bytes));
            let (leaf, bytes) = (hex(&stored.leaf), hex(&bytes));
            let at = stored.index;
            sql.push(format!(
                "UPDATE event SET leaf = x'{leaf}', record = x'{bytes}' WHERE idx = {at}"
            ));
        }
        drop(tree.push(&stored.leaf));
    }
    sql.push(format!(
        "UPDATE head SET frontier = x'{}'",
        hex(&tree.frontier())
    ));
    sql.push("DELETE FROM checkpoint".to_owned());
    danger_edit(database, &sql.join(";\n"))?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, kind) = (to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            copy(&entry.path(), &path)?;
        } else if kind.is_file() && entry.file_name() != "ballast" {
            fs::copy(entry.path(), path)?;
        }
    }
    Ok(())
}
