//! `cargo xtask bench check`: what a check costs, in process and over HTTP, beside bare servers in the same run.

#![expect(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    missing_docs,
    unreachable_pub,
    reason = "a measuring program: it reads clocks, and stops at the first surprise"
)]

mod world;

use std::{hint::black_box, time::Instant};

use jeton_core::{check::question::Question, scope::ScopeSet, time::Time};
use jeton_verify::check::{Now, Verifier};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn now() -> Time {
    Time::from_seconds(1_900_000_000)
}

fn question() -> Question<'static> {
    Question {
        tenant: world::tenant(),
        api: world::api(),
        needed: ScopeSet::one(0),
        resource: None,
        address: None,
        method: Some("GET"),
        path: Some("/documents/1"),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds for one check, over texts in random order: the median of rounds.
fn single(verifier: &Verifier, texts: &[String], good: bool) -> f64 {
    let question = question();
    let mut us = 0;
    let mut round = || {
        let start = Instant::now();
        for text in texts {
            us += 1;
            let verdict = verifier.check(
                text,
                &question,
                Now {
                    time: now(),
                    meter_us: us,
                },
            );
            assert_eq!(black_box(&verdict).is_ok(), good);
        }
        start.elapsed().as_nanos() as f64 / texts.len() as f64
    };
    median((0..5).map(|_| round()).collect())
}

fn batched(verifier: &Verifier, texts: &[String]) -> f64 {
    let question = question();
    let mut us = 10_000_000_000;
    let mut round = || {
        let start = Instant::now();
        for some in texts.chunks(256) {
            let asked: Vec<_> = some.iter().map(|t| (t.as_str(), question)).collect();
            us += 1000;
            let mut allowed = 0;
            verifier.check_batch(
                &asked,
                Now {
                    time: now(),
                    meter_us: us,
                },
                |_, v| {
                    allowed += usize::from(v.is_ok());
                },
            );
            assert_eq!(black_box(allowed), some.len());
        }
        start.elapsed().as_nanos() as f64 / texts.len() as f64
    };
    median((0..5).map(|_| round()).collect())
}

/// Nanoseconds for one read that waits for the one before, anywhere in so many bytes: what the machine's memory costs just
/// now. A check makes about three such reads beyond what it computes.
fn read_ns(bytes: usize) -> f64 {
    const LINE: usize = 16;
    const READS: usize = 2_000_000;
    let mut order: Vec<usize> = (0..bytes / 64).collect();
    let mut numbers = world::Numbers(7);
    for at in (1..order.len()).rev() {
        let other = usize::try_from(numbers.next() % at as u64).expect("below");
        order.swap(at, other);
    }
    let mut chain = vec![0u32; order.len() * LINE];
    for (from, to) in order.iter().zip(order.iter().cycle().skip(1)) {
        chain[from * LINE] = u32::try_from(to * LINE).expect("fits");
    }
    let round = || {
        let (mut at, start) = (0, Instant::now());
        for _ in 0..READS {
            at = chain[at] as usize;
        }
        black_box(at);
        start.elapsed().as_nanos() as f64 / READS as f64
    };
    median((0..3).map(|_| round()).collect())
}

fn sample(tokens: u64, count: u64) -> Vec<String> {
    let mut numbers = world::Numbers(99);
    (0..count)
        .map(|_| world::text(numbers.next() % tokens))
        .collect()
}

fn main() {
    let quick = std::env::args().any(|a| a == "--quick");
    let mut out = serde_json::Map::new();
    let sizes: &[(u64, &str)] = if quick {
        &[(1_000, "1k"), (1_000_000, "1m")]
    } else {
        &[(1_000, "1k"), (1_000_000, "1m"), (10_000_000, "10m")]
    };
    for (name, mib) in [
        ("read_5mib_ns", 5),
        ("read_64mib_ns", 64),
        ("read_512mib_ns", 512),
    ] {
        out.insert(name.to_owned(), json!(read_ns(mib << 20).round()));
    }
    for (tokens, name) in sizes {
        let verifier = world::verifier(*tokens, now());
        let texts = sample(*tokens, 1_000_000.min(*tokens));
        let garbage: Vec<String> = (0..200_000.min(*tokens))
            .map(|n| world::text(1_000_000_000 + n))
            .collect();
        out.insert(
            format!("in_process_ns_{name}"),
            json!(single(&verifier, &texts, true).round()),
        );
        out.insert(
            format!("batch_ns_{name}"),
            json!(batched(&verifier, &texts).round()),
        );
        out.insert(
            format!("garbage_ns_{name}"),
            json!(single(&verifier, &garbage, false).round()),
        );
        let bytes = verifier.with_index(jeton_verify::index::Index::bytes) as f64 / *tokens as f64;
        out.insert(
            format!("index_bytes_per_token_{name}"),
            json!((bytes * 10.0).round() / 10.0),
        );
        eprintln!("{name}: {out:?}");
    }
    println!("{}", serde_json::Value::Object(out));
}
