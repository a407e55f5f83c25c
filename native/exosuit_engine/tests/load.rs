//! Guests that import what nothing here answers: they run, and a call of such an import fails.

mod common;

use anyhow::Result;
use exosuit_core::{Code, Deliver as _, LogLevel, Value};

use common::{World, assert_says, call, failure, far, invocation};

/// A component that uses a blob store, and answers otherwise.
const BLOBS: &str = include_str!("../../../test/guests/blobs.wat");

fn values(operation: &str) -> exosuit_core::Invocation {
    let payload = exosuit_core::Payload::Values(Vec::new());
    exosuit_core::Invocation {
        payload,
        ..invocation(operation, "", far())
    }
}

#[tokio::test]
async fn a_component_runs_until_it_calls_what_nothing_answers() -> Result<()> {
    let world = World::new()?;
    let blobs = world.text(BLOBS).await?;

    let nine = blobs.deliver(values("nine")).await?.into_value()?;
    assert_eq!(nine, Value::Integer(9));
    let error = blobs.deliver(values("open")).await.map(drop);
    let parts = [
        "wasi:blobstore/blobstore@0.2.0-draft#open",
        "gives a resource",
    ];
    assert_says(&error.expect_err("it opened"), Code::Trap, &parts);
    // Its types pass: a link may answer it, and here the host of the test does, by bytes.
    let error = blobs.deliver(values("count")).await.map(drop);
    assert_ne!(error.expect_err("bytes are no number").code, Code::Trap);

    let warned = world.log.lines();
    let warned: Vec<_> = warned
        .iter()
        .filter(|(level, _)| *level == LogLevel::Warning)
        .collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    for part in ["incoming-value.read", "blobstore@0.2.0-draft#open"] {
        assert!(
            warned.iter().any(|(_, text)| text.contains(part)),
            "{part} in {warned:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_nothing_answers_is_named_before_the_compilation_as_after_it() -> Result<()> {
    let engine = common::engine()?;
    let memory = r#"(memory (export "memory") 1)
        (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1))"#;
    let abort = format!(
        r#"(module (import "env" "abort" (func (param i32))) (import "wapc" "__host_call"
            (func (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32))) {memory})"#
    );
    for (text, expected) in [
        (BLOBS, vec!["incoming-value.read", "#open"]),
        (r#"(component (import "loose" (func)))"#, vec!["\"loose\""]),
        (
            r#"(component (import "a:b/c" (instance
                (export "r" (type $r (sub resource)))
                (export "f" (func (param "x" (list (own $r))))))))"#,
            vec![],
        ),
        (
            r#"(component (import "a:b/c" (instance
                (export "r" (type $r (sub resource)))
                (export "f" (func (result (option (own $r))))))))"#,
            vec![],
        ),
        (
            r#"(component (import "a:b/c" (instance (export "r" (type (sub resource))))))"#,
            vec![],
        ),
        // An interface that the host has, and not this version or this function of it.
        (
            r#"(component (import "wasi:keyvalue/store@0.9.0" (instance (export "f" (func)))))"#,
            vec!["wasi:keyvalue/store@0.9.0"],
        ),
        (
            r#"(component (import "wasi:cli/exit@0.2.0" (instance (export "leave" (func)))))"#,
            vec!["wasi:cli/exit@0.2.0"],
        ),
        (
            r#"(component (import "wasi:config/store@0.2.0-rc.1"
                (instance (export "get" (func (param "key" string) (result (option string)))))))"#,
            vec!["wasi:config/store@0.2.0-rc.1"],
        ),
        (&abort, vec!["`env::abort`"]),
    ] {
        let bytes = wat::parse_str(text)?;
        let before = engine.unanswered(&bytes);
        let module = engine.compile(bytes.into()).await?;
        assert_eq!(before, module.unanswered(), "{text}");
        assert_eq!(before.len(), expected.len(), "{before:?}");
        for (import, part) in before.iter().zip(expected) {
            assert!(import.contains(part), "{import} does not say {part}");
        }
    }
    assert!(engine.unanswered(b"not Wasm").is_empty());
    Ok(())
}

#[tokio::test]
async fn names_that_are_used_again_and_again_are_bounded() -> Result<()> {
    let case = |n| format!(r#""c{n}" "#);
    let cases: String = (0..5_000).map(case).collect();
    let parameter = |n| format!(r#"(param "p{n}" $e) "#);
    let parameters: String = (0..50).map(parameter).collect();
    let function = |n| format!(r#"(export "f{n}" (func (type $f)))"#);
    let functions: String = (0..10).map(function).collect();
    let text = format!(
        r#"(component (import "acme:kv/store" (instance
            (type $e' (enum {cases})) (export "e" (type $e (eq $e')))
            (type $f (func {parameters})) {functions})))"#
    );
    let module = common::engine()?
        .compile(wat::parse_str(text)?.into())
        .await?;
    let unanswered = module.unanswered();
    assert!(unanswered.len() >= 9, "{}", unanswered.len());
    assert!(
        unanswered[0].contains("more types and names than"),
        "{}",
        unanswered[0]
    );
    Ok(())
}

#[tokio::test]
async fn a_component_that_imports_without_end_is_refused() -> Result<()> {
    let engine = common::engine()?;
    let loose = |count: usize| {
        let import = |n| format!(r#"(import "loose-a{n}" (func))"#);
        format!("(component {})", (0..count).map(import).collect::<String>())
    };
    let few = engine.compile(wat::parse_str(loose(900))?.into()).await?;
    assert_eq!(few.unanswered().len(), 900);
    let many = engine.compile(wat::parse_str(loose(1_100))?.into()).await;
    assert_says(
        &many.map(drop).expect_err("more than may be").into(),
        Code::InvalidModule,
        &["loose-a1000"],
    );

    let functions = |count: usize| {
        let export = |n| format!(r#"(export "f-a{n}" (func))"#);
        let exports: String = (0..count).map(export).collect();
        format!(r#"(component (import "a:b/c" (instance {exports})))"#)
    };
    engine
        .compile(wat::parse_str(functions(9_000))?.into())
        .await?;
    let many = engine
        .compile(wat::parse_str(functions(11_000))?.into())
        .await;
    assert_says(
        &many.map(drop).expect_err("more than may be").into(),
        Code::InvalidModule,
        &["11001", "10000"],
    );
    Ok(())
}

#[tokio::test]
async fn a_module_runs_until_it_calls_what_nothing_answers() -> Result<()> {
    let world = World::new()?;
    let aborts = world
        .text(
            r#"(module
                (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
                (memory (export "memory") 1)
                (func (export "__guest_call") (param $operation i32) (param i32) (result i32)
                  (if (i32.eq (local.get $operation) (i32.const 5))
                    (then (call $abort (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
                  (i32.const 1)))"#,
        )
        .await?;

    call(&aborts, "Run", "").await?;
    let error = failure(&aborts, "Abort").await?;
    assert_says(
        &error,
        Code::Trap,
        &["`env::abort`", "nothing here answers"],
    );
    Ok(())
}

/// A guest of waPC, which tells what ran before its first call.
const WAPC: &str = include_str!("../../../test/guests/wapc.wat");

#[tokio::test]
async fn a_guest_of_wapc_is_started_as_it_expects() -> Result<()> {
    let world = World::new()?;
    let wapc = world.text(WAPC).await?;
    assert_eq!(call(&wapc, "Hello", "").await?, "si_Sw");

    // Under such a name there may be anything else.
    let other = WAPC.replace(
        r#"(func (export "start")"#,
        r#"(func (export "start") (param i32)"#,
    );
    assert_eq!(call(&world.text(&other).await?, "Hello", "").await?, "si_w");
    Ok(())
}
