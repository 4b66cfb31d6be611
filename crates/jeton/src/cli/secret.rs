//! Secrets in and out: read from a file or standard input, written to a file of mode 0600 or, alone, to standard output.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, ErrorKind, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use jeton_core::secret::Secret;
use zeroize::Zeroizing;

use super::fault::Fault;

/// The most bytes that are read as a secret.
const SECRET_BYTES_MAX: u64 = 4096;

/// Whether a path means standard input.
pub(super) fn is_stdin(path: Option<&Path>) -> bool {
    path.is_none_or(|p| p.as_os_str() == "-")
}

/// Reads one secret from a file, or from standard input (`-` or no path): without the spaces and line ends around it.
pub(super) fn read(from: Option<&Path>, what: &str) -> Result<Secret, Fault> {
    let place = match from {
        Some(path) if !is_stdin(from) => path.display().to_string(),
        _ => "standard input".to_owned(),
    };
    let failed =
        |e: std::io::Error| Fault::caused(format!("cannot read the {what} from {place}"), &e);
    let text = match from {
        Some(path) if !is_stdin(from) => bounded(File::open(path).map_err(failed)?),
        _ if std::io::stdin().is_terminal() => ask(what),
        _ => bounded(std::io::stdin().lock()),
    };
    let text = text.map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > SECRET_BYTES_MAX) {
        let words =
            format!("{place} holds more than {SECRET_BYTES_MAX} bytes: that is not a {what}");
        return Err(Fault::failed(words));
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Fault::failed(format!("{place} holds no {what}")));
    }
    Ok(Secret::new(trimmed.to_owned()))
}

fn bounded(from: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(8192));
    from.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Asks at the terminal, without showing what is typed.
fn ask(what: &str) -> std::io::Result<Zeroizing<String>> {
    write!(std::io::stderr(), "{what} (it is not shown): ")?;
    std::io::stderr().flush()?;
    let echo = |state: &str| {
        let mut stty = Command::new("stty");
        stty.arg(state)
            .stdin(Stdio::inherit())
            .stderr(Stdio::null());
        stty.status().is_ok_and(|s| s.success())
    };
    let hidden = echo("-echo");
    let mut text = Zeroizing::new(String::with_capacity(8192));
    let stdin = std::io::stdin().lock();
    let read = stdin.take(SECRET_BYTES_MAX + 1).read_line(&mut text);
    if hidden {
        echo("echo");
        writeln!(std::io::stderr())?;
    }
    read.map(|_| text)
}

/// A file of mode 0600 in the making: its place is taken before the secret exists, so that none is lost for want of one.
pub(super) struct SecretFile {
    path: PathBuf,
    draft: PathBuf,
    file: File,
    kept: bool,
}

impl SecretFile {
    /// Takes a place where there is nothing yet.
    pub(super) fn fresh(path: &Path) -> Result<Self, Fault> {
        if fs::symlink_metadata(path).is_ok() {
            let words = format!("{} exists: it may hold another secret", path.display());
            return Err(Fault::failed(words).hint("name another file, or remove this one"));
        }
        Self::replacing(path)
    }

    /// Takes a place whose file, if there is one, will be replaced as a whole.
    pub(super) fn replacing(path: &Path) -> Result<Self, Fault> {
        let words = || format!("cannot write {}", path.display());
        let Some(name) = path.file_name() else {
            return Err(Fault::failed(words()).hint("name a file, not a directory"));
        };
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(".new");
        let draft = path.with_file_name(draft);
        // A draft that a crash left behind is nobody's; `create_new` then refuses a planted link.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Fault::caused(words(), &error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let file = options
            .open(&draft)
            .map_err(|e| Fault::caused(words(), &e))?;
        Ok(Self {
            path: path.to_owned(),
            draft,
            file,
            kept: false,
        })
    }

    /// Writes the secret and puts the file in its place: after a crash it is the old one or the whole new one.
    pub(super) fn keep(mut self, text: &str) -> Result<PathBuf, Fault> {
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fs::rename(&self.draft, &self.path))
            .and_then(|()| File::open(directory_of(&self.path))?.sync_all());
        let words = || format!("cannot write {}", self.path.display());
        written.map_err(|e| Fault::caused(words(), &e))?;
        self.kept = true;
        Ok(self.path.clone())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_file(&self.draft));
        }
    }
}

/// The directory that holds a path: `.` for a bare file name.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Makes a directory and its parents, open to the owner alone.
pub(super) fn private_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}

/// Whether a mode lets anybody but the owner in.
pub(super) const fn is_exposed(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// The permission bits of a file.
pub(super) fn mode_of(metadata: &fs::Metadata) -> u32 {
    metadata.mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn fault(result: Result<impl Sized, Fault>) -> String {
        match result {
            Ok(_) => panic!("it went well"),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn secrets_are_read_without_their_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "  abc \r\n").unwrap();
        assert_eq!(
            read(Some(&path), "token").ok().unwrap().expose_secret(),
            "abc"
        );
        fs::write(&path, "\n").unwrap();
        assert!(fault(read(Some(&path), "token")).contains("holds no token"));
        fs::write(&path, "x".repeat(4097)).unwrap();
        assert!(fault(read(Some(&path), "token")).contains("more than 4096"));
        assert!(fault(read(Some(&dir.path().join("none")), "token")).contains("cannot read"));
    }

    #[test]
    fn a_secret_file_is_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        SecretFile::fresh(&path)
            .ok()
            .unwrap()
            .keep("one\n")
            .unwrap();
        assert_eq!(mode_of(&fs::metadata(&path).unwrap()), 0o600);
        assert!(fault(SecretFile::fresh(&path)).contains("exists"));
        SecretFile::replacing(&path)
            .ok()
            .unwrap()
            .keep("two\n")
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        drop(SecretFile::replacing(&path));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no draft stays"
        );
    }

    #[test]
    fn a_planted_link_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        symlink(&victim, dir.path().join(".token.new")).unwrap();
        let file = SecretFile::fresh(&dir.path().join("token")).ok().unwrap();
        file.keep("secret").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }
}
