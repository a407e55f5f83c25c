//! Calls that are not what they seem: each is refused and counted, and none reaches its target.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::eventually;
use common::host::{ACTOR, Actor, Cluster, Host};
use common::nats::NatsServer;
use exosuit_claims::invocation::{Call, Entity, sign};
use exosuit_claims::{KeyKind, KeyPair, unix_now};
use exosuit_lattice::{Invocation, Response, Serving};

type Change = fn(&mut Invocation);

const SUBJECT: &str =
    "wasmbus.rpc.default.MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E";

/// A host, and somebody on its lattice who can send what they like.
struct Scene {
    server: NatsServer,
    cluster: Cluster,
    host: Host,
    client: async_nats::Client,
    count: Arc<AtomicUsize>,
    _serving: Serving,
}

impl Scene {
    async fn new() -> Self {
        let server = NatsServer::start().await;
        let cluster = Cluster::new();
        let host = cluster.host(&server).await;
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        let target = Actor(move |_| {
            counting.fetch_add(1, Ordering::SeqCst);
            async { Ok(Bytes::from("served")) }
        });
        let serving = host.serve(ACTOR, target).await;
        Self {
            client: server.client().await,
            server,
            cluster,
            host,
            count,
            _serving: serving,
        }
    }

    fn call(&self, signed_at: u64) -> Invocation {
        signed(&self.cluster.0, b"hello", signed_at)
    }

    async fn send(&self, message: impl Into<Bytes>) -> Response {
        let answer = self
            .client
            .request(SUBJECT, message.into())
            .await
            .expect("an answer");
        Response::decode(&answer.payload).expect("a response")
    }

    async fn assert_refused(&self, message: impl Into<Bytes>, code: &str, words: &str) {
        let before = self
            .host
            .calls
            .refused()
            .get(code)
            .copied()
            .unwrap_or_default();
        let served = self.count.load(Ordering::SeqCst);
        let error = self.send(message).await.error.expect("an error");
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("hello"), "{error}");
        assert_eq!(
            self.host.calls.refused().get(code),
            Some(&(before + 1)),
            "{error}"
        );
        assert_eq!(self.count.load(Ordering::SeqCst), served);
    }
}

fn signed(cluster: &KeyPair, payload: &'static [u8], signed_at: u64) -> Invocation {
    let id = format!("{:032x}", rand::random::<u128>());
    let (origin, target) = (Entity::actor("MCALLER"), Entity::actor(ACTOR));
    let call = Call::new(&id, &origin, &target, "Echo.Say");
    Invocation {
        token: sign(&call, payload, cluster, signed_at).expect("a token"),
        origin,
        target,
        operation: "Echo.Say".to_owned(),
        payload: Bytes::from_static(payload),
        id,
        host_id: "N".to_owned(),
        content_length: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_call_is_served_once_and_its_replay_refused() {
    let scene = Scene::new().await;
    let call = scene.call(unix_now());
    assert_eq!(scene.send(call.encode()).await.payload, "served");
    scene
        .assert_refused(call.encode(), "replayed", "received before")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_another_time_is_refused() {
    let scene = Scene::new().await;
    for signed_at in [unix_now() - 3_600, unix_now() + 3_600, 0] {
        scene
            .assert_refused(
                scene.call(signed_at).encode(),
                "stale",
                "more than 30 s from",
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_since_it_was_signed_is_refused() {
    let scene = Scene::new().await;
    let changes: [Change; 4] = [
        |call| call.payload = Bytes::from_static(b"hullo"),
        |call| call.payload = Bytes::new(),
        |call| call.operation = "Echo.Shout".to_owned(),
        |call| call.origin = Entity::actor("MOTHER"),
    ];
    for change in changes {
        let mut call = scene.call(unix_now());
        change(&mut call);
        scene
            .assert_refused(call.encode(), "forged", "Anti-forgery check failed")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_somebody_else_is_refused() {
    let scene = Scene::new().await;
    let mut call = scene.call(unix_now());
    call.target = Entity::actor("MOTHER");
    scene
        .assert_refused(call.encode(), "misdirected", "not for MCFM")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused() {
    let scene = Scene::new().await;
    let stranger = KeyPair::generate(KeyKind::Cluster);
    let call = signed(&stranger, b"hello", unix_now());
    scene
        .assert_refused(call.encode(), "forged", "not trusted")
        .await;
    let mut call = scene.call(unix_now());
    call.token.clear();
    scene
        .assert_refused(call.encode(), "forged", "segments")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_refused() {
    let scene = Scene::new().await;
    let whole = scene.call(unix_now()).encode();
    for message in [
        Bytes::new(),
        Bytes::from_static(b"{}"),
        whole.slice(..whole.len() / 2),
        vec![0x91; 500_000].into(),
    ] {
        scene
            .assert_refused(message, "malformed", "Failed to deserialize invocation")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_was_exchanged_in_the_store_is_refused() {
    let scene = Scene::new().await;
    let mut call = scene.call(unix_now());
    call.content_length = Some(6);
    call.payload = Bytes::new();
    let jetstream = async_nats::jetstream::new(scene.client.clone());
    let config = async_nats::jetstream::object_store::Config {
        bucket: "default".to_owned(),
        ..Default::default()
    };
    let store = jetstream
        .create_object_store(config)
        .await
        .expect("a store");
    store
        .put(call.id.as_str(), &mut &b"hullo!"[..])
        .await
        .expect("stored");
    scene
        .assert_refused(call.encode(), "forged", "Anti-forgery check failed")
        .await;

    // One that is not there, or not what it was said to be.
    scene
        .assert_refused(call.encode(), "store", "large payload")
        .await;
    store
        .put(call.id.as_str(), &mut &b"hullo, and much more"[..])
        .await
        .expect("stored");
    scene
        .assert_refused(call.encode(), "store", "20 bytes, and 6 were announced")
        .await;
    call.content_length = Some(u64::MAX);
    scene
        .assert_refused(call.encode(), "too_large", "at most")
        .await;
}

/// Five thousand a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_calls_leaves_good_ones_answered() {
    let scene = Scene::new().await;
    let stranger = KeyPair::generate(KeyKind::Cluster);
    let forged = signed(&stranger, b"hello", unix_now()).encode();
    let flood = {
        let client = scene.server.client().await;
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                for _ in 0..100 {
                    client.publish(SUBJECT, forged.clone()).await.expect("sent");
                }
            }
        })
    };
    let flooded = || async {
        scene
            .host
            .calls
            .refused()
            .get("forged")
            .filter(|count| **count > 5_000)
            .map(|_| ())
    };
    eventually("the flood", flooded).await;
    let here = scene.cluster.host(&scene.server).await;
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(
            here.call(ACTOR, "Echo.Say", "hello").await,
            Ok(Bytes::from("served"))
        );
    }
    flood.abort();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(scene.count.load(Ordering::SeqCst), 100);
}

/// A call in the name of a cluster that has not signed it.
fn in_the_name_of(cluster: &KeyPair) -> Invocation {
    let mut call = signed(cluster, b"hello", unix_now());
    let other = signed(cluster, b"hello", unix_now());
    let signature = |call: &Invocation| call.token.rfind('.').expect("a token");
    let theirs = other.token[signature(&other)..].to_owned();
    let end = signature(&call);
    call.token.replace_range(end.., &theirs);
    call
}

/// As fast as they can be sent.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_of_forged_signatures_few_are_verified_and_those_who_are_known_do_not_notice() {
    const FLOOD: u64 = 20_000;
    let scene = Scene::new().await;
    let here = scene.cluster.host(&scene.server).await;
    let call = || here.call(ACTOR, "Echo.Say", "hello");
    assert_eq!(call().await, Ok(Bytes::from("served")));

    let (begun, forged) = (Instant::now(), in_the_name_of(&scene.cluster.0).encode());
    for _ in 0..FLOOD / 100 {
        for _ in 0..100 {
            scene
                .client
                .publish(SUBJECT, forged.clone())
                .await
                .expect("sent");
        }
        assert_eq!(call().await, Ok(Bytes::from("served")));
    }
    let refused = || scene.host.calls.refused();
    let all = || async { (refused().values().sum::<u64>() == FLOOD).then_some(()) };
    eventually("the flood", all).await;
    let forged = refused()["forged"];
    let seconds = begun.elapsed().as_secs() + 1;
    assert!(
        forged <= 500 * (seconds + 1),
        "{:?} in {seconds} s",
        refused()
    );
}
