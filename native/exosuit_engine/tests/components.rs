//! Components: functions with values and bytes, imports that links answer, programs.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use exosuit_core::{
    Answer, Code, Context, Deliver, Error, Invocation, Origin, Payload, Reply, Target, Value,
};
use exosuit_engine::{Actor, EngineOptions, Limits, WasiGrants};
use parking_lot::Mutex;

use common::{OPTIONS, World, assert_says, component, engine, far, id};

const CALCULATOR: &str = "exosuit:test/calculator@1.0.0";
const DELEGATOR: &str = "exosuit:test/delegator@1.0.0";

fn values(operation: String, arguments: Vec<Value>) -> Invocation {
    invocation(operation, Payload::Values(arguments), far())
}

fn invocation(operation: String, payload: Payload, deadline: Instant) -> Invocation {
    Invocation {
        origin: Origin::Host,
        target: Target::Actor("tested".to_owned()),
        operation,
        payload,
        context: Context::until(deadline),
    }
}

async fn ask(actor: &Actor, function: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    let operation = format!("{CALCULATOR}#{function}");
    actor
        .deliver(values(operation, arguments))
        .await?
        .into_value()
}

async fn delegate(actor: &Actor, function: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    let operation = format!("{DELEGATOR}#{function}");
    actor
        .deliver(values(operation, arguments))
        .await?
        .into_value()
}

fn integers<const N: usize>(numbers: [i128; N]) -> Vec<Value> {
    numbers.map(Value::Integer).to_vec()
}

fn texts<const N: usize>(texts: [&'static str; N]) -> Vec<Value> {
    texts.map(Value::binary).to_vec()
}

fn ok(value: Value) -> Value {
    Value::Ok(Some(Box::new(value)))
}

/// Checks the results of `calculator` for every kind of type, for any implementation.
async fn calculates<F>(ask: impl Fn(&'static str, Vec<Value>) -> F) -> Result<()>
where
    F: Future<Output = Result<Value, Error>>,
{
    assert_eq!(ask("add", integers([2, -5])).await?, Value::Integer(-3));
    let greeting = ask("greet", texts(["Ångström"])).await?;
    assert_eq!(greeting, Value::binary("Hello, Ångström!"));
    let bytes = ask("reverse", vec![Value::binary(&b"\xff\0abc"[..])]).await?;
    assert_eq!(bytes, Value::binary(&b"cba\0\xff"[..]));
    assert_eq!(ask("reverse", texts([""])).await?, Value::binary(""));
    let numbers = Value::List(integers([1, 2, 1 << 40]));
    assert_eq!(
        ask("sum", vec![numbers]).await?,
        Value::Integer(3 + (1 << 40))
    );
    let empty = Value::List(Vec::new());
    assert_eq!(ask("sum", vec![empty]).await?, Value::Integer(0));
    assert_eq!(ask("maybe", vec![Value::Nil]).await?, Value::Nil);
    assert_eq!(ask("maybe", texts([""])).await?, Value::binary(""));
    assert_eq!(
        ask("divide", integers([7, 2])).await?,
        ok(Value::Integer(3))
    );
    let refused = ask("divide", integers([7, 0])).await?;
    assert!(matches!(refused, Value::Error(Some(_))), "{refused:?}");
    assert_eq!(
        ask("check", vec![Value::Bool(true)]).await?,
        Value::Ok(None)
    );
    assert_eq!(
        ask("check", vec![Value::Bool(false)]).await?,
        Value::Error(None)
    );
    Ok(())
}

#[tokio::test]
async fn functions_take_and_give_values() -> Result<()> {
    let calculator = World::new()?.component("calculator").await?;
    calculates(|function, arguments| ask(&calculator, function, arguments)).await
}

#[tokio::test]
async fn imports_take_and_give_values() -> Result<()> {
    let calculator = World::new()?.component("calculator").await?;
    let world = World::delivering(engine()?, Arc::new(calculator));
    let delegator = world.component("delegator").await?;
    calculates(|function, arguments| delegate(&delegator, function, arguments)).await
}

/// As `Val`, which takes forty bytes for each, these bytes would be more than a guest may have of memory.
#[tokio::test]
async fn an_import_takes_and_gives_bytes_as_they_are() -> Result<()> {
    let calculator = World::new()?.component("calculator").await?;
    let world = World::delivering(engine()?, Arc::new(calculator));
    let delegator = world.component("delegator").await?;
    let large = Value::binary(vec![7; 16 << 20]);
    assert_eq!(
        delegate(&delegator, "reverse", vec![large.clone()]).await?,
        large
    );
    Ok(())
}

/// Bytes as a list of integers are what every other type of list is, and what is no text is no answer.
#[tokio::test]
async fn an_answer_in_another_form_is_taken_for_what_it_is() -> Result<()> {
    let numbers = || Ok(Reply::Value(Value::List(integers([1, 2]))));
    let world = World::delivering(engine()?, Says::new(numbers));
    let delegator = world.component("delegator").await?;
    let bytes = delegate(&delegator, "reverse", texts(["ab"])).await?;
    assert_eq!(bytes, Value::binary(&[1, 2][..]));

    let world = World::delivering(
        engine()?,
        Says::new(|| Ok(Reply::Value(Value::binary(&[255][..])))),
    );
    let delegator = world.component("delegator").await?;
    let error = delegate(&delegator, "greet", texts(["you"])).await;
    let parts = ["calculator@1.0.0#greet", "not UTF-8"];
    assert_says(&error.expect_err("no text"), Code::Provider, &parts);
    Ok(())
}

#[tokio::test]
async fn functions_of_bytes_take_and_give_them_as_they_are() -> Result<()> {
    let calculator = World::new()?.component("calculator").await?;
    let ask = async |function: &str, payload: Bytes| -> Result<Bytes, Error> {
        let operation = format!("exosuit:test/calculator#{function}");
        let call = invocation(operation, payload.into(), far());
        calculator.deliver(call).await?.into_bytes()
    };
    let large = Bytes::from(vec![7; 16 << 20]);
    assert_eq!(ask("reverse", large.clone()).await?, large);
    assert_eq!(ask("greet", "you".into()).await?, "Hello, you!");

    let error = ask("greet", Bytes::from_static(b"\xff")).await;
    assert_says(&error.expect_err("no text"), Code::InvalidInput, &["UTF-8"]);
    let error = ask("add", "2".into()).await;
    assert_says(
        &error.expect_err("two numbers"),
        Code::InvalidInput,
        &["list of arguments"],
    );
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_named() -> Result<()> {
    let calculator = World::new()?.component("calculator").await?;
    let refused = async |function, arguments, parts: &[&str]| {
        let error = ask(&calculator, function, arguments).await;
        assert_says(&error.expect_err("it fits"), Code::InvalidInput, parts);
    };
    refused("add", integers([1]), &["takes 2 arguments (a, b), got 1"]).await;
    refused(
        "add",
        texts(["1", "2"]),
        &["#add: a: expected an s32, got a text or bytes"],
    )
    .await;
    refused(
        "add",
        integers([1, 1 << 31]),
        &["#add: b: expected an s32, got 2147483648, which it cannot hold"],
    )
    .await;
    refused("greet", vec![Value::binary(&b"\xff"[..])], &["not UTF-8"]).await;
    refused(
        "sum",
        vec![Value::List(integers([-1]))],
        &["expected a u64, got -1"],
    )
    .await;
    refused("check", vec![Value::Nil], &["expected a bool, got nothing"]).await;

    let error = ask(&calculator, "multiply", Vec::new()).await;
    let error = error.expect_err("no such function");
    assert_says(&error, Code::UnknownOperation, &["multiply", "#add"]);
    Ok(())
}

#[tokio::test]
async fn faults_are_told_and_the_next_call_is_answered() -> Result<()> {
    let world = World::new()?;
    let small = World {
        limits: Limits {
            memory_bytes: 4 << 20,
            ..Limits::default()
        },
        ..world
    };
    let calculator = small.component("calculator").await?;
    let trap = ask(&calculator, "fail", Vec::new()).await;
    assert_eq!(trap.expect_err("a trap").code, Code::Trap);
    let limit = ask(&calculator, "grow", integers([100])).await;
    assert_says(
        &limit.expect_err("a limit"),
        Code::Limit,
        &["memory limit of 4194304"],
    );

    let soon = Instant::now() + Duration::from_millis(30);
    let spin = format!("{CALCULATOR}#spin");
    let late = calculator.deliver(invocation(spin, Payload::Values(Vec::new()), soon));
    assert_eq!(late.await.expect_err("no end").code, Code::Deadline);

    assert_eq!(
        ask(&calculator, "add", integers([1, 1])).await?,
        Value::Integer(2)
    );
    Ok(())
}

/// Answers everything alike, and keeps what it was asked.
struct Says(fn() -> Result<Reply, Error>, Mutex<Vec<Invocation>>);

impl Says {
    fn new(answer: fn() -> Result<Reply, Error>) -> Arc<Self> {
        Arc::new(Self(answer, Mutex::default()))
    }
}

impl Deliver for Says {
    fn deliver(&self, invocation: Invocation) -> Answer {
        self.1.lock().push(invocation);
        let answer = (self.0)();
        Box::pin(async { answer })
    }
}

#[tokio::test]
async fn an_import_is_a_call_by_the_contract_of_its_package() -> Result<()> {
    let host = Says::new(|| Ok(Reply::Value(Value::Integer(3))));
    let world = World::delivering(engine()?, host.clone());
    let delegator = world.component("delegator").await?;
    let call = values(format!("{DELEGATOR}#add"), integers([1, 2]));
    let until = call.context.deadline;
    delegator.deliver(call).await?;

    let asked = host.1.lock().pop().expect("a call");
    assert_eq!(asked.origin, Origin::Actor(id("tested")));
    let target = Target::Import {
        namespace: "exosuit:test".to_owned(),
        link: "default".to_owned(),
    };
    assert_eq!(asked.target, target);
    assert_eq!(asked.operation, format!("{CALCULATOR}#add"));
    assert_eq!((asked.context.depth, asked.context.deadline), (1, until));
    assert_eq!(asked.payload.into_values()?, integers([1, 2]));
    Ok(())
}

#[tokio::test]
async fn a_failed_import_is_an_error_where_the_function_has_one_and_else_a_trap() -> Result<()> {
    let denied = || Err(Error::new(Code::MissingLink, "no link allows it"));
    let world = World::delivering(engine()?, Says::new(denied));
    let delegator = world.component("delegator").await?;
    let told = delegate(&delegator, "divide", integers([1, 1])).await?;
    assert_eq!(
        told,
        Value::Error(Some(Box::new(Value::binary("no link allows it"))))
    );
    let trap = delegate(&delegator, "add", integers([1, 1])).await;
    assert_says(
        &trap.expect_err("a trap"),
        Code::MissingLink,
        &["no link allows it"],
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_of_another_type_is_an_error_that_says_so() -> Result<()> {
    let world = World::delivering(engine()?, Says::new(|| Ok(Reply::Value(Value::Nil))));
    let delegator = world.component("delegator").await?;
    let error = delegate(&delegator, "add", integers([1, 1])).await;
    let parts = ["calculator@1.0.0#add", "expected an s32, got nothing"];
    assert_says(&error.expect_err("no number"), Code::Provider, &parts);

    let world = World::delivering(engine()?, Says::new(|| Ok(Bytes::from("3").into())));
    let delegator = world.component("delegator").await?;
    let told = delegate(&delegator, "divide", integers([1, 1])).await?;
    assert!(matches!(told, Value::Error(Some(_))), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_program_gets_the_payload_as_its_input_and_answers_with_its_output() -> Result<()> {
    for name in ["run", "command"] {
        let world = World::new()?;
        let program = world.component(name).await?;
        let call = invocation("wasi:cli/run#run".to_owned(), "loud".into(), far());
        assert_eq!(program.deliver(call).await?.into_bytes()?, "LOUD", "{name}");
        let lines = world.log.lines();
        assert!(lines.iter().any(|(_, text)| text == "shouted"), "{lines:?}");

        let grants = WasiGrants {
            arguments: vec!["33".to_owned()],
            ..WasiGrants::default()
        };
        let world = World { grants, ..world };
        let program = world.component(name).await?;
        let call = invocation("wasi:cli/run#run".to_owned(), "".into(), far());
        let error = program.deliver(call).await;
        assert_says(&error.expect_err("a failure"), Code::Guest, &["status 33"]);
    }
    Ok(())
}

/// Makes headers, and keeps them.
const HOARDER: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $http
    (export "fields" (type $fields (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))))
  (core func $new (canon lower (func $http "[constructor]fields")))
  (core module $guest
    (import "http" "new" (func $new (result i32)))
    (func (export "hoard") (param $left i32)
      (loop $again
        (drop (call $new))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $again (local.get $left)))))
  (core instance $guest (instantiate $guest
    (with "http" (instance (export "new" (func $new))))))
  (func (export "hoard") (param "count" u32) (canon lift (core func $guest "hoard"))))
"#;

#[tokio::test]
async fn what_a_guest_has_its_host_keep_for_it_is_bounded() -> Result<()> {
    let hoarder = World::new()?.text(HOARDER).await?;
    let hoard = |count| hoarder.deliver(values("hoard".to_owned(), integers([count])));
    assert_eq!(hoard(4_000).await?.into_value()?, Value::Nil);
    let error = hoard(50_000).await.map(drop);
    assert_says(&error.expect_err("a hoard"), Code::Limit, &["resources"]);
    Ok(())
}

#[tokio::test]
async fn a_component_without_a_pool_has_no_more_tables_than_one_with() -> Result<()> {
    let options = EngineOptions {
        pool_slots: 0,
        ..OPTIONS
    };
    let engine = exosuit_engine::Engine::new(options)?;
    let world = World::with(engine, |_| Box::pin(async { Ok(Bytes::new()) }));
    let with_tables = |tables: usize| {
        let tables = "(table 1 funcref)".repeat(tables);
        let guest = format!(r#"(core module $m {tables} (func (export "f")))"#);
        let lifted = r#"(func (export "f") (canon lift (core func $i "f")))"#;
        format!("(component {guest} (core instance $i (instantiate $m)) {lifted})")
    };
    let call = || values("f".to_owned(), Vec::new());
    world.text(&with_tables(8)).await?.deliver(call()).await?;
    let error = world.text(&with_tables(9)).await?.deliver(call()).await;
    let error = error.map(drop).expect_err("nine tables");
    assert_says(&error, Code::Trap, &["table count too high"]);
    Ok(())
}

#[tokio::test]
async fn an_error_names_functions_and_does_not_recite_them() -> Result<()> {
    let name = "a".repeat(10_000);
    let guest = r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))"#;
    let lifted = format!(r#"(func (export "{name}") (canon lift (core func $i "f")))"#);
    let world = World::new()?;
    let actor = world.text(&format!("(component {guest} {lifted})")).await?;
    let unknown = actor.deliver(values("b".repeat(10_000), Vec::new())).await;
    let error = unknown.map(drop).expect_err("no such function");
    assert_says(&error, Code::UnknownOperation, &["bbb", "aaa"]);
    assert!(error.detail.len() < 1_000, "{} bytes", error.detail.len());
    Ok(())
}

#[tokio::test]
async fn compiled_components_are_kept() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let options = || EngineOptions {
        cache: Some(cache.path().join("code")),
        ..OPTIONS
    };
    for (compiled, loaded) in [(2, 0), (0, 2)] {
        let engine = exosuit_engine::Engine::new(options())?;
        for name in ["calculator", "command"] {
            engine.compile(component(name)?).await?;
        }
        let stats = engine.stats();
        assert_eq!((stats.compiled, stats.loaded), (compiled, loaded));
    }
    Ok(())
}
