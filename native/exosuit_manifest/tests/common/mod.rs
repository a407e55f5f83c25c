//! The fixtures of `test/manifests`, and short ways to look at what becomes of them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use exosuit_manifest::{Diagnostic, Manifest, Parsed, Source};

/// Manifests that are good, or bad in many ways.
pub const FIXTURES: &[&str] = &[
    "broken",
    "conflicts",
    "counter",
    "counter-component",
    "elsewhere",
    "new",
    "old",
    "settings",
    "transitional",
];

/// The text of a fixture.
pub fn fixture(name: &str) -> String {
    read("test/manifests", name)
}

/// The text of a manifest in a directory of the repository.
fn read(directory: &str, name: &str) -> String {
    let path = format!(
        "{}/../../{directory}/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Parses a text as `app.yaml` in `/apps`.
pub fn parse(text: &str) -> Result<Parsed, Vec<Diagnostic>> {
    let source = Source {
        file: "app.yaml".to_owned(),
        directory: "/apps".to_owned(),
    };
    exosuit_manifest::parse(text, &source)
}

/// The manifest of a fixture without mistakes and warnings.
pub fn good(name: &str) -> Manifest {
    good_at("test/manifests", name)
}

/// The manifest without mistakes and warnings in a directory of the repository.
pub fn good_at(directory: &str, name: &str) -> Manifest {
    let parsed = parse(&read(directory, name)).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
    let Parsed { manifest, warnings } = parsed;
    assert_eq!(warnings, [], "{name}");
    manifest
}

/// The mistakes in a text.
pub fn bad(text: &str) -> Vec<Diagnostic> {
    parse(text).expect_err("a bad manifest")
}

/// A small good manifest, with `component` as its second component.
pub fn with(component: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: app}}\nspec:\n  \
         components:\n    - {{name: first, type: component, properties: {{image: a.wasm}}}}\n    \
         - {component}\n"
    )
}

/// The only mistake of a small manifest with this as its second component.
pub fn mistake(component: &str) -> String {
    match bad(&with(component)).as_slice() {
        [only] => only.to_string(),
        several => panic!("expected one mistake, found {several:#?}"),
    }
}
