//! References to code: one parser for every door.
//!
//! ```
//! use exosuit_core::Reference;
//!
//! let parse = |text| Reference::parse(text).expect("a reference");
//! assert_eq!(parse("./echo.wasm"), Reference::File("./echo.wasm".into()));
//! assert_eq!(parse("wasmcloud+builtin://keyvalue").kind(), "builtin");
//! assert_eq!(parse("ghcr.io/acme/echo:0.3.4").kind(), "registry");
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use crate::nearest::hint;

/// The accepted forms of a reference, for messages.
pub const EXPECTED: &str = "a path, file://PATH, wasmcloud+builtin://NAME, exosuit+module://NAME or an \
                            image in a registry";

const SCHEMES: [&str; 6] = [
    "exosuit+module",
    "file",
    "http",
    "https",
    "oci",
    "wasmcloud+builtin",
];

/// The extensions of Wasm files and provider archives.
const EXTENSIONS: [&str; 4] = [".wasm", ".wat", ".par", ".gz"];

/// The source of the code of an actor or a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A file, by its path without `file://`.
    File(String),
    /// A built-in provider: `http-server`.
    Builtin(String),
    /// An Elixir module of the host's application, by name. It never becomes an atom.
    Module(String),
    /// An image in a registry, without a scheme.
    Registry(String),
}

/// The error of a text that is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}{hint}")]
pub struct InvalidReference {
    /// `; did you mean "file"?`, or nothing.
    hint: String,
}

impl Reference {
    /// Parses a reference.
    ///
    /// A text without a scheme is a path if it begins with `.` or `/`. It is an image in a registry
    /// if its first part is a server (`ghcr.io/a/b.wasm`, `localhost:5000/b`), or if it has a tag
    /// or a digest (`a/b:1`). Every other text is a path.
    ///
    /// ```
    /// use exosuit_core::Reference;
    ///
    /// let module = Reference::parse("exosuit+module://Greeter")?;
    /// assert_eq!((module.kind(), module.name()), ("module", "Greeter"));
    /// let error = Reference::parse("flie://echo.wasm").expect_err("no such scheme");
    /// assert!(error.to_string().ends_with("did you mean \"file\"?"));
    /// # Ok::<(), exosuit_core::reference::InvalidReference>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let scheme = text.split_once("://");
        let is_empty = |(_, rest): (&str, &str)| rest.is_empty();
        if text.is_empty() || text.chars().any(char::is_control) || scheme.is_some_and(is_empty) {
            return Err(InvalidReference::new(""));
        }
        match scheme {
            None if is_in_registry(text) => Ok(Self::Registry(text.to_owned())),
            None => Ok(Self::File(text.to_owned())),
            Some(("file", path)) => Ok(Self::File(path.to_owned())),
            Some(("wasmcloud+builtin", name)) => Ok(Self::Builtin(name.to_owned())),
            Some(("exosuit+module", name)) => Ok(Self::Module(name.to_owned())),
            // 1.x accepts a web address as the reference behind it.
            Some(("oci" | "http" | "https", rest)) => Ok(Self::Registry(rest.to_owned())),
            Some((other, _)) => Err(InvalidReference::new(other)),
        }
    }

    /// The kind: `file`, `builtin`, `module` or `registry`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Builtin(_) => "builtin",
            Self::Module(_) => "module",
            Self::Registry(_) => "registry",
        }
    }

    /// The text after the scheme.
    pub fn name(&self) -> &str {
        match self {
            Self::File(name) | Self::Builtin(name) | Self::Module(name) | Self::Registry(name) => {
                name
            }
        }
    }
}

impl InvalidReference {
    fn new(scheme: &str) -> Self {
        Self {
            hint: hint(scheme, SCHEMES),
        }
    }
}

/// The error for an image in a registry. It suggests the form of a file with that name.
///
/// ```
/// use exosuit_core::reference::NoRegistry;
///
/// let error = NoRegistry("ghcr.io/echo.wasm").to_string();
/// assert!(error.ends_with("write \"./ghcr.io/echo.wasm\""));
/// ```
pub struct NoRegistry<'a>(
    /// The image.
    pub &'a str,
);

impl fmt::Display for NoRegistry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(200).collect();
        write!(
            f,
            "{shown:?} names an image in a registry, and registries are not supported yet"
        )?;
        if is_file_name(self.0) {
            write!(f, "; for the file of that name, write \"./{shown}\"")?;
        }
        Ok(())
    }
}

fn is_in_registry(text: &str) -> bool {
    if text.starts_with(['.', '/']) {
        return false;
    }
    match text.split_once('/') {
        Some((first, rest)) => {
            is_server(first) || (!is_file_name(text) && rest.contains([':', '@']))
        }
        None => !is_file_name(text) && text.contains([':', '@']),
    }
}

fn is_file_name(text: &str) -> bool {
    EXTENSIONS.iter().any(|extension| text.ends_with(extension))
}

/// Whether a text names a server: `ghcr.io`, `localhost`, `localhost:5000`, `10.0.0.1`. `v0.1` is
/// none, as no top-level domain is a number.
fn is_server(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, ""));
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !text.contains(':') || is_port {
        return host == "localhost"
            || is_port
            || is_domain(host)
            || host.parse::<Ipv4Addr>().is_ok();
    }
    false
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_top = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic());
    text.contains('.') && is_top && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Option<&'static str> {
        Reference::parse(text)
            .ok()
            .map(|reference| reference.kind())
    }

    #[test]
    fn a_server_or_a_tag_makes_an_image() {
        for image in [
            "ghcr.io/wasmcloud/echo",
            "ghcr.io/acme/hello.wasm",
            "localhost:5000/echo:1",
            "localhost/echo",
            "10.0.0.1/echo.wasm",
            "wasmcloud/echo:0.3.8",
            "echo:0.3.8",
            "echo@sha256:00",
            "oci://echo",
            "https://ghcr.io/a/b:1",
        ] {
            assert_eq!(kind(image), Some("registry"), "{image}");
        }
    }

    #[test]
    fn all_else_without_a_scheme_is_a_path() {
        for path in [
            "echo",
            "echo_s.wasm",
            "./ghcr.io/echo",
            "./hello.wasm",
            "/x/hello.wasm",
            "../a:b",
            "/a:b",
            "build/echo_s.wasm",
            "v0.1/echo.par.gz",
            "file:///a.wasm",
        ] {
            assert_eq!(kind(path), Some("file"), "{path}");
        }
    }

    #[test]
    fn providers_are_named_behind_their_scheme() {
        let builtin = Reference::parse("wasmcloud+builtin://keyvalue");
        assert_eq!(builtin, Ok(Reference::Builtin("keyvalue".to_owned())));
        assert_eq!(kind("exosuit+module://clock"), Some("module"));
    }

    #[test]
    fn what_is_none_is_refused_with_what_was_probably_meant() {
        for bad in ["", "file://", "a\nb", "bindle://a"] {
            assert_eq!(kind(bad), None, "{bad:?}");
        }
        let error = Reference::parse("flie:///a.wasm").map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("did you mean \"file\"?")));
    }

    #[test]
    fn a_file_that_looks_like_an_image_is_told_how_to_be_written() {
        let text = NoRegistry("ghcr.io/acme/hello.wasm").to_string();
        assert!(text.contains("registries are not supported yet"), "{text}");
        assert!(
            text.contains("write \"./ghcr.io/acme/hello.wasm\""),
            "{text}"
        );
        assert!(!NoRegistry("ghcr.io/a:1").to_string().contains("./"));
    }
}
