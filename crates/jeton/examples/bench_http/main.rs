//! `cargo xtask bench check` and `bench issue`: what jeton costs over HTTP and to the disk, beside bare servers and bare
//! commits in the same run.
//!
//! One program in several parts: it starts itself again as a server on core 0 and drives it from core 1, in slices that
//! alternate between jeton and a bare hyper server whose answer has the same size.

#![expect(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a measuring program: it reads clocks, and stops at the first surprise"
)]

mod audit;
mod check;
mod drive;
mod issue;
mod load;
mod place;
mod servers;
#[path = "../../../jeton-verify/examples/world/mod.rs"]
mod world;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let quick = args.iter().any(|a| a == "--quick");
    match args.get(1).map(String::as_str) {
        Some("serve-jeton") => {
            let audit = args.get(3).map_or("rolling", String::as_str);
            servers::jeton(Path::new(&args[2]), audit);
        }
        Some("serve-bare") => servers::bare(
            args[2].parse().unwrap(),
            Path::new(&args[3]),
            Path::new(&args[4]),
        ),
        Some("check") => check::run(quick),
        Some("profile") => check::profile(&args[2], args[3].parse().unwrap()),
        Some("audit") => audit::run(quick),
        Some("issue") => issue::run(quick),
        Some("load") => load::run(if quick { 1_000_000 } else { 10_000_000 }),
        _ => panic!("bench_http audit|check|issue|load [--quick], or profile WAY SECONDS"),
    }
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Keeps this process on one core.
pub fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).expect("pinning to a core");
}

/// A runtime of so many threads.
pub fn runtime(threads: usize) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime")
}
