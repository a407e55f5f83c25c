//! The output of a guest goes to the log, up to a limit.

mod common;

use anyhow::Result;
use exosuit_core::LogLevel::{Debug, Info, Warning};

use common::{World, call, failure};

/// An `errno` of WASI.
const BAD_DESCRIPTOR: u8 = 8;

#[tokio::test]
async fn both_streams_and_the_console_are_read_line_by_line() -> Result<()> {
    let world = World::new()?;
    let flood = world.actor("flood").await?;

    call(&flood, "hello", "").await?;

    let expected = [
        (Info, "to stdout"),
        (Warning, "to stderr"),
        (Debug, "to stdout"),
        (Info, "no end"),
    ];
    assert_eq!(
        world.log.lines(),
        expected.map(|(level, text)| (level, text.to_owned()))
    );
    Ok(())
}

#[tokio::test]
async fn a_flood_is_cut_and_counted_and_the_call_succeeds() -> Result<()> {
    let world = World::new()?;
    let flood = world.actor("flood").await?;

    call(&flood, "flood", "").await?;

    // A burst of a hundred, and one for each second that the flood took.
    let lines = world.log.lines().len();
    assert!((100..1_000).contains(&lines), "{lines} lines passed");
    assert_eq!(world.log.dropped() + lines as u64, 10_000);
    Ok(())
}

#[tokio::test]
async fn what_a_guest_wrote_before_it_trapped_is_not_lost() -> Result<()> {
    let world = World::new()?;
    let panics = world
        .text(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write"
                  (func $fd_write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "\10\00\00\00\05\00\00\00")
                (data (i32.const 16) "alas\r")
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
                  unreachable))"#,
        )
        .await?;

    failure(&panics, "Any").await?;

    assert_eq!(world.log.lines(), [(Warning, "alas".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn a_line_without_end_is_cut_into_pieces() -> Result<()> {
    let world = World::new()?;
    let endless = world
        .text(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write"
                  (func $fd_write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "\10\00\00\00\10\27\00\00")
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (memory.fill (i32.const 16) (i32.const 0x61) (i32.const 10000))
                  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                  (i32.const 1)))"#,
        )
        .await?;

    call(&endless, "Any", "").await?;

    let lengths: Vec<_> = world
        .log
        .lines()
        .iter()
        .map(|(_, text)| text.len())
        .collect();
    assert_eq!(lengths, [4_096, 4_096, 1_808]);
    Ok(())
}

#[tokio::test]
async fn a_guest_sees_no_environment_files_or_input() -> Result<()> {
    let world = World::new()?;
    // Answers with what it finds: environment variables, arguments, a directory, bytes of stdin.
    let looks = world
        .text(
            r#"(module
                (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
                (import "wasi_snapshot_preview1" "environ_sizes_get"
                  (func $environ (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "args_sizes_get"
                  (func $args (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_prestat_get"
                  (func $prestat (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_read"
                  (func $read (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 32) "\40\00\00\00\10\00\00\00")
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (drop (call $environ (i32.const 0) (i32.const 16)))
                  (drop (call $args (i32.const 4) (i32.const 16)))
                  (i32.store (i32.const 8) (call $prestat (i32.const 3) (i32.const 16)))
                  (drop (call $read (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 12)))
                  (call $response (i32.const 0) (i32.const 16))
                  (i32.const 1)))"#,
        )
        .await?;

    let found: Vec<_> = call(&looks, "Look", "")
        .await?
        .iter()
        .copied()
        .step_by(4)
        .collect();
    assert_eq!(found, [0, 1, BAD_DESCRIPTOR, 0]);
    Ok(())
}
