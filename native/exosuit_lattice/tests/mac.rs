//! Calls with a MAC between hosts of one cluster, and whoever can read and send all that goes between
//! them.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use common::host::{ACTOR, Actor, Cluster, Host, address, id, invocation};
use common::nats::NatsServer;
use common::{PATIENCE, eventually, within};
use exosuit_claims::invocation::Entity;
use exosuit_core::{Code, Context, Reply};
use exosuit_lattice::{Error, Invocation, MacCaller, Response, Serving, Skew};
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

const NAME: &str = "counter";
const LEFT: Duration = Duration::from_secs(10);

/// Two hosts of one cluster, the second of which serves, and somebody who hears and says what they like.
struct Scene {
    server: NatsServer,
    cluster: Cluster,
    here: Host,
    there: Host,
    client: async_nats::Client,
    count: Arc<AtomicUsize>,
    serving: Serving,
}

impl Scene {
    async fn new() -> Self {
        let server = NatsServer::start().await;
        let cluster = Cluster::new();
        let (here, there) = (cluster.host(&server).await, cluster.host(&server).await);
        here.calls.others_take_macs(true);
        let count = Arc::new(AtomicUsize::new(0));
        let serving = there.serve(NAME, counting(&count)).await;
        with_mac(&here, NAME).await;
        count.store(0, Ordering::SeqCst);
        Self {
            client: server.client().await,
            server,
            cluster,
            here,
            there,
            count,
            serving,
        }
    }

    fn caller(&self) -> MacCaller {
        MacCaller::new(&id("default"), &self.cluster.0)
    }

    async fn spy(&self, subject: &str) -> Subscriber {
        let spy = self.client.subscribe(subject.to_owned()).await;
        // The server takes what it is sent in that order.
        let _ = self.client.request("nobody", Bytes::new()).await;
        spy.expect("subscribed")
    }

    /// A call, and the message that it was.
    async fn call_and_hear(&self) -> Message {
        let mut spy = self.spy("exosuit.rpc.>").await;
        let answer = self.here.call(NAME, "Echo.Say", "hello").await;
        assert_eq!(answer, Ok(Bytes::from("hello")));
        within("the call", spy.next()).await.expect("a message")
    }

    fn refused(&self, code: &str) -> u64 {
        self.there
            .calls
            .refused()
            .get(code)
            .copied()
            .unwrap_or_default()
    }

    async fn is_refused(&self, code: &str, times: u64) {
        let refused = || async { (self.refused(code) == times).then_some(()) };
        eventually("the refusal", refused).await;
    }

    fn served(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// Says what it is told, and counts.
fn counting(count: &Arc<AtomicUsize>) -> impl exosuit_core::Deliver + 'static {
    let count = Arc::clone(count);
    Actor(move |call: exosuit_core::Invocation| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { call.payload.into_bytes() }
    })
}

/// Says what it is told, once for each permit.
fn gated(gate: &Arc<Semaphore>) -> impl exosuit_core::Deliver + 'static {
    let gate = Arc::clone(gate);
    Actor(move |call: exosuit_core::Invocation| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("open").forget();
            call.payload.into_bytes()
        }
    })
}

/// The word of the server that nobody responds, said by somebody else.
async fn forge_nobody(server: &NatsServer, reply: &str) {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await;
    let mut stream = BufStream::new(stream.expect("a connection"));
    let message = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB {reply} 16 16\r\n\
         NATS/1.0 503\r\n\r\n\r\nPING\r\n"
    );
    stream.write_all(message.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        let read = within("a PONG", stream.read_line(&mut line)).await;
        assert!(
            read.expect("a line") > 0,
            "the server closed the connection"
        );
    }
}

/// Waits until calls to this name go with a MAC.
async fn with_mac(here: &Host, name: &str) {
    eventually("a call with a MAC", || async {
        let _ = here.call(name, "Echo.Say", "").await;
        here.calls.go_with_mac(&id(name)).then_some(())
    })
    .await;
}

/// The same for a target that needs a permit of this gate for the first call, and has one.
async fn with_mac_through(here: &Host, name: &str, gate: &Semaphore) {
    assert!(here.call(name, "x", "").await.is_ok());
    eventually("a MAC", || async {
        here.calls.go_with_mac(&id(name)).then_some(())
    })
    .await;
    assert_eq!(gate.available_permits(), 0);
}

async fn next(spy: &mut Subscriber) -> Message {
    within("a message", spy.next()).await.expect("a message")
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_every_way_to_travel_come_and_go_with_a_mac() {
    let scene = Scene::new().await;
    let mut spy = scene.spy("*.rpc.>").await;
    for size in [0, 1_000, 9_000, 700 << 10, 800 << 10, 2 << 20] {
        let payload = Bytes::from(vec![7; size]);
        let answer = scene.here.call(NAME, "Echo.Say", payload.clone()).await;
        assert!(answer == Ok(payload), "{size}");
        let message = next(&mut spy).await;
        assert!(
            message.subject.contains(".counter.mac."),
            "{}",
            message.subject
        );
        assert!(message.headers.is_none());
    }
    assert_eq!(scene.there.calls.refused(), [].into());
    assert_eq!(scene.here.calls.refused(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_sent_again_is_neither_served_nor_answered() {
    let scene = Scene::new().await;
    let call = scene.call_and_hear().await;
    let mut inbox = scene.spy("answers").await;
    let again = scene
        .client
        .publish_with_reply(call.subject, "answers", call.payload);
    again.await.expect("sent");
    scene.is_refused("replayed", 1).await;
    assert_eq!(scene.served(), 1);
    scene
        .client
        .publish("answers", "the last".into())
        .await
        .expect("sent");
    assert_eq!(next(&mut inbox).await.payload, "the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_time_before_a_restart_is_not_served_again() {
    let mut scene = Scene::new().await;
    let call = scene.call_and_hear().await;
    drop(scene.serving);
    scene.there = scene.cluster.host(&scene.server).await;
    scene.serving = scene.there.serve(NAME, counting(&scene.count)).await;
    scene
        .client
        .publish_with_reply(call.subject, "answers", call.payload)
        .await
        .expect("sent");
    scene.is_refused("stale", 1).await;
    assert_eq!(scene.served(), 1);
    assert_eq!(
        scene.here.call(NAME, "x", "new").await,
        Ok(Bytes::from("new"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_meets_a_restart_is_made_anew() {
    let mut scene = Scene::new().await;
    // The host goes, and somebody has what is sent to it until there is another.
    let subject = scene.caller().subject(&id(NAME));
    let mut before = scene.spy(&subject).await;
    scene.serving.stop(PATIENCE).await;
    let calling = async { scene.here.call(NAME, "Echo.Say", "hello").await };
    let restart = async {
        let call = next(&mut before).await;
        before.unsubscribe().await.expect("unsubscribed");
        let there = scene.cluster.host(&scene.server).await;
        let serving = there.serve(NAME, counting(&scene.count)).await;
        let reply = call.reply.expect("somebody waits");
        let late = scene
            .client
            .publish_with_reply(call.subject, reply, call.payload);
        late.await.expect("sent");
        (there, serving)
    };
    let (answer, (there, serving)) = tokio::join!(calling, restart);
    assert_eq!(answer, Ok(Bytes::from("hello")));
    assert_eq!(there.calls.refused(), [("stale", 1)].into());
    (scene.there, scene.serving) = (there, serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_another_lattice_is_refused() {
    let scene = Scene::new().await;
    let mut options = scene.cluster.options();
    options.lattice = id("other");
    let other = Host::start(scene.server.connect().await, options).await;
    let _serving = other.serve(NAME, counting(&scene.count)).await;
    let call = scene.call_and_hear().await;
    let subject = MacCaller::new(&id("other"), &scene.cluster.0).subject(&id(NAME));
    assert_ne!(subject.replace("other", "default"), call.subject.as_str());
    scene
        .client
        .publish(subject, call.payload)
        .await
        .expect("sent");
    let refused = || async { other.calls.refused().contains_key("forged").then_some(()) };
    eventually("the refusal", refused).await;
    assert_eq!(scene.served(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_header_or_another_payload_is_refused() {
    let scene = Scene::new().await;
    let call = scene.call_and_hear().await;
    let before = scene.served();
    // Of the time, the operation and the trace, and of the payload.
    let operation = call
        .payload
        .windows(8)
        .position(|part| part == b"Echo.Say")
        .expect("there");
    let places = [40, operation, operation + 60, call.payload.len() - 1];
    for (n, at) in (1..).zip(places) {
        let mut changed = call.payload.to_vec();
        changed[at] ^= 1;
        scene
            .client
            .publish(call.subject.clone(), changed.into())
            .await
            .expect("sent");
        scene.is_refused("forged", n).await;
    }
    assert_eq!(scene.served(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_answer_and_an_answer_to_another_call_are_passed_over() {
    let scene = Scene::new().await;
    let gate = Arc::new(Semaphore::new(1));
    let _serving = scene.there.serve("gated", gated(&gate)).await;
    with_mac_through(&scene.here, "gated", &gate).await;
    // An answer to another call.
    let listener = scene.server.client().await;
    let mut inboxes = listener.subscribe("_INBOX.>").await.expect("subscribed");
    listener.flush().await.expect("flushed");
    scene.there.settle().await;
    assert!(scene.here.call(NAME, "Echo.Say", "another").await.is_ok());
    let mut answers = Vec::new();
    while answers.is_empty() {
        let message = next(&mut inboxes).await;
        answers.extend(
            message
                .payload
                .ends_with(b"another")
                .then_some(message.payload),
        );
    }
    let mut forged = answers[0].to_vec();
    forged.extend(b"!");
    answers.extend([forged.into(), Bytes::from("nonsense"), Bytes::new()]);

    let mut calls = scene.spy("exosuit.rpc.default.gated.>").await;
    let forge = async {
        let call = next(&mut calls).await;
        let reply = call.reply.expect("somebody waits");
        for answer in &answers {
            scene
                .client
                .publish(reply.clone(), answer.clone())
                .await
                .expect("sent");
        }
        let forged =
            || async { (scene.here.calls.refused().get("forged") == Some(&4)).then_some(()) };
        eventually("the forged answers", forged).await;
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(scene.here.call("gated", "x", "the true one"), forge);
    assert_eq!(answer, Ok(Bytes::from("the true one")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_its_kind_and_its_words() {
    let scene = Scene::new().await;
    let failing = common::host::failing(Code::Trap, "it trapped");
    let _serving = scene.there.serve("failing", failing).await;
    with_mac(&scene.here, "failing").await;
    let error = scene
        .here
        .call("failing", "x", "")
        .await
        .expect_err("it fails");
    assert_eq!(
        (error.code, error.detail.as_str()),
        (Code::Trap, "it trapped")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_cluster_is_called_by_a_signature() {
    let scene = Scene::new().await;
    let stranger = Cluster::new();
    let mut options = stranger.options();
    options.issuers = vec![scene.cluster.0.public_key().clone()];
    let foreign = Host::start(scene.server.connect().await, options).await;
    let _serving = foreign.serve("foreign", counting(&scene.count)).await;
    // Who listens to all that goes on responds to everything, as far as the server knows.
    let mut spy = scene.spy("*.rpc.>").await;
    for _ in 0..3 {
        let answer = scene.here.call("foreign", "Echo.Say", "hello").await;
        assert_eq!(answer, Ok(Bytes::from("hello")));
    }
    let mut with_mac = 0;
    for _ in 0..4 {
        with_mac += usize::from(next(&mut spy).await.subject.contains(".mac."));
    }
    assert_eq!((with_mac, scene.served()), (1, 3));
    assert_eq!(foreign.calls.refused(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_word_that_nobody_responds_makes_no_call_signed() {
    let scene = Scene::new().await;
    let gate = Arc::new(Semaphore::new(1));
    let _serving = scene.there.serve("gated", gated(&gate)).await;
    with_mac_through(&scene.here, "gated", &gate).await;
    let mut spy = scene.spy("exosuit.rpc.default.gated.>").await;
    let mut signed = scene.spy("exosuit.rpc.default.gated").await;
    let forge = async {
        let reply = next(&mut spy).await.reply.expect("somebody waits");
        forge_nobody(&scene.server, &reply).await;
    };
    let (answer, ()) = tokio::join!(scene.here.call("gated", "x", "first"), forge);
    assert_eq!(answer.expect_err("forged").code, Code::Unavailable);
    gate.add_permits(2);
    let answer = scene.here.call("gated", "x", "second").await;
    assert_eq!(answer, Ok(Bytes::from("second")));
    assert!(scene.here.calls.go_with_mac(&id("gated")));
    let last = scene
        .client
        .publish("exosuit.rpc.default.gated", "the last".into());
    last.await.expect("sent");
    assert_eq!(next(&mut signed).await.payload, "the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_event_nor_a_slow_call_makes_calls_signed() {
    let scene = Scene::new().await;
    // As when somebody says that all hosts which take MACs have stopped.
    scene.here.calls.others_take_macs(false);
    let call = scene.call_and_hear().await;
    assert!(call.subject.contains(".mac."), "{}", call.subject);

    scene.here.calls.others_take_macs(true);
    let gate = Arc::new(Semaphore::new(1));
    let _serving = scene.there.serve("gated", gated(&gate)).await;
    with_mac_through(&scene.here, "gated", &gate).await;
    let mut signed = scene.spy("exosuit.rpc.default.gated").await;
    let mut slow = invocation("gated", "x", "slow");
    slow.context = Context::until(Instant::now() + Duration::from_millis(200));
    let late = scene.here.send("gated", slow).await;
    assert_eq!(late.err().map(|error| error.code), Some(Code::Deadline));
    gate.add_permits(2);
    let answer = scene.here.call("gated", "x", "next").await;
    assert_eq!(answer, Ok(Bytes::from("next")));
    let last = scene
        .client
        .publish("exosuit.rpc.default.gated", "the last".into());
    last.await.expect("sent");
    assert_eq!(next(&mut signed).await.payload, "the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_serves_with_macs_any_more_is_called_by_a_signature() {
    let mut scene = Scene::new().await;
    scene.serving.stop(PATIENCE).await;
    // The server knows it too.
    scene.there.settle().await;
    let error = scene.here.call(NAME, "x", "").await.expect_err("nobody");
    assert_eq!(error.code, Code::Unavailable);
    assert!(scene.here.calls.go_with_mac(&id(NAME)));
    // The next call starts a question, and nobody answers it.
    let by_signature = || async {
        let _ = scene.here.call(NAME, "x", "").await;
        (!scene.here.calls.go_with_mac(&id(NAME))).then_some(())
    };
    eventually("the end of calls with a MAC", by_signature).await;
    let old = scene.cluster.host(&scene.server).await;
    scene.serving = old.serve(NAME, counting(&scene.count)).await;
    let answer = scene.here.call(NAME, "x", "hello").await;
    assert_eq!(answer, Ok(Bytes::from("hello")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_call_that_is_sent_again_tells_nothing_of_a_clock() {
    let scene = Scene::new().await;
    let mut skews = scene.there.calls.skews();
    for (n, ahead) in [(1, -60_000), (2, -600_000), (3, 60_000)] {
        let caller = scene.caller().ahead(ahead);
        let (origin, target) = (Entity::actor("MCALLER"), Entity::actor(NAME));
        let request = caller.request(origin, target, "Echo.Say", b"old", LEFT);
        let sent = scene
            .client
            .publish(caller.subject(&id(NAME)), request.message().clone());
        sent.await.expect("sent");
        scene.is_refused("stale", n).await;
    }
    let skew = within("the skew", skews.recv()).await.expect("told");
    assert!(skew.milliseconds > 0, "{}", skew.milliseconds);
}

/// As hosts of the OTP era and older ones of Exosuit do: both listen for signed calls alone.
#[tokio::test(flavor = "multi_thread")]
async fn who_knows_signed_calls_alone_is_called_so() {
    let scene = Scene::new().await;
    for (name, subject) in [
        (ACTOR, format!("wasmbus.rpc.default.{ACTOR}")),
        ("old", "exosuit.rpc.default.old".to_owned()),
    ] {
        let mut calls = scene.spy(&subject).await;
        let serve = async {
            let message = next(&mut calls).await;
            let call = Invocation::decode(&message.payload).expect("a signed call");
            let answer = Response {
                payload: call.payload,
                invocation_id: call.id,
                ..Response::default()
            };
            let reply = message.reply.expect("somebody waits");
            scene
                .client
                .publish(reply, answer.encode())
                .await
                .expect("sent");
        };
        let call = invocation(name, "Echo.Say", "hello");
        let to = address(name);
        let (answer, ()) = tokio::join!(scene.here.calls.call(&to, None, call), serve);
        let answer = answer.map(Reply::into_bytes);
        assert_eq!(answer.expect("an answer"), Ok(Bytes::from("hello")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_error_by_name() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        let call = invocation("nobody", "x", "");
        let error = scene.here.calls.call(&address("nobody"), None, call).await;
        assert_eq!(error.err(), Some(Error::NoResponders("nobody".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_is_rotated_without_a_break() {
    let server = NatsServer::start().await;
    let (old, new) = (Cluster::new(), Cluster::new());
    let mut knows_both = old.options();
    knows_both.further_seeds = vec![Arc::clone(&new.0)];
    let there = Host::start(server.connect().await, knows_both).await;
    let _serving = there.serve(NAME, counting(&Arc::default())).await;
    for cluster in [&old, &new] {
        let here = cluster.host(&server).await;
        here.calls.others_take_macs(true);
        with_mac(&here, NAME).await;
        let answer = here.call(NAME, "x", "hello").await;
        assert_eq!(answer, Ok(Bytes::from("hello")));
    }
    assert_eq!(there.calls.refused(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_not_ours_is_told_of_and_one_far_off_refused() {
    let scene = Scene::new().await;
    let mut skews = scene.there.calls.skews();
    let ask = async |ahead: i64| {
        let caller = scene.caller().ahead(ahead);
        let (origin, target) = (Entity::actor("MCALLER"), Entity::actor(NAME));
        let request = caller.request(origin, target, "Echo.Say", b"hello", LEFT);
        let answer = scene
            .client
            .request(caller.subject(&id(NAME)), request.message().clone());
        request.read(&answer.await.expect("an answer").payload)
    };
    assert_eq!(ask(5_000).await, Ok(Bytes::from("hello")));
    assert_eq!(ask(20_000).await, Ok(Bytes::from("hello")));
    let Skew {
        source,
        milliseconds,
    } = within("the skew", skews.recv()).await.expect("told");
    assert_eq!(source, "MCALLER");
    assert!((15_000..=20_000).contains(&milliseconds), "{milliseconds}");
    for ahead in [-60_000, 60_000] {
        assert!(matches!(ask(ahead).await, Err(Error::Stale(_))));
    }
    assert_eq!((scene.served(), scene.refused("stale")), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_full_says_so_and_serves_it_later_to_nobody() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let mut options = cluster.options();
    (options.concurrency, options.queue) = (1, 0);
    let there = Host::start(server.connect().await, options).await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (wait, tell) = (Arc::clone(&gate), Arc::clone(&begun));
    let gated = Actor(move |_| {
        let wait = Arc::clone(&wait);
        tell.add_permits(1);
        async move {
            wait.acquire().await.expect("open").forget();
            Ok(Bytes::new())
        }
    });
    let _serving = there.serve(NAME, gated).await;
    let here = cluster.host(&server).await;
    here.calls.others_take_macs(true);
    gate.add_permits(1);
    assert!(here.call(NAME, "x", "").await.is_ok());
    begun.forget_permits(1);
    eventually("a MAC", || async {
        here.calls.go_with_mac(&id(NAME)).then_some(())
    })
    .await;
    let client = server.client().await;
    let mut spy = client.subscribe("exosuit.rpc.>").await.expect("subscribed");
    let _ = client.request("nobody", Bytes::new()).await;
    let full = async {
        within("the first", begun.acquire())
            .await
            .expect("open")
            .forget();
        let refused = here
            .call(NAME, "second", "")
            .await
            .expect_err("there is no room");
        assert_eq!(refused.code, Code::Overloaded);
        gate.add_permits(10);
    };
    let (first, ()) = tokio::join!(here.call(NAME, "first", ""), full);
    assert_eq!(first, Ok(Bytes::new()));
    let _first = next(&mut spy).await;
    let second = next(&mut spy).await;
    client
        .publish(second.subject, second.payload)
        .await
        .expect("sent");
    let refused = || async { there.calls.refused().contains_key("replayed").then_some(()) };
    eventually("the refusal", refused).await;
    assert_eq!(begun.available_permits(), 0);
}
