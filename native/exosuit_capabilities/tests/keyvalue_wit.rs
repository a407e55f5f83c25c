//! The key-value store as components call it, and beside actors of the wasmbus. Each test runs on
//! each backend.

mod common;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use common::lattice::{join, server};
use common::{call, call_wit, configuration, id, link};
use exosuit_capabilities::{KeyValue, LocalLattice};
use exosuit_core::{Capability, Code, Error, Lattice, Link, Value};
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

struct Store {
    provider: Arc<KeyValue>,
    link: Arc<Link>,
}

impl Store {
    fn open(settings: &[(&str, &str)], directory: Option<&Path>) -> Result<Self, Error> {
        Self::open_in(&*LocalLattice::new(), settings, directory)
    }

    fn open_in(
        lattice: &dyn Lattice,
        settings: &[(&str, &str)],
        directory: Option<&Path>,
    ) -> Result<Self, Error> {
        let settings = configuration(settings);
        let observe = Arc::<common::Noted>::default();
        let provider = KeyValue::open(id("provider"), &settings, directory, lattice, observe)?;
        let link = link("actor", "wasi:keyvalue", &[]);
        Ok(Self { provider, link })
    }

    /// Calls a function, `store#get`, of the bucket with this name.
    async fn ask_in(
        &self,
        bucket: &str,
        function: &str,
        arguments: impl IntoIterator<Item = Value>,
    ) -> Result<Value, Error> {
        let operation = match function.split_once('@') {
            Some(_) => format!("wasi:keyvalue/{function}"),
            None => format!("wasi:keyvalue/{}", function.replace('#', "@0.2.0-draft#")),
        };
        let arguments = [text(bucket)].into_iter().chain(arguments).collect();
        let link = Some(self.link.clone());
        call_wit(&*self.provider, link, &operation, arguments).await
    }

    async fn ask(
        &self,
        function: &str,
        arguments: impl IntoIterator<Item = Value>,
    ) -> Result<Value, Error> {
        self.ask_in("default", function, arguments).await
    }

    async fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let done = self.ask("store#set", [text(key), bytes(value)]).await?;
        assert_eq!(done, NOTHING);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Value, Error> {
        self.ask("store#get", [text(key)]).await
    }

    async fn increment(&self, key: &str, delta: u64) -> Result<Value, Error> {
        let arguments = [text(key), Value::Integer(delta.into())];
        self.ask("atomics#increment", arguments).await
    }

    async fn page(&self, cursor: Value) -> Result<(Vec<String>, Value), Error> {
        let Value::Ok(Some(page)) = self.ask("store#list-keys", [cursor]).await? else {
            panic!("no page");
        };
        let Value::Tuple(mut fields) = *page else {
            panic!("{page:?}");
        };
        let (next, keys) = (fields.pop(), fields.pop());
        let Some(Value::List(keys)) = keys else {
            panic!("{keys:?}");
        };
        let key = |key| match key {
            Value::Binary(key) => String::from_utf8(key.into()).expect("a text"),
            other => panic!("{other:?}"),
        };
        Ok((keys.into_iter().map(key).collect(), next.expect("a cursor")))
    }

    /// An operation of the wasmbus, on the same data.
    async fn wasmbus<T: DeserializeOwned>(
        &self,
        operation: &str,
        arguments: serde_json::Value,
    ) -> Result<T, Error> {
        let link = Some(link("actor", "wasmcloud:keyvalue", &[]));
        let operation = format!("KeyValue.{operation}");
        call(&*self.provider, link, &operation, arguments).await
    }

    async fn wasmbus_set(&self, key: &str, value: &str) -> Result<()> {
        let payload = rmp_serde::to_vec_named(&json!({"key": key, "value": value}))?;
        let link = Some(link("actor", "wasmcloud:keyvalue", &[]));
        common::call_raw(&*self.provider, link, "KeyValue.Set", &payload).await?;
        Ok(())
    }
}

const NOTHING: Value = Value::Ok(None);

fn good(value: Value) -> Value {
    Value::Ok(Some(Box::new(value)))
}

fn text(text: &str) -> Value {
    Value::binary(text.to_owned())
}

fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    Value::binary(bytes.as_ref().to_vec())
}

fn number(number: u64) -> Value {
    good(Value::Integer(number.into()))
}

fn entry(key: &str, value: &str) -> Value {
    Value::Tuple(vec![text(key), text(value)])
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.expect_err("an error").code
}

async fn on_each_with(
    settings: &[(&str, &str)],
    test: impl AsyncFn(Store) -> Result<()>,
) -> Result<()> {
    // There one bucket may take all that the store may, as over NATS.
    let most = settings.iter().find(|(key, _)| *key == "max_bytes");
    let share = most.map(|(_, most)| ("max_bucket_bytes", *most));
    let here: Vec<_> = settings.iter().copied().chain(share).collect();
    on_each_here(&here, &test).await?;
    let server = server().await;
    test(Store::open_in(&join(&server).await, settings, None)?).await
}

/// On the backends that need no servers.
async fn on_each_here(
    settings: &[(&str, &str)],
    test: impl AsyncFn(Store) -> Result<()>,
) -> Result<()> {
    test(Store::open(settings, None)?).await?;
    let directory = TempDir::new()?;
    test(Store::open(settings, Some(directory.path()))?).await
}

async fn on_each(test: impl AsyncFn(Store) -> Result<()>) -> Result<()> {
    on_each_with(&[], test).await
}

#[tokio::test]
async fn a_value_is_there_from_set_to_delete() -> Result<()> {
    on_each(async |store| {
        assert_eq!(store.get("a").await?, good(Value::Nil));
        let there = store.ask("store#exists", [text("a")]).await?;
        assert_eq!(there, good(Value::Bool(false)));

        store.set("a", b"one").await?;
        store.set("a", b"\xff\x00 no text").await?;
        assert_eq!(store.get("a").await?, good(bytes(b"\xff\x00 no text")));
        let there = store.ask("store#exists", [text("a")]).await?;
        assert_eq!(there, good(Value::Bool(true)));

        for _ in 0..2 {
            assert_eq!(store.ask("store#delete", [text("a")]).await?, NOTHING);
            assert_eq!(store.get("a").await?, good(Value::Nil));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn increment_starts_at_nought_and_never_wraps() -> Result<()> {
    on_each(async |store| {
        assert_eq!(store.increment("n", 5).await?, number(5));
        assert_eq!(store.increment("n", u64::MAX - 5).await?, number(u64::MAX));
        assert_eq!(code(store.increment("n", 1).await), Code::Provider);
        assert_eq!(store.get("n").await?, good(text(&u64::MAX.to_string())));
        assert_eq!(store.increment("n", 0).await?, number(u64::MAX));

        for no_number in ["many", "", "-1", "1.5", "18446744073709551616"] {
            store.set("n", no_number).await?;
            let error = store.increment("n", 1).await.expect_err(no_number);
            assert_eq!(error.code, Code::Provider);
            let bounds = "within the bounds of this contract, 0 to 18446744073709551615";
            assert!(error.detail.ends_with(bounds), "{}", error.detail);
            assert_eq!(store.get("n").await?, good(text(no_number)));
        }
        for delta in [-1, i128::from(u64::MAX) + 1] {
            let arguments = [text("n"), Value::Integer(delta)];
            let refused = store.ask("atomics#increment", arguments).await;
            assert_eq!(code(refused), Code::InvalidInput);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn both_contracts_see_the_same_entries() -> Result<()> {
    on_each(async |store| {
        store.wasmbus_set("text", "zwölf").await?;
        assert_eq!(store.get("text").await?, good(text("zwölf")));

        store.set("text", "dreizehn").await?;
        let found: serde_json::Value = store.wasmbus("Get", json!("text")).await?;
        assert_eq!(found, json!({"value": "dreizehn", "exists": true}));

        store.set("bytes", b"\xff").await?;
        let refused = store
            .wasmbus::<serde_json::Value>("Get", json!("bytes"))
            .await;
        let error = refused.expect_err("no text");
        assert_eq!(error.code, Code::Provider);
        assert!(error.detail.contains("no UTF-8"), "{}", error.detail);
        assert!(store.wasmbus::<bool>("Contains", json!("bytes")).await?);

        assert_eq!(store.increment("n", 2).await?, number(2));
        let by = |value: i32| json!({"key": "n", "value": value});
        assert_eq!(store.wasmbus::<i32>("Increment", by(3)).await?, 5);
        assert_eq!(store.increment("n", 1 << 40).await?, number((1 << 40) + 5));
        let refused = store.wasmbus::<i32>("Increment", by(1)).await;
        assert_eq!(code(refused), Code::Provider);

        let item = json!({"listName": "list", "value": "a"});
        store.wasmbus::<u32>("ListAdd", item).await?;
        assert_eq!(code(store.get("list").await), Code::Provider);
        assert_eq!(code(store.increment("list", 1).await), Code::Provider);
        let there = store.ask("store#exists", [text("list")]).await?;
        assert_eq!(there, good(Value::Bool(true)));
        assert_eq!(
            store.page(Value::Nil).await?.0,
            ["bytes", "list", "n", "text"]
        );
        assert_eq!(store.ask("store#delete", [text("list")]).await?, NOTHING);
        assert!(!store.wasmbus::<bool>("Contains", json!("list")).await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn many_keys_go_in_and_out_at_once() -> Result<()> {
    on_each(async |store| {
        let entries = vec![entry("a", "1"), entry("b", "2"), entry("a", "3")];
        let done = store.ask("batch#set-many", [Value::List(entries)]).await?;
        assert_eq!(done, NOTHING);

        let keys = || Value::List(vec![text("b"), text("none"), text("a")]);
        let found = store.ask("batch#get-many", [keys()]).await?;
        let expected = vec![entry("b", "2"), Value::Nil, entry("a", "3")];
        assert_eq!(found, good(Value::List(expected)));

        let done = store.ask("batch#delete-many", [keys()]).await?;
        assert_eq!(done, NOTHING);
        assert_eq!(store.page(Value::Nil).await?, (Vec::new(), Value::Nil));

        for function in ["batch#get-many", "batch#set-many", "batch#delete-many"] {
            let none = store.ask(function, [Value::List(Vec::new())]).await?;
            assert!(matches!(none, Value::Ok(_)), "{function}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_batch_happens_whole_or_not_at_all() -> Result<()> {
    let settings = [("max_bytes", "100k"), ("max_bucket_bytes", "100k")];
    on_each_here(&settings, async |store| {
        store.set("a", "before").await?;
        let full = (0..1_024).map(|n| entry(&"k".repeat(n + 1), "v")).collect();
        let refused = store.ask("batch#set-many", [Value::List(full)]).await;
        assert_eq!(code(refused), Code::Provider);
        let (keys, _) = store.page(Value::Nil).await?;
        assert!(keys == ["a"], "{} keys are there", keys.len());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_batch_is_bounded_and_checked_before_any_of_it_happens() -> Result<()> {
    on_each_with(&[("max_value_bytes", "10")], async |store| {
        store.set("a", "before").await?;
        let too_long = vec![entry("a", "after"), entry("b", "eleven byte")];
        let refused = store.ask("batch#set-many", [Value::List(too_long)]).await;
        assert_eq!(code(refused), Code::InvalidInput);
        assert_eq!(store.page(Value::Nil).await?.0, ["a"]);

        for function in ["batch#get-many", "batch#delete-many"] {
            let most = Value::List(vec![text("b"); 1_024]);
            assert!(store.ask(function, [most]).await.is_ok(), "{function}");
            let more = Value::List(vec![text("a"); 1_025]);
            let refused = store.ask(function, [more]).await;
            assert_eq!(code(refused), Code::InvalidInput, "{function}");
        }
        let more = Value::List(vec![entry("a", "after"); 1_025]);
        let refused = store.ask("batch#set-many", [more]).await;
        assert_eq!(code(refused), Code::InvalidInput);
        assert_eq!(store.get("a").await?, good(text("before")));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused() -> Result<()> {
    on_each(async |store| {
        store.set("a", vec![0; 9 << 20]).await?;
        let twice = Value::List(vec![text("a"); 2]);
        let refused = store.ask("batch#get-many", [twice]).await;
        assert_eq!(code(refused), Code::Provider);
        let once = Value::List(vec![text("a")]);
        assert!(store.ask("batch#get-many", [once]).await.is_ok());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn keys_come_in_pages_though_others_come_and_go() -> Result<()> {
    on_each(async |store| {
        for batch in (0..2_500).collect::<Vec<_>>().chunks(1_000) {
            let entries = batch
                .iter()
                .map(|n| entry(&format!("k{n:04}"), ""))
                .collect();
            store.ask("batch#set-many", [Value::List(entries)]).await?;
        }
        let (first, cursor) = store.page(Value::Nil).await?;
        assert_eq!((first.len(), first[0].as_str()), (1_000, "k0000"));

        // Before, at and after the place where the next page begins.
        for key in ["k0500", "k0999", "k1000"] {
            store.ask("store#delete", [text(key)]).await?;
        }
        store.set("k0400.new", "").await?;
        store.set("k1500.new", "").await?;
        let (second, next) = store.page(cursor.clone()).await?;
        assert_eq!((second.len(), second[0].as_str()), (1_000, "k1001"));
        assert!(second.contains(&"k1500.new".to_owned()));
        assert_eq!(store.page(cursor).await?, (second.clone(), next.clone()));
        let (third, end) = store.page(next).await?;
        assert_eq!(
            (third.last().map(String::as_str), end),
            (Some("k2499"), Value::Nil)
        );

        let stays = |key: &&String| !key.ends_with("new");
        let all = [&first, &second, &third].into_iter().flatten();
        assert_eq!(all.filter(stays).count(), 2_499);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_page_that_ends_with_the_last_key_is_the_last() -> Result<()> {
    on_each(async |store| {
        let entries = (0..1_000).map(|n| entry(&n.to_string(), "")).collect();
        store.ask("batch#set-many", [Value::List(entries)]).await?;
        let (keys, end) = store.page(Value::Nil).await?;
        assert_eq!((keys.len(), end), (1_000, Value::Nil));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cursor_is_good_for_its_bucket_and_as_long_as_its_link() -> Result<()> {
    on_each(async |store| {
        let entries: Vec<_> = (0..1_001).map(|n| entry(&n.to_string(), "")).collect();
        let (most, last) = entries.split_at(1_000);
        for entries in [most, last] {
            let entries = Value::List(entries.to_vec());
            store.ask("batch#set-many", [entries]).await?;
        }
        let (_, cursor) = store.page(Value::Nil).await?;
        assert_eq!(
            store.page(cursor.clone()).await?,
            (vec!["999".to_owned()], Value::Nil)
        );

        let elsewhere = [cursor.clone()];
        let refused = store.ask_in("other", "store#list-keys", elsewhere).await;
        assert_eq!(code(refused), Code::InvalidInput);
        let refused = store.page(Value::Integer(7)).await;
        let error = refused.expect_err("nobody's cursor");
        assert!(
            error.detail.contains("from the first again"),
            "{}",
            error.detail
        );

        store.provider.unlink(store.link.clone()).await?;
        assert_eq!(code(store.page(cursor).await), Code::InvalidInput);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_guest_opens_the_bucket_of_its_link_or_one_inside_of_it() -> Result<()> {
    on_each(async |mut store| {
        store.set("a", "default").await?;
        let get = async |store: &Store, bucket: &str| {
            store.ask_in(bucket, "store#get", [text("a")]).await
        };
        assert_eq!(get(&store, "").await?, good(text("default")));
        assert_eq!(get(&store, "orders").await?, good(Value::Nil));
        let set = [text("a"), text("inside of default")];
        store.ask_in("orders", "store#set", set).await?;
        assert_eq!(
            get(&store, "orders").await?,
            good(text("inside of default"))
        );
        assert_eq!(store.page(Value::Nil).await?.0, ["a"]);

        // Another actor's bucket is not to be had by its name, nor what is inside of it.
        store.link = link("another", "wasi:keyvalue", &[("bucket", "orders")]);
        for bucket in ["", "default", "orders"] {
            assert_eq!(get(&store, bucket).await?, good(Value::Nil), "{bucket:?}");
        }
        store.set("a", "orders").await?;

        store.link = link("third", "wasi:keyvalue", &[]);
        assert_eq!(get(&store, "default").await?, good(text("default")));
        assert_eq!(
            get(&store, "orders").await?,
            good(text("inside of default"))
        );

        let longest = "x".repeat(128);
        store.link = link("actor", "wasi:keyvalue", &[("bucket", &longest)]);
        assert_eq!(get(&store, &longest[2..]).await?, good(Value::Nil));
        for bad in ["a b", "default/orders", "é", &longest] {
            assert_eq!(code(get(&store, bad).await), Code::InvalidInput, "{bad:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_link_of_either_contract_is_taken() -> Result<()> {
    let store = Store::open(&[], None)?;
    for contract in ["wasi:keyvalue", "wasmcloud:keyvalue"] {
        let good = link("actor", contract, &[("bucket", "orders.v2")]);
        store.provider.link(good).await?;
        let bad = link("actor", contract, &[("bucket", "a/b")]);
        assert_eq!(code(store.provider.link(bad).await), Code::InvalidLink);
    }
    let foreign = link("actor", "wasi:http", &[]);
    let error = store.provider.link(foreign).await.expect_err("foreign");
    assert_eq!(
        error.detail,
        "the key-value store offers wasmcloud:keyvalue and wasi:keyvalue, not wasi:http"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_function_of_the_contract_is_refused() -> Result<()> {
    let store = Store::open(&[], None)?;
    for function in ["store#drop", "batch#get", "other#get", "store"] {
        let refused = store.ask(function, [text("a")]).await;
        assert_eq!(code(refused), Code::UnknownOperation, "{function}");
    }
    let key = || text("a");
    let pair = |fields: Vec<Value>| vec![key(), Value::List(vec![Value::Tuple(fields)])];
    for (function, arguments) in [
        ("store#get", vec![]),
        ("store#get", vec![key(), key()]),
        ("store#get", vec![Value::Integer(1)]),
        ("store#get", vec![bytes(b"\xff")]),
        ("store#set", vec![key(), Value::Nil]),
        ("store#list-keys", vec![key()]),
        ("store#list-keys", vec![Value::Integer(-1)]),
        ("atomics#increment", vec![key(), key()]),
        ("batch#get-many", vec![key()]),
        ("batch#get-many", vec![Value::List(vec![Value::Nil])]),
        ("batch#set-many", pair(vec![key()])),
        ("batch#set-many", pair(vec![key(), key(), key()])),
    ] {
        let error = store.ask(function, arguments).await.expect_err(function);
        assert_eq!(error.code, Code::InvalidInput, "{function}");
        let said = format!("the arguments are not what they must be: {function}(bucket, ");
        assert!(error.detail.starts_with(&said), "{}", error.detail);
    }

    let name = "wasi:keyvalue/store#get";
    let bytes = common::call_raw(&*store.provider, None, name, b"").await;
    assert_eq!(code(bytes), Code::InvalidInput);
    let values = call_wit(&*store.provider, None, "KeyValue.Get", vec![key()]).await;
    assert_eq!(code(values), Code::InvalidInput);
    Ok(())
}

#[tokio::test]
async fn a_value_is_swapped_if_it_is_what_was_seen() -> Result<()> {
    on_each(async |store| {
        let swap = async |seen: Value, value: &str| {
            let arguments = [text("key"), seen, bytes(value)];
            store.ask("atomics@0.2.0-draft2#swap", arguments).await
        };
        let seen = |value: &str| bytes(Sha256::digest(value));
        let swapped = |done, now| good(Value::Tuple(vec![Value::Bool(done), now]));

        assert_eq!(swap(seen("none"), "a").await?, swapped(false, Value::Nil));
        assert_eq!(swap(Value::Nil, "a").await?, swapped(true, Value::Nil));
        assert_eq!(swap(Value::Nil, "b").await?, swapped(false, bytes("a")));
        assert_eq!(swap(seen("a"), "b").await?, swapped(true, Value::Nil));
        assert_eq!(store.get("key").await?, good(bytes("b")));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_second_draft_counts_with_a_sign() -> Result<()> {
    on_each(async |store| {
        let add = async |delta: i64| {
            let arguments = [text("number"), Value::Integer(delta.into())];
            store.ask("atomics@0.2.0-draft2#increment", arguments).await
        };
        let integer = |number: i64| good(Value::Integer(number.into()));

        assert_eq!(add(2).await?, integer(2));
        assert_eq!(add(-5).await?, integer(-3));
        assert_eq!(code(store.increment("number", 1).await), Code::Provider);
        assert_eq!(add(3).await?, integer(0));
        assert_eq!(store.increment("number", 1).await?, number(1));
        assert_eq!(add(i64::MAX - 1).await?, integer(i64::MAX));
        assert_eq!(code(add(1).await), Code::Provider);
        Ok(())
    })
    .await
}
