//! What is found: each difference by table, row, token, leaf and field.

use std::collections::HashMap;

use jeton_core::id::TokenId;

use crate::StoreError;

/// The most findings of one table that are kept: what is that broken needs no longer list.
pub const FINDINGS_MAX: usize = 1000;

/// One difference between what is stored and what the ledger explains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The table that holds it.
    pub table: &'static str,
    /// The row.
    pub row: String,
    /// The token that it concerns, if it concerns one.
    pub token: Option<TokenId>,
    /// The index of the leaf that says how it must be; of an event, its own.
    pub leaf: Option<u64>,
    /// The field that differs, as users know it.
    pub field: Option<&'static str>,
    /// What differs, and how.
    pub what: String,
}

impl Finding {
    /// A difference in a row.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "rows are named by numbers, texts and ids alike"
    )]
    #[must_use]
    pub fn new(table: &'static str, row: impl ToString, what: impl Into<String>) -> Self {
        Self {
            table,
            row: row.to_string(),
            token: None,
            leaf: None,
            field: None,
            what: what.into(),
        }
    }

    /// A difference at a leaf of the ledger.
    #[must_use]
    pub fn at_leaf(index: u64, what: impl Into<String>) -> Self {
        Self::new("event", index, what).leaf(Some(index))
    }

    /// A difference in a token's row.
    #[must_use]
    pub fn of_token(id: TokenId, what: impl Into<String>) -> Self {
        Self::new("token", id, what).token(Some(id))
    }

    /// With the token that it concerns.
    #[must_use]
    pub fn token(self, token: Option<TokenId>) -> Self {
        Self { token, ..self }
    }

    /// With the leaf that says how it must be.
    #[must_use]
    pub fn leaf(self, leaf: Option<u64>) -> Self {
        Self { leaf, ..self }
    }

    /// With the field that differs.
    #[must_use]
    pub fn field(self, field: &'static str) -> Self {
        let field = Some(field);
        Self { field, ..self }
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    by_table: HashMap<&'static str, usize>,
    /// How many more there were than are kept.
    pub(super) dropped: u64,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        let count = self.by_table.entry(finding.table).or_default();
        if *count < FINDINGS_MAX {
            *count += 1;
            self.kept.push(finding);
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// A row that is in no legal state, or a table that cannot be read to its end: `table` is where that was met.
    pub(super) fn unreadable(&mut self, table: &'static str, error: &StoreError) {
        self.add(match error {
            StoreError::Inconsistent { table, column, row } => {
                Finding::new(table, row, format!("{column}: no legal value")).field(column)
            }
            StoreError::Full | StoreError::Disk { .. } | StoreError::Unusable(_) => {
                let cause = core::error::Error::source(error).map(ToString::to_string);
                let what = format!(
                    "it cannot be read on: {}",
                    cause.unwrap_or_else(|| error.to_string())
                );
                Finding::new(table, "a row", what)
            }
        });
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.kept
    }
}

/// The bytes in which two differ, from the first to behind the last; `None`: they are the same.
#[must_use]
pub fn bytes_that_differ(due: &[u8], kept: &[u8]) -> Option<core::ops::Range<usize>> {
    let (short, long) = (due.len().min(kept.len()), due.len().max(kept.len()));
    let differs = |at: &usize| due.get(*at) != kept.get(*at);
    let first = (0..short)
        .find(differs)
        .or((short < long).then_some(short))?;
    let last = (first..long).rev().find(differs).unwrap_or(first);
    Some(first..last + 1)
}
