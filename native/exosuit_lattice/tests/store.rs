//! The state that hosts share: written so that nothing is lost, read on through every outage.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use common::nats::NatsServer;
use common::{eventually, within};
use exosuit_core::Id;
use exosuit_lattice::{
    Change, Claims, ComponentLink, Connection, Digest, Entry, Key, LinkDefinition, MAX_OBJECT,
    Record, SharedState, StreamLimits, Watcher,
};
use serde_json::json;

fn id(text: &str) -> Id {
    Id::parse(text).expect("an id")
}

async fn state(server: &NatsServer) -> (Connection, SharedState) {
    let connection = server.connect().await;
    let state = SharedState::new(&connection, id("default"), None);
    state.prepare().await.expect("prepared");
    (connection, state)
}

fn link(actor: &str) -> Record {
    let link = LinkDefinition {
        actor_id: actor.to_owned(),
        provider_id: "VSTORE".to_owned(),
        link_name: "default".to_owned(),
        contract_id: "wasmcloud:keyvalue".to_owned(),
        values: [("url".to_owned(), "redis://".to_owned())].into(),
        ..LinkDefinition::default()
    };
    Record::Link(link.with_id())
}

/// A watcher, and what its bucket holds as far as it told.
struct Copy {
    watcher: Watcher,
    entries: BTreeMap<String, Bytes>,
    told: Vec<Change>,
}

impl Copy {
    fn of(state: &SharedState) -> Self {
        Self {
            watcher: state.watch(state.data()),
            entries: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    async fn next(&mut self) -> Change {
        let change = within("a change", self.watcher.next())
            .await
            .expect("a change");
        match &change {
            Change::Put { key, value, .. } => drop(self.entries.insert(key.clone(), value.clone())),
            Change::Deleted { key } => drop(self.entries.remove(key)),
            Change::Dropped { key } => panic!("{key} is dropped"),
            Change::Current | Change::Lost { .. } | Change::Interrupted(_) => {}
        }
        self.told.push(change.clone());
        change
    }

    async fn until(&mut self, is_it: impl Fn(&Change) -> bool) -> Change {
        loop {
            let change = self.next().await;
            if is_it(&change) {
                return change;
            }
        }
    }

    /// Reads on until all is told, and gives the keys that were put or deleted meanwhile.
    async fn current(&mut self) -> Vec<String> {
        self.told.clear();
        self.until(|change| *change == Change::Current).await;
        let told = self.told.iter().filter_map(|change| match change {
            Change::Put { key, .. } | Change::Deleted { key } => Some(key.clone()),
            _ => None,
        });
        told.collect()
    }
}

fn is_about(key: &str) -> impl Fn(&Change) -> bool {
    move |change| matches!(change, Change::Put { key: k, .. } | Change::Deleted { key: k } if k == key)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_is_made_as_the_peers_make_it() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    assert_eq!(state.prepare().await, Ok(0));
    let jetstream = jetstream::new(server.client().await);
    let stream = jetstream
        .get_stream("KV_LATTICEDATA_default")
        .await
        .expect("the stream");
    let config = &stream.cached_info().config;
    assert_eq!(config.subjects, ["$KV.LATTICEDATA_default.>"]);
    assert_eq!(
        (
            config.max_messages_per_subject,
            config.max_messages,
            config.max_bytes
        ),
        (1, -1, -1)
    );
    assert!(config.allow_direct && config.deny_delete && config.allow_rollup);
    assert!(!config.deny_purge && !config.mirror_direct);
    assert_eq!(
        (config.storage, config.discard),
        (StorageType::File, DiscardPolicy::New)
    );
    assert_eq!(
        (config.num_replicas, config.duplicate_window.as_secs()),
        (1, 120)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_that_the_account_refuses_say_what_to_set() {
    let account = "max_bytes_required: true, max_store: 4MB";
    let server = NatsServer::start_with(&format!(
        "accounts {{ A: {{ jetstream: {{ {account} }}, users: [{{user: a, password: a}}] }} }}\n\
         no_auth_user: a"
    ))
    .await;
    let connection = server.connect().await;
    let state = SharedState::new(&connection, id("default"), None);
    let limited = |replicas, max_bytes| {
        state.clone().limited(StreamLimits {
            replicas,
            max_bytes,
        })
    };
    for (replicas, max_bytes, knob) in [
        (
            1,
            None,
            "set the option state_max_bytes of nats of the host",
        ),
        (
            3,
            Some(1 << 20),
            "set the option replicas of nats of the host",
        ),
    ] {
        let refused = limited(replicas, max_bytes).prepare().await;
        let error = refused.expect_err("the account refuses it");
        assert!(error.to_string().contains(knob), "{error}");
    }
    let prepared = limited(1, Some(1 << 20)).prepare().await;
    prepared.expect("within the limits");
    let jetstream = jetstream::new(server.client().await);
    for name in ["KV_LATTICEDATA_default", "KV_CONFIGDATA_default"] {
        let stream = jetstream.get_stream(name).await.expect("the stream");
        assert_eq!(stream.cached_info().config.max_bytes, 1 << 20, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_told_to_all() {
    let server = NatsServer::start().await;
    let ((_one, here), (_other, there)) = (state(&server).await, state(&server).await);
    here.put(&link("MONE")).await.expect("written");
    let mut copy = Copy::of(&there);
    assert_eq!(
        copy.current().await,
        [link("MONE").key().expect("a key").to_string()]
    );

    here.put(&link("MTWO")).await.expect("written");
    let Change::Put { key, value, .. } = copy.next().await else {
        panic!("{:?}", copy.told);
    };
    let key = Key::parse(&key).expect("a key");
    assert_eq!(Record::decode(&key, &value), Ok(link("MTWO")));
    here.delete(&key).await.expect("deleted");
    assert_eq!(
        copy.next().await,
        Change::Deleted {
            key: key.to_string()
        }
    );
    assert_eq!(copy.entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_is_honoured() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let mut copy = Copy::of(&state);
    copy.current().await;
    let jetstream = jetstream::new(server.client().await);
    let bucket = jetstream
        .get_key_value("LATTICEDATA_default")
        .await
        .expect("the bucket");
    let value = json!({"actor_id": "Mbob", "provider_id": "V", "link_name": "default",
        "contract_id": "wasmcloud:testy", "values": {}});
    let key = "LINKDEF_B40411AD09B70A2C83D59923584F66BA2C5A3C274DC4F19416DA49CCD6531F9C";
    bucket
        .put(key, value.to_string().into())
        .await
        .expect("written");
    copy.until(is_about(key)).await;
    assert!(copy.entries.contains_key(key));
    bucket.delete(key).await.expect("deleted");
    copy.until(is_about(key)).await;
    assert!(copy.entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_at_the_same_time_none_is_lost() {
    let server = NatsServer::start().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (connection, state) = state(&server).await;
        writers.spawn(async move {
            for n in 0..5 {
                let link = ComponentLink {
                    source_id: "counter".to_owned(),
                    target: format!("target-{writer}-{n}"),
                    ..ComponentLink::default()
                };
                let counter = id("counter");
                let add = state.update_component(&counter, |component| {
                    component.links.push(link.clone());
                });
                add.await.expect("written");
            }
            drop(connection);
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("no panic");
    }
    let (_connection, state) = state(&server).await;
    let key = Key::Component("counter".to_owned());
    let value = state
        .data()
        .get(&key.to_string())
        .await
        .expect("read")
        .value
        .expect("a value");
    let Ok(Record::Component(component)) = Record::decode(&key, &value) else {
        panic!("no component");
    };
    let targets: BTreeSet<_> = component.links.iter().map(|link| &link.target).collect();
    assert_eq!((component.links.len(), targets.len()), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_written_read_and_deleted() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let (name, values) = (
        id("counter"),
        BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    );
    assert_eq!(state.configuration(&name).await, Ok(None));
    state
        .put_configuration(&name, &values)
        .await
        .expect("written");
    assert_eq!(state.configuration(&name).await, Ok(Some(values)));
    state.delete_configuration(&name).await.expect("deleted");
    assert_eq!(state.configuration(&name).await, Ok(None));
    state
        .delete_configuration(&name)
        .await
        .expect("deleted again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_created_once() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    assert_eq!(state.data().create("x", "1".into()).await, Ok(true));
    assert_eq!(state.data().create("x", "2".into()).await, Ok(false));
    state.data().delete("x").await.expect("deleted");
    assert_eq!(state.data().create("x", "3".into()).await, Ok(true));
    let value = state.data().get("x").await.expect("read").value;
    assert_eq!(value, Some(Bytes::from("3")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_is_read_over() {
    let mut server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    state.put(&link("MONE")).await.expect("written");
    let mut copy = Copy::of(&state);
    copy.current().await;
    server.stop();
    server.resume().await;
    // By another than ourselves, and as soon as can be.
    let bucket = eventually("the bucket", || async {
        jetstream::new(server.client().await)
            .get_key_value("LATTICEDATA_default")
            .await
            .ok()
    })
    .await;
    bucket.put("LINKDEF_X", "{}".into()).await.expect("written");
    copy.until(is_about("LINKDEF_X")).await;
    // What did not change is not told again.
    let told = copy
        .told
        .iter()
        .filter(|change| is_about(&link("MONE").key().expect("a key").to_string())(change));
    assert_eq!(told.count(), 1, "{:?}", copy.told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_deleted_is_no_loss() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let mut copy = Copy::of(&state);
    copy.current().await;
    let jetstream = jetstream::new(server.client().await);
    let stream = jetstream
        .get_stream("KV_LATTICEDATA_default")
        .await
        .expect("the stream");
    let names: Vec<String> = futures_util::TryStreamExt::try_collect(stream.consumer_names())
        .await
        .expect("the consumers");
    assert_eq!(names.len(), 1);
    stream.delete_consumer(&names[0]).await.expect("deleted");
    state
        .data()
        .put("LINKDEF_X", "{}".into())
        .await
        .expect("written");
    copy.until(is_about("LINKDEF_X")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_without_a_trace_is_noticed() {
    let mut server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    state.put(&link("MONE")).await.expect("written");
    state.put(&link("MTWO")).await.expect("written");
    let mut copy = Copy::of(&state);
    assert_eq!(copy.current().await.len(), 2);
    let jetstream = jetstream::new(server.client().await);
    let stream = jetstream
        .get_stream("KV_LATTICEDATA_default")
        .await
        .expect("the stream");
    let key = link("MONE").key().expect("a key").to_string();
    stream
        .purge()
        .filter(format!("$KV.LATTICEDATA_default.{key}"))
        .await
        .expect("purged");
    server.stop();
    server.resume().await;
    copy.until(is_about(&key)).await;
    assert_eq!(copy.entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_was_lost_is_made_anew_and_what_it_lacks_is_told() {
    let mut server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    state.put(&link("MONE")).await.expect("written");
    let mut copy = Copy::of(&state);
    copy.current().await;
    server.lose_streams();
    server.resume().await;
    let lost = copy
        .until(|change| matches!(change, Change::Lost { .. }))
        .await;
    let key = link("MONE").key().expect("a key").to_string();
    assert_eq!(
        lost,
        Change::Lost {
            keys: vec![key.clone()]
        }
    );
    copy.until(|change| *change == Change::Current).await;
    state
        .data()
        .put(&key, copy.entries[&key].clone())
        .await
        .expect("written");
    copy.until(is_about(&key)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_streams_there_is_a_clear_error() {
    let mut server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    server.stop();
    let error = eventually("the loss", || async { state.data().get("x").await.err() }).await;
    assert_eq!(error.code(), "not_connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_stream_is_brought_over_once() {
    let server = NatsServer::start().await;
    let client = server.client().await;
    let jetstream = jetstream::new(client.clone());
    let config = Config {
        name: "LATTICECACHE_default".to_owned(),
        subjects: vec!["lc.default.>".to_owned()],
        max_messages_per_subject: 1,
        storage: StorageType::Memory,
        ..Config::default()
    };
    jetstream.create_stream(config).await.expect("the stream");
    let link = |actor: &str, deleted: bool| {
        let mut link = json!({"id": "a-uuid", "actor_id": actor, "provider_id": "V", "link_name": "default",
            "contract_id": "wasmcloud:testy", "values": {"a": "b"}});
        if deleted {
            link["deleted"] = json!(true);
        }
        link
    };
    let claims = json!({"call_alias": "", "iss": "A", "name": "echo", "caps": "", "rev": "1", "tags": "",
        "version": "", "sub": "MECHO"});
    for (subject, value) in [
        ("lc.default.claims.MECHO", claims),
        ("lc.default.linkdefs.one", link("Mbob", false)),
        ("lc.default.linkdefs.two", link("Mann", true)),
        (
            "lc.default.refmap.hash",
            json!({"oci_url": "example.org/echo:1", "public_key": "MECHO"}),
        ),
        ("lc.default.claims.MBAD", json!("nonsense")),
    ] {
        jetstream
            .publish(subject, value.to_string().into())
            .await
            .expect("sent")
            .await
            .expect("kept");
    }
    let connection = server.connect().await;
    let state = SharedState::new(&connection, id("default"), None);
    // What is there already is newer.
    let newer = Record::Claims(Claims {
        sub: "MECHO".to_owned(),
        rev: "2".to_owned(),
        ..Claims::default()
    });
    state.put(&newer).await.expect("written");
    assert_eq!(state.prepare().await, Ok(2));
    assert_eq!(state.prepare().await, Ok(0));
    assert!(jetstream.get_stream("LATTICECACHE_default").await.is_err());

    let mut copy = Copy::of(&state);
    copy.current().await;
    let expected = [
        Key::Claims("MECHO".to_owned()),
        Key::link("Mbob", "wasmcloud:testy", "default"),
        Key::Reference("example.org/echo:1".to_owned()),
    ];
    let expected: BTreeSet<_> = expected.iter().map(Key::to_string).collect();
    assert_eq!(
        copy.entries.keys().cloned().collect::<BTreeSet<_>>(),
        expected
    );
    assert_eq!(copy.entries["CLAIMS_MECHO"], newer.encode());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_of_its_own() {
    let server = NatsServer::start_with("jetstream { domain: hub }").await;
    let connection = server.connect().await;
    let state = SharedState::new(&connection, id("default"), Some("hub".to_owned()));
    state.prepare().await.expect("prepared");
    let mut copy = Copy::of(&state);
    copy.current().await;
    state.put(&link("MONE")).await.expect("written");
    copy.until(is_about(&link("MONE").key().expect("a key").to_string()))
        .await;

    let elsewhere = SharedState::new(&connection, id("default"), Some("nowhere".to_owned()));
    let error = elsewhere.prepare().await.expect_err("no such domain");
    assert_eq!(error.code(), "store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_clear_error_and_what_is_there_stays() {
    let server = NatsServer::start_with("jetstream { max_file_store: 131072 }").await;
    let (_connection, state) = state(&server).await;
    let value = Bytes::from(vec![b'x'; 16 << 10]);
    let mut written = 0;
    let error = loop {
        match state
            .data()
            .put(&format!("LINKDEF_{written}"), value.clone())
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 20);
    };
    assert_eq!(error.code(), "store", "{error}");
    assert!(written > 0);
    let mut copy = Copy::of(&state);
    copy.current().await;
    assert_eq!(copy.entries.len(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_have_a_bucket_of_their_own() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let bucket = state.clone().limited(StreamLimits {
        replicas: 1,
        max_bytes: Some(1 << 20),
    });
    let bucket = bucket.applications();
    let first = bucket.compare_and_set("app.shop", "one".into(), 0).await;
    let first = first.expect("written").expect("nobody came between");
    assert_eq!(
        bucket.compare_and_set("app.shop", "two".into(), 0).await,
        Ok(None)
    );
    let entry = Entry {
        value: Some("one".into()),
        revision: first,
    };
    assert_eq!(bucket.get("app.shop").await, Ok(entry));
    let jetstream = jetstream::new(server.client().await);
    let stream = jetstream.get_stream("KV_exosuit_default").await;
    let stream = stream.expect("the stream");
    let config = &stream.cached_info().config;
    assert_eq!(
        (config.max_messages_per_subject, config.max_bytes),
        (1, 1 << 20)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_tells_one_bucket_from_the_next() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let bucket = state.applications();
    let empty = bucket.position().await.expect("a position");
    assert_eq!(empty.revision, 0);
    let revision = bucket.put("app.shop", "one".into()).await.expect("written");
    let written = bucket.position().await.expect("a position");
    assert_eq!(
        (&written.identity, written.revision),
        (&empty.identity, revision)
    );

    let jetstream = jetstream::new(server.client().await);
    let deleted = jetstream.delete_stream("KV_exosuit_default").await;
    deleted.expect("deleted");
    let other = bucket.position().await.expect("a position");
    assert_ne!(other.identity, written.identity);
    assert_eq!(other.revision, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_there_under_its_digest_until_it_is_deleted() {
    let server = NatsServer::start().await;
    let ((_one, here), (_other, there)) = (state(&server).await, state(&server).await);
    let bytes = Bytes::from(vec![7_u8; 3 << 20]);
    let digest = Digest::of(&bytes);
    assert_eq!(there.objects().get(digest).await, Ok(None));
    assert_eq!(there.objects().list().await, Ok(Vec::new()));
    assert_eq!(here.objects().put(bytes.clone()).await, Ok(digest));
    assert_eq!(here.objects().put(bytes.clone()).await, Ok(digest));
    let empty = here.objects().put(Bytes::new()).await.expect("stored");
    assert_eq!(there.objects().get(digest).await, Ok(Some(bytes.clone())));
    assert_eq!(there.objects().get(empty).await, Ok(Some(Bytes::new())));

    let listed = there.objects().list().await.expect("a list");
    let sizes: BTreeSet<_> = listed
        .iter()
        .map(|it| (it.digest.to_string(), it.size))
        .collect();
    let expected = [(digest.to_string(), 3 << 20), (empty.to_string(), 0)];
    assert_eq!(sizes, expected.into());
    assert!(listed.iter().all(|it| it.at > 1_700_000_000_000));

    assert_eq!(there.objects().delete(digest).await, Ok(true));
    assert_eq!(there.objects().delete(digest).await, Ok(false));
    assert_eq!(here.objects().get(digest).await, Ok(None));
    // Put again, it is there again; nothing of the first stayed.
    assert_eq!(here.objects().put(bytes.clone()).await, Ok(digest));
    assert_eq!(there.objects().get(digest).await, Ok(Some(bytes)));
    let jetstream = jetstream::new(server.client().await);
    let stream = jetstream.get_stream("OBJ_exosuit_default_objects").await;
    let mut stream = stream.expect("the stream");
    let bytes = stream.info().await.expect("its state").state.bytes;
    assert!(bytes < 4 << 20, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_what_it_is_called_is_refused_and_replaced() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let digest = state.objects().put("genuine".into()).await.expect("stored");
    let jetstream = jetstream::new(server.client().await);
    let store = jetstream
        .get_object_store("exosuit_default_objects")
        .await
        .expect("the store");
    let forged = &mut b"forged".as_slice();
    store
        .put(digest.to_string().as_str(), forged)
        .await
        .expect("written");
    let error = state.objects().get(digest).await.expect_err("a forgery");
    let text = error.to_string();
    assert!(text.contains(&digest.to_string()), "{text}");
    assert!(text.contains(&Digest::of(b"forged").to_string()), "{text}");

    let put = state.objects().put("genuine".into()).await;
    assert_eq!(put, Ok(digest));
    let genuine = Ok(Some(Bytes::from_static(b"genuine")));
    assert_eq!(state.objects().get(digest).await, genuine);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_has_a_most() {
    let server = NatsServer::start().await;
    let (_connection, state) = state(&server).await;
    let most = usize::try_from(MAX_OBJECT).expect("it fits");
    let error = state.objects().put(vec![0; most + 1].into()).await;
    assert_eq!(
        error.expect_err("one byte too many").to_string(),
        "the object has 268435457 bytes, at most 268435456 are allowed"
    );
}
