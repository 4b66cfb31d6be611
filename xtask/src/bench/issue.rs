//! What a durable change costs: in process and over HTTPS, beside bare commits on the same disk in the same run.

use super::program::last_line;
use crate::options::Options;

/// Runs the measuring program.
pub(super) fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    let out = last_line("jeton", "bench_http", &["issue"], options.is_quick())?;
    Ok(serde_json::Value::Object(out))
}
