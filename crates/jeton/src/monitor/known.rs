//! What the tenant says that it ordered: ids of tokens and indexes of events, one to a line.

use std::{collections::HashSet, path::Path};

use jeton_core::id::TokenId;

/// What is expected. Without a file nothing is, and every issuance is told.
#[derive(Default, Debug)]
pub struct Known {
    named: bool,
    tokens: HashSet<TokenId>,
    indexes: HashSet<u64>,
}

impl Known {
    /// Reads a file: a token id or an index on each line; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// The number of the line that is neither, or why the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        Self::parse(&text.map_err(|e| format!("cannot read {}: {e}", path.display()))?)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut known = Self {
            named: true,
            ..Self::default()
        };
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match (line.parse::<TokenId>(), line.parse::<u64>()) {
                (Ok(token), _) => known.tokens.insert(token),
                (_, Ok(index)) => known.indexes.insert(index),
                (Err(_), Err(_)) => {
                    let number = number + 1;
                    return Err(format!(
                        "line {number} is neither a token's id nor an index"
                    ));
                }
            };
        }
        Ok(known)
    }

    /// Whether anything was said at all.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.named
    }

    /// Whether an event is expected.
    #[must_use]
    pub fn has(&self, index: u64, token: Option<TokenId>) -> bool {
        self.indexes.contains(&index) || token.is_some_and(|token| self.tokens.contains(&token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_indexes_stand_one_to_a_line() {
        let token = TokenId::from_bytes([7; 16]);
        let known = Known::parse(&format!("# mine\n\n{token}\n 42 \n")).unwrap();
        assert!(known.is_named() && known.has(1, Some(token)) && known.has(42, None));
        assert!(!known.has(41, None) && !known.has(1, Some(TokenId::from_bytes([8; 16]))));
        assert!(!Known::default().is_named());
        assert!(
            Known::parse("1\nnonsense\n")
                .unwrap_err()
                .contains("line 2")
        );
    }
}
