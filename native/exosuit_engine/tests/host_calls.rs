//! A guest calls out: its fiber waits, no thread does.

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use exosuit_core::{Code, Error, Invocation, Origin, Target};
use exosuit_engine::{Engine, EngineOptions};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use common::{
    Answering, OPTIONS, World, assert_says, call, deliver, engine, far, id, invocation, start,
};

const OUT: &[u8] = b"default\0wasmcloud:keyvalue\0KeyValue.Get\0a key";

type Waiting = (Invocation, oneshot::Sender<Result<Bytes, Error>>);

/// A host that answers when the test says so.
fn patient(engine: Engine) -> (World, mpsc::UnboundedReceiver<Waiting>) {
    let (calls, waiting) = mpsc::unbounded_channel();
    let host = move |call: Invocation| -> Answering {
        let (answer, answered) = oneshot::channel();
        calls.send((call, answer)).expect("the test waits");
        Box::pin(async move { answered.await.expect("the test answers") })
    };
    (World::with(engine, host), waiting)
}

#[tokio::test]
async fn an_answer_at_once_reaches_the_guest() -> Result<()> {
    let world = World::with(engine()?, |call| {
        Box::pin(async move { Ok([call.payload.bytes()?, &b"'s value"[..]].concat().into()) })
    });
    let caller = world.actor("caller").await?;

    assert_eq!(call(&caller, "Call", OUT).await?, "a key's value");
    Ok(())
}

#[tokio::test]
async fn the_call_says_who_calls_whom_with_what_and_until_when() -> Result<()> {
    let seen = Arc::new(Mutex::new(None));
    let note = seen.clone();
    let world = World::with(engine()?, move |call| {
        *note.lock() = Some(call);
        Box::pin(async { Ok(Bytes::new()) })
    });
    let caller = world.actor("caller").await?;
    let mut outer = invocation("Call", OUT, far());
    outer.context.depth = 3;
    let deadline = outer.context.deadline;

    deliver(&caller, outer).await?;

    let inner = seen.lock().take().context("nothing was called")?;
    let import = Target::Import {
        namespace: "wasmcloud:keyvalue".to_owned(),
        link: "default".to_owned(),
    };
    assert_eq!(inner.origin, Origin::Actor(id("tested")));
    assert_eq!(inner.target, import);
    assert_eq!(inner.operation, "KeyValue.Get");
    assert_eq!(inner.payload.bytes()?, "a key");
    assert_eq!((inner.context.deadline, inner.context.depth), (deadline, 4));
    Ok(())
}

#[tokio::test]
async fn the_hosts_error_reaches_the_guest_as_text() -> Result<()> {
    let world = World::with(engine()?, |_| {
        Box::pin(async {
            Err(Error::new(
                Code::MissingLink,
                "no link to wasmcloud:keyvalue",
            ))
        })
    });
    let caller = world.actor("caller").await?;

    // The guest takes the text and makes it an error of its own.
    let error = start(&caller, "Call", OUT)
        .await
        .err()
        .context("it succeeded")?;
    assert_says(&error, Code::Guest, &["no link to wasmcloud:keyvalue"]);

    // One that does not look fails with the host's.
    let error = start(&caller, "ignore", OUT)
        .await
        .err()
        .context("it succeeded")?;
    assert_says(
        &error,
        Code::MissingLink,
        &["no link to wasmcloud:keyvalue"],
    );
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn other_calls_go_on_while_one_waits_for_its_host() -> Result<()> {
    let (world, mut waiting) = patient(engine()?);
    let caller = world.actor("caller").await?;
    let echo = world.actor("echo").await?;

    let one = tokio::spawn(start(&caller, "Call", &b"default\0MA\0Any\0one"[..]));
    let two = tokio::spawn(start(&caller, "Call", &b"default\0MA\0Any\0two"[..]));
    let mut answers = HashMap::new();
    for _ in 0..2 {
        let (call, answer) = waiting.recv().await.context("no call")?;
        answers.insert(call.payload.into_bytes()?, answer);
    }
    assert_eq!(call(&echo, "Echo.Say", "meanwhile").await?, "meanwhile");
    assert!(!one.is_finished() && !two.is_finished());

    for (name, call) in [("two", two), ("one", one)] {
        let answer = answers.remove(name.as_bytes()).context("not called")?;
        answer.send(Ok(name.into())).expect("it waits");
        assert_eq!(call.await??, name);
    }
    Ok(())
}

#[tokio::test]
async fn a_call_waits_no_longer_than_its_deadline() -> Result<()> {
    let (world, mut waiting) = patient(engine()?);
    let caller = world.actor("caller").await?;

    // Far enough for the host call to be made on a busy machine.
    let deadline = Instant::now() + Duration::from_millis(250);
    let error = deliver(&caller, invocation("Call", OUT, deadline)).await;

    assert_eq!(error.map_err(|error| error.code), Err(Code::Deadline));
    let (_, answer) = waiting.recv().await.context("it was not called")?;
    assert!(answer.is_closed(), "the host call goes on");
    Ok(())
}

#[tokio::test]
async fn a_dropped_call_gives_its_slot_back() -> Result<()> {
    let one_slot = EngineOptions {
        pool_slots: 1,
        ..OPTIONS
    };
    let (world, mut waiting) = patient(Engine::new(one_slot)?);
    let caller = world.actor("caller").await?;
    let echo = world.actor("echo").await?;

    let waits = tokio::spawn(start(&caller, "Call", OUT));
    let (_, answer) = waiting.recv().await.context("it was not called")?;
    let error = start(&echo, "Echo.Say", "hello")
        .await
        .err()
        .context("two in one slot")?;
    assert_eq!(error.code, Code::Overloaded, "{error}");

    waits.abort();
    assert!(waits.await.expect_err("aborted").is_cancelled());
    assert!(answer.is_closed());
    assert_eq!(call(&echo, "Echo.Say", "hello").await?, "hello");
    Ok(())
}

#[tokio::test]
async fn without_a_host_the_call_fails_and_not_the_process() -> Result<()> {
    let mut world = World::new()?;
    let caller = world.actor("caller").await?;
    world.host = World::new()?.host;

    let error = start(&caller, "ignore", OUT)
        .await
        .err()
        .context("it succeeded")?;

    assert_says(&error, Code::Dropped, &["has stopped"]);
    Ok(())
}

#[tokio::test]
async fn names_must_be_text() -> Result<()> {
    let world = World::new()?;
    let caller = world.actor("caller").await?;

    let error = start(&caller, "Call", &b"default\0\xff\xfe\0Get\0"[..]).await;

    let error = error.err().context("it succeeded")?;
    assert_says(&error, Code::Trap, &["__host_call", "a namespace", "UTF-8"]);
    Ok(())
}
