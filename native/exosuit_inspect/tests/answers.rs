//! The answerers of imports, on any host and on a host with an inventory; and the needs of code.

use anyhow::Result;
use exosuit_inspect::{Answer, Asker, By, Inventory, Needs, answers, describe};
use serde_json::json;

const IMPORTS: &str = r#"(component
    (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func))))
    (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "f" (func))))
    (import "wasi:logging/logging@0.1.0-draft" (instance (export "f" (func))))
    (import "wasi:http/types@0.2.0" (instance (export "f" (func))))
    (import "acme:money/types@0.2.0" (instance (type $t u8) (export "t" (type (eq $t)))))
    (import "acme:money/bank@0.2.0" (instance (export "pay" (func (param "cents" u64)))))
    (import "ask" (func)))"#;

fn asked(asker: &Asker, inventory: Option<&Inventory>) -> Result<Vec<Answer>> {
    Ok(answers(
        &describe(&wat::parse_str(IMPORTS)?)?,
        asker,
        inventory,
    ))
}

fn asker(id: &str, capabilities: Option<&[&str]>) -> Asker {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Asker {
        names: vec![id.to_owned()],
        capabilities: capabilities.map(owned),
    }
}

fn found<'a>(answers: &'a [Answer], import: &str) -> &'a Answer {
    let mut answers = answers.iter();
    answers
        .find(|answer| answer.import.starts_with(import))
        .expect("an answer")
}

#[test]
fn any_host_answers_its_own_and_the_rest_takes_links() -> Result<()> {
    let answers = asked(&Asker::default(), None)?;
    for (import, by, text) in [
        ("wasi:cli/exit", By::Host, "the host, with what is granted"),
        (
            "wasi:keyvalue",
            By::Link,
            "a link; the built-in provider keyvalue or another one",
        ),
        ("wasi:logging", By::Host, "the host"),
        ("wasi:http/types", By::Host, "the host"),
        ("acme:money/types", By::Nothing, "types alone"),
        ("acme:money/bank", By::Link, "a link"),
        ("(the world", By::Nobody, "only interfaces of a package"),
    ] {
        let answer = found(&answers, import);
        assert_eq!(answer.by, by, "{import}");
        assert!(answer.text.contains(text), "{import}: {}", answer.text);
    }
    let answers = asked(&asker("a", Some(&["wasi:http"])), None)?;
    assert_eq!(found(&answers, "wasi:logging").by, By::Nobody);
    let bank = found(&answers, "acme:money/bank");
    assert_eq!(
        bank.text,
        "a link to an actor alone: the token does not name acme:money"
    );
    Ok(())
}

#[test]
fn a_host_answers_by_its_links() -> Result<()> {
    let link = |source: &str, target: &str, package: &str, interfaces: &[&str], status: &str| {
        json!({
            "source": source, "target": target, "name": "default", "namespace": "acme", "package": package,
            "interfaces": interfaces, "status": status, "error": (status == "refused").then_some("no such account")
        })
    };
    let inventory = |links: Vec<serde_json::Value>| -> Result<Inventory> {
        let item = |id: &str, status: &str| json!({"id": id, "status": status, "public_key": format!("KEY-{id}")});
        Ok(serde_json::from_value(json!({
            "actors": [item("other", "running")],
            "providers": [item("bank", "running"), item("broken", "crashing")],
            "links": links
        }))?)
    };
    let none: Option<&[&str]> = None;
    let others = ["acme:other"];
    for (links, capabilities, by, text) in [
        (
            vec![],
            none,
            By::Nobody,
            "nobody: no link for acme:money from shop",
        ),
        (
            vec![link("cart", "bank", "money", &[], "in_force")],
            none,
            By::Nobody,
            "no link",
        ),
        (
            vec![link("shop", "bank", "other", &[], "in_force")],
            none,
            By::Nobody,
            "no link",
        ),
        (
            vec![link("shop", "bank", "money", &["safe"], "in_force")],
            none,
            By::Nobody,
            "no link",
        ),
        (
            vec![link("shop", "bank", "money", &["bank"], "in_force")],
            none,
            By::Link,
            "provider bank",
        ),
        (
            vec![link("shop", "KEY-bank", "money", &[], "in_force")],
            none,
            By::Link,
            "provider KEY-bank",
        ),
        (
            vec![link("shop", "broken", "money", &[], "in_force")],
            none,
            By::Nobody,
            "broken, which is crashing",
        ),
        (
            vec![link("shop", "bank", "money", &[], "refused")],
            none,
            By::Nobody,
            "bank, which refuses the link: no such account",
        ),
        (
            vec![link("shop", "far", "money", &[], "waiting")],
            none,
            By::Link,
            "far, which does not run on this host",
        ),
        (
            vec![link("shop", "bank", "money", &[], "in_force")],
            Some(&others[..]),
            By::Nobody,
            "the token does not name acme:money",
        ),
        // An actor may be called without a claim.
        (
            vec![link("shop", "other", "money", &[], "in_force")],
            Some(&others[..]),
            By::Link,
            "actor other",
        ),
    ] {
        let answers = asked(&asker("shop", capabilities), Some(&inventory(links)?))?;
        let answer = found(&answers, "acme:money/bank");
        assert_eq!(answer.by, by, "{}", answer.text);
        assert!(answer.text.contains(text), "{text}: {}", answer.text);
    }
    Ok(())
}

fn needs(text: &str) -> Result<[u64; 4]> {
    let Needs {
        instances,
        memories,
        tables,
        memory,
    } = describe(&wat::parse_str(text)?)?.needs;
    Ok([instances, memories, tables, memory])
}

#[test]
fn what_code_needs_is_counted_as_often_as_it_is_instantiated() -> Result<()> {
    let module = "(module (memory 2) (table 1 funcref) (table 1 funcref))";
    assert_eq!(needs(module)?, [1, 1, 2, 128 << 10]);
    assert_eq!(
        needs("(module (import \"a\" \"m\" (memory 5)))")?,
        [1, 0, 0, 0]
    );
    assert_eq!(needs("(component (core module (memory 1)))")?, [0, 0, 0, 0]);
    let twice = "(component
        (core module $m (memory 2) (table 1 funcref))
        (core instance (instantiate $m)) (core instance (instantiate $m)))";
    assert_eq!(needs(twice)?, [2, 2, 2, 256 << 10]);
    // By an alias to the outside, and by a nested component.
    let nested = "(component $c
        (core module $m (memory 1))
        (component $n
          (alias outer $c $m (core module $o))
          (core instance (instantiate $o)))
        (instance (instantiate $n)) (instance (instantiate $n)))";
    assert_eq!(needs(nested)?, [2, 2, 0, 128 << 10]);
    Ok(())
}

#[test]
fn a_component_that_multiplies_itself_is_counted_at_once() -> Result<()> {
    let mut text =
        "(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))".to_owned();
    for n in 1..80 {
        let inner = n - 1;
        text = format!(
            "(component $c{n} {text} (instance (instantiate $c{inner})) (instance (instantiate $c{inner})))"
        );
    }
    assert_eq!(needs(&text)?, [u64::MAX, u64::MAX, 0, u64::MAX]);
    Ok(())
}
