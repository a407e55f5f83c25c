//! Mistakes in a manifest, with their places.
//!
//! The texts are for people and may change. Programs use [`Code`], whose texts are stable, and the
//! fields for line, column and path.

use std::fmt;

use serde::{Serialize, Serializer};

/// The source of a text.
///
/// It never leads to a read: paths are only joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the text in messages: `app.yaml`.
    pub file: String,
    /// The directory of relative paths, as an absolute path.
    pub directory: String,
}

/// A place in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// `spec.components[1].traits[0].properties.target.name`; empty for the whole document.
    pub path: String,
}

/// A mistake in a manifest. `Display` prints it on one line for people.
///
/// ```
/// use exosuit_manifest::{Code, Severity, Source, parse};
///
/// let source = Source { file: "app.yaml".into(), directory: "/srv".into() };
/// let mistakes = parse("apiVersion: core.oam.dev/v1beta1", &source).unwrap_err();
/// let first = &mistakes[0];
/// assert_eq!((first.severity, first.code), (Severity::Error, Code::Missing));
/// assert_eq!((first.line, first.column), (1, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Diagnostic {
    /// The file, as in [`Source::file`].
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// `spec.components[0].properties.image`; empty for the whole document.
    pub path: String,
    /// The text at this place, if it helps.
    pub found: Option<String>,
    /// The expected form.
    pub message: String,
    /// Whether the manifest is refused.
    pub severity: Severity,
    /// The kind, for programs.
    pub code: Code,
}

impl Diagnostic {
    /// A diagnostic of this file.
    pub(crate) fn new(
        file: &str,
        place: Place,
        (severity, code): (Severity, Code),
        message: impl Into<String>,
        found: Option<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            path: place.path,
            found,
            message: message.into(),
            severity,
            code,
        }
    }

    /// Whether the manifest is refused.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.found {
            Some(found) => write!(f, ", found {found}"),
            None => Ok(()),
        }
    }
}

/// The severity of a mistake.
///
/// `parse` fails on errors only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest is accepted, but is probably not what its author meant.
    Warning,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The kinds of diagnostics. Their texts are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The text is not YAML, or uses a part of YAML that manifests have no use for.
    Syntax => "syntax",
    /// The text is larger, deeper or has more nodes than a manifest may.
    TooLarge => "too_large",
    /// A key, or a field under two of its names, is given twice.
    Duplicate => "duplicate",
    /// A field that must be there is not.
    Missing => "missing",
    /// A list where a map should be, and the like.
    WrongType => "wrong_type",
    /// The right type, but not a value that means anything.
    InvalidValue => "invalid_value",
    /// An unknown field.
    UnknownField => "unknown_field",
    /// A setting that its built-in provider does not honour, or not where it stands.
    NoEffect => "no_effect",
    /// An unknown trait.
    UnknownTrait => "unknown_trait",
    /// A link to a component that the manifest does not have.
    UnknownTarget => "unknown_target",
    /// Two links that contradict each other.
    LinkConflict => "link_conflict",
    /// wadm supports it, but Exosuit does not.
    Unsupported => "unsupported",
    /// This host cannot use it, but another host might.
    NotHere => "not_here",
    /// Further mistakes are left out.
    Truncated => "truncated",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
