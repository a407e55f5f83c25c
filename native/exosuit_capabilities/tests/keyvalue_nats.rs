//! The key-value store in a lattice over NATS: what several hosts see of it, and what the servers add.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use async_nats::jetstream;
use common::lattice::nats::NatsServer;
use common::lattice::{PATIENCE, join, join_as, server, within};
use common::{Noted, call, call_raw, configuration, id, link};
use exosuit_capabilities::{KeyValue, LocalLattice};
use exosuit_core::{Capability, Code, Error, Lattice};
use exosuit_lattice::{Bus, ProviderLattice};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

const BUCKET: &str = "EXOSUIT_KV_default_provider";

/// The provider of one host.
#[derive(Clone)]
struct Host(Arc<KeyValue>);

impl Host {
    async fn join(server: &NatsServer) -> Self {
        Self::with(&join(server).await, &[]).expect("a store")
    }

    fn with(lattice: &dyn Lattice, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let settings = configuration(settings);
        Ok(Self(KeyValue::open(
            id("provider"),
            &settings,
            None,
            lattice,
            Arc::<Noted>::default(),
        )?))
    }

    async fn ask(&self, operation: &str, arguments: Value) -> Result<Value, Error> {
        let link = Some(link("actor", "wasmcloud:keyvalue", &[]));
        call(&*self.0, link, &format!("KeyValue.{operation}"), arguments).await
    }

    async fn count(&self) -> Result<i64, Error> {
        let count = self.ask("Increment", json!({"key": "n", "value": 1}));
        Ok(count.await?.as_i64().expect("a number"))
    }

    async fn set(&self, key: &str, value: &str, expires: u32) -> Result<(), Error> {
        let arguments = json!({"key": key, "value": value, "expires": expires});
        let payload = rmp_serde::to_vec_named(&arguments).expect("written");
        let link = Some(link("actor", "wasmcloud:keyvalue", &[]));
        call_raw(&*self.0, link, "KeyValue.Set", &payload).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let found = self.ask("Get", json!(key)).await?;
        let value = found["value"].as_str().expect("a text").to_owned();
        Ok((found["exists"] == true).then_some(value))
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.expect_err("an error").code
}

async fn stored(server: &NatsServer) -> u64 {
    let jetstream = jetstream::new(server.client().await);
    let stream = jetstream.get_stream(format!("KV_{BUCKET}")).await;
    stream.expect("the bucket").cached_info().state.messages
}

/// Servers whose account requires a limit, and has little room.
async fn strict_server() -> NatsServer {
    let account = "max_bytes_required: true, max_store: 4MB, disk_max_stream_bytes: 2MB";
    let configuration = format!(
        "accounts {{ A: {{ jetstream: {{ {account} }}, users: [{{user: a, password: a}}] }} }}\n\
         no_auth_user: a"
    );
    NatsServer::start_with(&configuration).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_the_account_refuses_says_what_to_set() -> Result<()> {
    let server = strict_server().await;
    let lattice = join(&server).await;
    for (settings, knob) in [
        (&[][..], "set the setting max_bytes of the provider"),
        (
            &[("max_bytes", "1m"), ("replicas", "3")],
            "set the setting replicas of the provider",
        ),
    ] {
        let host = Host::with(&lattice, settings)?;
        let error = host.set("a", "x", 0).await.expect_err("refused");
        assert!(error.to_string().contains(knob), "{error}");
    }
    let host = Host::with(&lattice, &[("max_bytes", "1m"), ("replicas", "1")])?;
    host.set("a", "x", 0).await?;
    let stream = async_nats::jetstream::new(server.client().await)
        .get_stream(format!("KV_{BUCKET}"))
        .await?;
    let config = &stream.cached_info().config;
    assert_eq!((config.max_bytes, config.num_replicas), (1 << 20, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_the_servers_do_not_count_is_refused() -> Result<()> {
    let server = server().await;
    let lattice = join(&server).await;
    let share = ("max_bucket_bytes", "1m");
    let error = Host::with(&lattice, &[share]).err().expect("refused");
    assert!(
        error.detail.contains("a provider for each tenant"),
        "{error}"
    );
    let host = Host::with(&lattice, &[])?;
    let refused = host
        .0
        .link(link("actor", "wasmcloud:keyvalue", &[share]))
        .await;
    assert_eq!(refused.expect_err("refused").code, Code::InvalidLink);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_increments_on_several_hosts_none_is_lost() -> Result<()> {
    let server = NatsServer::start().await;
    let mut counting = JoinSet::new();
    for _ in 0..3 {
        let host = Host::join(&server).await;
        for _ in 0..10 {
            let host = host.clone();
            counting.spawn(async move { (host.count().await, host.count().await) });
        }
    }
    let mut counts = BTreeSet::new();
    for (one, other) in counting.join_all().await {
        counts.extend([one?, other?]);
    }
    assert_eq!(counts, (1..=60).collect());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_sets_take_changes_of_several_hosts() -> Result<()> {
    let server = NatsServer::start().await;
    let mut adding = JoinSet::new();
    for host in 0..3 {
        let store = Host::join(&server).await;
        adding.spawn(async move {
            for n in 0..10 {
                let item = format!("{host}-{n}");
                store
                    .ask("ListAdd", json!({"listName": "l", "value": item}))
                    .await?;
                store
                    .ask("SetAdd", json!({"setName": "s", "value": item}))
                    .await?;
            }
            Ok::<_, Error>(())
        });
    }
    for added in adding.join_all().await {
        added?;
    }
    let host = Host::join(&server).await;
    let list = host
        .ask(
            "ListRange",
            json!({"listName": "l", "start": 0, "stop": -1}),
        )
        .await?;
    assert_eq!(list.as_array().map(Vec::len), Some(30));
    let set = host.ask("SetQuery", json!("s")).await?;
    assert_eq!(set.as_array().map(Vec::len), Some(30));
    for n in 0..10 {
        let members = host.ask("SetDel", json!({"setName": "s", "value": format!("1-{n}")}));
        assert_eq!(members.await?, 1);
    }
    let other = Host::join(&server).await;
    let set = other.ask("SetQuery", json!("s")).await?;
    assert_eq!(set.as_array().map(Vec::len), Some(20));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lattices_and_providers_do_not_see_each_other() -> Result<()> {
    let server = NatsServer::start().await;
    let host = Host::join(&server).await;
    host.set("a", "here", 0).await?;
    let elsewhere = Host::with(&join_as(&server, "other").await, &[])?;
    assert_eq!(elsewhere.get("a").await?, None);
    let lattice = join(&server).await;
    let another = KeyValue::open(
        id("another"),
        &configuration(&[]),
        None,
        &lattice,
        Arc::<Noted>::default(),
    )?;
    assert_eq!(Host(another).get("a").await?, None);
    assert_eq!(
        Host::join(&server).await.get("a").await?.as_deref(),
        Some("here")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_is_a_key() -> Result<()> {
    let server = NatsServer::start().await;
    let host = Host::join(&server).await;
    let long = "é".repeat(2_000);
    let keys = [
        "", ".", "a.b", "*", ">", "a b", "=", "==x", "ключ", "\n", "$KV", &long,
    ];
    for key in keys {
        host.set(key, &format!("of {key}"), 0).await?;
    }
    for key in keys {
        assert_eq!(host.get(key).await?, Some(format!("of {key}")), "{key}");
    }
    let listed = common::call_wit(
        &*host.0,
        Some(link("actor", "wasi:keyvalue", &[])),
        "wasi:keyvalue/store@0.2.0-draft#list-keys",
        vec![
            exosuit_core::Value::binary("default"),
            exosuit_core::Value::Nil,
        ],
    );
    let in_order: BTreeSet<_> = keys.into_iter().collect();
    let in_order = in_order
        .into_iter()
        .map(|key| exosuit_core::Value::binary(key.to_owned()));
    let page = vec![
        exosuit_core::Value::List(in_order.collect()),
        exosuit_core::Value::Nil,
    ];
    let page = exosuit_core::Value::Tuple(page);
    assert_eq!(listed.await?, exosuit_core::Value::Ok(Some(Box::new(page))));
    assert_eq!(code(host.get(&"x".repeat(4_097)).await), Code::InvalidInput);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_leaves_nothing_behind() -> Result<()> {
    let server = NatsServer::start().await;
    let host = Host::join(&server).await;
    for n in 0..10 {
        host.set(&n.to_string(), "x", 0).await?;
        host.ask("SetAdd", json!({"setName": format!("s{n}"), "value": "x"}))
            .await?;
    }
    assert_eq!(stored(&server).await, 20);
    for n in 0..10 {
        assert_eq!(host.ask("Del", json!(n.to_string())).await?, true);
        let member = json!({"setName": format!("s{n}"), "value": "x"});
        host.ask("SetDel", member).await?;
    }
    assert_eq!(stored(&server).await, 0);
    assert_eq!(host.ask("Del", json!("1")).await?, false);
    host.set("1", "again", 0).await?;
    assert_eq!(host.get("1").await?.as_deref(), Some("again"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_delete_is_gone_and_can_be_written_again() -> Result<()> {
    let server = NatsServer::start().await;
    let host = Host::join(&server).await;
    host.set("a", "x", 0).await?;
    let jetstream = jetstream::new(server.client().await);
    let bucket = jetstream.get_key_value(BUCKET).await?;
    bucket.delete("default.a").await?;
    assert_eq!(host.get("a").await?, None);
    assert_eq!(host.ask("Del", json!("a")).await?, false);
    host.set("a", "again", 0).await?;
    assert_eq!(host.get("a").await?.as_deref(), Some("again"));
    bucket.put("default.a", "not ours".into()).await?;
    assert_eq!(code(host.get("a").await), Code::Io);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_says_so_and_gives_room_back() -> Result<()> {
    let server = NatsServer::start().await;
    let host = Host::with(&join(&server).await, &[("max_bytes", "100k")])?;
    let large = "x".repeat(10_000);
    let mut n = 0;
    let error = loop {
        match host.set(&n.to_string(), &large, 0).await {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, Code::Provider);
    assert!((8..=10).contains(&n), "{n} fit in");
    assert_eq!(
        error.detail,
        "the key-value store is full: max_bytes is 102400"
    );
    assert_eq!(host.ask("Del", json!("0")).await?, true);
    host.set("0", &large, 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_makes_room_when_the_store_is_full() -> Result<()> {
    let server = NatsServer::start().await;
    let host = Host::with(&join(&server).await, &[("max_bytes", "100k")])?;
    let large = "x".repeat(10_000);
    // As many as fit in.
    for n in 0..10 {
        host.set(&n.to_string(), &large, 1).await?;
    }
    let room = async {
        // The clock is the real one: a second must pass.
        while let Err(error) = host.set("new", &large, 0).await {
            assert_eq!(error.code, Code::Provider);
        }
    };
    within("room", room).await;
    assert_eq!(host.get("new").await?.as_deref(), Some(&*large));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_servers_each_operation_fails_at_once_and_nothing_is_lost() -> Result<()> {
    let mut server = NatsServer::start().await;
    let connection = server.connect().await;
    let bus = || async { Bus::start(connection.clone()).await.expect("a bus") };
    let lattice = ProviderLattice::new(bus().await, bus().await, id("default"), None);
    let host = Host::with(&lattice, &[])?;
    assert_eq!(host.count().await?, 1);

    server.stop();
    let mut state = connection.state();
    let is_lost = |state: &exosuit_lattice::State| *state != exosuit_lattice::State::Connected;
    within("the loss", state.wait_for(is_lost)).await?;
    assert_eq!(code(host.count().await), Code::Unavailable);
    assert_eq!(code(host.get("n").await), Code::Unavailable);
    let keys = vec![exosuit_core::Value::binary(""), exosuit_core::Value::Nil];
    let link = Some(link("actor", "wasi:keyvalue", &[]));
    let listed = common::call_wit(&*host.0, link, "wasi:keyvalue/store#list-keys", keys).await;
    assert_eq!(code(listed), Code::Unavailable);

    server.resume().await;
    connection.ready(PATIENCE).await?;
    assert_eq!(host.count().await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_ends_an_operation_that_waits() -> Result<()> {
    let mut server = NatsServer::start().await;
    let host = Host::join(&server).await;
    host.count().await?;
    let counting = tokio::spawn(async move {
        loop {
            if let Err(error) = host.count().await {
                return error;
            }
        }
    });
    server.stop();
    let error = within("the error", counting).await?;
    assert_eq!(error.code, Code::Unavailable);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_fits_into_no_message_is_refused() -> Result<()> {
    let server = NatsServer::start_with("max_payload: 8192").await;
    let host = Host::join(&server).await;
    assert_eq!(
        code(host.set("a", &"x".repeat(9_000), 0).await),
        Code::InvalidInput
    );
    let item = json!({"listName": "l", "value": "x".repeat(3_000)});
    host.ask("ListAdd", item.clone()).await?;
    host.ask("ListAdd", item.clone()).await?;
    let error = host.ask("ListAdd", item).await.expect_err("too large");
    assert_eq!(error.code, Code::InvalidInput);
    assert!(
        error.detail.contains("at most 8192 are allowed"),
        "{}",
        error.detail
    );
    let list = host
        .ask(
            "ListRange",
            json!({"listName": "l", "start": 0, "stop": -1}),
        )
        .await?;
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_a_server_that_lost_it_is_made_again() -> Result<()> {
    let mut server = NatsServer::start().await;
    let connection = server.connect().await;
    let bus = Bus::start(connection.clone()).await?;
    let lattice = ProviderLattice::new(bus.clone(), bus, id("default"), None);
    let host = Host::with(&lattice, &[])?;
    host.count().await?;
    host.count().await?;
    server.lose_streams();
    let mut state = connection.state();
    let is_lost = |state: &exosuit_lattice::State| *state != exosuit_lattice::State::Connected;
    within("the loss", state.wait_for(is_lost)).await?;
    server.resume().await;
    connection.ready(PATIENCE).await?;
    assert_eq!(host.count().await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_asked_by_its_name() -> Result<()> {
    let server = NatsServer::start_with("jetstream { domain: hub }").await;
    let bus = Bus::start(server.connect().await).await?;
    let domain = Some("hub".to_owned());
    let lattice = ProviderLattice::new(bus.clone(), bus, id("default"), domain);
    let host = Host::with(&lattice, &[])?;
    assert_eq!((host.count().await?, host.count().await?), (1, 2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_that_of_the_surroundings_unless_it_is_named() -> Result<()> {
    let server = NatsServer::start().await;
    let lattice = join(&server).await;
    let directory = TempDir::new()?;
    let path = Some(directory.path());
    let file = directory.path().join("keyvalue/provider.redb");

    let shared = KeyValue::open(
        id("provider"),
        &configuration(&[]),
        path,
        &lattice,
        Arc::<Noted>::default(),
    )?;
    Host(shared).count().await?;
    assert_eq!((stored(&server).await, file.exists()), (1, false));

    let named = configuration(&[("backend", "file")]);
    let kept = Host(KeyValue::open(
        id("provider"),
        &named,
        path,
        &lattice,
        Arc::<Noted>::default(),
    )?);
    assert_eq!((kept.count().await?, file.exists()), (1, true));

    let here = LocalLattice::new();
    let named = configuration(&[("backend", "nats")]);
    let refused = KeyValue::open(
        id("provider"),
        &named,
        path,
        &*here,
        Arc::<Noted>::default(),
    );
    let error = refused.err().expect("no lattice");
    assert_eq!(error.code, Code::InvalidLink);
    assert!(
        error.detail.contains("lattice over NATS"),
        "{}",
        error.detail
    );
    Ok(())
}
