//! How a call gets in and out of a guest.

mod common;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::Result;
use bytes::Bytes;
use exosuit_core::Code;

use common::{Answering, World, assert_says, call, deliver, failure, invocation, start};

#[tokio::test]
async fn the_payload_goes_in_and_comes_back() -> Result<()> {
    let world = World::new()?;
    let echo = world.actor("echo").await?;

    assert_eq!(call(&echo, "Echo.Say", "hello").await?, "hello");
    assert_eq!(call(&echo, "", "").await?, "");
    Ok(())
}

#[tokio::test]
async fn sixteen_mebibytes_go_in_and_come_back() -> Result<()> {
    let world = World::new()?;
    let echo = world.actor("echo").await?;
    let payload: Bytes = (0..16 << 20)
        .map(|n: u32| n.to_le_bytes()[0] ^ n.to_le_bytes()[2])
        .collect();

    let answer = call(&echo, "Echo.Say", payload.clone()).await?;

    assert!(answer == payload, "the payload was changed on its way");
    Ok(())
}

#[tokio::test]
async fn each_call_has_an_instance_of_its_own() -> Result<()> {
    let world = World::new()?;
    let stateful = world.actor("stateful").await?;

    for _ in 0..50 {
        assert_eq!(call(&stateful, "Count", "").await?, "11");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_guest_wrote_is_not_there_for_the_next() -> Result<()> {
    let world = World::new()?;
    let echo = world.actor("echo").await?;
    let peek = world
        .text(
            r#"(module
                (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
                (memory (export "memory") 2)
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (call $response (i32.const 0) (i32.const 131072))
                  (i32.const 1)))"#,
        )
        .await?;

    for _ in 0..50 {
        call(&echo, "Echo.Say", vec![0xff; 131_072]).await?;
        assert!(call(&peek, "Peek", "").await?.iter().all(|byte| *byte == 0));
    }
    Ok(())
}

#[tokio::test]
async fn start_runs_before_the_call_and_may_exit_with_zero() -> Result<()> {
    let world = World::new()?;
    let actor = world.actor("start").await?;

    assert_eq!(call(&actor, "Report", "").await?, "started");
    Ok(())
}

#[tokio::test]
async fn initialize_runs_before_start() -> Result<()> {
    let world = World::new()?;
    let actor = world
        .text(
            r#"(module
                (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
                (memory (export "memory") 1)
                (global $at (mut i32) (i32.const 0))
                (func $note (param i32)
                  (i32.store8 (global.get $at) (local.get 0))
                  (global.set $at (i32.add (global.get $at) (i32.const 1))))
                (func (export "_start") (call $note (i32.const 0x73)))
                (func (export "_initialize") (call $note (i32.const 0x69)))
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (call $response (i32.const 0) (global.get $at))
                  (i32.const 1)))"#,
        )
        .await?;

    assert_eq!(call(&actor, "Report", "").await?, "is");
    Ok(())
}

#[tokio::test]
async fn exits_that_are_no_success_are_errors() -> Result<()> {
    let exits = |start: i32, call: i32| {
        format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const {start})))
                (func (export "__guest_call") (param i32 i32) (result i32)
                  (call $exit (i32.const {call}))
                  (i32.const 1)))"#
        )
    };
    let world = World::new()?;
    for (start, end, says) in [(3, 0, "status 3"), (0, 0, "status 0"), (0, 7, "status 7")] {
        let actor = world.text(&exits(start, end)).await?;
        assert_says(&failure(&actor, "Any").await?, Code::Trap, &[says]);
    }
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_guest_is_passed_on() -> Result<()> {
    let world = World::new()?;
    let faults = world.actor("faults").await?;

    assert_says(
        &failure(&faults, "error").await?,
        Code::Guest,
        &["this guest says no"],
    );
    Ok(())
}

#[tokio::test]
async fn anything_but_one_is_a_failure() -> Result<()> {
    let world = World::new()?;
    let actor = world
        .text(
            r#"(module
                (memory (export "memory") 1)
                (func (export "__guest_call") (param i32 i32) (result i32) (i32.const -5)))"#,
        )
        .await?;

    assert_says(
        &failure(&actor, "Any").await?,
        Code::Guest,
        &["-5", "expected 1"],
    );
    Ok(())
}

#[tokio::test]
async fn a_quick_call_is_done_in_one_poll() -> Result<()> {
    let world = World::new()?;
    for (name, expected) in [("echo", "hello"), ("start", "started")] {
        let actor = world.actor(name).await?;
        // Now and then a call meets the end of a tick, and then yields.
        let done = (0..100).any(|_| poll_once(start(&actor, "Echo.Say", "hello")) == expected);
        assert!(done, "{name} never finished in one poll");
    }
    Ok(())
}

fn poll_once(answer: Answering) -> Bytes {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("an answer"),
        Poll::Pending => Bytes::new(),
    }
}

#[tokio::test]
async fn a_call_that_comes_too_late_is_not_started() -> Result<()> {
    let world = World::new()?;
    let echo = world.actor("echo").await?;

    let late = invocation("Echo.Say", "hello", std::time::Instant::now());
    let error = deliver(&echo, late).await.expect_err("it was late");

    assert_eq!(error.code, Code::Deadline);
    Ok(())
}
