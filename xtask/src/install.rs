//! Brings the programs that tests need, where it can; where it cannot, says what is missing and what that costs.
//!
//! Nothing here fails a run: a machine without nginx still proves everything that does not need nginx. What is missing is
//! passed to the tests by name in `JETON_TEST_MISSING`, and a test that needs it skips itself aloud.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::run;

/// A program that tests need.
struct Tool {
    /// As `JETON_TEST_MISSING` and gates name it.
    name: &'static str,
    /// The file that shows that it is there.
    program: &'static str,
    /// Debian's packages with it: the first that installs is taken.
    packages: &'static [&'static str],
    /// What is not tested without it.
    without: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "nginx",
        program: "nginx",
        packages: &["nginx-light", "nginx"],
        without: "the tests of forward-auth behind a real nginx",
    },
    Tool {
        name: "xfsprogs",
        program: "mkfs.xfs",
        packages: &["xfsprogs"],
        without: "the power-cut gate",
    },
    Tool {
        name: "openssl",
        program: "openssl",
        packages: &["openssl"],
        without: "the tests that read our certificates with another implementation",
    },
    Tool {
        name: "curl",
        program: "curl",
        packages: &["curl"],
        without: "the tests that follow the guide's commands to the letter",
    },
    Tool {
        name: "node",
        program: "node",
        packages: &["nodejs"],
        without: "the gate of anchors",
    },
    Tool {
        name: "npm",
        program: "npm",
        packages: &["npm"],
        without: "the gate of anchors, unless its packages are there already",
    },
    Tool {
        name: "golang",
        program: "go",
        packages: &["golang-go"],
        without: "the gate of verifiers that nobody here wrote",
    },
    // A library in Go's own place: the file that shows that it is there has a path of its own.
    Tool {
        name: "x-mod",
        program: "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog/tlog.go",
        packages: &["golang-golang-x-mod-dev"],
        without: "the gate of verifiers that nobody here wrote",
    },
];

/// Not a Debian package: it lives in a virtual environment of our own.
const SCHEMATHESIS: &str = "schemathesis";

/// The reference implementation of its format; it lives there, too.
pub(crate) const OPENTIMESTAMPS: &str = "opentimestamps";

/// Another implementation of RFC 9162 and of COSE receipts; there, too.
const SCITT_COSE: &str = "scitt-cose";

/// A development chain, a compiler of contracts and a client: from npm, in a directory of our own.
pub(crate) const DEVCHAIN: &str = "devchain";
const DEVCHAIN_PACKAGES: &[&str] = &["@foundry-rs/anvil@1.7.1", "solc@0.8.30", "ethers@6"];

/// Not a program at all: the right to mount file systems that lie in files.
pub(crate) const MOUNTS: &str = "mounts";

/// Refuses to wait minutes for a network that is not there.
const APT_PATIENCE: &[&str] = &[
    "-o",
    "Acquire::http::Timeout=20",
    "-o",
    "Acquire::https::Timeout=20",
    "-o",
    "Acquire::Retries=1",
];

/// What tests find on this machine.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// The names of what is missing.
    pub(crate) missing: Vec<&'static str>,
}

impl Installed {
    /// Whether a tool is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.missing.contains(&name)
    }
}

/// Whether a name is that of a tool.
#[cfg(test)]
pub(crate) fn is_known(name: &str) -> bool {
    [SCHEMATHESIS, OPENTIMESTAMPS, SCITT_COSE, DEVCHAIN, MOUNTS].contains(&name)
        || TOOLS.iter().any(|tool| tool.name == name)
}

/// Installs what is missing and can be had; tells the rest.
pub(crate) fn install() -> Installed {
    let absent: Vec<&Tool> = TOOLS.iter().filter(|tool| !present(tool.program)).collect();
    if !absent.is_empty() {
        fetch(&absent);
    }
    let mut missing = Vec::new();
    for tool in TOOLS.iter().filter(|tool| !present(tool.program)) {
        println!("missing: {} ({} will be skipped)", tool.name, tool.without);
        missing.push(tool.name);
    }
    if let Err(why) = schemathesis() {
        println!(
            "missing: {SCHEMATHESIS}: {why} (the fuzzing of the API from its own description will be skipped)"
        );
        missing.push(SCHEMATHESIS);
    }
    for (name, found) in [(OPENTIMESTAMPS, opentimestamps()), (DEVCHAIN, devchain())] {
        if let Err(why) = found {
            println!("missing: {name}: {why} (the gate of anchors will be skipped)");
            missing.push(name);
        }
    }
    if let Err(why) = scitt_cose() {
        println!("missing: {SCITT_COSE}: {why} (COSE receipts will not be looked at)");
        missing.push(SCITT_COSE);
    }
    if let Some(why) = no_mounts() {
        println!(
            "missing: {MOUNTS}: {why} (the gates of power cuts and full disks will be skipped)"
        );
        missing.push(MOUNTS);
    }
    if missing.is_empty() {
        println!("everything that the tests need is there");
    }
    Installed { missing }
}

/// Why no file system can be mounted here, if none can.
pub(crate) fn no_mounts() -> Option<String> {
    let missing: Vec<&str> = ["mount", "umount", "losetup", "mkfs.ext4", "timeout"]
        .into_iter()
        .filter(|program| !present(program))
        .collect();
    if !missing.is_empty() {
        return Some(format!("there is no {}", missing.join(", ")));
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices (/dev/loop-control)".to_owned());
    }
    // Root in a container is often not allowed to mount.
    let may = run::works(&mut run::command("unshare", &["--mount", "true"]));
    (!may).then(|| "mounting takes root".to_owned())
}

/// Whether a program is there.
pub(crate) fn present(program: &str) -> bool {
    run::program_dirs()
        .iter()
        .any(|dir| dir.join(program).is_file())
}

fn fetch(absent: &[&Tool]) {
    let names: Vec<&str> = absent.iter().map(|tool| tool.name).collect();
    if !present("apt-get") {
        return println!(
            "{} cannot be installed here: there is no apt-get",
            names.join(", ")
        );
    }
    let user = run::output(&mut run::command("id", &["-u"]));
    if user.is_ok_and(|user| user.trim() != "0") {
        return println!(
            "{} cannot be installed here: that takes root",
            names.join(", ")
        );
    }
    let mut updated = false;
    for tool in absent {
        if tool.packages.iter().any(|package| apt_install(package)) {
            continue;
        }
        // A bare image has no lists, and an old one has lists of packages that are gone.
        if !updated {
            updated = true;
            apt(&["update"]);
            tool.packages.iter().any(|package| apt_install(package));
        }
    }
}

fn apt_install(package: &str) -> bool {
    apt(&["install", "-y", "--no-install-recommends", package])
}

fn apt(args: &[&str]) -> bool {
    let mut command = run::command("apt-get", APT_PATIENCE);
    // Run level 1 keeps Debian from starting the daemons that it installs.
    command
        .args(["-q"])
        .args(args)
        .env("RUNLEVEL", "1")
        .env("DEBIAN_FRONTEND", "noninteractive");
    let done = run::succeed(&mut command);
    if let Err(error) = &done {
        println!("{error:#}");
    }
    done.is_ok()
}

/// The programs of the virtual environment.
pub(crate) fn venv_bin() -> anyhow::Result<PathBuf> {
    Ok(run::target_dir()?.join("venv").join("bin"))
}

fn schemathesis() -> anyhow::Result<()> {
    if venv_bin()?.join(SCHEMATHESIS).is_file() {
        return Ok(());
    }
    pip("schemathesis>=4,<5")
}

fn opentimestamps() -> anyhow::Result<()> {
    let python = venv_bin()?.join("python3").to_string_lossy().into_owned();
    if run::works(&mut run::command(&python, &["-c", "import opentimestamps"])) {
        return Ok(());
    }
    pip("opentimestamps==0.4.5")
}

/// Brings scitt-cose into the virtual environment.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn scitt_cose() -> anyhow::Result<()> {
    let python = venv_bin()?.join("python3").to_string_lossy().into_owned();
    if run::works(&mut run::command(&python, &["-c", "import scitt_cose"])) {
        return Ok(());
    }
    pip("scitt-cose==0.5.0")
}

/// Installs a package into the virtual environment, which is made if it is not there.
fn pip(requirement: &str) -> anyhow::Result<()> {
    anyhow::ensure!(present("python3"), "there is no python3");
    let bin = venv_bin()?;
    let python = bin.join("python3");
    if !python.is_file() {
        let venv = bin.parent().unwrap_or(Path::new("venv")).to_string_lossy();
        run::succeed(&mut run::command("python3", &["-m", "venv", &venv]))?;
    }
    let args = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
    ];
    let pip = python.to_string_lossy();
    run::succeed(run::command(&pip, &args).args(["--timeout", "20", requirement]))
}

/// Where npm's packages are.
pub(crate) fn node_modules() -> anyhow::Result<PathBuf> {
    Ok(run::target_dir()?.join("npm").join("node_modules"))
}

/// The development chain's program, as it lies in the package of this machine's kind.
pub(crate) fn anvil() -> anyhow::Result<PathBuf> {
    let dir = node_modules()?.join("@foundry-rs");
    let entries = dir.read_dir().context("npm has installed no anvil")?;
    let mut programs = entries
        .flatten()
        .map(|entry| entry.path().join("bin/anvil"));
    // Beside it lies a script that looks for it.
    let found = programs.find(|program| {
        program.is_file()
            && run::works(&mut run::command(
                &program.to_string_lossy(),
                &["--version"],
            ))
    });
    found.context("npm has installed no anvil for this machine")
}

fn devchain() -> anyhow::Result<()> {
    anyhow::ensure!(present("node"), "there is no node");
    let modules = node_modules()?;
    let there = |package: &str| modules.join(package).join("package.json").is_file();
    if there("solc") && there("ethers") && anvil().is_ok() {
        return Ok(());
    }
    anyhow::ensure!(present("npm"), "there is no npm");
    let dir = modules.parent().unwrap_or(Path::new("npm"));
    std::fs::create_dir_all(dir)?;
    let args = [
        "install",
        "--no-audit",
        "--no-fund",
        // The programs lie in the packages: no script is needed, and none is run.
        "--ignore-scripts",
        "--no-save",
        "--fetch-retries=1",
        "--prefix",
    ];
    run::succeed(run::command("npm", &args).arg(dir).args(DEVCHAIN_PACKAGES))?;
    anvil().map(drop)
}
