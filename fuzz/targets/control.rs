//! Bodies of the control interfaces, and the records that hosts share: JSON that anybody may send. The
//! names in them go through the parsers of `exosuit_core`, as every door has it. The first line is the
//! key of a record, the rest its value.
#![no_main]

use exosuit_core::{Contract, Id, LinkName};
use exosuit_lattice::{Key, Record};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let key = parts.next().and_then(|key| std::str::from_utf8(key).ok());
    let body = parts.next().unwrap_or_default();

    if let Some(key) = key.and_then(Key::parse)
        && let Ok(record) = Record::decode(&key, body)
    {
        let again = Record::decode(&key, &record.encode()).expect("what was read can be written");
        assert_eq!(record, again);
    }
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        names(&value);
    }
});

fn names(value: &Value) {
    match value {
        Value::String(text) => name(text),
        Value::Array(values) => values.iter().for_each(names),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            name(key);
            names(value);
        }),
        _ => {}
    }
}

/// What is taken for a name is the same text again.
fn name(text: &str) {
    if let Ok(id) = Id::parse(text) {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(name) = LinkName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(contract) = Contract::parse(text) {
        assert_eq!(contract.as_str(), text);
    }
}
