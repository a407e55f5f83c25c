//! Texts that must not be seen.

use std::fmt;

use zeroize::Zeroizing;

/// A seed, a token or a password. The memory is wiped when it is dropped, and `Debug` does not show
/// it.
///
/// ```
/// use exosuit_lattice::Secret;
///
/// let secret = Secret::new("s3cr3t");
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(secret.expose(), "s3cr3t");
/// ```
///
/// It has no `Display`, so that no format string can show it by mistake. Copies that a library
/// makes of the text are not wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over. A `String` is not copied.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. Call it only where the text goes to the server or to a key.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
