//! Running other programs, from the root of the repository, with what they say passed on as it comes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// A command that runs in the root of the repository.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end, its output passed on.
///
/// # Errors
/// If it cannot be started or does not end well; the error shows the line to repeat.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let line = line(command);
    eprintln!("+ {line}");
    let status = command
        .status()
        .with_context(|| format!("`{line}` cannot be started"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Whether a command can be started and ends well; what it says is nobody's business.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a command writes to standard output.
///
/// # Errors
/// If it cannot be started, does not end well, or does not write UTF-8.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = line(command);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("`{line}` cannot be started"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` did not write UTF-8"))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where cargo builds to.
///
/// # Errors
/// If cargo does not say.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let text = output(&mut command(
        "cargo",
        &["metadata", "--format-version=1", "--no-deps"],
    ))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo metadata")?;
    let dir = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str);
    dir.map(PathBuf::from)
        .context("cargo metadata names no target directory")
}

/// The release binary of jeton, built if it is stale.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn release_binary() -> anyhow::Result<PathBuf> {
    succeed(&mut command(
        "cargo",
        &["build", "--release", "-p", "jeton"],
    ))?;
    Ok(target_dir()?.join("release").join("jeton"))
}

/// Measures the time since now.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask measures how long its steps take, and decides nothing by it"
)]
pub(crate) fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// The directories in which programs are found; `sbin` among them, since Debian keeps mkfs and nginx there.
#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is for the environment to say, and for tests alone"
)]
pub(crate) fn program_dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).collect()
}
