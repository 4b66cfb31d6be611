//! The key that seals records: what only this authority can have written.

use aws_lc_rs::hmac;
use jeton_core::leaf::SealKey;
use zeroize::Zeroizing;

use super::{Content, Keyring};

impl Keyring {
    /// The key that seals records.
    #[must_use]
    pub fn seal_key(&self) -> &SealKey {
        &self.seal
    }
}

/// A key of its own under the authority's, so that no tag of another purpose is ever a salt.
pub(super) fn key(content: &Content) -> SealKey {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &content.mac_key);
    let key = Zeroizing::new(hmac::sign(&mac, b"seal/v1\0").as_ref().to_vec());
    // A tag of this algorithm has 32 bytes.
    SealKey::new(&key.as_slice().try_into().unwrap_or(content.mac_key))
}
