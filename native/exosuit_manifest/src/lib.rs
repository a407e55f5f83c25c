//! Manifests: from YAML to specifications and links, each mistake with its line.
//!
//! There is one form, wadm's OAM `Application`. Fields of wadm 0.6 and 0.21 are read, and brought
//! into one shape. [`parse`] is pure: it touches no file and no clock, ends quickly and never
//! panics, whatever the text.
//!
//! ```
//! use exosuit_manifest::{Source, parse};
//!
//! let text = "
//! apiVersion: core.oam.dev/v1beta1
//! kind: Application
//! metadata: {name: hello}
//! spec:
//!   components:
//!     - name: echo
//!       type: component
//!       properties: {image: ./echo.wasm}
//! ";
//! let source = Source { file: "app.yaml".into(), directory: "/srv/hello".into() };
//! let parsed = parse(text, &source).expect("no mistakes");
//! assert_eq!(parsed.manifest.components[0].id.as_str(), "hello-echo");
//!
//! let mistakes = parse(&text.replace("image", "imgae"), &source).unwrap_err();
//! assert!(mistakes[0].to_string().starts_with("app.yaml:9:"));
//! ```
//!
//! - [`Source`]: the name of the text in messages, and the directory of relative paths.
//! - [`Manifest`]: what should run ([`ActorSpec`], [`ProviderSpec`]) and how it is linked
//!   ([`LinkSpec`]).
//! - [`document`]: the same text with the fields as its author wrote them.
//! - [`Manifest::unsupported`], [`parse_for`]: parts that hosts do not support.
//! - [`Diagnostic`]: one mistake: where it is, what was found, and what would be right.
//!
//! Inside, `load` makes a bounded tree of nodes with positions. `value` walks through the tree and
//! reports mistakes. Each of the other files parses one part of a manifest.
//!
//! # The steps
//!
//! | step | file | ends with |
//! |---|---|---|
//! | bytes to text | [`decode`] | an error at the first byte that is not UTF-8 |
//! | text to a tree | `load`, `node` | a tree within bounds, or the reason why there is none |
//! | tree to drafts | `application`, `component` | components with names, ids and images |
//! | drafts to links | `link` | links between known components |
//! | settings | `settings`, `scaler`, `grants`, `config`, `rollout` | values in their units |
//! | hosts | `supported` | parts that hosts cannot run |
//!
//! Every step goes on after a mistake, as far as it makes sense, so that an author sees all of them
//! at once. A manifest is good only if nothing was reported as an error.
//!
//! # What is bounded
//!
//! | what | by |
//! |---|---|
//! | the text | 1 MiB |
//! | nesting | 64 levels |
//! | values, with aliases written out | 200,000 |
//! | listed mistakes | 100 errors and 100 warnings; the rest is counted |
//! | quoted text in a message | 60 characters |
//! | names that a misspelt one is compared with | 200 |
//!
//! # Who calls it
//!
//! `exosuit_nif` for `Exosuit.Manifest`, which starts and checks applications. It shows the
//! diagnostics as they are.

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
    Access, ActorLimits, ActorSettings, ActorSpec, Directory, Execution, Grants, InstancePolicy,
    LinkSpec, Manifest, Parsed, Part, ProviderSpec, Rollout, ScalerKind, Spread,
};

use node::Node;
use report::Report;
use value::Value;

/// The text of a manifest, or an error with the place of the first byte that is not UTF-8.
///
/// ```
/// use exosuit_manifest::{Source, decode};
///
/// let source = Source { file: "app.yaml".into(), directory: "/srv".into() };
/// assert_eq!(decode(b"kind: Application", &source), Ok("kind: Application"));
/// let mistakes = decode(b"kind: \xff", &source).unwrap_err();
/// assert!(mistakes[0].to_string().starts_with("app.yaml:1:7:"));
/// ```
///
/// # Errors
///
/// One diagnostic of the kind `syntax`, with line and column of the byte.
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

/// The number of characters after the last line break.
fn column(text: &[u8]) -> usize {
    let line = text
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).chars().count()
}

/// Parses a manifest completely, so that all mistakes are reported at once.
///
/// An `Err` holds at least one error, and the warnings: a misspelt field is often the reason why
/// another one is missing. They are in the order of their lines.
///
/// # Errors
///
/// All errors and warnings, in the order of their lines.
pub fn parse(text: &str, source: &Source) -> Result<Parsed, Vec<Diagnostic>> {
    parse_with(text, source, |_| Vec::new())
}

/// Parses a manifest for hosts with these Elixir modules, or with any. Parts that they do not
/// support ([`Manifest::unsupported`]) are reported together with the mistakes.
///
/// `modules` are the names of the Elixir modules that the host offers as providers. `None` stands
/// for the hosts of a lattice, which may offer any.
pub fn parse_for(
    text: &str,
    source: &Source,
    modules: Option<&[&str]>,
) -> Result<Parsed, Vec<Diagnostic>> {
    parse_with(text, source, |manifest| manifest.unsupported(modules))
}

/// Parses the document of a manifest, without checking its fields.
///
/// It serializes to the values that the author wrote, without any defaults. Tools that read
/// manifests as JSON use it.
///
/// # Errors
///
/// Mistakes of the YAML itself.
///
/// ```
/// use exosuit_manifest::{Source, document};
///
/// let source = Source { file: "app.yaml".into(), directory: "/srv".into() };
/// assert!(document("kind: Application", &source).is_ok());
/// let mistakes = document("kind: [", &source).unwrap_err();
/// assert_eq!(mistakes[0].code.as_str(), "syntax");
/// ```
pub fn document(text: &str, source: &Source) -> Result<Document, Vec<Diagnostic>> {
    let report = Report::new(source);
    let root = load_safely(text, &report);
    report
        .finish(root.map(Document))
        .map(|(document, _)| document)
}

/// Parses, and adds the diagnostics of `unsupported` to the report.
fn parse_with(
    text: &str,
    source: &Source,
    unsupported: impl FnOnce(&Manifest) -> Vec<Diagnostic>,
) -> Result<Parsed, Vec<Diagnostic>> {
    let report = Report::new(source);
    let root = load_safely(text, &report);
    let manifest = root.and_then(|root| application::parse(&Value::root(&root, &report), source));
    // A manifest with mistakes holds its other parts, so that they can be checked, too.
    report.extend(manifest.as_ref().map_or_else(Vec::new, unsupported));
    let (manifest, warnings) = report.finish(manifest)?;
    Ok(Parsed { manifest, warnings })
}

/// Loads the YAML. If the scanner, which is not ours, panics on a text, the text is refused.
///
/// The report is behind a `RefCell`, whose state is valid after a panic: it is borrowed only while
/// one diagnostic is added.
fn load_safely(text: &str, report: &Report) -> Option<Rc<Node>> {
    let loaded = catch_unwind(AssertUnwindSafe(|| load::load(text, report)));
    loaded.unwrap_or_else(|_| report.unreadable())
}
