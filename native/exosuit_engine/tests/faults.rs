//! A guest that goes wrong costs one call.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use exosuit_core::Code;
use exosuit_engine::{Error, Limits};

use common::{World, assert_says, call, deliver, engine, failure, guest, invocation, start};

#[tokio::test]
async fn every_fault_is_told_and_the_next_call_is_answered() -> Result<()> {
    let world = World::new()?;
    let faults = world.actor("faults").await?;
    let cases = [
        ("trap", Code::Trap, ["unreachable", "in trap, called by "]),
        ("oob", Code::Trap, ["out of bounds", "in oob"]),
        ("div", Code::Trap, ["divide by zero", "in div"]),
        (
            "recurse",
            Code::Limit,
            [
                "stack limit of 524288 bytes",
                "in recurse, called by recurse",
            ],
        ),
        (
            "hog",
            Code::Limit,
            ["memory limit of 268435456 bytes", "unreachable"],
        ),
        ("other", Code::Guest, ["no such", "operation"]),
    ];

    for (operation, code, parts) in cases {
        assert_says(&failure(&faults, operation).await?, code, &parts);
        assert_eq!(
            call(&faults, "echo", "well").await?,
            "well",
            "after {operation}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_memory_limit_is_the_actors() -> Result<()> {
    let mut world = World::new()?;
    world.limits.memory_bytes = 1 << 20;
    let echo = world.actor("echo").await?;

    assert_eq!(
        call(&echo, "Echo.Say", vec![1; 900_000]).await?.len(),
        900_000
    );
    let error = start(&echo, "Echo.Say", vec![1; 1_100_000]).await;
    let error = error.err().context("more than a mebibyte fitted")?;
    assert_says(&error, Code::Limit, &["memory limit of 1048576 bytes"]);
    Ok(())
}

#[tokio::test]
async fn the_table_limit_holds() -> Result<()> {
    let mut world = World::new()?;
    world.limits.table_elements = 100;
    let grows = |by: u32| {
        format!(
            r#"(module
                (memory (export "memory") 1)
                (table $functions 10 funcref)
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (if (i32.eq (table.grow $functions (ref.null func) (i32.const {by})) (i32.const -1))
                    (then unreachable))
                  (i32.const 1)))"#
        )
    };

    call(&world.text(&grows(90)).await?, "Grow", "").await?;
    let error = failure(&world.text(&grows(91)).await?, "Grow").await?;
    assert_says(&error, Code::Limit, &["table limit of 100 elements"]);
    Ok(())
}

#[tokio::test]
async fn a_guest_that_copes_with_a_refusal_is_left_alone() -> Result<()> {
    let world = World::new()?;
    let copes = world
        .text(
            r#"(module
                (memory (export "memory") 1)
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (i32.eq (memory.grow (i32.const 60000)) (i32.const -1))))"#,
        )
        .await?;

    call(&copes, "Grow", "").await?;
    Ok(())
}

#[tokio::test]
async fn a_module_that_starts_with_too_much_gets_no_actor() -> Result<()> {
    let mut world = World::new()?;
    let module = world.engine.compile(guest("faults")?).await?;
    let table = r#"(module (memory (export "memory") 0) (table 5 funcref)
        (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;
    let table = world.engine.compile(wat::parse_str(table)?.into()).await?;
    world.limits = Limits {
        memory_bytes: 65_536,
        table_elements: 4,
        ..Limits::default()
    };

    for (module, says) in [
        (module, "131072 bytes of memory"),
        (table, "5 table elements"),
    ] {
        let error = world.start(&module).err().context("it started")?;
        assert!(matches!(error, Error::Oversized { .. }));
        assert_says(&error.into(), Code::InvalidModule, &[says]);
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() -> Result<()> {
    let mut world = World::new()?;
    world.limits.message_bytes = 1_000;
    let echo = world.actor("echo").await?;

    assert_eq!(call(&echo, "Echo.Say", vec![1; 1_000]).await?.len(), 1_000);
    let error = start(&echo, "Echo.Say", vec![1; 1_001]).await;
    let error = error.err().context("a longer answer was taken")?;
    assert_says(&error, Code::Limit, &["__guest_response", "1001", "1000"]);
    Ok(())
}

#[tokio::test]
async fn the_deadline_ends_a_loop() -> Result<()> {
    let world = World::new()?;
    let faults = world.actor("faults").await?;

    let deadline = Instant::now() + Duration::from_millis(20);
    let error = deliver(&faults, invocation("spin", "", deadline)).await;

    assert_eq!(error.map_err(|error| error.code), Err(Code::Deadline));
    assert!(Instant::now() >= deadline, "it ended before its deadline");
    assert_eq!(call(&faults, "echo", "well").await?, "well");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn others_answer_while_a_guest_spins_on_the_only_thread() -> Result<()> {
    let world = World::new()?;
    let faults = world.actor("faults").await?;
    let echo = world.actor("echo").await?;
    let spinning = tokio::spawn(start(&faults, "spin", ""));

    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert_eq!(call(&echo, "Echo.Say", "well").await?, "well");
    }

    assert!(!spinning.is_finished());
    spinning.abort();
    assert!(spinning.await.expect_err("aborted").is_cancelled());
    Ok(())
}

#[tokio::test]
async fn a_range_outside_of_memory_is_told() -> Result<()> {
    let world = World::new()?;
    let calls = |import: &str, parameters: &str, call: &str| {
        format!(
            r#"(module
                (import "wasmbus" "{import}" (func $import (param {parameters})))
                (memory (export "memory") 1)
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (call $import {call}) (i32.const 1)))"#
        )
    };
    let cases = [
        (
            "__guest_request",
            "i32 i32",
            "(i32.const 65534) (i32.const 0)",
            "an operation at 0xfffe",
        ),
        (
            "__guest_response",
            "i32 i32",
            "(i32.const 1) (i32.const 65536)",
            "a response at 0x1",
        ),
        (
            "__guest_error",
            "i32 i32",
            "(i32.const -1) (i32.const 1)",
            "an error at 0xffffffff",
        ),
        (
            "__console_log",
            "i32 i32",
            "(i32.const 0) (i32.const -1)",
            "of 4294967295 bytes",
        ),
    ];

    for (import, parameters, arguments, says) in cases {
        let actor = world.text(&calls(import, parameters, arguments)).await?;
        let error = failure(&actor, "Any").await?;
        assert_says(&error, Code::Trap, &[import, says, "65536 bytes"]);
    }
    Ok(())
}

#[tokio::test]
async fn traps_leave_no_slot_behind() -> Result<()> {
    let world = World::with(engine()?, |_| Box::pin(async { Ok("".into()) }));
    let faults = world.actor("faults").await?;

    for operation in ["trap", "oob", "recurse", "div"].iter().cycle().take(200) {
        failure(&faults, operation).await?;
    }
    assert_eq!(call(&faults, "echo", "well").await?, "well");
    Ok(())
}
