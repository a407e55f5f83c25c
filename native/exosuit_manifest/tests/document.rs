//! A manifest as its author wrote it.

use exosuit_manifest::{Code, Source, document};
use serde_json::{Value, json};

fn read(text: &str) -> Result<Value, Vec<exosuit_manifest::Diagnostic>> {
    let source = Source {
        file: "app.yaml".to_owned(),
        directory: "/".to_owned(),
    };
    document(text, &source).map(|document| json!(document))
}

#[test]
fn every_field_is_there_known_or_not() {
    let text = "a: text\n'b': [1, -2.5, 0x10, true, ~, 'true']\nc: {d: *x}\n";
    assert!(read(text).is_err(), "an alias without its anchor");
    let text = "a: &x text\n'b': [1, -2.5, 0x10, TRUE, ~, 'true', 1e999]\nc: {d: *x}\n";
    assert_eq!(
        read(text).expect("good YAML"),
        json!({
            "a": "text",
            "b": [1, -2.5, 16, true, null, "true", "1e999"],
            "c": {"d": "text"},
        })
    );
}

#[test]
fn json_is_read_as_it_is() {
    let value =
        json!({"a": "/\u{1F980}\"\n", "b": {"c": [[], {}]}, "d": 9_007_199_254_740_993_i64});
    assert_eq!(read(&value.to_string()).expect("JSON is YAML"), value);
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    let diagnostics = read("a: [1\nb: 2").expect_err("a list without an end");
    assert_eq!(diagnostics[0].code, Code::Syntax);
}
