//! Files of WIT, components and modules, and what is none of these.

use std::fs;

use anyhow::Result;
use exosuit_inspect::{Error, Kind, Shape, Type, describe, read_interface, read_world};

const SHOP: &str = r"
package acme:shop@1.0.0;

/// What a shop offers.
interface orders {
  use types.{line};
  /// How an order travels.
  variant shipping { pickup, parcel(string) }
  record order { lines: list<line>, shipping: shipping, note: option<option<string>> }
  type orders = list<order>;
  resource basket {
    constructor(owner: string);
    add: func(line: line) -> result<u32, string>;
    merge: static func(one: basket, other: borrow<basket>) -> basket;
  }
  /// Places an order.
  place: func(order: order) -> result<order, string>;
  all: func() -> orders;
}

interface types {
  enum color { red, green }
  flags rights { read, write }
  record line { name: string, color: color, rights: rights }
}

world shop {
  import acme:money/bank@0.2.0;
  import log: func(text: string);
  export orders;
  export ping: func() -> tuple<u8, f64>;
}
";

const MONEY: &str = "package acme:money@0.2.0; interface bank { pay: func(cents: u64) -> result; }";

fn files() -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    fs::create_dir_all(dir.path().join("deps/money"))?;
    fs::write(dir.path().join("shop.wit"), SHOP)?;
    fs::write(dir.path().join("deps/money/money.wit"), MONEY)?;
    Ok(dir)
}

#[test]
fn a_world_is_read_with_its_dependencies() -> Result<()> {
    let dir = files()?;
    let world = read_world(dir.path(), None)?;
    assert_eq!(world.name, "acme:shop/shop@1.0.0");
    let names = |interfaces: &[exosuit_inspect::Interface]| -> Vec<_> {
        let names = interfaces.iter().map(|interface| interface.name.clone());
        names.map(Option::unwrap_or_default).collect()
    };
    let imports = names(&world.imports);
    assert_eq!(
        imports,
        ["", "acme:money/bank@0.2.0", "acme:shop/types@1.0.0"]
    );
    assert_eq!(names(&world.exports), ["", "acme:shop/orders@1.0.0"]);

    let orders = &world.exports[1];
    assert_eq!(orders.docs.as_deref(), Some("What a shop offers."));
    let signatures: Vec<_> = orders
        .functions
        .iter()
        .map(|function| (function.name.as_str(), function.signature.as_str()))
        .collect();
    assert_eq!(
        signatures,
        [
            ("[constructor]basket", "func(owner: string) -> basket"),
            (
                "[method]basket.add",
                "func(self: borrow<basket>, line: line) -> result<u32, string>"
            ),
            (
                "[static]basket.merge",
                "func(one: basket, other: borrow<basket>) -> basket"
            ),
            ("place", "func(order: order) -> result<order, string>"),
            ("all", "func() -> orders"),
        ]
    );
    assert_eq!(
        orders.functions[3].docs.as_deref(),
        Some("Places an order.")
    );
    assert_eq!(orders.functions[1].resource.as_deref(), Some("basket"));

    // `line` is used here, and defined elsewhere.
    let types: Vec<_> = orders.types.iter().map(|ty| ty.name.as_str()).collect();
    assert_eq!(types, ["shipping", "order", "orders", "basket"]);
    let Shape::Record(fields) = &orders.types[1].shape else {
        panic!("no record");
    };
    let Type::List(line) = &fields[0].r#type else {
        panic!("no list");
    };
    let Type::Named(line) = &**line else {
        panic!("no name");
    };
    assert_eq!(line.interface.as_deref(), Some("acme:shop/types@1.0.0"));
    assert_eq!(fields[2].r#type.to_string(), "option<option<string>>");
    Ok(())
}

#[test]
fn an_interface_is_found_by_its_name() -> Result<()> {
    let dir = files()?;
    let bank = read_interface(dir.path(), "acme:money/bank")?;
    assert_eq!(bank.name.as_deref(), Some("acme:money/bank@0.2.0"));
    assert_eq!(bank.functions[0].signature, "func(cents: u64) -> result");
    let error = read_interface(dir.path(), "acme:money/safe");
    let text = error.expect_err("no such interface").to_string();
    assert!(text.contains("acme:money/bank@0.2.0"), "{text}");
    Ok(())
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::write(
        dir.path().join("bad.wit"),
        "package a:b;\ninterface c { d: fun(); }",
    )?;
    let text = read_world(dir.path(), None)
        .expect_err("no WIT")
        .to_string();
    assert!(text.contains("bad.wit:2:"), "{text}");
    let missing = read_world(&dir.path().join("none"), None);
    assert!(matches!(missing, Err(Error::Unreadable(_))));
    let world = read_world(files()?.path(), Some("other"));
    assert!(matches!(world, Err(Error::NotFound(_))), "{world:?}");
    Ok(())
}

#[test]
fn a_component_is_described() -> Result<()> {
    let wasm = wat::parse_str(include_str!("../../../test/guests/text/shop.wat"))?;
    let description = describe(&wasm)?;
    assert_eq!(description.kind, Kind::Component);
    assert_eq!(
        (description.core_modules, description.needs.memory),
        (2, 4 << 16)
    );
    let world = description.world.expect("a world");
    let orders = world.exports.iter().find(|it| it.name.is_some());
    let orders = orders.expect("an interface");
    assert_eq!(orders.name.as_deref(), Some("acme:shop/orders@1.0.0"));
    assert_eq!(orders.functions[0].name, "place");

    let dir = tempfile::tempdir()?;
    let path = dir.path().join("shop.wasm");
    fs::write(&path, &wasm)?;
    assert_eq!(read_world(&path, None)?.exports, world.exports);
    Ok(())
}

#[test]
fn a_module_is_described() -> Result<()> {
    let wasmbus = r#"(module
        (import "wasmbus" "__host_call" (func (param i32)))
        (memory (export "memory") 3)
        (func (export "__guest_call")))"#;
    let description = describe(&wat::parse_str(wasmbus)?)?;
    assert_eq!(description.kind, Kind::WasmbusModule);
    let module = description.module.expect("a module");
    assert_eq!(
        module.imports,
        [("wasmbus".to_owned(), "__host_call".to_owned())]
    );
    assert_eq!(module.exports, ["__guest_call"]);
    assert_eq!(description.needs.memory, 3 << 16);
    for (text, kind) in [
        (r#"(module (func (export "_start")))"#, Kind::Program),
        ("(module)", Kind::Module),
    ] {
        assert_eq!(describe(&wat::parse_str(text)?)?.kind, kind);
    }
    Ok(())
}

#[test]
fn what_wit_cannot_express_is_refused() -> Result<()> {
    for text in [
        r#"(component (import "unlocked-dep=<a:b>" (func)))"#,
        r#"(component (type $f (func)) (import "x" (type (eq $f))))"#,
        r#"(component (import "a:b/c" (instance (type $f (func)) (export "x" (type (eq $f))))))"#,
        r#"(component (import "a:b/c" (func)))"#,
        r#"(component (import "integrity=<sha256-abc>" (func)))"#,
    ] {
        let described = describe(&wat::parse_str(text)?);
        assert!(matches!(described, Err(Error::Unreadable(_))), "{text}");
    }
    Ok(())
}

#[test]
fn names_that_are_used_again_and_again_are_bounded() -> Result<()> {
    let long = "a".repeat(90_000);
    let function = |n| format!(r#"(export "f{n}" (func (type $f)))"#);
    let functions: String = (0..1_000).map(function).collect();
    let text = format!(
        r#"(component (import "acme:kv/store"
            (instance (type $f (func (param "{long}" u32))) {functions})))"#
    );
    let described = describe(&wat::parse_str(text)?);
    assert!(
        matches!(described, Err(Error::TooLarge(_))),
        "{described:?}"
    );
    Ok(())
}

#[test]
fn what_is_no_wasm_is_refused() {
    for bad in [
        &b""[..],
        b"\0asm",
        b"\0asm\x01\0\0\0\xff",
        b"\0asm\x0d\0\x01\0\xff",
    ] {
        assert!(
            matches!(describe(bad), Err(Error::Unreadable(_))),
            "{bad:?}"
        );
    }
}
