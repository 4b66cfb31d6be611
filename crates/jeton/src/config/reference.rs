//! The page on the configuration, made of the registry: it cannot drift from what is read.

use std::fmt::Write as _;

use super::{KEYS, Key};

const HEAD: &str = "\
# Configuration

Every key can be set in three ways: in a file in TOML (`jeton serve --config FILE`) by its name, in the environment by its
variable, and as a flag of `jeton serve`. A flag weighs more than the environment, and that more than the file. A list is an array
of TOML or a text with commas. No key takes a secret: where one is needed, the key names its file.

Generated from the registry in `crates/jeton/src/config` by `cargo xtask gen`.
";

/// The page, in Markdown: name, variable, flag, default and meaning of every key.
#[must_use]
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    for key in KEYS {
        // Writing into a text has no way to fail.
        _ = section(&mut text, key);
    }
    text
}

fn section(text: &mut String, key: &Key) -> std::fmt::Result {
    let default = match key.default {
        "" => "not set".to_owned(),
        some => format!("`{some}`"),
    };
    writeln!(text, "\n## {}\n\n{}\n", key.name, key.doc.trim())?;
    writeln!(text, "| | |\n|---|---|")?;
    writeln!(text, "| variable | `{}` |", key.variable())?;
    writeln!(text, "| flag | `{}` |", key.flag())?;
    writeln!(text, "| default | {default} |")?;
    writeln!(text, "| must be | {} |", key.rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_section_and_no_cell_breaks_its_table() {
        let page = page();
        for key in KEYS {
            let head = format!("\n## {}\n", key.name);
            assert_eq!(page.matches(&head).count(), 1, "{}", key.name);
            for text in [key.doc, key.rule, key.default] {
                assert!(!text.contains(['|', '\n', '`']), "{}: {text}", key.name);
            }
        }
        assert!(page.contains("| variable | `JETON_DATA_DIR` |\n| flag | `--data-dir` |"));
    }
}
