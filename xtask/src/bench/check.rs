//! What a check costs: in process, and over HTTP beside bare hyper servers in the same run.

use super::program::last_line;
use crate::options::Options;

/// Runs the measuring programs and puts their figures together.
pub(super) fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    let quick = options.is_quick();
    let mut out = last_line("jeton-verify", "check_cost", &[], quick)?;
    out.extend(last_line("jeton", "bench_http", &["check"], quick)?);
    let loaded = last_line("jeton", "bench_http", &["load"], quick)?;
    let name = if quick { "load_1m_s" } else { "load_10m_s" };
    if let Some(seconds) = loaded.get("load_s") {
        out.insert(name.to_owned(), seconds.clone());
    }
    Ok(serde_json::Value::Object(out))
}
