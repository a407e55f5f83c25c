//! Instances that hold resources: who may have how many, how they end, and what resources are told apart by.

mod common;

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::Result;
use exosuit_core::{Code, Context, Deliver, Error, Invocation, Origin, Payload, Target, Value};
use exosuit_engine::{Actor, EngineOptions, Instances};
use tokio::task::yield_now;
use tokio::time::timeout;

use common::{OPTIONS, World, assert_says, engine, far, id};

const CARTS: &str = "acme:shop/carts@1.2.0#";

/// Counts its calls, and has a function that could give a resource, but never does.
const COUNTER: &str = r#"(component
  (type $thing (resource (rep i32)))
  (core module $code
    (memory (export "memory") 1)
    (global $calls (mut i32) (i32.const 0))
    (func $count (export "count") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.get $calls))
    (func (export "none") (result i32) (drop (call $count)) (i32.const 0)))
  (core instance $code (instantiate $code))
  (alias core export $code "memory" (core memory $memory))
  (func $count (result u32) (canon lift (core func $code "count")))
  (func $none (result (option (own $thing))) (canon lift (core func $code "none") (memory $memory)))
  (export $named "thing" (type $thing))
  (export "count" (func $count))
  (export "none" (func $none) (func (result (option (own $named))))))"#;

/// Two versions of an interface, with a type of resources each. Both have one name for the host.
const THINGS: &str = r#"(component
  (core module $code
    (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
    (func (export "value") (param i32) (result i32) (local.get 0)))
  (type $one (resource (rep i32)))
  (type $two (resource (rep i32)))
  (core func $new-one (canon resource.new $one))
  (core func $new-two (canon resource.new $two))
  (core instance $code-one (instantiate $code (with "host" (instance (export "new" (func $new-one))))))
  (core instance $code-two (instantiate $code (with "host" (instance (export "new" (func $new-two))))))
  (func $make-one (param "n" u32) (result (own $one)) (canon lift (core func $code-one "make")))
  (func $make-two (param "n" u32) (result (own $two)) (canon lift (core func $code-two "make")))
  (func $value-one (param "thing" (borrow $one)) (result u32) (canon lift (core func $code-one "value")))
  (func $value-two (param "thing" (borrow $two)) (result u32) (canon lift (core func $code-two "value")))
  (component $things
    (import "thing" (type $thing (sub resource)))
    (import "make" (func $make (param "n" u32) (result (own $thing))))
    (import "value" (func $value (param "thing" (borrow $thing)) (result u32)))
    (export $named "thing" (type $thing))
    (export "make" (func $make) (func (param "n" u32) (result (own $named))))
    (export "value" (func $value) (func (param "thing" (borrow $named)) (result u32))))
  (instance $first (instantiate $things
    (with "thing" (type $one)) (with "make" (func $make-one)) (with "value" (func $value-one))))
  (instance $second (instantiate $things
    (with "thing" (type $two)) (with "make" (func $make-two)) (with "value" (func $value-two))))
  (export "test:kinds/things@1.0.0" (instance $first))
  (export "test:kinds/things@2.0.0" (instance $second)))"#;

/// A call of a process or an instance with this number.
fn call(
    (origin, caller): (&Origin, u64),
    operation: &str,
    arguments: Vec<Value>,
    deadline: Instant,
) -> Invocation {
    Invocation {
        origin: origin.clone(),
        target: Target::Actor("tested".to_owned()),
        operation: operation.to_owned(),
        payload: Payload::Values(arguments),
        context: Context {
            caller: NonZeroU64::new(caller),
            ..Context::until(deadline)
        },
    }
}

async fn ask(actor: &Actor, invocation: Invocation) -> Result<Value, Error> {
    actor.deliver(invocation).await?.into_value()
}

/// Asks as one process of Elixir.
async fn ask_as_process(
    actor: &Actor,
    operation: &str,
    arguments: Vec<Value>,
) -> Result<Value, Error> {
    ask(
        actor,
        call((&Origin::Host, 15), operation, arguments, far()),
    )
    .await
}

fn new_cart(caller: (&Origin, u64), total: i128) -> Invocation {
    let operation = format!("{CARTS}[constructor]cart");
    call(caller, &operation, vec![Value::Integer(total)], far())
}

/// Has callers with these numbers each get a cart until one is refused, and returns how many did, and the error.
async fn fill(
    actor: &Actor,
    origin: &Origin,
    numbers: std::ops::Range<u64>,
    carts: &mut Vec<Value>,
) -> (usize, Option<Error>) {
    let before = carts.len();
    for number in numbers {
        match ask(actor, new_cart((origin, number), 1)).await {
            Ok(cart) => carts.push(cart),
            Err(error) => return (carts.len() - before, Some(error)),
        }
    }
    (carts.len() - before, None)
}

#[tokio::test]
async fn nobody_holds_all_instances_that_others_need() -> Result<()> {
    let actor = World::new()?.actor("carts").await?;
    actor.set_instances(8);
    let from = |name| Origin::Actor(id(name));
    let mut carts = Vec::new();

    let (got, error) = fill(&actor, &from("greedy"), 100..200, &mut carts).await;
    let error = error.expect("it wants more");
    assert_eq!(got, 4);
    let half = "hold resources for instances of greedy, as many as may for one actor: half of 8";
    assert_says(
        &error,
        Code::Overloaded,
        &[half, "drop resources", "`instances`"],
    );

    let (got, error) = fill(&actor, &from("second"), 200..300, &mut carts).await;
    assert_eq!(got, 2);
    let most = "for actors, as many as may: three quarters of 8";
    assert_says(&error.expect("it wants more"), Code::Overloaded, &[most]);

    let (got, error) = fill(&actor, &Origin::Host, 300..400, &mut carts).await;
    assert_eq!(got, 2);
    assert_says(
        &error.expect("they want more"),
        Code::Overloaded,
        &["8 instances of the actor"],
    );

    // What one has dropped, others may have.
    carts.clear();
    let (got, error) = loop {
        let (got, error) = fill(&actor, &Origin::Host, 400..500, &mut carts).await;
        if got == 6 {
            break (got, error);
        }
        carts.clear();
        yield_now().await;
    };
    assert_eq!(got, 6);
    let most = "for processes, as many as may: three quarters of 8";
    assert_says(&error.expect("they want more"), Code::Overloaded, &[most]);
    assert_eq!(fill(&actor, &from("late"), 500..600, &mut carts).await.0, 2);
    Ok(())
}

#[tokio::test]
async fn an_instance_that_goes_back_to_the_warm_ones_has_served_a_call() -> Result<()> {
    let instances = Instances::Warm {
        pool: 1,
        calls: 3,
        idle: Duration::from_hours(1),
    };
    let world = World {
        instances,
        ..World::new()?
    };
    let actor = world.text(COUNTER).await?;
    assert_eq!(ask_as_process(&actor, "none", vec![]).await?, Value::Nil);
    for count in [2, 3, 1] {
        let counted = ask_as_process(&actor, "count", vec![]).await?;
        assert_eq!(counted, Value::Integer(count));
    }
    Ok(())
}

#[tokio::test]
async fn a_destructor_ends_with_its_actor() -> Result<()> {
    let options = EngineOptions {
        pool_slots: 1,
        ..OPTIONS
    };
    let world = World {
        engine: exosuit_engine::Engine::new(options)?,
        ..World::new()?
    };
    let actor = world.actor("carts").await?;
    let process = (&Origin::Host, 15);
    let kept = ask(&actor, new_cart(process, 1)).await?;
    // Its destructor spins, and has an hour for that.
    drop(ask(&actor, new_cart(process, 14)).await?);
    let add = |millis| {
        let operation = format!("{CARTS}[method]cart.add");
        let deadline = Instant::now() + Duration::from_millis(millis);
        let arguments = vec![kept.clone(), Value::Integer(0)];
        ask(&actor, call(process, &operation, arguments, deadline))
    };
    while add(50).await.map_err(|error| error.code) != Err(Code::Deadline) {}

    // Another actor has no room while the instance exists.
    let other = world.actor("carts").await?;
    assert!(ask(&other, new_cart(process, 1)).await.is_err());
    drop(actor);
    let served = async {
        while ask(&other, new_cart(process, 1)).await.is_err() {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), served).await?;
    drop(kept);
    Ok(())
}

#[tokio::test]
async fn resources_are_of_one_type_if_that_is_the_same_one_not_if_it_has_the_same_name()
-> Result<()> {
    let here = World::new()?;
    let actor = here.text(THINGS).await?;
    let make = |version: &str| format!("test:kinds/things@{version}#make");
    let value = |version: &str| format!("test:kinds/things@{version}#value");
    let seven = || vec![Value::Integer(7)];
    let thing = ask_as_process(&actor, &make("1.0.0"), seven()).await?;
    let newer = ask_as_process(&actor, &make("2.0.0"), seven()).await?;
    for (version, right, wrong) in [("1.0.0", &thing, &newer), ("2.0.0", &newer, &thing)] {
        let is = ask_as_process(&actor, &value(version), vec![right.clone()]).await?;
        assert_eq!(is, Value::Integer(7));
        let refused = ask_as_process(&actor, &value(version), vec![wrong.clone()]).await;
        let says = "expected a resource test:kinds/things/thing of this actor, got a resource \
                    test:kinds/things/thing of tested";
        assert_says(
            &refused.expect_err("it is another type"),
            Code::InvalidInput,
            &[says],
        );
    }

    // Another component with an interface of the same name.
    let there = World {
        engine: engine()?,
        id: "other",
        ..World::new()?
    };
    let text = THINGS.replacen("(component", "(component (core module)", 1);
    let other = there.text(&text).await?;
    let foreign = ask_as_process(&other, &make("1.0.0"), seven()).await?;
    let refused = ask_as_process(&actor, &value("1.0.0"), vec![foreign.clone()]).await;
    let says = "of this actor, got a resource test:kinds/things/thing of other";
    assert_says(
        &refused.expect_err("it is another's"),
        Code::InvalidInput,
        &[says],
    );
    let is = ask_as_process(&other, &value("1.0.0"), vec![foreign]).await?;
    assert_eq!(is, Value::Integer(7));
    Ok(())
}
