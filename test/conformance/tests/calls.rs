//! Calls: what our hosts send, wasmbus-rpc 0.14 takes, and the other way round, large ones too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exosuit_claims::{KeyKind, KeyPair};
use exosuit_core::{
    Answer, Code, Context, Deliver, Error, Id, Invocation, Local, Origin, Remote, Reply, Target,
};
use exosuit_lattice::{Address, CallOptions, Calls, Served, Serving};
use futures_util::StreamExt;
use wasmbus_rpc::common::{Message, deserialize};
use wasmbus_rpc::core as peer;
use wasmbus_rpc::rpc_client::RpcClient;

#[allow(dead_code, reason = "shared with tests that take more of it")]
#[path = "../../../native/exosuit_lattice/tests/common/nats.rs"]
mod nats;

use nats::NatsServer;

const ACTOR: &str = "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E";
const PROVIDER: &str = "VAZVC4RX54J2NVCMCW7BPCAHGGG5XZXDBXFUMDUXGESTMQEJLC3YVZWB";

/// As long as anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|late| panic!("{what} did not come within {PATIENCE:?}: {late}"))
}

/// One of our hosts, and a peer, of one cluster.
struct Scene {
    lattice: &'static str,
    calls: Calls,
    peer: RpcClient,
    client: wasmbus_rpc::async_nats::Client,
    _server: NatsServer,
}

impl Scene {
    /// Of a lattice of this name: a peer keeps the store of the first server of each name, for ever.
    async fn new(lattice: &'static str) -> Self {
        let server = NatsServer::start().await;
        let cluster = KeyPair::generate(KeyKind::Cluster);
        let host = KeyPair::generate(KeyKind::Server);
        let client = wasmbus_rpc::async_nats::connect(server.url())
            .await
            .expect("a client");
        let theirs = nkeys::KeyPair::from_seed(cluster.seed()).expect("a seed");
        let timeout = Some(Duration::from_secs(20));
        let peer = RpcClient::new(
            client.clone(),
            host.public_key().to_string(),
            timeout,
            Arc::new(theirs),
        );
        let options = CallOptions::new(id(lattice), host.public_key().clone(), Arc::new(cluster));
        let calls = Calls::start(server.connect().await, options)
            .await
            .expect("options");
        Self {
            lattice,
            calls,
            peer,
            client,
            _server: server,
        }
    }

    /// Serves an actor that says what it is told, and waits until the peer reaches it.
    async fn echo(&self) -> Serving {
        let local = Local {
            id: id("echo"),
            key: Some(id(ACTOR)),
            contracts: None,
        };
        let served = Served::all(&local).swap_remove(1);
        let serving = self
            .calls
            .serve(served, Arc::new(Echo))
            .await
            .expect("served");
        within("the actor", async {
            while self.ask("Echo.Say", b"").await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        serving
    }

    /// The peer calls our actor.
    async fn ask(
        &self,
        method: &'static str,
        arg: &[u8],
    ) -> Result<Vec<u8>, wasmbus_rpc::error::RpcError> {
        let message = Message {
            method,
            arg: arg.into(),
        };
        self.peer
            .send(provider(), actor(), self.lattice, message)
            .await
    }
}

struct Echo;

impl Deliver for Echo {
    fn deliver(&self, call: Invocation) -> Answer {
        Box::pin(async move {
            assert_eq!(call.target, Target::Actor("echo".to_owned()));
            assert_eq!(call.origin, Origin::Elsewhere(the_peer()));
            match call.operation.as_str() {
                "Echo.Say" => Ok(call.payload.into_bytes()?.into()),
                other => Err(Error::new(
                    Code::UnknownOperation,
                    format!("no {other} here"),
                )),
            }
        })
    }
}

/// A provider of a peer's, which says no more of itself than its key and what it calls for.
fn the_peer() -> Remote {
    let contract = exosuit_core::Contract::parse("wasmcloud:testing").expect("a contract");
    Remote {
        id: id(PROVIDER),
        key: None,
        through: Some((contract, exosuit_core::LinkName::default())),
    }
}

fn id(text: &str) -> Id {
    Id::parse(text).expect("an id")
}

fn actor() -> peer::WasmCloudEntity {
    peer::WasmCloudEntity::new_actor(ACTOR).expect("an actor")
}

fn provider() -> peer::WasmCloudEntity {
    peer::WasmCloudEntity::new_provider("wasmcloud:testing", "default")
        .map(|mut entity| {
            entity.public_key = PROVIDER.to_owned();
            entity
        })
        .expect("a provider")
}

/// Payloads of every way to travel.
fn sizes() -> [usize; 5] {
    [0, 1_000, 700 << 10, 800 << 10, 2 << 20]
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|n| n.to_le_bytes()[n % 3]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_calls_our_actor() {
    let scene = Scene::new("ours").await;
    let _serving = scene.echo().await;
    for size in sizes() {
        let payload = payload(size);
        let answer = scene.ask("Echo.Say", &payload).await.expect("an answer");
        assert!(answer == payload, "{size}: {}", answer.len());
    }
    let error = scene
        .ask("Echo.Shout", b"")
        .await
        .expect_err("no such operation");
    assert!(error.to_string().contains("no Echo.Shout here"), "{error}");
    assert_eq!(scene.calls.refused(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_host_calls_a_peers_provider() {
    let scene = Scene::new("theirs").await;
    let lattice = scene.lattice;
    let subject = format!("wasmbus.rpc.{lattice}.{PROVIDER}.default");
    let mut calls = scene
        .client
        .queue_subscribe(subject, "rpc".into())
        .await
        .expect("subscribed");
    scene.client.flush().await.expect("flushed");
    let peer = scene.peer.clone();
    // What the peers' provider does with each message.
    let provider = tokio::spawn(async move {
        while let Some(message) = calls.next().await {
            let call: peer::Invocation = deserialize(&message.payload).expect("an invocation");
            let call = peer.dechunk(call, lattice).await.expect("a payload");
            let response = match peer.validate_invocation(call.clone()).await {
                Ok((call, claims)) => {
                    assert_eq!(claims.subject, call.id);
                    answer(&call)
                }
                Err(refused) => {
                    let mut response = peer::InvocationResponse::default();
                    response.error = Some(refused);
                    response
                }
            };
            let reply = message.reply.expect("somebody waits");
            peer.publish_invocation_response(reply, response, lattice)
                .await
                .expect("answered");
        }
    });
    let to = Address::Provider {
        id: id(PROVIDER),
        contract: exosuit_core::Contract::parse("wasmcloud:testing").expect("a contract"),
        link: exosuit_core::LinkName::default(),
    };
    for size in sizes() {
        let payload = Bytes::from(payload(size));
        let call = Invocation {
            origin: Origin::Actor(id("counter")),
            target: Target::Actor("not read".to_owned()),
            operation: "Testing.Echo".to_owned(),
            payload: payload.clone().into(),
            context: Context::until(Instant::now() + PATIENCE),
        };
        // It is called by its key, and its id goes along, which is nothing to the peer.
        let key = id(ACTOR);
        let answer = scene.calls.call(&to, Some(&key), call);
        let answer = within("an answer", answer).await.expect("an answer");
        let answer = Reply::into_bytes(answer).expect("bytes");
        assert!(answer == payload, "{size}: {}", answer.len());
    }
    provider.abort();
}

fn answer(call: &peer::Invocation) -> peer::InvocationResponse {
    assert_eq!(call.origin.public_key, ACTOR);
    assert_eq!(call.target, provider());
    assert_eq!(call.operation, "Testing.Echo");
    let mut response = peer::InvocationResponse::default();
    response.invocation_id = call.id.clone();
    response.msg = call.msg.clone();
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_cluster_is_refused() {
    let scene = Scene::new("strangers").await;
    let _serving = scene.echo().await;
    let stranger = nkeys::KeyPair::new_cluster();
    let stranger = RpcClient::new(
        scene.client.clone(),
        "N".repeat(56),
        Some(PATIENCE),
        Arc::new(stranger),
    );
    let message = Message {
        method: "Echo.Say",
        arg: (&b""[..]).into(),
    };
    let error = stranger
        .send(provider(), actor(), scene.lattice, message)
        .await
        .expect_err("a stranger");
    assert!(
        error.to_string().contains("Anti-forgery check failed"),
        "{error}"
    );
}
