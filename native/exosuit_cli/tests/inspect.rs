//! `exosuit inspect` on a component, a module, and what is neither.

mod common;

use anyhow::Result;
use common::{Answer, run};

fn inspected(text: &str, arguments: &[&str]) -> Result<Answer> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("file.wasm");
    std::fs::write(&path, wat::parse_str(text)?)?;
    let path = path.to_str().expect("UTF-8");
    run([&["inspect", path], arguments].concat())
}

#[test]
fn a_component_shows_its_functions_and_who_answers_its_imports() -> Result<()> {
    let shop = include_str!("../../../test/guests/text/shop.wat");
    let stdout = inspected(shop, &[])?.stdout;
    for part in [
        "kind      component",
        "claims    none: a host must allow unsigned actors",
        "needs     2 core instance(s) of 2 module(s), 1 memories (256 KiB), 0 table(s)",
        "acme:shop/orders@1.0.0",
        "place: func(order: order) -> result<order, string>",
    ] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }

    let imports = r#"(component
        (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func))))
        (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "f" (func))))
        (import "acme:money/bank@0.2.0" (instance (export "pay" (func (param "cents" u64))))))"#;
    let stdout = inspected(imports, &[])?.stdout;
    for part in [
        "wasi:cli/exit@0.2.0  (the host, with what is granted to the actor)",
        "wasi:keyvalue/store@0.2.0-draft  (a link; the built-in provider keyvalue or another one can be linked)",
        "acme:money/bank@0.2.0  (a link)",
        "pay: func(cents: u64)",
    ] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    let json = inspected(imports, &["--json"])?.json()?;
    assert_eq!(json["kind"], "component");
    assert_eq!(json["needs"]["instances"], 0);
    let by: Vec<_> = json["answers"].as_array().into_iter().flatten().collect();
    assert_eq!(by[0]["by"], "host");
    assert_eq!(by[1]["contract"], "wasi:keyvalue");
    assert_eq!(by[2]["by"], "link");
    Ok(())
}

#[test]
fn a_module_shows_its_imports() -> Result<()> {
    let module = r#"(module
        (import "wasmbus" "__host_call" (func (param i32)))
        (func (export "__guest_call")))"#;
    let stdout = inspected(module, &[])?.stdout;
    for part in ["wasmbus module", "wasmbus __host_call", "__guest_call"] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    Ok(())
}

#[test]
fn a_host_is_asked_if_one_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let absent = dir.path().to_str().expect("UTF-8").to_owned();
    let output = inspected("(component)", &["--data-dir", &absent])?;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("exosuit.sock"), "{}", output.stderr);
    Ok(())
}

#[test]
fn what_is_no_wasm_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("file.wasm");
    std::fs::write(&path, "no Wasm")?;
    let output = run(["inspect", path.to_str().expect("UTF-8")])?;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("file.wasm: "));
    Ok(())
}
