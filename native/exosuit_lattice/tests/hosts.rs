//! Other hosts, as the router knows them: whoever is served there is found by each of its names.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use common::eventually;
use common::host::{ACTOR, Actor, Cluster, PROVIDER, contract, id, invocation, local};
use common::nats::NatsServer;
use common::{PATIENCE, within};
use exosuit_core::{
    Code, Destination, Elsewhere, Error, Invocation, Link, LinkName, Local, Origin, Outgoing,
    Remote, Reply, Target,
};
use exosuit_lattice::Hosts;
use tokio::sync::Semaphore;

const KEYVALUE: &str = "wasmcloud:keyvalue";

/// Answers with the call that reached a host: `target < caller`.
async fn witness(call: Invocation) -> Result<Bytes, Error> {
    let target = match call.target {
        Target::Actor(name) => name,
        Target::Provider { id, contract, link } => format!("{id} for {contract} by {link}"),
        Target::Import { namespace, .. } => panic!("{namespace} is nobody's name"),
    };
    let origin = match call.origin {
        Origin::Host => "a host".to_owned(),
        Origin::Elsewhere(Remote { id, key, through }) => {
            let key = key.map_or("none".to_owned(), |key| key.as_str()[..1].to_owned());
            let through = through.map(|(contract, link)| format!(" for {contract} by {link}"));
            format!("{id} with key {key}{}", through.unwrap_or_default())
        }
        other => panic!("{other:?} is not from elsewhere"),
    };
    Ok(format!("{target} < {origin}").into())
}

/// Two hosts of one lattice, and what the second one serves.
struct Scene {
    server: NatsServer,
    here: Hosts,
    there: Hosts,
}

impl Scene {
    async fn new() -> Self {
        let server = NatsServer::start().await;
        let cluster = Cluster::new();
        let start = async |target| {
            let host = cluster.host(&server).await;
            Hosts::start(host.calls, target)
        };
        Self {
            here: start(Arc::new(Actor(witness))).await,
            there: start(Arc::new(Actor(witness))).await,
            server,
        }
    }

    async fn call(
        &self,
        to: Destination,
        origin: Origin,
        key: Option<&str>,
    ) -> Result<String, Error> {
        let mut invocation = invocation("not read", "Some.Thing", "");
        invocation.origin = origin;
        let call = Outgoing {
            invocation,
            origin_key: key.map(id),
            to,
        };
        let reply = within("an answer", self.here.deliver(call)).await;
        let bytes = reply.and_then(Reply::into_bytes)?;
        Ok(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// The same, once there is somebody to answer.
    async fn reached(&self, to: Destination, origin: Origin, key: Option<&str>) -> String {
        eventually("an answer", || async {
            self.call(to.clone(), origin.clone(), key).await.ok()
        })
        .await
    }

    async fn is_gone(&self, name: &str) {
        eventually("nobody", || async {
            let answer = self.call(actor(name), Origin::Host, None).await;
            answer
                .is_err_and(|error| error.code == Code::Unavailable && error.detail.contains(name))
                .then_some(())
        })
        .await;
    }
}

fn actor(name: &str) -> Destination {
    Destination::Actor(id(name))
}

fn linked(target: &str) -> Destination {
    Destination::Linked(Arc::new(Link {
        source: id("caller"),
        target: id(target),
        name: LinkName::default(),
        contract: contract(KEYVALUE),
        interfaces: Vec::new(),
        source_config: [].into(),
        target_config: [].into(),
    }))
}

fn with_key(local: Local, key: &str) -> Local {
    let key = Some(id(key));
    Local { key, ..local }
}

fn caller() -> Origin {
    Origin::Actor(id("caller"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_reached_by_key_and_by_id() {
    let scene = Scene::new().await;
    scene.there.serve(with_key(local("counter", None), ACTOR));
    for name in ["counter", ACTOR] {
        assert_eq!(
            scene.reached(actor(name), caller(), Some(ACTOR)).await,
            "counter < caller with key M"
        );
        assert_eq!(
            scene.reached(linked(name), caller(), None).await,
            "counter < caller with key none"
        );
        assert_eq!(
            scene.reached(actor(name), Origin::Host, None).await,
            "counter < a host"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_reached_by_key_and_by_id_through_each_link() {
    let scene = Scene::new().await;
    let provider = with_key(local("messaging", Some(&[KEYVALUE])), PROVIDER);
    scene.there.serve(provider);
    for name in ["messaging", PROVIDER] {
        let answer = scene.reached(linked(name), caller(), Some(ACTOR)).await;
        let expected = "messaging for wasmcloud:keyvalue by default < caller with key M";
        assert_eq!(answer, expected);
        // Without a link it is nobody that could be called.
        let error = scene
            .call(actor(name), caller(), None)
            .await
            .expect_err("no link");
        assert!(
            matches!(error.code, Code::InvalidInput | Code::Unavailable),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_calls_an_actor_for_its_link() {
    let scene = Scene::new().await;
    scene.there.serve(with_key(local("web", None), ACTOR));
    let origin = Origin::Provider {
        id: id("messaging"),
        contract: contract(KEYVALUE),
        link: LinkName::default(),
    };
    for name in ["web", ACTOR] {
        for (key, letter) in [(Some(PROVIDER), "V"), (None, "none")] {
            let answer = scene.reached(actor(name), origin.clone(), key).await;
            let caller = "messaging with key";
            let through = "for wasmcloud:keyvalue by default";
            assert_eq!(answer, format!("web < {caller} {letter} {through}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_is_not_reached_and_what_changes_its_names_is_reached_by_the_new() {
    let scene = Scene::new().await;
    scene.there.serve(with_key(local("counter", None), ACTOR));
    scene.reached(actor(ACTOR), caller(), None).await;
    scene.there.serve(local("counter", None));
    scene.is_gone(ACTOR).await;
    scene.reached(actor("counter"), caller(), None).await;
    scene.there.withdraw(&id("counter"));
    scene.is_gone("counter").await;
    scene.there.serve(local("counter", None));
    scene.reached(actor("counter"), caller(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_holds() {
    let scene = Scene::new().await;
    let names: BTreeSet<_> = (0..200).map(|n| format!("actor-{n}")).collect();
    for name in &names {
        for _ in 0..3 {
            scene.there.serve(local(name, None));
            scene.there.withdraw(&id(name));
        }
        if name.ends_with('7') {
            scene.there.serve(local(name, None));
        }
    }
    scene.there.serve(local("last", None));
    for name in names.iter().filter(|name| name.ends_with('7')) {
        scene.reached(actor(name), caller(), None).await;
    }
    scene.there.serve(local("zulu", None));
    scene.reached(actor("zulu"), caller(), None).await;
    for name in names.iter().filter(|name| !name.ends_with('7')) {
        scene.is_gone(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_without_a_connection_comes_about_with_it() {
    let mut scene = Scene::new().await;
    scene.there.serve(local("before", None));
    scene.there.serve(local("gone", None));
    scene.reached(actor("gone"), caller(), None).await;
    scene.reached(actor("before"), caller(), None).await;
    scene.server.stop();
    scene.there.serve(local("during", None));
    scene.there.withdraw(&id("gone"));
    let error = scene
        .call(actor("before"), caller(), None)
        .await
        .expect_err("no connection");
    assert_eq!(error.code, Code::Unavailable);
    scene.server.resume().await;
    for name in ["before", "during"] {
        scene.reached(actor(name), caller(), None).await;
    }
    scene.is_gone("gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_by_name() {
    let scene = Scene::new().await;
    for (to, name) in [
        (actor("nobody"), "nobody"),
        (actor(ACTOR), ACTOR),
        (linked(PROVIDER), PROVIDER),
    ] {
        let error = scene
            .call(to, caller(), None)
            .await
            .expect_err("nobody is there");
        assert_eq!(error.code, Code::Unavailable);
        assert_eq!(
            error.detail,
            format!("no host on the lattice serves {name}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_finishes_what_it_has_and_takes_nothing_new() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (wait, tell) = (Arc::clone(&gate), Arc::clone(&begun));
    let gated = Actor(move |_| {
        let wait = Arc::clone(&wait);
        tell.add_permits(1);
        async move {
            wait.acquire().await.expect("open").forget();
            Ok(Bytes::from("done"))
        }
    });
    let start = async |target| Hosts::start(cluster.host(&server).await.calls, target);
    let there = Arc::new(start(Arc::new(gated)).await);
    let here = start(Arc::new(Actor(witness))).await;
    let scene = Arc::new(Scene {
        here,
        there: start(Arc::new(Actor(witness))).await,
        server,
    });
    there.serve(local("gated", None));
    let caller_of = Arc::clone(&scene);
    let call = tokio::spawn(async move { caller_of.reached(actor("gated"), caller(), None).await });
    within("the call", begun.acquire())
        .await
        .expect("open")
        .forget();
    let stopping = Arc::clone(&there);
    let stopped = tokio::spawn(async move { stopping.stop(PATIENCE).await });
    scene.is_gone("gated").await;
    there.serve(local("late", None));
    gate.add_permits(1);
    assert_eq!(within("the answer", call).await.expect("no panic"), "done");
    within("the end", stopped).await.expect("no panic");
    scene.is_gone("late").await;
}
