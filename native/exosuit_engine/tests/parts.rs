//! The limits of the parts of an instance, and of the number of instances of an actor.

mod common;

use std::time::{Duration, Instant};

use anyhow::Result;
use exosuit_core::{Code, Deliver as _, Invocation, Payload};
use exosuit_engine::{Engine, EngineOptions, Parts};

use common::{OPTIONS, World, assert_says, call, deliver, far, guest, invocation};

/// The payload that makes `caller` call a provider.
const PAYLOAD: &[u8] = b"default\0wasmcloud:nobody\0Wait\0body";

fn world(options: EngineOptions) -> Result<World> {
    let engine = Engine::new(options)?;
    Ok(World::with(engine, |_| {
        Box::pin(std::future::pending::<Result<_, _>>())
    }))
}

fn values(operation: &str) -> Invocation {
    Invocation {
        payload: Payload::Values(Vec::new()),
        ..invocation(operation, "", far())
    }
}

/// A component of so many core instances, each with so many memories and tables.
fn component(instances: usize, memories: usize, tables: usize) -> String {
    let memories = "(memory 1)".repeat(memories);
    let tables = "(table 1 funcref)".repeat(tables);
    let guest = format!(r#"(core module $m {memories} {tables} (func (export "f")))"#);
    let instances = "(core instance (instantiate $m))".repeat(instances - 1);
    let last = r"(core instance $i (instantiate $m))";
    let lifted = r#"(func (export "f") (canon lift (core func $i "f")))"#;
    format!("(component {guest} {instances} {last} {lifted})")
}

#[tokio::test]
async fn what_toolchains_make_fits_by_default() -> Result<()> {
    let defaults = EngineOptions {
        parts: Parts::default(),
        ..OPTIONS
    };
    for pool_slots in [0, 16] {
        let world = world(EngineOptions {
            pool_slots,
            ..defaults.clone()
        })?;
        for text in [component(400, 0, 0), component(12, 1, 3)] {
            let actor = world.text(&text).await?;
            actor.deliver(values("f")).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_options_bound_what_an_instance_consists_of() -> Result<()> {
    let parts = Parts {
        core_instances: 3,
        memories: 2,
        tables: 1,
    };
    for pool_slots in [0, 4] {
        let options = EngineOptions {
            pool_slots,
            parts,
            ..OPTIONS
        };
        let world = world(options)?;
        for (text, fits) in [
            (component(3, 0, 0), true),
            (component(4, 0, 0), false),
            (component(2, 1, 0), true),
            (component(3, 1, 0), false),
            (component(1, 0, 1), true),
            (component(2, 0, 1), false),
        ] {
            // With a pool it is known when the code is compiled, without one when an instance is made.
            let served = async {
                world
                    .text(&text)
                    .await?
                    .deliver(values("f"))
                    .await
                    .map_err(anyhow::Error::from)
            };
            assert_eq!(served.await.is_ok(), fits, "{pool_slots} slots: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_into_the_pool_is_an_invalid_module_and_says_what_exceeds_which_bound()
-> Result<()> {
    let engine = Engine::new(OPTIONS)?;
    for (text, parts) in [
        (component(31, 0, 0), ["31 core module instances", "30"]),
        (component(5, 1, 0), ["5 Wasm linear memories", "4"]),
        (
            "(module (table 100001 funcref))".to_owned(),
            ["100001", "100000"],
        ),
    ] {
        let bytes = wat::parse_str(&text)?;
        let error = engine.compile(bytes.into()).await.map(drop);
        let error = exosuit_core::Error::from(error.expect_err("it fits"));
        assert_says(&error, Code::InvalidModule, &parts);
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_has_its_share_of_the_pool_and_leaves_the_rest_to_others() -> Result<()> {
    let world = world(EngineOptions {
        pool_slots: 4,
        actor_share: 50,
        ..OPTIONS
    })?;
    // Its calls wait for a host that never answers.
    let caller = world.actor("caller").await?;
    let begin = |deadline| tokio::spawn(deliver(&caller, invocation("Call", PAYLOAD, deadline)));
    let working = [begin(far()), begin(far())];
    tokio::task::yield_now().await;
    let waiting: Vec<_> = (0..8)
        .map(|_| begin(Instant::now() + Duration::from_millis(100)))
        .collect();

    let other = world.run_bytes(guest("echo")?).await?;
    for _ in 0..10 {
        assert_eq!(call(&other, "Echo.Say", "hello").await?, "hello");
    }
    for call in waiting {
        let error = call.await?.expect_err("no place is free");
        assert_says(
            &error,
            Code::Overloaded,
            &["2 instances", "50 %", "`actor_share`"],
        );
    }
    assert!(working.iter().all(|call| !call.is_finished()));
    Ok(())
}

#[tokio::test]
async fn a_call_beyond_the_share_goes_on_when_another_ends() -> Result<()> {
    let world = world(EngineOptions {
        pool_slots: 4,
        actor_share: 25,
        ..OPTIONS
    })?;
    let caller = world.actor("caller").await?;
    let soon = Instant::now() + Duration::from_millis(100);
    let first = tokio::spawn(deliver(&caller, invocation("Call", PAYLOAD, soon)));
    let late = Instant::now() + Duration::from_millis(300);
    let second = tokio::spawn(deliver(&caller, invocation("Call", PAYLOAD, late)));

    for call in [first, second] {
        let error = call.await?.expect_err("the host never answers");
        assert_eq!(error.code, Code::Deadline, "{error}");
    }
    Ok(())
}
