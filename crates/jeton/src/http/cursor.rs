//! Cursors of lists: typed, authenticated, of one tenant. What was not made here is refused before it is read.

use data_encoding::BASE64URL_NOPAD;
use jeton_core::{
    id::TenantId,
    refusal::{Blame, Refusal},
};

use crate::node::keyring::Keyring;

const TAG_BYTES: usize = 16;
/// The longest cursor, in bytes of text.
pub const CURSOR_TEXT_MAX: usize = 128;

/// Which list a cursor goes on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// Tokens.
    Tokens,
    /// The tokens of one owner.
    OwnedTokens,
    /// Users.
    Users,
    /// Applications.
    Apps,
    /// Events.
    Events,
}

impl List {
    const fn label(self) -> &'static str {
        match self {
            Self::Tokens => "cursor/tokens",
            Self::OwnedTokens => "cursor/owned-tokens",
            Self::Users => "cursor/users",
            Self::Apps => "cursor/apps",
            Self::Events => "cursor/events",
        }
    }
}

fn tag(keyring: &Keyring, list: List, tenant: TenantId, position: &[u8]) -> [u8; TAG_BYTES] {
    let bytes: Vec<u8> = tenant.bytes().iter().chain(position).copied().collect();
    keyring
        .mac(list.label(), &bytes)
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

/// A cursor behind a position of a list.
#[must_use]
pub fn make(keyring: &Keyring, list: List, tenant: TenantId, position: &[u8]) -> String {
    let tag = tag(keyring, list, tenant, position);
    let bytes: Vec<u8> = tag.iter().chain(position).copied().collect();
    BASE64URL_NOPAD.encode(&bytes)
}

/// Reads a cursor back into a position of `N` bytes.
///
/// # Errors
/// [`Refusal::FieldInvalid`] for one of another list, tenant, key or shape: all alike.
pub fn read<const N: usize>(
    keyring: &Keyring,
    list: List,
    tenant: TenantId,
    text: &str,
) -> Result<[u8; N], Blame> {
    let bad = || Blame::field(Refusal::FieldInvalid, "cursor", "not a cursor of this list");
    if text.len() > CURSOR_TEXT_MAX {
        return Err(bad());
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| bad())?;
    let (given, position) = bytes.split_first_chunk::<TAG_BYTES>().ok_or_else(bad)?;
    let due = tag(keyring, list, tenant, position);
    aws_lc_rs::constant_time::verify_slices_are_equal(given, &due).map_err(|_| bad())?;
    position.try_into().map_err(|_| bad())
}

/// Parameters of every list.
#[derive(serde::Deserialize, schemars::JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Where to go on: the `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many: 1 to 200, 50 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// The number of things on a page.
///
/// # Errors
/// [`Refusal::FieldInvalid`] outside 1 to 200.
pub fn page_len(limit: Option<u32>) -> Result<u32, Blame> {
    match limit {
        None => Ok(50),
        Some(n) if (1..=200).contains(&n) => Ok(n),
        Some(_) => Err(Blame::field(Refusal::FieldInvalid, "limit", "1 to 200")),
    }
}
