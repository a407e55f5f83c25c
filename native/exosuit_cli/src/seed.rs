//! Seeds as arguments: a seed itself, or a file that holds one.
//!
//! A seed in the command line can be read by every user of the machine. A file cannot, so the help
//! shows files.
//!
//! What looks like a seed is taken for one, even with a typing error. It is then refused as a seed,
//! and not looked up as a file whose name would appear in the error.

use std::path::Path;
use std::str::FromStr;

use exosuit_claims::{KeyKind, KeyPair};
use serde::Deserialize;

use crate::failure::Failure;
use crate::files;
use crate::redact::looks_like_seed;

/// The largest key file: a line, or a line of JSON.
const LIMIT: usize = 4_096;

/// A seed, or the path of a file with one. It has no `Debug`: it may be a secret.
#[derive(Clone)]
pub(crate) struct SeedArgument(String);

impl FromStr for SeedArgument {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl From<String> for SeedArgument {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The output of `keys gen --json`.
#[derive(Deserialize)]
struct KeyFile {
    seed: String,
}

impl SeedArgument {
    /// The key pair, which must have this kind. `option` is its name in errors.
    pub(crate) fn load(&self, option: &'static str, kind: KeyKind) -> Result<KeyPair, Failure> {
        let pair = if looks_like_seed(&self.0) {
            KeyPair::from_seed(&self.0).map_err(|error| Failure::from(error).about(option))?
        } else {
            load(Path::new(&self.0)).map_err(|failure| failure.about(option))?
        };
        pair.public_key().require(option, kind)?;
        Ok(pair)
    }
}

/// Reads a seed from a file: the seed itself, or the JSON of `keys gen --json`.
fn load(path: &Path) -> Result<KeyPair, Failure> {
    let bytes = files::read(path, LIMIT)?;
    let text = String::from_utf8_lossy(&bytes);
    let file = serde_json::from_str(&text).map(|file: KeyFile| file.seed);
    let seed = file.unwrap_or_else(|_| text.into_owned());
    KeyPair::from_seed(seed.trim()).map_err(|error| Failure::from(error).about(path.display()))
}
