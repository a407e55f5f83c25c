//! Work that takes longer than a slice leaves the thread that polls a call once, which may be a scheduler.

mod common;

use std::task::{Context, Poll, Waker};

use anyhow::{Result, ensure};
use exosuit_core::Deliver as _;
use exosuit_engine::{Actor, Directory, WasiGrants};

use common::{World, far, invocation};

/// Runs one instruction or call for each operation, by its length: the operations below.
const HEAVY: &str = r#"
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param i32) (result i32)
    (if (i32.eq (local.get $operation) (i32.const 4)) (then        ;; Fill
      (drop (memory.grow (i32.const 3000)))
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 196608000))))
    (if (i32.eq (local.get $operation) (i32.const 6)) (then        ;; Random
      (drop (memory.grow (i32.const 15)))
      (if (call $random (i32.const 0) (i32.const 1048576)) (then unreachable))))
    (if (i32.eq (local.get $operation) (i32.const 5)) (then        ;; Fault
      (if (i32.ne (call $random (i32.const 65000) (i32.const 1000)) (i32.const 21))
        (then unreachable))))
    (i32.const 1)))
"#;

/// Whether the call is done when it has been polled once, as a scheduler does; it is, in the end.
async fn is_done_at_once(actor: &Actor, operation: &str) -> Result<bool> {
    let mut answer = actor.deliver(invocation(operation, "", far()));
    let mut context = Context::from_waker(Waker::noop());
    match answer.as_mut().poll(&mut context) {
        Poll::Ready(answer) => answer.map(|_| true).map_err(Into::into),
        Poll::Pending => {
            tokio::spawn(answer).await??;
            Ok(false)
        }
    }
}

/// How often so many tries are done at once: a busy machine may end a slice early.
async fn done_at_once(actor: &Actor, operation: &str) -> Result<usize> {
    let mut done = 0;
    for _ in 0..20 {
        done += usize::from(is_done_at_once(actor, operation).await?);
    }
    Ok(done)
}

#[tokio::test]
async fn much_memory_and_many_random_numbers_are_handled_elsewhere() -> Result<()> {
    let world = World::new()?;
    let heavy = world.text(HEAVY).await?;
    ensure!(
        done_at_once(&heavy, "x").await? > 0,
        "nothing is done at once"
    );
    ensure!(
        done_at_once(&heavy, "Fault").await? > 0,
        "a fault is not told at once"
    );
    assert_eq!(done_at_once(&heavy, "Random").await?, 0);
    assert!(!is_done_at_once(&heavy, "Fill").await?);
    Ok(())
}

#[tokio::test]
async fn a_warm_instance_with_much_memory_begins_elsewhere() -> Result<()> {
    let world = World {
        instances: exosuit_engine::Instances::Warm {
            pool: 1,
            calls: 100,
            idle: std::time::Duration::from_hours(1),
        },
        ..World::new()?
    };
    let heavy = world.text(HEAVY).await?;
    ensure!(
        done_at_once(&heavy, "x").await? > 0,
        "nothing is done at once"
    );
    is_done_at_once(&heavy, "Fill").await?;
    assert_eq!(done_at_once(&heavy, "x").await?, 0);
    Ok(())
}

#[tokio::test]
async fn directories_are_opened_elsewhere() -> Result<()> {
    let files = tempfile::tempdir()?;
    let grants = WasiGrants {
        directories: vec![Directory {
            host: files.path().to_owned(),
            guest: "/data".to_owned(),
            writable: false,
        }],
        ..WasiGrants::default()
    };
    let world = World {
        grants,
        ..World::new()?
    };
    let actor = world.text(HEAVY).await?;
    assert_eq!(done_at_once(&actor, "x").await?, 0);
    Ok(())
}
