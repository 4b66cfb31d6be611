//! What a durable change costs: in process and over HTTPS, beside bare commits on the same disk.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jeton::{
    app::{Ctx, Words, issue, revoke},
    net::{Roots, client_config},
    serve,
};
use jeton_core::{
    permit::Rights,
    subject::SubjectId,
    token::{
        issue::{Asked, IssueOrder},
        record::Reason,
    },
};
use jeton_store::sqlite::Durability;
use serde_json::json;

use crate::{
    drive::{Drive, Via},
    median,
    place::{founded, order},
    runtime,
    servers::config,
};

const SUBMITTERS: usize = 256;

/// Measures, and prints the figures.
pub fn run(quick: bool) {
    let seconds = if quick { 3 } else { 10 };
    let out = runtime(2).block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let running = serve::start(&config(dir.path()), Durability::Full)
            .await
            .unwrap();
        let (node, (ctx, admin)) = founded(&running).await;
        let user = {
            let directory = node.verifier.directory();
            directory
                .subjects_after(ctx.tenant, None)
                .next()
                .unwrap()
                .id
        };
        let plain = IssueOrder {
            asked: Asked::Rights(Rights::NONE),
            ..order(user)
        };
        let commits = bare_commits(dir.path(), 200);
        let mut single = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            issue::issue_token(&ctx, plain.clone(), Words::default())
                .await
                .unwrap();
            single.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let counted = || {
            let shared = node.writer.shared();
            (
                shared.events.load(Relaxed) as f64,
                shared.commits.load(Relaxed) as f64,
            )
        };
        let before = counted();
        let in_process = submitters(&ctx, &plain, seconds).await;
        let after_all = counted();
        let per_commit = (after_all.0 - before.0) / (after_all.1 - before.1);
        let https =
            tokio::task::block_in_place(|| https_submitters(&running, &admin, user, seconds));
        let after = bare_commits(dir.path(), 200);
        let commit_ms = median(commits.into_iter().chain(after).collect());
        let out = json!({
            "in_process_per_s_256": in_process.round(), "https_per_s_256": https.round(),
            "events_per_commit_256": per_commit.round(),
            "single_ms_p50": (median(single) * 1000.0).round() / 1000.0,
            "commit_ms_p50": (commit_ms * 1000.0).round() / 1000.0,
            "times_single_commits": (in_process * commit_ms / 1000.0 * 10.0).round() / 10.0,
        });
        running.stop().await;
        out
    });
    let mut out = out;
    out["published_ratio"] = runtime(2)
        .block_on(published(if quick { 5 } else { 15 }))
        .into();
    println!("{out}");
}

/// What the publication of heads (read back, compared, signed each second) takes from durable changes: two authorities in turn,
/// one of which signs nothing, and the median of the ratios.
async fn published(rounds: usize) -> f64 {
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let on = serve::start(&config(with.path()), Durability::Full)
        .await
        .unwrap();
    let off = serve::danger_start_unpublished(&config(without.path()))
        .await
        .unwrap();
    let mut sides = Vec::new();
    for running in [&on, &off] {
        let (node, (ctx, _)) = founded(running).await;
        let directory = node.verifier.directory();
        let user = directory
            .subjects_after(ctx.tenant, None)
            .next()
            .unwrap()
            .id;
        let plain = IssueOrder {
            asked: Asked::Rights(Rights::NONE),
            ..order(user)
        };
        sides.push((ctx, plain));
    }
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        // Who begins takes turns, too.
        let mut rates = [0.0; 2];
        for turn in 0..2 {
            let side = (round + turn) % 2;
            let (ctx, plain) = &sides[side];
            rates[side] = submitters(ctx, plain, 2).await;
        }
        if round > 0 {
            ratios.push(rates[0] / rates[1]);
        }
    }
    on.stop().await;
    off.stop().await;
    (median(ratios) * 1000.0).round() / 1000.0
}

/// One row a commit, durably, on the same disk: milliseconds each.
fn bare_commits(dir: &Path, count: usize) -> Vec<f64> {
    let db = rusqlite::Connection::open(dir.join("bare.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b BLOB)")
        .unwrap();
    let mut insert = db.prepare("INSERT INTO t (b) VALUES (?1)").unwrap();
    let row = [7u8; 256];
    let mut one = || {
        let start = Instant::now();
        insert.execute([row]).unwrap();
        start.elapsed().as_secs_f64() * 1000.0
    };
    (0..count).map(|_| one()).collect()
}

/// 256 submitters: three issue, the fourth issues and revokes.
async fn submitters(ctx: &Ctx, order: &IssueOrder, seconds: u64) -> f64 {
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..SUBMITTERS {
        let (ctx, order, stop, done) = (
            ctx.clone(),
            order.clone(),
            Arc::clone(&stop),
            Arc::clone(&done),
        );
        tasks.spawn(async move {
            while !stop.load(Relaxed) {
                let made = issue::issue_token(&ctx, order.clone(), Words::default())
                    .await
                    .unwrap();
                done.fetch_add(1, Relaxed);
                if n % 4 == 0
                    && let jeton::app::Outcome::Fresh(issued) = made.0.outcome
                {
                    let change = revoke::Change::Revoke(Reason::Unneeded);
                    revoke::set_state(&ctx, issued.token, change, Words::default())
                        .await
                        .unwrap();
                    done.fetch_add(1, Relaxed);
                }
            }
        });
    }
    drop(tokio::time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await);
    let rate = done.load(Relaxed) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    tasks.join_all().await;
    rate
}

/// 256 clients on one thread: each has its next order sent before the others' answers are read.
fn https_submitters(running: &serve::Running, admin: &str, user: SubjectId, seconds: u64) -> f64 {
    let ca = running.ca_pem.clone().unwrap();
    let mut config = client_config(Roots::File(&ca)).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let via = Via::Secure(running.address, Arc::new(config));
    let body = json!({"class": "key", "subject": user.to_string(), "grants": []}).to_string();
    let request = format!(
        "POST /v1/tokens HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {admin}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes();
    let mut drive = Drive::new(&via, SUBMITTERS, &Arc::new(vec![request]));
    let (answers, took) = drive.slice(Duration::from_secs(seconds));
    answers as f64 / took.as_secs_f64()
}
