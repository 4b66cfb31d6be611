//! What an audit costs: the whole store at once, a round of the rolling audit on an idle machine, and what the rolling audit
//! takes from the checks beside it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jeton::{
    node::{
        audit::{Reach, audit},
        keyring::Kek,
    },
    serve,
};
use jeton_store::sqlite::Durability;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    check::{CONNECTIONS, request, thousandths},
    drive::{Drive, Via},
    median, pin,
    place::prepare,
    runtime,
    servers::{Server, config},
};

/// Measures, and prints the figures.
pub fn run(quick: bool) {
    let tokens = if quick { 1 << 17 } else { 1 << 20 };
    let runtime = runtime(2);
    let place = runtime.block_on(prepare(tokens));
    let dir = place.dir.path();
    let data = dir.join("data");
    let start = Instant::now();
    let audited = audit(
        &data,
        &Kek::File(data.join("kek")),
        None,
        Reach::Outside(Vec::new()),
    )
    .unwrap();
    let audit_s = start.elapsed().as_secs_f64();
    assert_eq!(audited.report.findings, []);
    let (round_s, round_events) = runtime.block_on(idle_round(dir));
    let other = tempfile::tempdir().unwrap();
    copy(&data, &other.path().join("data"));
    pin(1);
    let rolling = Server::spawn(&["serve-jeton", dir.to_str().unwrap()]);
    let off = Server::spawn(&["serve-jeton", other.path().to_str().unwrap(), "off"]);
    let texts = place.texts.iter();
    let requests: Arc<Vec<_>> = Arc::new(texts.map(|t| request(&place.checker, t)).collect());
    for server in [&rolling, &off] {
        Drive::new(&Via::Plain(server.plain), CONNECTIONS, &requests).once_each();
    }
    let drive = |server: &Server| Drive::new(&Via::Plain(server.plain), CONNECTIONS, &requests);
    let mut ways = [
        (&rolling, drive(&rolling), Vec::new()),
        (&off, drive(&off), Vec::new()),
    ];
    let rounds = if quick { 21 } else { 81 };
    for round in 0..=rounds {
        for turn in 0..ways.len() {
            // The other's audit must not take anything from this one.
            signal(ways[1 - turn].0, Signal::STOP);
            let (_, drive, per_s) = &mut ways[turn];
            let (answers, took) = drive.slice(Duration::from_millis(250));
            if round > 0 {
                per_s.push(answers as f64 / took.as_secs_f64());
            }
            signal(ways[1 - turn].0, Signal::CONT);
        }
    }
    let [(_, _, with), (_, _, without)] = &ways;
    let ratios = with
        .iter()
        .zip(without)
        .map(|(with, without)| with / without)
        .collect();
    println!(
        "{}",
        json!({
            "tokens": place.texts.len(), "events": audited.report.events, "audit_s": thousandths(audit_s),
            "rolling_events": round_events, "rolling_round_s": thousandths(round_s),
            "rolling_ratio": thousandths(median(ratios)),
            "with_per_s": median(with.clone()).round(), "without_per_s": median(without.clone()).round(),
        })
    );
}

/// How long the first round takes on a server that has nothing else to do.
async fn idle_round(dir: &Path) -> (f64, u64) {
    let running = serve::start(&config(dir), Durability::Full).await.unwrap();
    let seen = Arc::clone(&running.doors.audit);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while seen.rounds() == 0 {
        tick.tick().await;
    }
    assert_eq!(seen.findings(), []);
    running.stop().await;
    (seen.took_ms() as f64 / 1000.0, seen.events())
}

fn signal(server: &Server, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
