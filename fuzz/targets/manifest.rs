//! Manifests: whatever text comes, it is read or refused, and every mistake has a line of the text.
#![no_main]

use exosuit_manifest::{Diagnostic, Source, parse, parse_for};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source {
        file: "app.yaml".to_owned(),
        directory: "/apps".to_owned(),
    };
    let lines = text.split(['\n', '\r']).count() + 1;
    let check = |diagnostics: &[Diagnostic]| {
        for diagnostic in diagnostics {
            assert!(diagnostic.line <= lines, "{diagnostic} in {lines} lines");
        }
    };
    for result in [
        parse(text, &source),
        parse_for(text, &source, Some(&["greeter"])),
        parse_for(text, &source, None),
    ] {
        match result {
            Ok(parsed) => check(&parsed.warnings),
            Err(diagnostics) => {
                assert!(!diagnostics.is_empty(), "refused without a reason");
                check(&diagnostics);
            }
        }
    }
});
