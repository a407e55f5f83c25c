//! What of a manifest other hosts can be told.

use exosuit_manifest::{Source, parse_for_lattice};

fn parse(name: &str) -> Vec<String> {
    let path = format!("{}/../../test/manifests/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a manifest");
    let source = Source {
        file: name.to_owned(),
        directory: "/apps".to_owned(),
    };
    let refused = parse_for_lattice(&text, &source).err().unwrap_or_default();
    refused.iter().map(ToString::to_string).collect()
}

#[test]
fn what_one_host_lacks_another_may_have() {
    assert_eq!(parse("elsewhere.yaml"), [""; 0]);
    assert_eq!(parse("counter.yaml"), [""; 0]);
}

#[test]
fn settings_that_there_are_no_words_for_are_refused_where_they_stand() {
    let refused = parse("settings.yaml");
    for expected in [
        "properties.limits: expected memory, and deadline",
        "properties.instances: expected ephemeral",
        "properties.execution: expected auto",
        "properties.grants: expected no grants",
    ] {
        assert!(
            refused.iter().any(|line| line.contains(expected)),
            "{expected:?} is not in {refused:#?}"
        );
    }
}
