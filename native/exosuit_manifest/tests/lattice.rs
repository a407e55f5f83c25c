//! What of a manifest other hosts can be told.

use exosuit_manifest::{Diagnostic, Source, parse_for_lattice};

fn parse(name: &str) -> Vec<String> {
    let path = format!("{}/../../test/manifests/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a manifest");
    let source = Source {
        file: name.to_owned(),
        directory: "/apps".to_owned(),
    };
    let diagnostics = match parse_for_lattice(&text, &source) {
        Ok(parsed) => parsed.warnings,
        Err(refused) => refused,
    };
    let line =
        |it: &Diagnostic| format!("{}: {it}", if it.is_error() { "error" } else { "warning" });
    diagnostics.iter().map(line).collect()
}

#[test]
fn what_one_host_lacks_another_may_have() {
    assert_eq!(parse("elsewhere.yaml"), [""; 0]);
    assert_eq!(parse("counter.yaml"), [""; 0]);
}

#[test]
fn what_only_the_own_host_can_do_is_a_warning_and_what_none_can_an_error() {
    let said = parse("settings.yaml");
    for (kind, expected) in [
        (
            "warning",
            "properties.limits: only the host that reads this manifest",
        ),
        (
            "warning",
            "properties.instances: only the host that reads this manifest",
        ),
        ("error", "properties.execution: expected auto"),
        (
            "warning",
            "properties.grants: only the host that reads this manifest",
        ),
    ] {
        let is_said = |line: &String| line.starts_with(kind) && line.contains(expected);
        assert!(said.iter().any(is_said), "{expected:?} is not in {said:#?}");
    }
}
