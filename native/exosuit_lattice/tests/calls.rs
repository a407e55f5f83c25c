//! Calls from host to host.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use bytes::Bytes;
use common::host::{
    ACTOR, Actor, Cluster, Host, PROVIDER, contract, echo, failing, id, invocation, local, remote,
};
use common::nats::NatsServer;
use common::{PATIENCE, eventually, within};
use exosuit_core::{
    CapabilityCall, Code, Context, Invocation, Link, LinkName, Origin, Payload, Target,
};
use exosuit_lattice::{Served, Trace};
use tokio::sync::{Notify, Semaphore, mpsc};

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_answers_from_another_host() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let _serving = there.serve("MECHO", echo()).await;
    assert_eq!(
        here.call("MECHO", "Echo.Say", "hello").await,
        Ok(Bytes::from("hello"))
    );
    assert_eq!(here.call("MECHO", "Echo.Say", "").await, Ok(Bytes::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_arrives_as_it_was_made() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let (sender, mut received) = mpsc::unbounded_channel();
    let witness = Actor(move |invocation| {
        let _ = sender.send((invocation, Trace::current()));
        async { Ok(Bytes::new()) }
    });
    let _serving = there.serve("MWITNESS", witness).await;
    let mut call = invocation("MWITNESS", "Witness.See", "it");
    call.context = Context {
        deadline: Instant::now() + Duration::from_secs(5),
        depth: 3,
        caller: None,
        within: None,
    };
    let deadline = call.context.deadline;
    let trace = Trace {
        parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        state: None,
    };
    let answer = trace.clone().scope(here.send("MWITNESS", call)).await;
    answer.expect("an answer");

    let (seen, seen_trace): (Invocation, Trace) =
        within("the call", received.recv()).await.expect("a call");
    assert_eq!(seen.origin, remote("MCALLER"));
    assert_eq!(seen.target, Target::Actor("MWITNESS".to_owned()));
    assert_eq!(seen.operation, "Witness.See");
    assert!(matches!(seen.payload, Payload::Bytes(bytes) if bytes == "it"));
    assert_eq!(seen.context.depth, 3);
    assert!(seen.context.deadline <= deadline + Duration::from_secs(1));
    assert_eq!(seen_trace, trace);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_error_at_once() {
    let server = NatsServer::start().await;
    let here = Cluster::new().host(&server).await;
    let begun = Instant::now();
    let error = here
        .call("MNOBODY", "x", "")
        .await
        .expect_err("nobody is there");
    assert_eq!(error.code, Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_its_kind_and_its_words() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let _serving = there
        .serve("MFAIL", failing(Code::UnknownOperation, "no such thing"))
        .await;
    let error = here.call("MFAIL", "x", "").await.expect_err("it fails");
    assert_eq!(
        (error.code, error.detail.as_str()),
        (Code::UnknownOperation, "no such thing")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_before_the_deadline_is_an_error_then() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let dropped = Arc::new(Notify::new());
    let on_drop = Arc::clone(&dropped);
    let stuck = Actor(move |_| {
        let guard = NotifyOnDrop(Arc::clone(&on_drop));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    let _serving = there.serve("MSTUCK", stuck).await;
    let mut call = invocation("MSTUCK", "x", "");
    call.context = Context::until(Instant::now() + Duration::from_millis(200));
    let error = here.send("MSTUCK", call).await.expect_err("too late");
    assert_eq!(error.code, Code::Deadline);
    // The other side does not work on for nobody.
    within("the end of the work", dropped.notified()).await;
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_serve_the_same_share_the_calls() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let here = cluster.host(&server).await;
    let mut counts = Vec::new();
    let mut serving = Vec::new();
    for _ in 0..2 {
        let count = Arc::new(AtomicUsize::new(0));
        counts.push(Arc::clone(&count));
        let host = cluster.host(&server).await;
        let counting = Actor(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Bytes::new()) }
        });
        serving.push((host.serve("MSHARED", counting).await, host));
    }
    for _ in 0..100 {
        here.call("MSHARED", "x", "").await.expect("an answer");
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|count| count.load(Ordering::SeqCst))
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 100);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_told_of_links_and_called_through_them() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let contract = contract("wasmcloud:keyvalue");
    let store = Served::all(&local(PROVIDER, Some(&[contract.as_str()]))).swap_remove(0);
    let _serving = there
        .calls
        .serve(store, Arc::new(Actor(seen)))
        .await
        .expect("served");
    there.settle().await;
    let client = server.client().await;
    let mut definitions = client
        .subscribe(format!("wasmbus.rpc.default.{PROVIDER}.default.linkdefs.*"))
        .await
        .expect("subscribed");
    client.flush().await.expect("flushed");
    // The server answers in order: once it does, it has the subscription.
    let _ = client.request("nobody", "".into()).await;

    let provider = here.calls.provider(id(PROVIDER), vec![contract.clone()]);
    let link = Arc::new(Link {
        source: id("MCALLER"),
        target: id(PROVIDER),
        name: LinkName::default(),
        contract,
        interfaces: Vec::new(),
        source_config: [].into(),
        target_config: [("url".to_owned(), "redis://".to_owned())].into(),
    });
    provider.link(Arc::clone(&link)).await.expect("told");
    let told = within("a link", futures_util::StreamExt::next(&mut definitions))
        .await
        .expect("a message");
    assert_eq!(
        told.subject.as_str(),
        format!("wasmbus.rpc.default.{PROVIDER}.default.linkdefs.put")
    );
    let told: serde_json::Value = rmp_serde::from_slice(&told.payload).expect("a link");
    assert_eq!(
        told,
        serde_json::json!({
            "id": "E55D13D1CA0F9AE6C60564DB7EA70E0A6CB5693EB9979CD9130F6C4876B40947", "actor_id": "MCALLER", "provider_id": PROVIDER, "link_name": "default",
            "contract_id": "wasmcloud:keyvalue", "values": {"url": "redis://"},
        })
    );
    let call = CapabilityCall {
        invocation: invocation("wasmcloud:keyvalue", "KeyValue.Get", "key"),
        link: Some(Arc::clone(&link)),
    };
    let answer = provider
        .invoke(call)
        .await
        .and_then(exosuit_core::Reply::into_bytes);
    assert_eq!(
        answer,
        Ok(Bytes::from(
            "wasmcloud:keyvalue on default: KeyValue.Get by MCALLER"
        ))
    );
    provider.unlink(link).await.expect("told");
    let told = within("its end", futures_util::StreamExt::next(&mut definitions))
        .await
        .expect("a message");
    assert_eq!(
        told.subject.as_str(),
        format!("wasmbus.rpc.default.{PROVIDER}.default.linkdefs.del")
    );
}

async fn seen(invocation: Invocation) -> Result<Bytes, exosuit_core::Error> {
    let Target::Provider { id, contract, link } = invocation.target else {
        panic!("{:?}", invocation.target);
    };
    let Origin::Elsewhere(origin) = invocation.origin else {
        panic!("{:?}", invocation.origin);
    };
    assert_eq!(id.as_str(), PROVIDER);
    Ok(format!(
        "{contract} on {link}: {} by {}",
        invocation.operation, origin.id
    )
    .into())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_payloads_travel_apart_and_leave_nothing_behind() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let _serving = there.serve(ACTOR, echo()).await;
    for size in [
        700 << 10,
        (700 << 10) + 1,
        900 << 10,
        (900 << 10) + 1,
        3 << 20,
    ] {
        let payload: Bytes = (0..size)
            .map(|n: u32| n.to_le_bytes()[n as usize % 3])
            .collect();
        let answer = here.call(ACTOR, "Echo.Say", payload.clone()).await;
        assert!(
            answer == Ok(payload),
            "{size}: {:?}",
            answer.map(|bytes| bytes.len())
        );
    }
    let jetstream = jetstream::new(server.client().await);
    let mut stream = jetstream
        .get_stream("OBJ_default")
        .await
        .expect("the store");
    let info = stream.info().await.expect("its state");
    assert_eq!(
        (info.state.messages, info.config.max_age),
        (0, Duration::from_mins(10))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_lost_is_made_anew() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let _serving = there.serve("MECHO", echo()).await;
    let payload = Bytes::from(vec![7; 1 << 20]);
    assert_eq!(
        here.call("MECHO", "Echo.Say", payload.clone()).await,
        Ok(payload.clone())
    );
    let jetstream = jetstream::new(server.client().await);
    jetstream
        .delete_object_store("default")
        .await
        .expect("deleted");
    assert_eq!(
        here.call("MECHO", "Echo.Say", payload.clone()).await,
        Ok(payload)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_small_messages_carries_large_payloads_too() {
    let server = NatsServer::start_with("max_payload: 65536").await;
    let cluster = Cluster::new();
    let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
    let _serving = there.serve("MECHO", echo()).await;
    let payload = Bytes::from(vec![7; 300 << 10]);
    assert_eq!(
        here.call("MECHO", "Echo.Say", payload.clone()).await,
        Ok(payload)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_by_whoever_has_it() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let small = || {
        let mut options = cluster.options();
        options.largest_payload = 1 << 20;
        options
    };
    let here = Host::start(server.connect().await, small()).await;
    let there = Host::start(server.connect().await, small()).await;
    let double = Actor(|invocation: Invocation| async move {
        let payload = invocation.payload.into_bytes()?;
        Ok([&payload[..], &payload[..]].concat().into())
    });
    let _serving = there.serve("MDOUBLE", double).await;
    let error = here
        .call("MDOUBLE", "x", vec![0; (1 << 20) + 1])
        .await
        .expect_err("too large to send");
    assert_eq!(error.code, Code::InvalidInput);
    let error = here
        .call("MDOUBLE", "x", vec![0; 600 << 10])
        .await
        .expect_err("too large to answer");
    assert_eq!(error.code, Code::InvalidInput);
    assert!(error.detail.contains("1048576"), "{error}");

    // One that allows more is refused by one that does not.
    let generous = cluster.host(&server).await;
    let error = generous
        .call("MDOUBLE", "x", vec![0; 2 << 20])
        .await
        .expect_err("too large to take");
    assert_eq!(error.code, Code::InvalidInput);
    assert_eq!(there.calls.refused().get("too_large"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_there_is_room_for_are_refused_at_once() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let here = cluster.host(&server).await;
    let mut options = cluster.options();
    (options.concurrency, options.queue) = (2, 3);
    let there = Host::start(server.connect().await, options).await;
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let (wait, count) = (Arc::clone(&gate), Arc::clone(&running));
    let gated = Actor(move |_| {
        let wait = Arc::clone(&wait);
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            wait.acquire().await.expect("open").forget();
            Ok(Bytes::new())
        }
    });
    let mut refusals = there.calls.refusals();
    let _serving = there.serve("MGATED", gated).await;
    let here = Arc::new(here);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let here = Arc::clone(&here);
        calls.spawn(async move {
            here.call("MGATED", "x", "")
                .await
                .map_err(|error| error.code)
        });
    }
    for _ in 0..3 {
        let refused = within("a refusal", calls.join_next())
            .await
            .expect("a call")
            .expect("no panic");
        assert_eq!(refused, Err(Code::Overloaded));
    }
    let is_full = || async { (running.load(Ordering::SeqCst) == 2).then_some(()) };
    eventually("the calls that fit", is_full).await;
    assert_eq!(there.calls.refused().get("overloaded"), Some(&3));
    let told = within("a notice", refusals.recv()).await.expect("a notice");
    assert_eq!(told.error.code(), "overloaded");

    gate.add_permits(5);
    while let Some(answer) = within("an answer", calls.join_next()).await {
        assert_eq!(answer.expect("no panic"), Ok(Bytes::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_stops_finishes_what_it_has() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (
        Arc::new(cluster.host(&server).await),
        cluster.host(&server).await,
    );
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let (wait, notify) = (Arc::clone(&gate), Arc::clone(&begun));
    let gated = Actor(move |_| {
        let wait = Arc::clone(&wait);
        notify.notify_one();
        async move {
            wait.acquire().await.expect("open").forget();
            Ok(Bytes::from("done"))
        }
    });
    let serving = there.serve("MGATED", gated).await;
    let caller = Arc::clone(&here);
    let call = tokio::spawn(async move { caller.call("MGATED", "x", "").await });
    within("the call", begun.notified()).await;
    let stopped = tokio::spawn(serving.stop(PATIENCE));
    eventually("no new calls", || async {
        // One that is still taken waits no longer than that, and the first is not late for it.
        let mut call = invocation("MGATED", "x", "");
        call.context = Context::until(Instant::now() + Duration::from_millis(500));
        let refused = here.send("MGATED", call).await;
        refused
            .is_err_and(|error| error.code == Code::Unavailable)
            .then_some(())
    })
    .await;
    gate.add_permits(10);
    assert_eq!(call.await.expect("no panic"), Ok(Bytes::from("done")));
    within("the end", stopped).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_calls_fail_at_once_and_go_on_after_it() {
    let mut server = NatsServer::start().await;
    let cluster = Cluster::new();
    let (here, there) = (
        Arc::new(cluster.host(&server).await),
        cluster.host(&server).await,
    );
    let begun = Arc::new(Notify::new());
    let notify = Arc::clone(&begun);
    let stuck = Actor(move |_| {
        notify.notify_one();
        std::future::pending()
    });
    let _stuck = there.serve("MSTUCK", stuck).await;
    let _echo = there.serve("MECHO", echo()).await;
    let caller = Arc::clone(&here);
    let waiting = tokio::spawn(async move { caller.call("MSTUCK", "x", "").await });
    within("the call", begun.notified()).await;
    let lost = Instant::now();
    server.stop();
    let error = within("its end", waiting)
        .await
        .expect("no panic")
        .expect_err("the connection was lost");
    assert_eq!(error.code, Code::Unavailable);
    let error = here
        .call("MECHO", "x", "")
        .await
        .expect_err("no connection");
    assert_eq!(error.code, Code::Unavailable);
    assert!(lost.elapsed() < Duration::from_secs(5));

    server.resume().await;
    let answer = eventually("an answer", || async {
        here.call("MECHO", "x", "again").await.ok()
    })
    .await;
    assert_eq!(answer, "again");
}
