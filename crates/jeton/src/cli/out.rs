//! Answers on standard output: JSON for scripts, tables for people. What people are told besides goes to standard error.

use std::io::{ErrorKind, Write as _};

use serde_json::Value;

use super::{
    fault::Fault,
    remote::Listed,
    table::{self, Column},
};

/// Writes a line to standard output. A reader that went away (`| head`) has what it wanted.
pub(super) fn line(text: &str) -> Result<(), Fault> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fault::caused("cannot write to standard output", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a value to standard output, as JSON.
pub(super) fn json_line(value: &Value) -> Result<(), Fault> {
    line(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// How answers are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// Whether as JSON.
    pub(super) json: bool,
}

impl Out {
    /// Writes a thing.
    pub(super) fn thing(self, columns: &[Column], item: &Value) -> Result<(), Fault> {
        if self.json {
            return json_line(item);
        }
        line(&table::thing(columns, item))
    }

    /// Writes a list.
    pub(super) fn list(self, columns: &[Column], listed: &Listed) -> Result<(), Fault> {
        if self.json {
            return json_line(&listed.json());
        }
        if listed.items.is_empty() {
            self.note("none");
            return Ok(());
        }
        line(&table::list(columns, &listed.items))?;
        if listed.next.is_some() {
            self.note("there are more: --all shows all, --limit N more");
        }
        Ok(())
    }

    /// Says in a line that something was done.
    pub(super) fn done(self, value: &Value, words: &str) -> Result<(), Fault> {
        if self.json {
            return json_line(value);
        }
        line(words)
    }

    /// Tells people something that is no answer.
    pub(super) fn note(self, text: &str) {
        if !self.json {
            // Whoever closed standard error does not want to know.
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }
}
