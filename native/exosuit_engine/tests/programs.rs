//! Commands of WASI preview 1: programs that are called.

mod common;

use anyhow::Result;
use exosuit_core::{Code, Deliver as _};
use exosuit_engine::WasiGrants;

use common::{World, assert_says, call, far, invocation};

const RUN: &str = "wasi:cli/run#run";

/// Writes what one of WASI's lists holds to its output: sizes and pointers as `sizes` and `list` say.
fn lists(sizes: &str, list: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{sizes}" (func $sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "{list}" (func $list (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write"
              (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_start")
              (if (call $sizes (i32.const 0) (i32.const 12)) (then unreachable))
              (if (call $list (i32.const 1024) (i32.const 8192)) (then unreachable))
              (i32.store (i32.const 8) (i32.const 8192))
              (if (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))
                (then unreachable))))"#
    )
}

/// Exits at once, with that status.
fn exits(status: u32) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {status}))))"#
    )
}

#[tokio::test]
async fn a_program_sees_all_its_arguments_and_its_whole_environment() -> Result<()> {
    let grants = WasiGrants {
        arguments: ["one", "two words", ""].map(str::to_owned).to_vec(),
        environment: [("A", "1"), ("B", "two"), ("C", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..WasiGrants::default()
    };
    let world = World {
        grants,
        ..World::new()?
    };
    let arguments = world.text(&lists("args_sizes_get", "args_get")).await?;
    let output = call(&arguments, RUN, "").await?;
    assert_eq!(&output[..], b"main.wasm\0one\0two words\0\0");
    let environment = lists("environ_sizes_get", "environ_get");
    let output = call(&world.text(&environment).await?, RUN, "").await?;
    assert_eq!(&output[..], b"A=1\0B=two\0C=\0");
    Ok(())
}

#[tokio::test]
async fn the_status_of_a_program_is_its_own() -> Result<()> {
    let world = World::new()?;
    call(&world.text(&exits(0)).await?, RUN, "").await?;
    for status in [1, 33, 125] {
        let program = world.text(&exits(status)).await?;
        let error = program.deliver(invocation(RUN, "", far())).await.map(drop);
        let says = format!("exited with status {status}");
        assert_says(&error.expect_err("a failure"), Code::Guest, &[&says]);
    }
    Ok(())
}

#[tokio::test]
async fn a_program_answers_its_one_operation() -> Result<()> {
    let world = World::new()?;
    let program = world.text(&exits(0)).await?;
    for operation in [
        "wasi:cli/run#run",
        "wasi:cli/run@0.2.0#run",
        "wasi:cli/run@0.2.9#run",
    ] {
        call(&program, operation, "").await?;
    }
    let error = program
        .deliver(invocation("Run", "", far()))
        .await
        .map(drop);
    let error = error.expect_err("no such operation");
    assert_says(
        &error,
        Code::UnknownOperation,
        &["\"Run\"", "wasi:cli/run#run"],
    );
    Ok(())
}

#[tokio::test]
async fn a_program_that_traps_or_hangs_is_told_as_any_guest() -> Result<()> {
    let world = World::new()?;
    let traps = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;
    let error = world
        .text(traps)
        .await?
        .deliver(invocation(RUN, "", far()))
        .await
        .map(drop);
    assert_says(&error.expect_err("a trap"), Code::Trap, &["unreachable"]);

    let spins = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
    let soon = std::time::Instant::now() + std::time::Duration::from_millis(50);
    let error = world
        .text(spins)
        .await?
        .deliver(invocation(RUN, "", soon))
        .await
        .map(drop);
    assert_says(&error.expect_err("no end"), Code::Deadline, &[]);
    Ok(())
}
