//! Measuring programs: examples of the crates, built for release, whose last line is a JSON object.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

/// Builds an example for release and runs it with these words: its last line.
pub(super) fn last_line(
    package: &str,
    example: &str,
    words: &[&str],
    quick: bool,
) -> anyhow::Result<Map<String, Value>> {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        package,
        "--example",
        example,
        "--",
    ]);
    command.args(words);
    if quick {
        command.arg("--quick");
    }
    let done = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(
        done.status.success(),
        "the measuring program {example} failed"
    );
    let text = String::from_utf8(done.stdout)?;
    let line = text
        .lines()
        .next_back()
        .context("the measuring program said nothing")?;
    serde_json::from_str(line).context("the last line is not a JSON object")
}
