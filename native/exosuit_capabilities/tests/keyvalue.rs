//! The key-value store, through calls as actors make them. Each test runs on each backend.

mod common;

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use common::lattice::{join, server};
use common::{Noted, call, call_raw, configuration, hex, id, link};
use exosuit_capabilities::{KeyValue, LocalLattice};
use exosuit_core::{Capability, Code, Error, Lattice, Link, Observe};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
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
        Self::observed(lattice, settings, directory, Arc::<Noted>::default())
    }

    fn observed(
        lattice: &dyn Lattice,
        settings: &[(&str, &str)],
        directory: Option<&Path>,
        observe: Arc<dyn Observe>,
    ) -> Result<Self, Error> {
        let settings = configuration(settings);
        let provider = KeyValue::open(id("provider"), &settings, directory, lattice, observe)?;
        let link = link("actor", "wasmcloud:keyvalue", &[]);
        Ok(Self { provider, link })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        operation: &str,
        arguments: impl Serialize,
    ) -> Result<T, Error> {
        let link = Some(self.link.clone());
        let operation = format!("KeyValue.{operation}");
        call(&*self.provider, link, &operation, arguments).await
    }

    /// An operation that answers with nothing at all.
    async fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        let payload = rmp_serde::to_vec_named(&json!({"key": key, "value": value, "expires": 0}))
            .expect("arguments are written");
        let link = Some(self.link.clone());
        let answer = call_raw(&*self.provider, link, "KeyValue.Set", &payload).await?;
        assert!(answer.is_empty());
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let found: Value = self.ask("Get", key).await?;
        let value = found["value"].as_str().expect("a text").to_owned();
        Ok(found["exists"]
            .as_bool()
            .expect("yes or no")
            .then_some(value))
    }

    async fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        let whole = json!({"listName": name, "start": 0, "stop": -1});
        self.ask("ListRange", whole).await
    }

    async fn add_all(&self, operation: &str, name_field: &str, name: &str, values: &[&str]) {
        for value in values {
            let arguments = json!({name_field: name, "value": value});
            let _: u32 = self.ask(operation, arguments).await.expect("added");
        }
    }

    async fn list_of(&self, name: &str, values: &[&str]) {
        self.add_all("ListAdd", "listName", name, values).await;
    }

    async fn set_of(&self, name: &str, values: &[&str]) {
        self.add_all("SetAdd", "setName", name, values).await;
    }
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

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.expect_err("an error").code
}

#[tokio::test]
async fn a_text_is_there_from_set_to_del() -> Result<()> {
    on_each(async |store| {
        assert_eq!(store.get("a").await?, None);
        assert!(!store.ask::<bool>("Contains", "a").await?);

        store.set("a", "one").await?;
        store.set("a", "zwölf").await?;
        assert_eq!(store.get("a").await?.as_deref(), Some("zwölf"));
        assert!(store.ask::<bool>("Contains", "a").await?);

        assert!(store.ask::<bool>("Del", "a").await?);
        assert!(!store.ask::<bool>("Del", "a").await?);
        assert_eq!(store.get("a").await?, None);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn increment_starts_at_nought_and_knows_its_bounds() -> Result<()> {
    on_each(async |store| {
        let by = |value: i32| json!({"key": "n", "value": value});
        assert_eq!(store.ask::<i32>("Increment", by(5)).await?, 5);
        assert_eq!(store.ask::<i32>("Increment", by(-7)).await?, -2);
        assert_eq!(store.get("n").await?.as_deref(), Some("-2"));

        store.set("n", &i32::MAX.to_string()).await?;
        assert_eq!(
            code(store.ask::<i32>("Increment", by(1)).await),
            Code::Provider
        );
        assert_eq!(store.get("n").await?, Some(i32::MAX.to_string()));

        store.set("n", "many").await?;
        assert_eq!(
            code(store.ask::<i32>("Increment", by(1)).await),
            Code::Provider
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_list_keeps_its_order() -> Result<()> {
    on_each(async |store| {
        let item = |value: &str| json!({"listName": "l", "value": value});
        assert_eq!(store.ask::<u32>("ListAdd", item("a")).await?, 1);
        assert_eq!(store.ask::<u32>("ListAdd", item("b")).await?, 2);
        store.list_of("l", &["a", "c"]).await;
        assert_eq!(store.list("l").await?, ["a", "b", "a", "c"]);

        assert!(store.ask::<bool>("ListDel", item("a")).await?);
        assert_eq!(store.list("l").await?, ["b", "a", "c"]);
        assert!(!store.ask::<bool>("ListDel", item("z")).await?);

        assert!(store.ask::<bool>("ListClear", "l").await?);
        assert!(!store.ask::<bool>("ListClear", "l").await?);
        assert_eq!(store.list("l").await?, [""; 0]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_range_includes_both_ends_and_may_count_from_the_last() -> Result<()> {
    on_each(async |store| {
        store.list_of("l", &["x", "0", "1", "2", "3"]).await;
        let first = json!({"listName": "l", "value": "x"});
        assert!(store.ask::<bool>("ListDel", first).await?);

        for (start, stop, expected) in [
            (0, 10, &["0", "1", "2", "3"][..]),
            (1, 2, &["1", "2"]),
            (-2, -1, &["2", "3"]),
            (-9, 0, &["0"]),
            (3, 3, &["3"]),
            (2, 1, &[]),
            (4, 9, &[]),
            (0, -9, &[]),
        ] {
            let range = json!({"listName": "l", "start": start, "stop": stop});
            let found: Vec<String> = store.ask("ListRange", range).await?;
            assert_eq!(found, expected, "{start} to {stop}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_set_has_each_member_once() -> Result<()> {
    on_each(async |store| {
        let member = |value: &str| json!({"setName": "s", "value": value});
        assert_eq!(store.ask::<u32>("SetAdd", member("b")).await?, 1);
        assert_eq!(store.ask::<u32>("SetAdd", member("b")).await?, 0);
        assert_eq!(store.ask::<u32>("SetAdd", member("a")).await?, 1);
        assert_eq!(store.ask::<Vec<String>>("SetQuery", "s").await?, ["a", "b"]);

        assert_eq!(store.ask::<u32>("SetDel", member("a")).await?, 1);
        assert_eq!(store.ask::<u32>("SetDel", member("a")).await?, 0);
        assert_eq!(store.ask::<Vec<String>>("SetQuery", "s").await?, ["b"]);

        assert!(store.ask::<bool>("SetClear", "s").await?);
        assert!(!store.ask::<bool>("SetClear", "s").await?);
        store.set_of("s", &["new"]).await;
        assert_eq!(store.ask::<Vec<String>>("SetQuery", "s").await?, ["new"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn sets_are_intersected_and_united() -> Result<()> {
    on_each(async |store| {
        store.set_of("s", &["a", "b", "c"]).await;
        store.set_of("t", &["b", "c", "d"]).await;
        store.set_of("u", &["c"]).await;

        let both = ["s", "t"];
        let found: Vec<String> = store.ask("SetIntersection", both).await?;
        assert_eq!(found, ["b", "c"]);
        let found: Vec<String> = store.ask("SetIntersection", ["s", "t", "u"]).await?;
        assert_eq!(found, ["c"]);
        let found: Vec<String> = store.ask("SetIntersection", ["s", "none"]).await?;
        assert_eq!(found, [""; 0]);

        let found: Vec<String> = store.ask("SetUnion", both).await?;
        assert_eq!(found, ["a", "b", "c", "d"]);
        let found: Vec<String> = store.ask("SetUnion", ["u", "none"]).await?;
        assert_eq!(found, ["c"]);

        let none: [&str; 0] = [];
        for operation in ["SetIntersection", "SetUnion"] {
            let found = store.ask::<Vec<String>>(operation, none).await;
            assert_eq!(code(found), Code::InvalidInput);
            // Named again and again a set is looked at once, and that often it may be named.
            let found: Vec<String> = store.ask(operation, vec!["s"; 64]).await?;
            assert_eq!(found, ["a", "b", "c"]);
            let found = store.ask::<Vec<String>>(operation, vec!["s"; 65]).await;
            assert_eq!(code(found), Code::InvalidInput);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_emptied_list_or_set_is_gone() -> Result<()> {
    on_each(async |store| {
        store.list_of("l", &["a"]).await;
        store.set_of("s", &["a"]).await;
        assert!(
            store
                .ask::<bool>("ListDel", json!({"listName": "l", "value": "a"}))
                .await?
        );
        assert_eq!(
            store
                .ask::<u32>("SetDel", json!({"setName": "s", "value": "a"}))
                .await?,
            1
        );

        for key in ["l", "s"] {
            assert!(!store.ask::<bool>("Contains", key).await?, "{key}");
            store.set(key, "a text by now").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_operation_on_another_kind_is_refused_and_changes_nothing() -> Result<()> {
    on_each(async |store| {
        store.list_of("l", &["a"]).await;
        store.set_of("s", &["a"]).await;
        store.set("t", "a").await?;

        for (operation, arguments) in [
            ("Get", json!("l")),
            ("Increment", json!({"key": "s", "value": 1})),
            ("ListAdd", json!({"listName": "s", "value": "b"})),
            ("ListDel", json!({"listName": "t", "value": "a"})),
            ("ListRange", json!({"listName": "s", "start": 0, "stop": 1})),
            ("ListClear", json!("s")),
            ("SetAdd", json!({"setName": "l", "value": "b"})),
            ("SetDel", json!({"setName": "t", "value": "a"})),
            ("SetQuery", json!("l")),
            ("SetClear", json!("t")),
            ("SetUnion", json!(["s", "l"])),
            ("SetIntersection", json!(["s", "t"])),
            ("SetIntersection", json!(["none", "l"])),
        ] {
            let error = store.ask::<Value>(operation, &arguments).await;
            let error = error.expect_err(operation);
            assert_eq!(error.code, Code::Provider, "{operation}");
            assert!(error.detail.contains("the key holds a"), "{}", error.detail);
        }
        assert_eq!(store.list("l").await?, ["a"]);
        assert_eq!(store.ask::<Vec<String>>("SetQuery", "s").await?, ["a"]);

        store.set("l", "Set and Del take any kind").await?;
        assert!(store.ask::<bool>("Del", "s").await?);
        store.list_of("s", &["no member is left behind"]).await;
        assert_eq!(store.list("s").await?, ["no member is left behind"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn keys_that_begin_alike_are_apart() -> Result<()> {
    on_each(async |store| {
        store.list_of("a", &["1"]).await;
        store.list_of("ab", &["2"]).await;
        store.list_of("", &["3"]).await;
        assert_eq!(store.list("a").await?, ["1"]);
        assert_eq!(store.list("").await?, ["3"]);
        assert!(store.ask::<bool>("ListClear", "a").await?);
        assert_eq!(store.list("ab").await?, ["2"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn buckets_are_apart() -> Result<()> {
    on_each(async |mut store| {
        store.set("a", "in default").await?;

        store.link = link("actor", "wasmcloud:keyvalue", &[("bucket", "another")]);
        assert_eq!(store.get("a").await?, None);
        store.set("a", "in another").await?;

        store.link = link(
            "another-actor",
            "wasmcloud:keyvalue",
            &[("bucket", "default")],
        );
        assert_eq!(store.get("a").await?.as_deref(), Some("in default"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_bucket_of_a_link_holds_however_its_key_is_written() -> Result<()> {
    let mut store = Store::open(&[], None)?;
    let tenant = |key: &str, name: &str| link("actor", "wasmcloud:keyvalue", &[(key, name)]);
    for (key, name) in [
        ("BUCKET", "tenant-a"),
        ("Bucket", "tenant-b"),
        ("bucket", "tenant-c"),
    ] {
        store.link = tenant(key, name);
        store.provider.link(store.link.clone()).await?;
        assert_eq!(store.get("whose").await?, None, "{key}");
        store.set("whose", name).await?;
    }
    store.link = tenant("bucket", "tenant-a");
    assert_eq!(store.get("whose").await?.as_deref(), Some("tenant-a"));
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_would_have_no_effect_is_refused() -> Result<()> {
    let store = Store::open(&[], None)?;
    let mut other_end = (*link("actor", "wasmcloud:keyvalue", &[])).clone();
    other_end.source_config = configuration(&[("bucket", "tenant-a")]);
    let twice = link(
        "actor",
        "wasmcloud:keyvalue",
        &[("BUCKET", "a"), ("bucket", "b")],
    );
    for bad in [Arc::new(other_end), twice] {
        let error = store
            .provider
            .link(bad)
            .await
            .expect_err("two tenants would share");
        assert_eq!(error.code, Code::InvalidLink, "{error}");
    }
    let warnings = store
        .provider
        .warnings(&link("actor", "wasmcloud:keyvalue", &[("URL", "x")]));
    assert!(warnings[0].contains("Redis"), "{warnings:?}");
    Ok(())
}

#[tokio::test]
async fn a_bucket_with_a_bad_name_is_refused_when_it_is_linked() -> Result<()> {
    let store = Store::open(&[], None)?;
    for bad in ["", "a b", "../up", &"x".repeat(129)] {
        let link = link("actor", "wasmcloud:keyvalue", &[("bucket", bad)]);
        assert_eq!(
            code(store.provider.link(link).await),
            Code::InvalidLink,
            "{bad:?}"
        );
    }
    let foreign = link("actor", "wasmcloud:messaging", &[]);
    assert_eq!(code(store.provider.link(foreign).await), Code::InvalidLink);
    let good = link("actor", "wasmcloud:keyvalue", &[("bucket", "orders.v2")]);
    Ok(store.provider.link(good).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_increment_is_lost() -> Result<()> {
    on_each(async |store| {
        let store = Arc::new(store);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = store.clone();
            tasks.spawn(async move {
                for _ in 0..25 {
                    let by = json!({"key": "n", "value": 1});
                    store.ask::<i32>("Increment", by).await?;
                }
                Ok::<_, Error>(())
            });
        }
        for done in tasks.join_all().await {
            done?;
        }
        assert_eq!(store.get("n").await?.as_deref(), Some("400"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_too_large_is_refused() -> Result<()> {
    let settings = [("max_value_bytes", "10"), ("max_items", "2")];
    on_each_with(&settings, async |store| {
        store.set("a", "ten bytes!").await?;
        assert_eq!(
            code(store.set("a", "eleven byte").await),
            Code::InvalidInput
        );
        assert_eq!(
            code(store.set(&"k".repeat(4_097), "").await),
            Code::InvalidInput
        );

        store.list_of("l", &["a", "b"]).await;
        let third = json!({"listName": "l", "value": "c"});
        assert_eq!(
            code(store.ask::<u32>("ListAdd", third).await),
            Code::Provider
        );
        store.set_of("s", &["a", "b", "b"]).await;
        let third = json!({"setName": "s", "value": "c"});
        assert_eq!(
            code(store.ask::<u32>("SetAdd", third).await),
            Code::Provider
        );
        let long = json!({"setName": "s", "value": "m".repeat(65_537)});
        assert_eq!(
            code(store.ask::<u32>("SetAdd", long).await),
            Code::InvalidInput
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_full_store_refuses_what_grows_and_takes_what_shrinks() -> Result<()> {
    on_each_with(&[("max_bytes", "10k")], async |store| {
        let most = "x".repeat(6_000);
        store.set("a", &most).await?;
        let error = store.set("b", &most).await.expect_err("full");
        assert_eq!(
            error.detail,
            "the key-value store is full: max_bytes is 10240"
        );
        assert_eq!(store.get("b").await?, None);

        store.set("a", &"y".repeat(6_000)).await?;
        assert!(store.ask::<bool>("Del", "a").await?);
        for _ in 0..10 {
            store.set("b", &most).await?;
            assert!(store.ask::<bool>("Del", "b").await?);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_tenant_does_not_fill_the_store_for_all() -> Result<()> {
    on_each_here(&[("max_bytes", "20k")], async |mut store| {
        let tenant = |name: &str, settings: &[(&str, &str)]| {
            let bucket = [("bucket", name)];
            link("actor", "wasmcloud:keyvalue", &[&bucket, settings].concat())
        };
        let value = "x".repeat(1_000);
        let fill = async |store: &Store| {
            let mut count: usize = 0;
            loop {
                match store.set(&format!("k{count}"), &value).await {
                    Ok(()) => count += 1,
                    Err(error) => return (count, error.detail),
                }
            }
        };
        store.link = tenant("greedy", &[]);
        let (greedy, detail) = fill(&store).await;
        assert_eq!(
            detail,
            "the bucket greedy is full: max_bucket_bytes is 10240"
        );
        // Its share stays taken, and that of another is free.
        store.link = tenant("modest", &[]);
        let (modest, _full) = fill(&store).await;
        assert!(greedy.abs_diff(modest) <= 1, "{greedy} {modest}");
        for number in 0..modest {
            assert!(store.ask::<bool>("Del", format!("k{number}")).await?);
        }
        store.link = tenant("small", &[("MAX_BUCKET_BYTES", "2k")]);
        let (small, detail) = fill(&store).await;
        assert_eq!((small, detail.contains("2048")), (1, true), "{detail}");
        // What was freed may be taken again.
        store.link = tenant("modest", &[]);
        assert!(fill(&store).await.0 + 2 >= modest);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused() -> Result<()> {
    on_each(async |store| {
        let part = "x".repeat(9 << 20);
        store.list_of("l", &[&part, &part]).await;
        assert_eq!(code(store.list("l").await), Code::Provider);
        let first = json!({"listName": "l", "start": 0, "stop": 0});
        assert_eq!(store.ask::<Vec<String>>("ListRange", first).await?, [part]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_no_operation_of_the_contract_is_refused() -> Result<()> {
    let store = Store::open(&[], None)?;
    for operation in ["KeyValue.Drop", "Get", "keyvalue.Get", ""] {
        let answer = call_raw(&*store.provider, None, operation, b"").await;
        assert_eq!(code(answer), Code::UnknownOperation, "{operation:?}");
    }
    for payload in [&b""[..], b"\xc1", b"\x93\x01", &[0x91; 2_000]] {
        let answer = call_raw(&*store.provider, None, "KeyValue.Set", payload).await;
        let error = answer.expect_err("a bad payload");
        assert_eq!(error.code, Code::InvalidInput);
        assert_eq!(
            error.detail,
            "expected the payload of KeyValue.Set to be MessagePack of \
             {key: str, value: str, expires: u32}"
        );
    }
    Ok(())
}

/// Requests and answers as the published crate `wasmcloud-interface-keyvalue` 0.11.0 encodes them.
#[tokio::test]
async fn the_bytes_are_those_of_the_published_interface() -> Result<()> {
    let increment = "82a36b6579a468697473a576616c756502";
    let decrement = "82a36b6579a468697473a576616c7565d1fed4";
    let hits = "a468697473";
    let set = "83a36b6579a468697473a576616c7565a132a7657870697265733c";
    let in_list = "82a86c6973744e616d65a16ca576616c7565a161";
    let list_range = "83a86c6973744e616d65a16ca5737461727400a473746f70ff";
    let in_set = "82a77365744e616d65a173a576616c7565a161";
    let sets = "92a173a174";

    on_each(async |store| {
        for (operation, request, answer) in [
            ("Get", hits, "82a576616c7565a0a6657869737473c2"),
            ("Increment", increment, "02"),
            ("Get", hits, "82a576616c7565a132a6657869737473c3"),
            ("Increment", decrement, "d1fed6"),
            ("Set", set, ""),
            ("Contains", hits, "c3"),
            ("Del", hits, "c3"),
            ("ListAdd", in_list, "01"),
            ("ListRange", list_range, "91a161"),
            ("ListDel", in_list, "c3"),
            ("ListClear", "a16c", "c2"),
            ("SetAdd", in_set, "01"),
            ("SetQuery", "a173", "91a161"),
            ("SetUnion", sets, "91a161"),
            ("SetIntersection", sets, "90"),
            ("SetDel", in_set, "01"),
            ("SetClear", "a173", "c2"),
        ] {
            let link = Some(store.link.clone());
            let operation = format!("KeyValue.{operation}");
            let found = call_raw(&*store.provider, link, &operation, &hex(request)).await?;
            assert_eq!(found, hex(answer), "{operation}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn arguments_may_be_arrays_and_texts_may_be_bytes() -> Result<()> {
    on_each(async |store| {
        let link = || Some(store.link.clone());
        // ["hits", 2], then {"key": <bytes "hits">, "value": 2, "more": nil}, then <bytes "hits">.
        for (operation, request, answer) in [
            ("KeyValue.Increment", "92a46869747302", "02"),
            (
                "KeyValue.Increment",
                "83a36b6579c40468697473a576616c756502a46d6f7265c0",
                "04",
            ),
            ("KeyValue.Contains", "c40468697473", "c3"),
        ] {
            let found = call_raw(&*store.provider, link(), operation, &hex(request)).await?;
            assert_eq!(found, hex(answer), "{request}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_file_is_found_again_by_the_same_provider_only() -> Result<()> {
    let directory = TempDir::new()?;
    let file = [("backend", "file")];
    {
        let store = Store::open(&file, Some(directory.path()))?;
        store.set("a", "kept").await?;
        store.list_of("l", &["kept as well"]).await;
        store.provider.stop().await?;
        assert_eq!(code(store.get("a").await), Code::Unavailable);
        assert_eq!(code(store.set("a", "").await), Code::Unavailable);
    }
    {
        let store = Store::open(&file, Some(directory.path()))?;
        assert_eq!(store.get("a").await?.as_deref(), Some("kept"));
    }
    // Dropped without a stop, it lets go of its file all the same.
    let store = Store::open(&file, Some(directory.path()))?;
    assert_eq!(store.list("l").await?, ["kept as well"]);

    let settings = configuration(&file);
    let lattice = LocalLattice::new();
    let path = Some(directory.path());
    let provider = KeyValue::open(
        id("another"),
        &settings,
        path,
        &*lattice,
        Arc::<Noted>::default(),
    )?;
    let link = link("actor", "wasmcloud:keyvalue", &[]);
    assert_eq!(Store { provider, link }.get("a").await?, None);
    Ok(())
}

/// Not a test: what the next one runs in a process of its own, and kills.
#[tokio::test]
#[ignore = "counts until it is killed"]
async fn counts_until_it_is_killed() -> Result<()> {
    let directory = std::env::var("EXOSUIT_TEST_DIRECTORY")?;
    let store = Store::open(&[("backend", "file")], Some(Path::new(&directory)))?;
    loop {
        let by = json!({"key": "n", "value": 1});
        println!("counted {}", store.ask::<i32>("Increment", by).await?);
    }
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() -> Result<()> {
    let directory = TempDir::new()?;
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "counts_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env("EXOSUIT_TEST_DIRECTORY", directory.path())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = std::io::BufReader::new(stdout).lines();
    let mut counted = 0;
    while counted < 50 {
        let line = lines.next().expect("the child counts on")?;
        if let Some((_, count)) = line.split_once("counted ") {
            counted = count.parse()?;
        }
    }
    child.kill()?;
    child.wait()?;

    let store = Store::open(&[("backend", "file")], Some(directory.path()))?;
    let kept: i32 = store.get("n").await?.expect("a number").parse()?;
    assert!(kept >= counted, "{counted} was answered, {kept} is left");
    Ok(())
}

#[tokio::test]
async fn only_its_owner_may_read_the_file() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let directory = TempDir::new()?;
    let _store = Store::open(&[("backend", "file")], Some(directory.path()))?;
    let folder = directory.path().join("keyvalue");
    for (path, expected) in [(folder.join("provider.redb"), 0o600), (folder, 0o700)] {
        let mode = std::fs::metadata(&path)?.permissions().mode();
        assert_eq!(mode & 0o777, expected, "{}", path.display());
    }
    Ok(())
}

#[test]
fn what_cannot_be_opened_says_why() -> Result<()> {
    let file = [("backend", "file")];
    let open = |settings: &[(&str, &str)], directory| {
        let error = Store::open(settings, directory).err().expect("an error");
        (error.code, error.detail)
    };
    let (code, detail) = open(&file, None);
    assert_eq!(code, Code::InvalidLink);
    assert!(detail.contains("data directory"), "{detail}");

    let (code, detail) = open(&[("backend", "redis")], None);
    assert_eq!(code, Code::InvalidLink);
    assert_eq!(
        detail,
        "setting backend is \"redis\", expected memory, file or nats"
    );

    let directory = TempDir::new()?;
    std::fs::write(directory.path().join("keyvalue"), "in the way")?;
    assert_eq!(open(&file, Some(directory.path())).0, Code::Io);

    let directory = TempDir::new()?;
    std::fs::create_dir(directory.path().join("keyvalue"))?;
    let path = directory.path().join("keyvalue/provider.redb");
    std::fs::write(path, "not a database".repeat(1_000))?;
    assert_eq!(open(&file, Some(directory.path())).0, Code::Io);
    Ok(())
}
