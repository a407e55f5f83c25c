//! Collects the mistakes while a manifest is parsed.
//!
//! Errors and warnings are counted apart, so that a hundred warnings cannot hide an error. They are
//! listed in the order of lines, not in that of their discovery, because links are parsed after all
//! components.

use std::cell::RefCell;

use crate::diagnostic::{Code, Diagnostic, Place, Severity, Source};

/// The number of listed mistakes of each severity. Nobody reads more, and a hostile text could
/// cause a million.
const MAX_LISTED: usize = 100;

/// Collects diagnostics. All parsers share it, so it has interior mutability.
pub(crate) struct Report<'a> {
    source: &'a Source,
    /// Mistakes that refuse the manifest.
    errors: RefCell<Listed>,
    /// Mistakes that do not.
    warnings: RefCell<Listed>,
}

/// Mistakes of one severity.
#[derive(Default)]
struct Listed {
    list: Vec<Diagnostic>,
    /// The number of further ones.
    left_out: usize,
}

impl<'a> Report<'a> {
    /// Nothing was reported.
    pub(crate) fn new(source: &'a Source) -> Self {
        Self {
            source,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Adds an error.
    pub(crate) fn error(
        &self,
        place: Place,
        code: Code,
        message: impl Into<String>,
        found: Option<String>,
    ) {
        let kind = (Severity::Error, code);
        let file = &self.source.file;
        (self.errors.borrow_mut()).push(Diagnostic::new(file, place, kind, message, found));
    }

    /// Adds diagnostics of either severity.
    pub(crate) fn extend(&self, diagnostics: Vec<Diagnostic>) {
        for diagnostic in diagnostics {
            let listed = match diagnostic.severity {
                Severity::Error => &self.errors,
                Severity::Warning => &self.warnings,
            };
            listed.borrow_mut().push(diagnostic);
        }
    }

    /// Adds a warning.
    pub(crate) fn warning(&self, place: Place, code: Code, message: impl Into<String>) {
        let kind = (Severity::Warning, code);
        let file = &self.source.file;
        (self.warnings.borrow_mut()).push(Diagnostic::new(file, place, kind, message, None));
    }

    /// Whether further mistakes are only counted, so that their messages need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.borrow().list.len() >= MAX_LISTED
    }

    /// Reports that the YAML scanner failed without a reason.
    pub(crate) fn unreadable<T>(&self) -> Option<T> {
        let message = "expected YAML, but the reader gave up on it";
        self.error(start(), Code::Syntax, message, None);
        None
    }

    /// The manifest, if there are no errors.
    /// The result, if there are no errors, with the warnings. Otherwise all of them, in the order
    /// of lines.
    pub(crate) fn finish<T>(
        self,
        parsed: Option<T>,
    ) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
        let errors = self.errors.into_inner().finish();
        let warnings = self.warnings.into_inner().finish();
        match parsed {
            Some(parsed) if errors.is_empty() => Ok((parsed, warnings)),
            _ => Err(sorted(errors.into_iter().chain(warnings))),
        }
    }
}

impl Listed {
    /// Lists a mistake, or counts it.
    fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_LISTED {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// The list, with a last entry that says how many were left out.
    fn finish(self) -> Vec<Diagnostic> {
        let mut list = sorted(self.list);
        if let (Some(last), 1..) = (list.last(), self.left_out) {
            list.push(Diagnostic {
                message: format!("{} more of these are not listed", self.left_out),
                path: String::new(),
                found: None,
                code: Code::Truncated,
                ..last.clone()
            });
        }
        list
    }
}

/// The place of mistakes that concern the whole text.
pub(crate) fn start() -> Place {
    Place {
        line: 1,
        column: 1,
        path: String::new(),
    }
}

/// In the order of lines and columns.
fn sorted(list: impl IntoIterator<Item = Diagnostic>) -> Vec<Diagnostic> {
    let mut list: Vec<_> = list.into_iter().collect();
    list.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    list
}
