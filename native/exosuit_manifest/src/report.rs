//! Collects the mistakes while a manifest is parsed.

use std::cell::RefCell;

use crate::diagnostic::{Code, Diagnostic, Place, Severity, Source};

/// How many mistakes of one severity are listed. Nobody reads more, and a hostile text could cause
/// a million.
const MAX_LISTED: usize = 100;

/// Collects diagnostics. All parsers share it, so it has interior mutability.
pub(crate) struct Report<'a> {
    source: &'a Source,
    errors: RefCell<Listed>,
    warnings: RefCell<Listed>,
}

#[derive(Default)]
struct Listed {
    list: Vec<Diagnostic>,
    left_out: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self {
            source,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

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

    pub(crate) fn extend(&self, diagnostics: Vec<Diagnostic>) {
        for diagnostic in diagnostics {
            let listed = match diagnostic.severity {
                Severity::Error => &self.errors,
                Severity::Warning => &self.warnings,
            };
            listed.borrow_mut().push(diagnostic);
        }
    }

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
    fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_LISTED {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

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

fn sorted(list: impl IntoIterator<Item = Diagnostic>) -> Vec<Diagnostic> {
    let mut list: Vec<_> = list.into_iter().collect();
    list.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    list
}
