//! Text that must never be seen by accident: a token, a setup secret, a key.

use zeroize::Zeroizing;

/// Secret text, wiped when dropped, that cannot be printed, cloned, compared or serialised.
///
/// ```compile_fail
/// let s = jeton_core::secret::Secret::new("x".to_owned());
/// println!("{s:?}");
/// ```
/// ```compile_fail
/// let s = jeton_core::secret::Secret::new("x".to_owned());
/// println!("{s}");
/// ```
/// ```compile_fail
/// let s = jeton_core::secret::Secret::new("x".to_owned());
/// let t = s.clone();
/// ```
/// ```compile_fail
/// let s = jeton_core::secret::Secret::new("x".to_owned());
/// let same = s == s;
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The only way to the text. Use it for the response body and for hashing, never for a log.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}
