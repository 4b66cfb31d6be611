//! The disk becomes full, stays full over a restart, and has room again: what must go on goes on, what must stop stops.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use jeton::{
    capability,
    config::Config,
    serve::{self, Running},
};
use jeton_store::{fsck, sqlite::Durability};
use serde_json::{Value, json};

use crate::talk::{API, Frame, Talk, config, text};

/// How many requests are under way at once.
const AT_ONCE: usize = 32;
/// How many checks are measured.
const CHECKS: usize = 2000;
/// How long a state may take to be reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// Failures that are told in words.
const TOLD_MAX: usize = 10;

/// A token that was acknowledged.
#[derive(Clone)]
struct Token {
    id: String,
    secret: String,
}

struct Run {
    config: Config,
    filler: PathBuf,
    failures: Vec<String>,
}

/// Runs the whole story in `data`, whose disk must be small, and says what did not go as promised.
pub(crate) async fn full(data: &Path, ballast_mib: u64, tokens: u64) -> anyhow::Result<Value> {
    let config = Config {
        ballast_mib,
        ..config(data)
    };
    let filler = data.with_file_name("filler");
    let mut run = Run {
        config,
        filler,
        failures: Vec::new(),
    };
    let running = serve::start(&run.config, Durability::Full).await?;
    let talk = Talk::to(&running)?;
    let frame = Frame::found(&running, &talk, |_| Ok(())).await?;
    let tokens = usize::try_from(tokens)?;
    let (issued, _) = issue(&running, &frame, tokens).await?;
    run.expect(issued.len() == tokens, || {
        "not all was issued on an empty disk".into()
    });
    let p99_before_us = run.checks(&talk, &frame, &issued).await?;

    // The disk fills up while orders come in.
    let (fill, more) = tokio::join!(
        tokio::task::spawn_blocking({
            let filler = run.filler.clone();
            move || fill(&filler)
        }),
        until_full(&running, &frame)
    );
    let filled_bytes = fill??;
    let more = more?;
    let mut all = issued;
    let grown = more.acknowledged.len();
    all.extend(more.acknowledged);
    run.expect(more.refused > 0, || "no order was refused as 507".into());
    run.failures.extend(more.unexpected);
    run.counted(&running, all.len(), "when the disk became full");
    let p99_full_us = run.checks(&talk, &frame, &all).await?;
    let limit_us = (3 * p99_before_us).max(p99_before_us + 20_000);
    run.expect(p99_full_us <= limit_us, || {
        format!("a check's p99 grew from {p99_before_us} to {p99_full_us} µs")
    });

    // Revocation goes on, before and after a restart.
    let kept = all.split_off(all.len() * 9 / 10);
    let first = run.revoke_all(&running, &frame, &all).await?;
    run.refused(&running, &frame).await?;
    run.counted(&running, all.len() + kept.len(), "after the revocations");
    running.stop().await;
    let restarted = serve::start(&run.config, Durability::Full).await;
    let Ok(running) = restarted else {
        let error = restarted
            .err()
            .map_or_else(String::new, |e| format!("{e:#}"));
        run.failures
            .push(format!("no start on the full disk: {error}"));
        return Ok(run.report(&[("revoked", first.into())]));
    };
    let start_full_ms = running.doors.node.started.took_ms;
    run.all_refused(&running, &frame, &all).await?;
    run.refused(&running, &frame).await?;
    let (now, later) = kept.split_at(kept.len() / 2);
    let second = run.revoke_all(&running, &frame, now).await?;

    // Room comes back: nobody has to tell jeton.
    fs::remove_file(&run.filler)?;
    let since = capability::stopwatch();
    let resumed = resumes(&running, &frame).await?;
    run.expect(resumed.is_some(), || {
        "issuing did not resume by itself".into()
    });
    let resumed_ms = u64::try_from(since().as_millis())?;
    run.expect(
        ballast_mib == 0 || ballast(data) == ballast_mib << 20,
        || "the ballast was not taken again".into(),
    );
    let findings = findings(&running).await?;
    run.expect(findings.is_empty(), || format!("fsck: {findings:?}"));
    running.stop().await;
    let running = serve::start(&run.config, Durability::Full).await?;
    let revoked: Vec<Token> = all.iter().chain(now).cloned().collect();
    run.all_refused(&running, &frame, &revoked).await?;
    let living: Vec<Token> = later.iter().cloned().chain(resumed).collect();
    let talk = Talk::to(&running)?;
    run.checks(&talk, &frame, &living).await?;
    running.stop().await;
    Ok(run.report(&[
        ("filled_bytes", filled_bytes.into()),
        ("issued_while_filling", grown.into()),
        ("refused_507", more.refused.into()),
        ("revoked_on_full_disk", (first + second).into()),
        ("check_p99_before_us", p99_before_us.into()),
        ("check_p99_full_us", p99_full_us.into()),
        ("start_on_full_disk_ms", start_full_ms.into()),
        ("resumed_after_ms", resumed_ms.into()),
    ]))
}

impl Run {
    fn expect(&mut self, holds: bool, else_: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(else_());
        }
    }

    fn report(&self, figures: &[(&str, Value)]) -> Value {
        let told: Vec<_> = self.failures.iter().take(TOLD_MAX).collect();
        let mut report = json!({"failures": self.failures.len(), "failed": told});
        if let Some(report) = report.as_object_mut() {
            for (name, value) in figures {
                report.insert((*name).to_owned(), value.clone());
            }
        }
        report
    }

    /// Nothing is half done: the node knows as many tokens as were acknowledged, and the two admins'.
    fn counted(&mut self, running: &Running, acknowledged: usize, when: &str) {
        let known = running
            .doors
            .node
            .verifier
            .with_index(jeton_verify::index::Index::len);
        let due = acknowledged + 2;
        self.expect(usize::try_from(known).is_ok_and(|n| n == due), || {
            format!("{when}, {due} tokens were acknowledged and {known} are known")
        });
    }

    /// Checks tokens that must be allowed; the 99th percentile in microseconds.
    async fn checks(
        &mut self,
        talk: &Talk,
        frame: &Frame,
        tokens: &[Token],
    ) -> anyhow::Result<u64> {
        let mut took = Vec::new();
        let (mut denied, mut last) = (0, Value::Null);
        for token in tokens.iter().cycle().take(CHECKS) {
            let question = json!({"token": token.secret, "api": API, "scopes": ["read"]});
            let since = capability::stopwatch();
            let said = talk
                .order(Some(&frame.admin), "/v1/check", &question)
                .await?;
            took.push(u64::try_from(since().as_micros())?);
            if said.get("allowed") != Some(&Value::Bool(true)) {
                (denied, last) = (denied + 1, said);
            }
        }
        self.expect(denied == 0, || {
            format!("{denied} good tokens were denied: {last}")
        });
        took.sort_unstable();
        Ok(took.get(took.len() * 99 / 100).copied().unwrap_or_default())
    }

    /// Issue and rotation are refused as 507 `store_full`.
    async fn refused(&mut self, running: &Running, frame: &Frame) -> anyhow::Result<()> {
        let talk = Talk::to(running)?;
        let (status, said) = talk
            .say(Some(&frame.admin), "/v1/tokens", &frame.issue())
            .await?;
        let code = said.get("code").and_then(Value::as_str);
        let full = status == StatusCode::INSUFFICIENT_STORAGE && code == Some("store_full");
        self.expect(full, || {
            format!("an order on the full disk: {status} {said}")
        });
        let (status, said) = talk
            .say(Some(&frame.operator), "/v1/token/rotate", &json!({}))
            .await?;
        self.expect(!status.is_success(), || {
            format!("a rotation on the full disk: {status} {said}")
        });
        Ok(())
    }

    /// Revokes each token; how many were acknowledged. Each must be, and be refused from then on.
    async fn revoke_all(
        &mut self,
        running: &Running,
        frame: &Frame,
        tokens: &[Token],
    ) -> anyhow::Result<usize> {
        let mut tasks = tokio::task::JoinSet::new();
        for some in tokens.chunks(tokens.len().div_ceil(AT_ONCE).max(1)) {
            let (talk, frame, some) = (Talk::to(running)?, frame.clone(), some.to_vec());
            tasks.spawn(async move {
                let mut answers = Vec::new();
                for token in some {
                    let path = format!("/v1/tokens/{}/revoke", token.id);
                    let said = talk.say(Some(&frame.admin), &path, &json!({})).await;
                    answers.push((token, said));
                }
                answers
            });
        }
        let mut revoked = Vec::new();
        while let Some(done) = tasks.join_next().await {
            for (token, said) in done? {
                match said {
                    Ok((status, _)) if status.is_success() => revoked.push(token),
                    Ok((status, said)) => self
                        .failures
                        .push(format!("a revocation was answered {status}: {said}")),
                    Err(error) => self.failures.push(format!("a revocation: {error:#}")),
                }
            }
        }
        self.all_refused(running, frame, &revoked).await?;
        Ok(revoked.len())
    }

    async fn all_refused(
        &mut self,
        running: &Running,
        frame: &Frame,
        tokens: &[Token],
    ) -> anyhow::Result<()> {
        let talk = Talk::to(running)?;
        for some in tokens.chunks(1000) {
            let checks: Vec<Value> = some
                .iter()
                .map(|t| json!({"token": t.secret, "api": API, "scopes": ["read"]}))
                .collect();
            let order = json!({"checks": checks});
            let said = talk
                .order(Some(&frame.admin), "/v1/check/batch", &order)
                .await?;
            let verdicts = said.pointer("/results").and_then(Value::as_array);
            let refused = verdicts.map_or(0, |all| {
                let code = |v: &&Value| v.get("code").is_some_and(|c| c == "token_revoked");
                all.iter().filter(code).count()
            });
            self.expect(refused == some.len(), || {
                format!("of {} revoked tokens, {refused} are refused so", some.len())
            });
        }
        Ok(())
    }
}

/// Issues `count` tokens, many at once; and how many orders were refused.
async fn issue(
    running: &Running,
    frame: &Frame,
    count: usize,
) -> anyhow::Result<(Vec<Token>, usize)> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..AT_ONCE {
        let (talk, frame) = (Talk::to(running)?, frame.clone());
        let own = count / AT_ONCE + usize::from(number < count % AT_ONCE);
        tasks.spawn(async move {
            let mut issued = Vec::new();
            for _ in 0..own {
                let said = talk
                    .order(Some(&frame.admin), "/v1/tokens", &frame.issue())
                    .await?;
                let (id, secret) = (text(&said, "/token/id")?, text(&said, "/secret")?);
                issued.push(Token { id, secret });
            }
            anyhow::Ok(issued)
        });
    }
    let mut issued = Vec::new();
    while let Some(done) = tasks.join_next().await {
        issued.extend(done??);
    }
    Ok((issued, 0))
}

struct Filling {
    acknowledged: Vec<Token>,
    refused: u64,
    unexpected: Vec<String>,
}

/// Orders tokens from many submitters until each was refused: every answer is a token or 507.
async fn until_full(running: &Running, frame: &Frame) -> anyhow::Result<Filling> {
    let mut tasks = tokio::task::JoinSet::new();
    let refused = Arc::new(AtomicU64::new(0));
    for _ in 0..AT_ONCE {
        let (talk, frame, refused) = (Talk::to(running)?, frame.clone(), Arc::clone(&refused));
        tasks.spawn(async move {
            let (mut issued, mut unexpected) = (Vec::new(), Vec::new());
            loop {
                let order = frame.issue();
                let (status, said) = talk.say(Some(&frame.admin), "/v1/tokens", &order).await?;
                let code = said.get("code").and_then(Value::as_str);
                if status == StatusCode::CREATED {
                    let (id, secret) = (text(&said, "/token/id")?, text(&said, "/secret")?);
                    issued.push(Token { id, secret });
                } else if status == StatusCode::INSUFFICIENT_STORAGE && code == Some("store_full") {
                    refused.fetch_add(1, Relaxed);
                    return anyhow::Ok((issued, unexpected));
                } else {
                    unexpected.push(format!("an order was answered {status}: {said}"));
                    return Ok((issued, unexpected));
                }
            }
        });
    }
    let mut all = Filling {
        acknowledged: Vec::new(),
        refused: 0,
        unexpected: Vec::new(),
    };
    let gather = async {
        while let Some(done) = tasks.join_next().await {
            let (issued, unexpected) = done??;
            all.acknowledged.extend(issued);
            all.unexpected.extend(unexpected);
        }
        anyhow::Ok(())
    };
    if tokio::time::timeout(4 * PATIENCE, gather).await?.is_err() {
        all.unexpected
            .push("an order got no answer while the disk filled up".into());
    }
    all.refused = refused.load(Relaxed);
    Ok(all)
}

/// Writes until not a byte more fits; how many there are.
fn fill(path: &Path) -> anyhow::Result<u64> {
    let mut file = fs::File::create(path)?;
    let block = vec![0x5a; 1 << 20];
    let mut step = block.len();
    let mut written = 0u64;
    while step > 0 {
        match file.write(block.get(..step).unwrap_or_default()) {
            Ok(n) if n > 0 => written += u64::try_from(n)?,
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => step /= 2,
            Err(error) => return Err(error.into()),
        }
    }
    // Not synced: that it is allocated is enough, and nothing of it must survive.
    Ok(written)
}

/// Orders until one is carried out.
async fn resumes(running: &Running, frame: &Frame) -> anyhow::Result<Option<Token>> {
    let talk = Talk::to(running)?;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let since = capability::stopwatch();
    while since() < PATIENCE {
        tick.tick().await;
        let (status, said) = talk
            .say(Some(&frame.admin), "/v1/tokens", &frame.issue())
            .await?;
        if status == StatusCode::CREATED {
            let (id, secret) = (text(&said, "/token/id")?, text(&said, "/secret")?);
            return Ok(Some(Token { id, secret }));
        }
    }
    Ok(None)
}

fn ballast(data: &Path) -> u64 {
    fs::metadata(data.join("ballast")).map_or(0, |m| m.len())
}

async fn findings(running: &Running) -> anyhow::Result<Vec<String>> {
    let node = &running.doors.node;
    let (keyring, log) = (Arc::clone(&node.keyring), node.log_keys().remove(0));
    let report = node
        .read(move |reader| {
            let keys = fsck::Keys {
                tags: &|tenant| keyring.tag_key(tenant),
                seal: keyring.seal_key(),
                log: &log,
            };
            fsck::fsck(reader, keys)
        })
        .await?;
    let told = report
        .findings
        .iter()
        .map(|f| format!("{} {}: {}", f.table, f.row, f.what));
    Ok(told.take(TOLD_MAX).collect())
}
