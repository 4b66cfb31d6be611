//! What a receipt of a million events is: its bytes, and what verifying it costs whoever holds it.

use super::program::last_line;
use crate::options::Options;

/// Runs the measuring program.
pub(super) fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    let out = last_line("jeton-tlog", "receipt_cost", &[], options.is_quick())?;
    Ok(serde_json::Value::Object(out))
}
