//! The words after a command: flags, and figures by name. A word that nobody asked for is an error, never ignored.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

/// What stood on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// By name, without the dashes; a flag has an empty value.
    words: BTreeMap<String, String>,
}

/// Flags never take the word that follows; a value for one is written `--control=sync=normal`.
const FLAGS: &[&str] = &["quick", "control", "check"];

impl Options {
    /// Reads `--flag`, `--key=value` and `--key value`.
    pub(crate) fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) else {
                bail!("`{word}` is not an option: options begin with `--`");
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if FLAGS.contains(&name) => (name, String::new()),
                None => {
                    let value = words.next_if(|next| !next.starts_with("--"));
                    (name, value.cloned().unwrap_or_default())
                }
            };
            if options.words.insert(name.to_owned(), value).is_some() {
                bail!("`--{name}` stands here twice");
            }
        }
        Ok(options)
    }

    /// The quick form of a gate, with its protection on or off.
    pub(crate) fn quick(control: Control) -> Self {
        let mut options = Self::default();
        options.words.insert("quick".to_owned(), String::new());
        if control == Control::Off {
            options.words.insert("control".to_owned(), String::new());
        }
        options
    }

    /// Whether an option stands on the command line.
    pub(crate) fn given(&self, name: &str) -> bool {
        self.words.contains_key(name)
    }

    /// Under a minute, with smaller figures.
    pub(crate) fn is_quick(&self) -> bool {
        self.given("quick")
    }

    /// Whether the protection is to be switched off.
    pub(crate) fn control(&self) -> Control {
        if self.given("control") {
            Control::Off
        } else {
            Control::On
        }
    }

    /// The text of an option.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.words
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// A figure: as given, or the one of the quick or of the full form.
    ///
    /// # Errors
    /// If what is given is not a whole number.
    pub(crate) fn figure(&self, name: &str, quick: u64, full: u64) -> anyhow::Result<u64> {
        match self.text(name) {
            Some(text) => text
                .parse()
                .with_context(|| format!("`--{name} {text}` is not a number")),
            None if self.is_quick() => Ok(quick),
            None => Ok(full),
        }
    }

    /// Refuses options that are not in the list.
    pub(crate) fn only(&self, known: &[&str]) -> anyhow::Result<()> {
        match self
            .words
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) if known.is_empty() => {
                bail!("`--{name}` is not known here: there are no options")
            }
            Some(name) => bail!(
                "`--{name}` is not known here; known are --{}",
                known.join(", --")
            ),
            None => Ok(()),
        }
    }
}

/// The protection that a gate proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// As in production: the gate must pass.
    On,
    /// Switched off: the gate must fail.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> anyhow::Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(&words)
    }

    #[test]
    fn flags_figures_and_values_are_read() {
        let options = read("--quick --cuts 25 --control=sync=normal --store=sqlite").unwrap();
        assert!(options.is_quick());
        assert_eq!(options.control(), Control::Off);
        assert_eq!(options.text("control"), Some("sync=normal"));
        assert_eq!(options.text("store"), Some("sqlite"));
        assert_eq!(options.figure("cuts", 1, 2).unwrap(), 25);
        assert_eq!(options.figure("rounds", 1, 2).unwrap(), 1);
        assert_eq!(read("").unwrap().figure("rounds", 1, 2).unwrap(), 2);
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        assert!(read("quick").is_err());
        assert!(read("--quick --quick").is_err());
        assert!(read("--cuts many").unwrap().figure("cuts", 1, 2).is_err());
        assert!(read("--quick --loud").unwrap().only(&["quick"]).is_err());
        assert!(read("--quick").unwrap().only(&["quick"]).is_ok());
    }
}
