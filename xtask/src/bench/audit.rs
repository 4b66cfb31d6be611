//! What an audit costs, at once and rolling.

use super::program::last_line;
use crate::options::Options;

/// Runs the measuring program.
pub(super) fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    let out = last_line("jeton", "bench_http", &["audit"], options.is_quick())?;
    Ok(serde_json::Value::Object(out))
}
