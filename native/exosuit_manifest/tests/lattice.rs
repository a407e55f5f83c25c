//! Manifests for the hosts of a lattice, which may have any module.

use exosuit_manifest::{Source, parse_for};

fn warnings(name: &str) -> Vec<String> {
    let path = format!("{}/../../test/manifests/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a manifest");
    let source = Source {
        file: name.to_owned(),
        directory: "/apps".to_owned(),
    };
    let diagnostics = match parse_for(&text, &source, None) {
        Ok(parsed) => parsed.warnings,
        Err(refused) => refused,
    };
    diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn a_module_that_one_host_lacks_another_may_have() {
    assert_eq!(warnings("counter.yaml"), [""; 0]);
    let elsewhere = warnings("elsewhere.yaml");
    assert!(!elsewhere.is_empty());
    assert!(
        elsewhere.iter().all(|line| !line.contains("MyApp.Clock")),
        "{elsewhere:#?}"
    );
}
