//! What `jeton doctor` looks at on this machine: the data directory, its keys and certificates, the disk, the clock.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use jeton_core::time::Time;

use super::{
    doctor::Line,
    link::shell,
    secret::{directory_of, is_exposed, mode_of},
};
use crate::node::disk;

const DAY_S: i64 = 86_400;

/// Looks at a data directory.
pub(super) fn data_dir(dir: &Path, now: Time, lines: &mut Vec<Line>) {
    const WHAT: &str = "data directory";
    let metadata = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            lines.push(Line::fail(
                WHAT,
                format!("{} is not a directory", dir.display()),
                "name the right one with --data-dir",
            ));
            return;
        }
        Err(error) => {
            let words = format!("{}: {error}", dir.display());
            lines.push(Line::fail(
                WHAT,
                words,
                "name it with --data-dir; `jeton serve` makes it",
            ));
            return;
        }
    };
    let mode = mode_of(&metadata);
    lines.push(if is_exposed(mode) {
        let words = format!("{} is open to others (mode {mode:04o})", dir.display());
        Line::fail(WHAT, words, format!("chmod 700 {}", shell(dir)))
    } else {
        let words = format!("{} is open to its owner alone", dir.display());
        Line::ok(WHAT, words)
    });
    owners(dir, metadata.uid(), lines);
    keys(dir, lines);
    room(dir, lines);
    certificates(dir, now, lines);
}

/// All files belong to whoever owns the directory: one run as root leaves files that the service cannot write.
fn owners(dir: &Path, owner: u32, lines: &mut Vec<Line>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let foreign = entries.filter(|e| e.metadata().is_ok_and(|m| m.uid() != owner));
    let names: Vec<String> = foreign
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    if !names.is_empty() {
        let words = format!(
            "{} belong to another user than the directory",
            names.join(", ")
        );
        let todo = format!("chown -R to the user that runs jeton: {}", shell(dir));
        lines.push(Line::fail("owner", words, todo));
    }
}

/// Key files are open to their owner alone.
fn keys(dir: &Path, lines: &mut Vec<Line>) {
    let names = [
        "keyring",
        "kek",
        "setup-secret",
        "tls/server.key",
        "tls/ca.key",
    ];
    let mut good = Vec::new();
    for name in names {
        let path = dir.join(name);
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let mode = mode_of(&metadata);
        if !is_exposed(mode) {
            good.push(name);
            continue;
        }
        let words = format!("{} can be read by others (mode {mode:04o})", path.display());
        let todo = format!(
            "chmod 600 {}, and rotate what it holds if others could read it",
            shell(&path)
        );
        lines.push(Line::fail("key files", words, todo));
    }
    if !good.is_empty() {
        lines.push(Line::ok(
            "key files",
            format!("{} are open to their owner alone", good.join(", ")),
        ));
    }
    if dir.join("kek").exists() {
        let words =
            "the key-encryption key lies beside the keyring: a copy of the directory holds both"
                .to_owned();
        lines.push(Line::warn(
            "kek",
            words,
            "move it and name it with --kek-file, or leave it out of backups",
        ));
    }
    if dir.join("setup-secret").exists() {
        let words = "nobody has redeemed the setup secret yet".to_owned();
        lines.push(Line::warn(
            "setup",
            words,
            format!("jeton setup --data-dir {}", shell(dir)),
        ));
    }
}

fn room(dir: &Path, lines: &mut Vec<Line>) {
    const WHAT: &str = "disk";
    let Some((percent, bytes)) = disk::free(dir) else {
        lines.push(Line::warn(
            WHAT,
            "its room cannot be told".to_owned(),
            "look with df",
        ));
        return;
    };
    let words = format!("{} MiB free, {percent} %", bytes >> 20);
    lines.push(if bytes < 2 * disk::BALLAST_BYTES {
        Line::fail(
            WHAT,
            words,
            "make room: without, issuing stops and soon revocation too",
        )
    } else if percent < disk::FREE_PERCENT_MIN && bytes < 20 * disk::BALLAST_BYTES {
        Line::warn(
            WHAT,
            words,
            "make room: issuing stops when it is this scarce",
        )
    } else {
        Line::ok(WHAT, words)
    });
}

fn certificates(dir: &Path, now: Time, lines: &mut Vec<Line>) {
    // The local authority lasts ten years, the server's certificate 90 days and is renewed with 30 left.
    for (what, name, renew_days) in [
        ("CA", "tls/ca.pem", 365),
        ("server certificate", "tls/server.pem", 14),
    ] {
        let path = dir.join(name);
        if path.exists() {
            lines.push(certificate(what, &path, now, renew_days));
        }
    }
}

/// Looks at the first certificate of a file.
pub(super) fn certificate(what: &'static str, path: &Path, now: Time, renew_days: i64) -> Line {
    let cannot = |why: &str| {
        let words = format!("{}: {why}", path.display());
        Line::fail(what, words, "put the right file there")
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return cannot(&error.to_string()),
    };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&bytes) else {
        return cannot("it holds no certificate in PEM");
    };
    let Ok(certificate) = pem.parse_x509() else {
        return cannot("its certificate cannot be read");
    };
    let now_s = i64::from(now.seconds());
    let (from, until) = (
        certificate.validity().not_before.timestamp(),
        certificate.validity().not_after.timestamp(),
    );
    let day = jiff::Timestamp::from_second(until)
        .map(|t| t.to_string())
        .unwrap_or_default();
    let words = format!("{} is good until {day}", path.display());
    if now_s < from {
        let words = format!("{} is not good yet", path.display());
        return Line::fail(what, words, "set this machine's clock");
    }
    if until <= now_s {
        let words = format!("{} ended on {day}", path.display());
        return Line::fail(
            what,
            words,
            "renew it: a local one is renewed when `jeton serve` starts",
        );
    }
    if until - now_s < renew_days * DAY_S {
        return Line::warn(
            what,
            words,
            "renew it soon: a local one is renewed when `jeton serve` starts",
        );
    }
    Line::ok(what, words)
}

/// Whether this machine's clock can be right.
pub(super) fn clock(now: Time, dir: Option<&Path>, lines: &mut Vec<Line>) {
    const WHAT: &str = "clock";
    // jeton did not exist before 2025.
    const BORN_S: u32 = 1_735_689_600;
    let shown = jiff::Timestamp::from_second(i64::from(now.seconds())).map(|t| t.to_string());
    let shown = shown.unwrap_or_default();
    let todo = "set the clock, and keep it with NTP";
    if now.seconds() < BORN_S {
        lines.push(Line::fail(
            WHAT,
            format!("it says {shown}, which is before jeton was written"),
            todo,
        ));
        return;
    }
    let written = dir
        .and_then(|d| fs::metadata(d.join("ledger.db")).ok())
        .map(|m| m.mtime());
    if written.is_some_and(|at| at > i64::from(now.seconds()) + 60) {
        let words = format!("it says {shown}, and the ledger was written later than that");
        lines.push(Line::fail(WHAT, words, todo));
        return;
    }
    lines.push(Line::ok(WHAT, format!("it says {shown}")));
}

/// Whether the credential store is as private as it must be.
pub(super) fn store(path: &Path, lines: &mut Vec<Line>) {
    const WHAT: &str = "credential store";
    let Ok(metadata) = fs::metadata(path) else {
        lines.push(Line::ok(
            WHAT,
            format!("there is none at {}", path.display()),
        ));
        return;
    };
    let mode = mode_of(&metadata);
    if is_exposed(mode) {
        let words = format!("{} can be read by others (mode {mode:04o})", path.display());
        lines.push(Line::fail(
            WHAT,
            words,
            format!("chmod 600 {}, and rotate its tokens", shell(path)),
        ));
        return;
    }
    let dir = directory_of(path);
    let dir_mode = fs::metadata(dir).map(|m| mode_of(&m)).unwrap_or_default();
    if dir_mode & 0o022 != 0 {
        let words = format!(
            "others may put files into {} (mode {dir_mode:04o})",
            dir.display()
        );
        lines.push(Line::fail(WHAT, words, format!("chmod 700 {}", shell(dir))));
        return;
    }
    lines.push(Line::ok(
        WHAT,
        format!("{} is open to its owner alone", path.display()),
    ));
}
