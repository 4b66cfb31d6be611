//! The key of a tenant's tags, as `jeton tenant key` keeps it: one line of text.

use data_encoding::BASE64;
use jeton_core::{id::TenantId, leaf::TagKey};
use zeroize::Zeroizing;

const WORD: &str = "jeton-tenant-key";

/// A text is no tenant key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tenant key: one line `{WORD} ten_… BASE64`, as `jeton tenant key` writes it")]
pub struct TenantKeyError;

/// By which a tenant's events are known among all leaves.
#[derive(Clone)]
pub struct TenantKey {
    /// Whose.
    pub tenant: TenantId,
    /// The key.
    pub key: TagKey,
}

impl TenantKey {
    /// Reads the line of a key file.
    ///
    /// # Errors
    /// [`TenantKeyError`].
    pub fn parse(text: &str) -> Result<Self, TenantKeyError> {
        let mut words = text.split_whitespace();
        let word = words.next().filter(|word| *word == WORD);
        let (Some(_), Some(tenant), Some(key), None) =
            (word, words.next(), words.next(), words.next())
        else {
            return Err(TenantKeyError);
        };
        let bytes = BASE64.decode(key.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| TenantKeyError)?;
        let key = <&[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| TenantKeyError)?;
        Ok(Self {
            tenant: tenant.parse().map_err(|_| TenantKeyError)?,
            key: TagKey::new(key),
        })
    }

    /// The line of a key file, from what `/v1/ledger/tag-key` says.
    #[must_use]
    pub fn line(tenant: &str, key: &str) -> Zeroizing<String> {
        Zeroizing::new(format!("{WORD} {tenant} {key}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_line_and_nothing_else() {
        let tenant = TenantId::from_bytes([7; 16]);
        let key = BASE64.encode(&[9; 32]);
        let line = TenantKey::line(&tenant.to_string(), &key);
        let read = TenantKey::parse(&line).unwrap();
        assert_eq!(read.tenant, tenant);
        assert_eq!(read.key.tenant_tag(1), TagKey::new(&[9; 32]).tenant_tag(1));
        let short = BASE64.encode(&[9; 31]);
        for bad in [
            String::new(),
            format!("{tenant} {key}"),
            format!("{WORD} {tenant} {short}"),
            format!("{WORD} x {key}"),
            format!("{WORD} {tenant} {key} more"),
        ] {
            assert!(TenantKey::parse(&bad).is_err(), "{bad}");
        }
    }
}
