//! The repository as texts: every file that is UTF-8, without what is built or belongs to git.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Directories whose contents are nobody's writing; in a worktree, git's is a file.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "corpus", "artifacts"];

/// The largest file that is looked at.
const BYTES_MAX: u64 = 4 << 20;

/// A file that is text, by its path from the root with `/` between the parts.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// All of them, in the order of their paths.
pub(crate) fn texts() -> Vec<Text> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(dir: &Path, at: &str, found: &mut Vec<Text>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}/{name}")
        };
        if kind.is_dir() {
            walk(&entry.path(), &path, found);
        }
        let small = entry.metadata().is_ok_and(|m| m.len() <= BYTES_MAX);
        if kind.is_file()
            && small
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Text { path, text });
        }
    }
}
