//! Manifests: YAML in, specifications and links out, every mistake with its line.
//!
//! One form, wadm's OAM `Application`, old fields (0.6) and new ones (0.21) both read and brought
//! into one shape. [`parse`] is pure: it touches no file and no clock, ends quickly and never
//! panics, whatever the text.
//!
//! - [`Source`]: what the text is called in messages, and where relative images start.
//! - [`Manifest`]: what should run ([`ActorSpec`], [`ProviderSpec`]) and what joins it ([`LinkSpec`]).
//! - [`document`]: the same text with the fields as its author wrote them.
//! - [`Manifest::unsupported`], [`parse_for`]: what hosts cannot honour of it.
//! - [`Diagnostic`]: one thing that is wrong: where, what was found, what would be right.
//!
//! On the way through, `load` makes a bounded tree of nodes with positions, `value` walks it and
//! reports, and the rest reads one part of a manifest each.

#![forbid(unsafe_code)]

mod application;
mod component;
mod config;
mod diagnostic;
mod document;
mod draft;
mod grants;
mod image;
mod link;
mod load;
mod model;
mod node;
mod report;
mod rollout;
mod scaler;
mod settings;
mod supported;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

pub use diagnostic::{Code, Diagnostic, Place, Severity, Source};
pub use document::Document;
pub use image::{Image, builtin_contract};
pub use model::{
    Access, ActorSettings, ActorSpec, Directory, Execution, Grants, InstancePolicy, Limits,
    LinkSpec, Manifest, Parsed, Part, ProviderSpec, Rollout, ScalerKind, Spread,
};

use node::Node;
use report::Report;
use value::Value;

/// The text of a manifest; or where its bytes are not UTF-8.
pub fn decode<'a>(bytes: &'a [u8], source: &Source) -> Result<&'a str, Vec<Diagnostic>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let place = Place {
            line: good.split(|byte| *byte == b'\n').count(),
            column: 1 + column(good),
            path: String::new(),
        };
        let found = bytes
            .get(error.valid_up_to())
            .map(|byte| format!("the byte 0x{byte:02x}"));
        let message = "expected UTF-8: save the file as UTF-8";
        let kind = (Severity::Error, Code::Syntax);
        vec![Diagnostic::new(&source.file, place, kind, message, found)]
    })
}

/// How many characters stand behind the last line break.
fn column(text: &[u8]) -> usize {
    let line = text
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).chars().count()
}

/// Reads a manifest: the whole of it, so that every mistake is told at once.
///
/// An `Err` holds at least one error, and the warnings as well: a misspelt field is often why
/// another one is missing. Both are in the order of their lines.
pub fn parse(text: &str, source: &Source) -> Result<Parsed, Vec<Diagnostic>> {
    read(text, source, |_| Vec::new())
}

/// Reads a manifest for hosts with these Elixir modules, or with any: what they cannot honour
/// ([`Manifest::unsupported`]) is told together with what is wrong.
pub fn parse_for(
    text: &str,
    source: &Source,
    modules: Option<&[&str]>,
) -> Result<Parsed, Vec<Diagnostic>> {
    read(text, source, |manifest| manifest.unsupported(modules))
}

/// Reads the document of a manifest without a look at what its fields mean.
pub fn document(text: &str, source: &Source) -> Result<Document, Vec<Diagnostic>> {
    let report = Report::new(source);
    let root = load_safely(text, &report);
    report
        .finish(root.map(Document))
        .map(|(document, _)| document)
}

fn read(
    text: &str,
    source: &Source,
    unsupported: impl FnOnce(&Manifest) -> Vec<Diagnostic>,
) -> Result<Parsed, Vec<Diagnostic>> {
    let report = Report::new(source);
    let root = load_safely(text, &report);
    let manifest = root.and_then(|root| application::read(&Value::root(&root, &report), source));
    // With mistakes in it, the manifest holds those parts that have none.
    report.extend(manifest.as_ref().map_or_else(Vec::new, unsupported));
    let (manifest, warnings) = report.finish(manifest)?;
    Ok(Parsed { manifest, warnings })
}

/// The YAML scanner is not ours: should it panic on some text, this text is refused.
fn load_safely(text: &str, report: &Report) -> Option<Rc<Node>> {
    let read = catch_unwind(AssertUnwindSafe(|| load::load(text, report)));
    read.unwrap_or_else(|_| report.unreadable())
}
