//! Warm instances: what a guest keeps from call to call, and what costs it its place.

mod common;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::Result;
use exosuit_core::{Code, Context, Deliver, Error, Invocation, Origin, Payload, Target, Value};
use exosuit_engine::{Actor, Engine, EngineOptions, Instances};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use common::{OPTIONS, World, assert_says, deliver, engine, far, invocation, start};

/// Answers with how often it was called, as one digit, after it did what the length of its payload
/// says.
const COUNTER: &str = r#"(module
  (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
  (import "wasmbus" "__guest_error" (func $error (param i32 i32)))
  (import "wasmbus" "__host_call"
    (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))

  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0x30))

  (func (export "_start") (global.set $calls (i32.add (global.get $calls) (i32.const 1))))

  (func (export "__guest_call") (param i32 i32) (result i32)
    (i32.store8 (i32.const 0) (global.get $calls))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.eq (local.get 1) (i32.const 1)) (then unreachable))
    (if (i32.eq (local.get 1) (i32.const 2)) (then (loop $spin (br $spin))))
    (if (i32.eq (local.get 1) (i32.const 3)) (then (call $exit (i32.const 0))))
    (if (i32.eq (local.get 1) (i32.const 4)) (then (call $error (i32.const 0) (i32.const 1))))
    (if (i32.eq (local.get 1) (i32.const 5)) (then (return (i32.const 0))))
    (if (i32.eq (local.get 1) (i32.const 6)) (then
      (drop (call $host_call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                             (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
    (if (i32.eq (local.get 1) (i32.const 7)) (then (return (i32.const 1))))
    (if (i32.eq (local.get 1) (i32.const 8)) (then
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))))
    (if (i32.eq (local.get 1) (i32.const 9)) (then (drop (memory.grow (i32.const 60000)))))
    (call $response (i32.const 0) (i32.const 1))
    (i32.const 1)))"#;

/// Payloads whose lengths select the actions of the counter.
const TRAP: &str = "1";
const SPIN: &str = "22";
const EXIT: &str = "333";
const ERROR: &str = "4444";
const FAIL: &str = "55555";
const HOST: &str = "666666";
const SILENT: &str = "7777777";
const GROW: &str = "88888888";
const GROW_A_LOT: &str = "999999999";

const WARM: Instances = Instances::Warm {
    pool: 2,
    calls: 100,
    idle: Duration::from_hours(1),
};

fn warm(world: World) -> World {
    World {
        instances: WARM,
        ..world
    }
}

async fn counter() -> Result<Actor> {
    warm(World::new()?).text(COUNTER).await
}

/// Calls, and says which call of its instance it was.
async fn count(actor: &Actor, payload: &'static str) -> Result<u8, Error> {
    let answer = start(actor, "Count", payload).await?;
    Ok(answer[0] - b'0')
}

#[tokio::test]
async fn an_instance_keeps_its_state_and_starts_once() -> Result<()> {
    let counter = counter().await?;
    for expected in 1..6 {
        assert_eq!(count(&counter, "").await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn after_so_many_calls_there_is_a_new_one() -> Result<()> {
    let instances = Instances::Warm {
        pool: 1,
        calls: 3,
        idle: Duration::from_hours(1),
    };
    let world = World {
        instances,
        ..World::new()?
    };
    let counter = world.text(COUNTER).await?;
    for expected in [1, 2, 3, 1, 2, 3, 1] {
        assert_eq!(count(&counter, "").await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn actors_of_one_module_share_no_instance() -> Result<()> {
    let world = warm(World::new()?);
    let module = world
        .engine
        .compile(wat::parse_str(COUNTER)?.into())
        .await?;
    let [one, other] = [world.start(&module)?, world.start(&module)?];
    assert_eq!(count(&one, "").await?, 1);
    assert_eq!(count(&one.clone(), "").await?, 2);
    assert_eq!(count(&other, "").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_leaves_an_instance_in_doubt_costs_it_its_place_and_an_error_does_not() -> Result<()> {
    let counter = counter().await?;
    for (payload, code, next) in [
        (ERROR, Code::Guest, 3),
        (FAIL, Code::Guest, 3),
        (TRAP, Code::Trap, 1),
        (EXIT, Code::Trap, 1),
    ] {
        assert_eq!(count(&counter, "").await?, 1);
        let error = count(&counter, payload).await;
        assert_eq!(error.map_err(|error| error.code), Err(code), "{payload}");
        assert_eq!(count(&counter, "").await?, next, "after {payload}");
        // A new one for the next.
        let _trapped = count(&counter, TRAP).await;
    }
    Ok(())
}

#[tokio::test]
async fn each_call_has_its_own_deadline_and_one_that_passes_costs_the_instance() -> Result<()> {
    let counter = counter().await?;
    let in_ms = |ms| Instant::now() + Duration::from_millis(ms);
    let within = async |payload: &'static str, deadline| {
        let answer = deliver(&counter, invocation("Count", payload, deadline)).await;
        answer.map(|answer| answer[0]).map_err(|error| error.code)
    };

    let soon = in_ms(500);
    assert_eq!(within("", soon).await, Ok(b'1'));
    let later = soon + Duration::from_millis(50);
    assert_eq!(within(SPIN, later).await, Err(Code::Deadline));
    assert!(Instant::now() >= later, "the deadline was the first call's");
    assert_eq!(within("", far()).await, Ok(b'1'));
    assert_eq!(within(SPIN, in_ms(5)).await, Err(Code::Deadline));
    assert_eq!(within("", far()).await, Ok(b'1'));
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_call_is_there_for_the_next() -> Result<()> {
    let counter = counter().await?;
    assert_eq!(count(&counter, "").await?, 1);
    assert_eq!(start(&counter, "Count", SILENT).await?, "");
    assert!(count(&counter, ERROR).await.is_err());
    assert_eq!(count(&counter, "").await?, 4);
    Ok(())
}

/// A host that answers when so many calls wait for it.
fn meeting(engine: Engine, calls: usize) -> World {
    let barrier = Arc::new(Barrier::new(calls));
    warm(World::with(engine, move |_| {
        let barrier = Arc::clone(&barrier);
        Box::pin(async move {
            barrier.wait().await;
            Ok("".into())
        })
    }))
}

/// Calls that run at once, and what they counted.
async fn meet(actor: &Actor, calls: usize) -> Result<Vec<u8>> {
    let mut running = JoinSet::new();
    for _ in 0..calls {
        running.spawn(start(actor, "Count", HOST));
    }
    let mut counts = Vec::new();
    while let Some(answer) = running.join_next().await {
        counts.push(answer??[0] - b'0');
    }
    counts.sort_unstable();
    Ok(counts)
}

#[tokio::test]
async fn more_may_run_at_once_than_are_kept() -> Result<()> {
    let world = meeting(engine()?, 5);
    let counter = world.text(COUNTER).await?;
    assert_eq!(meet(&counter, 5).await?, [1, 1, 1, 1, 1]);
    assert_eq!(meet(&counter, 5).await?, [1, 1, 1, 2, 2]);
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_its_instance_with_it() -> Result<()> {
    let world = meeting(engine()?, 2);
    let counter = world.text(COUNTER).await?;
    assert_eq!(count(&counter, "").await?, 1);

    let mut call = start(&counter, "Count", HOST);
    let polled = poll_fn(|task| Poll::Ready(call.as_mut().poll(task))).await;
    assert!(polled.is_pending(), "the host has answered");
    drop(call);

    assert_eq!(count(&counter, "").await?, 1);
    Ok(())
}

#[tokio::test]
async fn the_memory_limit_counts_what_an_instance_took_in_all_its_calls() -> Result<()> {
    let mut world = warm(World::new()?);
    world.limits.memory_bytes = 3 << 16;
    let counter = world.text(COUNTER).await?;
    assert_eq!(count(&counter, GROW).await?, 1);
    assert_eq!(count(&counter, GROW).await?, 2);
    let error = count(&counter, GROW).await.expect_err("a third page");
    assert_says(&error, Code::Limit, &["memory limit of 196608 bytes"]);
    assert_eq!(count(&counter, GROW).await?, 1);

    // A limit that a call copes with is not the reason why another one fails.
    assert_eq!(count(&counter, GROW_A_LOT).await?, 2);
    let error = count(&counter, TRAP).await.expect_err("a trap");
    assert_eq!(error.code, Code::Trap);
    Ok(())
}

#[tokio::test]
async fn a_line_without_an_end_ends_with_its_call() -> Result<()> {
    let world = warm(World::new()?);
    let flood = world.actor("flood").await?;
    for calls in 1..3 {
        common::call(&flood, "hello", "").await?;
        let lines = world.log.lines();
        let last = lines.last().map(|(_level, text)| text.as_str());
        assert_eq!((lines.len(), last), (calls * 4, Some("no end")));
    }
    Ok(())
}

#[tokio::test]
async fn those_that_have_nothing_to_do_make_room_for_others() -> Result<()> {
    let options = EngineOptions {
        pool_slots: 4,
        ..OPTIONS
    };
    let world = meeting(Engine::new(options)?, 4);
    let mut actors = Vec::new();
    for _ in 0..2 {
        // Two of the four slots are kept each time, and four are wanted the next time.
        let counter = world.text(COUNTER).await?;
        assert_eq!(meet(&counter, 4).await?, [1, 1, 1, 1]);
        let component = world.text(COUNTING_COMPONENT).await?;
        assert_eq!(ask(&component, "count").await?, Value::Integer(1));
        actors.push((counter, component));
    }
    Ok(())
}

const COUNTING_COMPONENT: &str = r#"(component
  (core module $module
    (global $calls (mut i32) (i32.const 0))
    (func (export "count") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.get $calls))
    (func (export "trap") unreachable)
    (func (export "spin") (loop $spin (br $spin))))
  (core instance $instance (instantiate $module))
  (func (export "count") (result u32) (canon lift (core func $instance "count")))
  (func (export "trap") (canon lift (core func $instance "trap")))
  (func (export "spin") (canon lift (core func $instance "spin"))))"#;

async fn ask(actor: &Actor, function: &str) -> Result<Value, Error> {
    ask_with(actor, function, Vec::new(), far()).await
}

async fn ask_with(
    actor: &Actor,
    function: &str,
    arguments: Vec<Value>,
    deadline: Instant,
) -> Result<Value, Error> {
    let call = Invocation {
        origin: Origin::Host,
        target: Target::Actor("tested".to_owned()),
        operation: function.to_owned(),
        payload: Payload::Values(arguments),
        context: Context::until(deadline),
    };
    actor.deliver(call).await?.into_value()
}

#[tokio::test]
async fn an_instance_of_a_component_keeps_its_state_until_it_is_in_doubt() -> Result<()> {
    let component = warm(World::new()?).text(COUNTING_COMPONENT).await?;
    let counted = async |expected| -> Result<()> {
        assert_eq!(ask(&component, "count").await?, Value::Integer(expected));
        Ok(())
    };
    counted(1).await?;
    counted(2).await?;
    let error = ask_with(&component, "count", vec![Value::Nil], far()).await;
    assert_eq!(
        error.expect_err("no such argument").code,
        Code::InvalidInput
    );
    assert!(ask(&component, "nothing").await.is_err());
    counted(3).await?;
    assert_eq!(
        ask(&component, "trap").await.expect_err("a trap").code,
        Code::Trap
    );
    counted(1).await?;
    counted(2).await?;
    let soon = Instant::now() + Duration::from_millis(5);
    let late = ask_with(&component, "spin", Vec::new(), soon).await;
    assert_eq!(late.expect_err("a deadline").code, Code::Deadline);
    counted(1).await
}

#[tokio::test]
async fn a_program_runs_afresh_whatever_the_policy() -> Result<()> {
    let run = warm(World::new()?).component("run").await?;
    for _ in 0..3 {
        let answer = common::call(&run, "wasi:cli/run#run", "loud").await?;
        assert_eq!(answer, "LOUD");
    }
    Ok(())
}
