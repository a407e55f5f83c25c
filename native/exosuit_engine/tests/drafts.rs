//! The versions of `wasi:keyvalue` and `wasi:config` that guests import: one store and one
//! configuration behind all of them.

mod common;

use std::sync::Arc;

use anyhow::Result;
use exosuit_core::{Answer, Code, Deliver, Invocation, Payload, Reply, Value};
use parking_lot::Mutex;

use common::{World, engine, far, invocation};

/// Lists the keys behind the cursor "7", counts down by one, and swaps the value of a key; gives the
/// next cursor as a text, the number, and the case of the swap's result: 0 for success, 1 for an error.
const SECOND: &str = r#"
(component
  (import "wasi:keyvalue/store@0.2.0-draft2" (instance $store
    (export "bucket" (type $bucket (sub resource)))
    (type $error' (variant (case "no-such-store") (case "access-denied") (case "other" string)))
    (export "error" (type $error (eq $error')))
    (type $page' (record (field "keys" (list string)) (field "cursor" (option string))))
    (export "key-response" (type $page (eq $page')))
    (export "open" (func (param "identifier" string)
      (result (result (own $bucket) (error $error)))))
    (export "[method]bucket.list-keys" (func
      (param "self" (borrow $bucket)) (param "cursor" (option string))
      (result (result $page (error $error)))))))
  (alias export $store "bucket" (type $bucket))
  (alias export $store "error" (type $error))
  (import "wasi:keyvalue/atomics@0.2.0-draft2" (instance $atomics
    (alias outer 1 $bucket (type $bucket'))
    (export "bucket" (type $bucket (eq $bucket')))
    (alias outer 1 $error (type $error'))
    (export "error" (type $error (eq $error')))
    (export "cas" (type $cas (sub resource)))
    (type $failed' (variant
      (case "store-error" $error)
      (case "cas-failed" (tuple (own $cas) (option (list u8))))))
    (export "cas-error" (type $failed (eq $failed')))
    (export "[static]cas.new" (func (param "bucket" (borrow $bucket)) (param "key" string)
      (result (result (own $cas) (error $error)))))
    (export "increment" (func
      (param "bucket" (borrow $bucket)) (param "key" string) (param "delta" s64)
      (result (result s64 (error $error)))))
    (export "swap" (func (param "cas" (own $cas)) (param "value" (list u8))
      (result (result (error $failed)))))))
  (core module $memory
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3))))
    (data (i32.const 0) "keys7news"))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $open (canon lower (func $store "open") (memory $m) (realloc $realloc)))
  (core func $list (canon lower (func $store "[method]bucket.list-keys")
    (memory $m) (realloc $realloc)))
  (core func $cas (canon lower (func $atomics "[static]cas.new") (memory $m) (realloc $realloc)))
  (core func $add (canon lower (func $atomics "increment") (memory $m) (realloc $realloc)))
  (core func $swap (canon lower (func $atomics "swap") (memory $m) (realloc $realloc)))
  (core module $guest
    (import "memory" "memory" (memory 1))
    (import "host" "open" (func $open (param i32 i32 i32)))
    (import "host" "list" (func $list (param i32 i32 i32 i32 i32)))
    (import "host" "cas" (func $cas (param i32 i32 i32 i32)))
    (import "host" "add" (func $add (param i32 i32 i32 i64 i32)))
    (import "host" "swap" (func $swap (param i32 i32 i32 i32)))
    ;; 64: open. 128: list. 192: cas. 256: add. 320: swap. 1024: what it gives.
    (func $bucket (result i32)
      (call $open (i32.const 0) (i32.const 4) (i32.const 64))
      (i32.load (i32.const 68)))
    (func (export "run") (result i32)
      (local $bucket i32)
      (local.set $bucket (call $bucket))
      (call $list (local.get $bucket) (i32.const 1) (i32.const 4) (i32.const 1) (i32.const 128))
      (i64.store (i32.const 1024) (i64.load offset=144 (i32.const 0)))
      (call $add (local.get $bucket) (i32.const 0) (i32.const 4) (i64.const -1) (i32.const 256))
      (i64.store (i32.const 1032) (i64.load (i32.const 264)))
      (call $cas (local.get $bucket) (i32.const 0) (i32.const 4) (i32.const 192))
      (call $swap (i32.load (i32.const 196)) (i32.const 5) (i32.const 3) (i32.const 320))
      (i32.store8 (i32.const 1040) (i32.load8_u (i32.const 320)))
      (i32.const 1024)))
  (core instance $guest (instantiate $guest
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "open" (func $open)) (export "list" (func $list)) (export "cas" (func $cas))
      (export "add" (func $add)) (export "swap" (func $swap))))))
  (func (export "run") (result (tuple string s64 bool))
    (canon lift (core func $guest "run") (memory $m))))
"#;

/// A store that answers by the function, and keeps what it was asked.
struct Store {
    swaps: bool,
    asked: Mutex<Vec<(String, Vec<Value>)>>,
}

impl Store {
    fn answer(&self, function: &str) -> Option<Value> {
        match function {
            "store@0.2.0-draft#list-keys" => Some(Value::Tuple(vec![
                Value::List(Vec::new()),
                Value::Integer(9),
            ])),
            "store@0.2.0-draft#get" => Some(Value::binary("old")),
            "atomics@0.2.0-draft2#increment" => Some(Value::Integer(-3)),
            "atomics@0.2.0-draft2#swap" if self.swaps => {
                Some(Value::Tuple(vec![Value::Bool(true), Value::Nil]))
            }
            "atomics@0.2.0-draft2#swap" => Some(Value::Tuple(vec![
                Value::Bool(false),
                Value::binary("other"),
            ])),
            _ => None,
        }
    }
}

impl Deliver for Store {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let Payload::Values(arguments) = invocation.payload else {
            panic!("no values");
        };
        let function = invocation.operation.replace("wasi:keyvalue/", "");
        let answer = self.answer(&function);
        self.asked.lock().push((function, arguments));
        let answer = Value::Ok(answer.map(Box::new));
        Box::pin(async move { Ok(Reply::Value(answer)) })
    }
}

async fn run(swaps: bool) -> Result<(Value, Vec<(String, Vec<Value>)>)> {
    let store = Arc::new(Store {
        swaps,
        asked: Mutex::default(),
    });
    let world = World::delivering(engine()?, store.clone());
    let actor = world.text(SECOND).await?;
    assert!(actor.module().unanswered().is_empty());
    let call = Invocation {
        payload: Payload::Values(Vec::new()),
        ..invocation("run", "", far())
    };
    let answer = actor.deliver(call).await?.into_value()?;
    let asked = store.asked.lock().clone();
    Ok((answer, asked))
}

#[tokio::test]
async fn the_second_draft_of_keyvalue_is_asked_in_the_words_of_the_first_and_its_own() -> Result<()>
{
    let (answer, asked) = run(true).await?;
    let expected = [Value::binary("9"), Value::Integer(-3), Value::Bool(false)];
    assert_eq!(answer, Value::Tuple(expected.to_vec()));

    let key = || Value::binary("keys");
    let seen = "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4";
    let seen: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&seen[2 * at..2 * at + 2], 16))
        .collect::<Result<_, _>>()?;
    let expected = [
        (
            "store@0.2.0-draft#list-keys",
            vec![key(), Value::Integer(7)],
        ),
        (
            "atomics@0.2.0-draft2#increment",
            vec![key(), key(), Value::Integer(-1)],
        ),
        ("store@0.2.0-draft#get", vec![key(), key()]),
        (
            "atomics@0.2.0-draft2#swap",
            vec![key(), key(), Value::binary(seen), Value::binary("new")],
        ),
    ];
    assert_eq!(
        asked,
        expected.map(|(function, arguments)| (function.to_owned(), arguments))
    );
    Ok(())
}

#[tokio::test]
async fn a_swap_that_comes_too_late_is_an_error_of_the_guests() -> Result<()> {
    let (answer, _asked) = run(false).await?;
    let expected = [Value::binary("9"), Value::Integer(-3), Value::Bool(true)];
    assert_eq!(answer, Value::Tuple(expected.to_vec()));
    Ok(())
}

#[tokio::test]
async fn the_configuration_is_there_in_each_version() -> Result<()> {
    let mut world = World::new()?;
    world.config.insert("k".to_owned(), "value".to_owned());
    for interface in [
        "wasi:config/store@0.2.0-draft",
        "wasi:config/store@0.2.0-rc.1",
        "wasi:config/runtime@0.2.0-draft",
    ] {
        let error = if interface.contains("runtime") {
            "config-error"
        } else {
            "error"
        };
        let text = format!(
            r#"(component
              (import "{interface}" (instance $config
                (type $error' (variant (case "upstream" string) (case "io" string)))
                (export "{error}" (type $error (eq $error')))
                (export "get" (func (param "key" string)
                  (result (result (option string) (error $error)))))))
              (core module $memory
                (memory (export "memory") 1)
                (data (i32.const 0) "k")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
              (core instance $memory (instantiate $memory))
              (alias core export $memory "memory" (core memory $m))
              (core func $get (canon lower (func $config "get")
                (memory $m) (realloc (func $memory "realloc"))))
              (core module $guest
                (import "host" "get" (func $get (param i32 i32 i32)))
                (func (export "run") (result i32)
                  (call $get (i32.const 0) (i32.const 1) (i32.const 16))
                  (i32.const 24)))
              (core instance $guest (instantiate $guest
                (with "host" (instance (export "get" (func $get))))))
              (func (export "run") (result string)
                (canon lift (core func $guest "run") (memory $m))))"#
        );
        let actor = world.text(&text).await?;
        assert!(actor.module().unanswered().is_empty(), "{interface}");
        assert_eq!(
            common::call(&actor, "run", "").await?,
            "value",
            "{interface}"
        );
    }
    let error = world
        .text(SECOND)
        .await?
        .deliver(invocation("run", "no", far()))
        .await;
    assert!(matches!(error, Err(error) if error.code == Code::InvalidInput));
    Ok(())
}
