//! Messaging: between actors of both kinds, within one VM and over NATS. Each test runs in both.

mod common;

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use common::lattice::{join, server, within};
use common::{call_raw, call_wit, configuration, id, link};
use exosuit_capabilities::{HttpPorts, LocalLattice, Messaging, Surroundings};
use exosuit_core::{
    Answer, Capability, Code, Configuration, Contract, Deliver, Error, Invocation, Lattice, Link,
    LinkName, Notice, Observe, Origin, Payload, Reply, Target, Value,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

const CONTRACT: &str = "wasmcloud:messaging";

type Respond = dyn Fn(Invocation) -> Answer + Send + Sync;

/// Actors that are functions, and what was noticed.
struct World {
    router: Arc<Router>,
    seen: Arc<Seen>,
    calls: mpsc::UnboundedReceiver<Call>,
}

struct Router {
    respond: Box<Respond>,
    calls: mpsc::UnboundedSender<Call>,
}

/// How an actor was called.
#[derive(Debug)]
struct Call {
    actor: String,
    origin: Origin,
    operation: String,
    message: serde_json::Value,
}

#[derive(Default)]
struct Seen(Mutex<Vec<Notice>>);

impl Observe for Seen {
    fn observe(&self, notice: Notice) {
        self.0.lock().push(notice);
    }
}

impl Deliver for Router {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let Target::Actor(actor) = invocation.target.clone() else {
            panic!("{:?}", invocation.target);
        };
        let call = Call {
            actor,
            origin: invocation.origin.clone(),
            operation: invocation.operation.clone(),
            message: read(&invocation.payload),
        };
        let answer = (self.respond)(invocation);
        // The test may have ended.
        let _ = self.calls.send(call);
        answer
    }
}

impl World {
    fn new(respond: impl Fn(Invocation) -> Answer + Send + Sync + 'static) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        Self {
            router: Arc::new(Router {
                respond: Box::new(respond),
                calls: sender,
            }),
            seen: Arc::default(),
            calls,
        }
    }

    /// Whose actors answer with nothing.
    fn silent() -> Self {
        Self::new(|invocation| match invocation.payload {
            Payload::Values(_) => Box::pin(async { Ok(Reply::Value(Value::Ok(None))) }),
            _ => Box::pin(async { Ok(Bytes::new().into()) }),
        })
    }

    fn provider(&self, lattice: &Arc<dyn Lattice>) -> Arc<Messaging> {
        let router: Arc<dyn Deliver> = self.router.clone();
        Messaging::open(Surroundings {
            id: id("provider"),
            configuration: Configuration::new(),
            data_dir: None,
            deliver: Arc::downgrade(&router),
            observe: self.seen.clone(),
            ports: Arc::<HttpPorts>::default(),
            lattice: Arc::clone(lattice),
        })
        .expect("a provider")
    }

    async fn call(&mut self) -> Call {
        let call = within("a call", self.calls.recv()).await;
        call.expect("the world is there")
    }
}

fn read(payload: &Payload) -> serde_json::Value {
    let text = |value: &Value| match value {
        Value::Binary(bytes) => json!(String::from_utf8_lossy(bytes)),
        _ => json!(null),
    };
    match payload {
        Payload::Bytes(bytes) => read_sent(bytes),
        Payload::Values(values) => match &values[..] {
            [Value::Record(fields)] => fields.iter().map(|(_name, value)| text(value)).collect(),
            other => panic!("{other:?}"),
        },
        Payload::Http(_) => panic!("no message"),
    }
}

/// A message as actors of the wasmbus have it, with its body as a text.
fn read_sent(bytes: &[u8]) -> serde_json::Value {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Sent {
        subject: String,
        reply_to: Option<String>,
        body: serde_bytes::ByteBuf,
    }
    let sent: Sent = rmp_serde::from_slice(bytes).expect("a message");
    let body = String::from_utf8_lossy(&sent.body);
    json!({"subject": sent.subject, "replyTo": sent.reply_to, "body": body})
}

/// As messages are for actors of the wasmbus: a body of bytes.
fn sent(subject: &str, reply_to: Option<&str>, body: &str) -> Vec<u8> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Sent<'a> {
        subject: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<&'a str>,
        #[serde(with = "serde_bytes")]
        body: &'a [u8],
    }
    let body = body.as_bytes();
    rmp_serde::to_vec_named(&Sent {
        subject,
        reply_to,
        body,
    })
    .expect("written")
}

fn broker_message(subject: &str, body: &str, reply_to: Value) -> Value {
    let text = |text: &str| Value::binary(text.to_owned());
    Value::Record(vec![
        ("subject".into(), text(subject)),
        ("body".into(), text(body)),
        ("reply-to".into(), reply_to),
    ])
}

/// A link of 1.x, from the provider to a component.
fn handler(component: &str, settings: &[(&str, &str)]) -> Arc<Link> {
    Arc::new(Link {
        source: id("provider"),
        target: id(component),
        name: LinkName::default(),
        contract: Contract::parse(CONTRACT).expect("a contract"),
        interfaces: vec!["handler".to_owned()],
        source_config: configuration(settings),
        target_config: Configuration::new(),
    })
}

async fn publish(provider: &Messaging, subject: &str, body: &str) -> Result<(), Error> {
    let payload = sent(subject, None, body);
    let link = Some(link("actor", CONTRACT, &[]));
    let answer = call_raw(provider, link, "Messaging.Publish", &payload).await?;
    assert!(answer.is_empty());
    Ok(())
}

/// Waits until the servers know what listens: they answer in order, each connection its own.
async fn settled(lattice: &dyn Lattice) {
    let soon = Instant::now() + Duration::from_secs(30);
    let nobody = lattice.request("nobody.listens", Bytes::new(), soon).await;
    assert_eq!(nobody.map_err(|error| error.code), Err(Code::Unavailable));
}

async fn on_each<F: Future<Output = Result<()>>>(
    test: impl Fn(Arc<dyn Lattice>, Arc<dyn Lattice>) -> F,
) -> Result<()> {
    let local: Arc<dyn Lattice> = LocalLattice::new();
    test(Arc::clone(&local), local).await?;
    let server = server().await;
    test(Arc::new(join(&server).await), Arc::new(join(&server).await)).await
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.expect_err("an error").code
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_actor_publishes_another_handles() -> Result<()> {
    on_each(async |here, there| {
        let mut world = World::silent();
        let listening = world.provider(&there);
        let settings = [("SUBSCRIPTION", "orders.*,news|readers")];
        listening.link(link("reader", CONTRACT, &settings)).await?;
        settled(&*there).await;

        let sending = world.provider(&here);
        publish(&sending, "orders.new", "one").await?;
        let call = world.call().await;
        assert_eq!(call.actor, "reader");
        assert_eq!(call.operation, "MessageSubscriber.HandleMessage");
        assert_eq!(call.message["subject"], "orders.new");
        assert_eq!(call.message["body"], "one");
        assert_eq!(call.message["replyTo"], json!(null));
        let Origin::Provider { id, contract, .. } = call.origin else {
            panic!("{:?}", call.origin);
        };
        assert_eq!((id.as_str(), contract.as_str()), ("provider", CONTRACT));

        publish(&sending, "others", "nobody hears").await?;
        let payload = sent("news", Some("answers"), "two");
        let own = Some(link("actor", CONTRACT, &[]));
        call_raw(&*sending, own, "Messaging.Publish", &payload).await?;
        let call = world.call().await;
        assert_eq!(
            (&call.message["subject"], &call.message["replyTo"]),
            (&json!("news"), &json!("answers"))
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn components_have_the_form_of_wit() -> Result<()> {
    on_each(async |here, there| {
        let mut world = World::silent();
        let listening = world.provider(&there);
        listening
            .link(handler("component", &[("subscriptions", "orders.>")]))
            .await?;
        settled(&*there).await;

        let sending = world.provider(&here);
        for reply_to in [Value::Nil, Value::binary("answers")] {
            let message = broker_message("orders.new.one", "body", reply_to.clone());
            let own = Some(link("actor", CONTRACT, &[]));
            let operation = "wasmcloud:messaging/consumer@0.2.0#publish";
            let answer = call_wit(&*sending, own, operation, vec![message]).await?;
            assert_eq!(answer, Value::Ok(None));
            let call = world.call().await;
            assert_eq!(
                call.operation,
                "wasmcloud:messaging/handler@0.2.0#handle-message"
            );
            let reply_to = if reply_to == Value::Nil {
                json!(null)
            } else {
                json!("answers")
            };
            assert_eq!(call.message, json!(["orders.new.one", "body", reply_to]));
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_answer_of_whoever_handles_it() -> Result<()> {
    on_each(async |here, there| {
        let answering = Arc::new(Mutex::new(Weak::<Messaging>::new()));
        let provider = answering.clone();
        let mut world = World::new(move |invocation| {
            let message = read(&invocation.payload);
            let provider = provider.lock().upgrade().expect("it runs");
            Box::pin(async move {
                let reply_to = message["replyTo"].as_str().expect("somebody waits");
                publish(&provider, reply_to, "the answer").await?;
                Ok(Bytes::new().into())
            })
        });
        let listening = world.provider(&there);
        *answering.lock() = Arc::downgrade(&listening);
        listening
            .link(link("oracle", CONTRACT, &[("subscriptions", "ask")]))
            .await?;
        settled(&*there).await;

        let asking = world.provider(&here);
        let own = || Some(link("actor", CONTRACT, &[]));
        let question = json!({"subject": "ask", "body": "what", "timeoutMs": 30_000});
        let question = rmp_serde::to_vec_named(&question)?;
        let answer = call_raw(&*asking, own(), "Messaging.Request", &question).await?;
        assert_eq!(read_sent(&answer)["body"], "the answer");
        assert_eq!(world.call().await.message["body"], "what");

        let operation = "wasmcloud:messaging/consumer#request";
        let question = vec![
            Value::binary("ask"),
            Value::binary("why"),
            Value::Integer(0),
        ];
        let answer = call_wit(&*asking, own(), operation, question).await?;
        let Value::Ok(Some(answer)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(read(&Payload::Values(vec![*answer]))[1], "the answer");

        let nobody = json!({"subject": "nobody", "body": "", "timeoutMs": 30_000});
        let nobody = rmp_serde::to_vec_named(&nobody)?;
        let refused = call_raw(&*asking, own(), "Messaging.Request", &nobody).await;
        assert_eq!(code(refused), Code::Unavailable);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_no_longer_than_it_says() -> Result<()> {
    on_each(async |here, there| {
        let world = World::silent();
        let listening = world.provider(&there);
        listening
            .link(link("silent", CONTRACT, &[("subscriptions", "ask")]))
            .await?;
        settled(&*there).await;
        let asking = world.provider(&here);
        let question = json!({"subject": "ask", "body": "", "timeoutMs": 50});
        let question = rmp_serde::to_vec_named(&question)?;
        let own = Some(link("actor", CONTRACT, &[]));
        let late = call_raw(&*asking, own, "Messaging.Request", &question).await;
        assert_eq!(code(late), Code::Deadline);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_of_a_link_share_its_messages_unless_they_are_told_not_to() -> Result<()> {
    on_each(async |here, there| {
        let mut world = World::silent();
        let providers = [world.provider(&here), world.provider(&there)];
        let settings = [("subscriptions", "shared,all|,last|workers")];
        for provider in &providers {
            provider.link(link("worker", CONTRACT, &settings)).await?;
        }
        settled(&*here).await;
        settled(&*there).await;
        for _ in 0..8 {
            publish(&providers[0], "shared", "x").await?;
        }
        publish(&providers[0], "all", "x").await?;
        publish(&providers[0], "last", "x").await?;
        let mut subjects = Vec::new();
        for _ in 0..11 {
            subjects.push(
                world.call().await.message["subject"]
                    .as_str()
                    .map(str::to_owned),
            );
        }
        let count = |wanted: &str| {
            subjects
                .iter()
                .filter(|it| it.as_deref() == Some(wanted))
                .count()
        };
        assert_eq!((count("shared"), count("all"), count("last")), (8, 2, 1));
        assert!(world.calls.try_recv().is_err());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_a_time_than_may_and_the_others_wait() -> Result<()> {
    on_each(async |here, _there| {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        let mut world = World::new(move |_| {
            let gate = opened.clone();
            Box::pin(async move {
                gate.acquire().await.expect("it is open").forget();
                Ok(Bytes::new().into())
            })
        });
        let provider = world.provider(&here);
        let settings = [("subscriptions", "work"), ("max_in_flight", "2")];
        provider.link(link("worker", CONTRACT, &settings)).await?;
        settled(&*here).await;
        for n in 0..6 {
            publish(&provider, "work", &n.to_string()).await?;
        }
        for _ in 0..2 {
            world.call().await;
        }
        // All that was published has come by now, and waits.
        settled(&*here).await;
        assert!(world.calls.try_recv().is_err());
        for _ in 0..4 {
            gate.add_permits(1);
            world.call().await;
        }
        gate.add_permits(2);
        within("the end", provider.drain()).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_finds_no_room_to_wait_is_counted_and_told() -> Result<()> {
    let lattice: Arc<dyn Lattice> = LocalLattice::new();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let mut world = World::new(move |_| {
        let gate = opened.clone();
        Box::pin(async move {
            gate.acquire().await.expect("it is open").forget();
            Ok(Bytes::new().into())
        })
    });
    let provider = world.provider(&lattice);
    let settings = [("subscriptions", "work"), ("max_in_flight", "1")];
    provider.link(link("worker", CONTRACT, &settings)).await?;
    publish(&provider, "work", "").await?;
    world.call().await;
    for _ in 0..4_096 + 5 {
        publish(&provider, "work", "").await?;
    }
    gate.add_permits(1);
    world.call().await;
    let seen = world.seen.0.lock();
    let [Notice::CallFailed { target, error, .. }] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((target.as_str(), error.code), ("worker", Code::Overloaded));
    assert!(error.detail.starts_with("5 messages"), "{}", error.detail);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_changes_or_goes_takes_its_subscriptions_along() -> Result<()> {
    on_each(async |here, _there| {
        let mut world = World::silent();
        let provider = world.provider(&here);
        provider
            .link(link("reader", CONTRACT, &[("subscriptions", "old")]))
            .await?;
        provider
            .link(handler("component", &[("subscriptions", "old")]))
            .await?;
        let new = link("reader", CONTRACT, &[("subscriptions", "new")]);
        provider.link(new.clone()).await?;
        settled(&*here).await;
        assert_eq!(
            provider.endpoints(),
            [
                "old (exosuit.provider.component.default) → component",
                "new (exosuit.provider.reader.default) → reader",
            ]
        );
        publish(&provider, "old", "").await?;
        publish(&provider, "new", "").await?;
        let mut called = [world.call().await.actor, world.call().await.actor];
        called.sort_unstable();
        assert_eq!(called, ["component", "reader"]);

        provider.unlink(new).await?;
        provider.unlink(handler("component", &[])).await?;
        assert!(provider.endpoints().is_empty());
        let gone = async {
            // The listener lets go of it a moment later; what is asked before that has no answer.
            loop {
                let soon = Instant::now() + Duration::from_millis(50);
                let asked = here.request("new", Bytes::new(), soon).await;
                if code(asked) == Code::Unavailable {
                    return;
                }
            }
        };
        within("the end of the subscription", gone).await;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_leaves_the_subscriptions_as_they_were() -> Result<()> {
    on_each(async |here, _there| {
        let mut world = World::silent();
        let provider = world.provider(&here);
        provider
            .link(link("reader", CONTRACT, &[("subscriptions", "old,kept|")]))
            .await?;
        let before = provider.endpoints();
        let refused: [&[(&str, &str)]; 4] = [
            &[("subscriptions", "new"), ("timeout_ms", "soon")],
            &[("subscriptions", "new,a..b")],
            &[("subscriptions", "wasmbus.>")],
            &[("subscriptions", "new"), ("max_in_flight", "0")],
        ];
        for settings in refused {
            let change = link("reader", CONTRACT, settings);
            assert!(provider.check(change.clone()).await.is_err());
            assert!(provider.link(change).await.is_err(), "{settings:?}");
        }
        let good = link("reader", CONTRACT, &[("subscriptions", "new")]);
        provider.check(good.clone()).await?;
        drop(provider.prepare(good).await?);
        assert_eq!(provider.endpoints(), before);
        settled(&*here).await;
        for subject in ["new", "old", "kept"] {
            publish(&provider, subject, subject).await?;
        }
        let mut heard = [world.call().await.message, world.call().await.message];
        heard.sort_unstable_by_key(|message| message["subject"].to_string());
        assert_eq!(
            (&heard[0]["subject"], &heard[1]["subject"]),
            (&json!("kept"), &json!("old"))
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_loses_and_doubles_no_message() -> Result<()> {
    on_each(async |here, _there| {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        let mut world = World::new(move |_| {
            let gate = opened.clone();
            Box::pin(async move {
                gate.acquire().await.expect("it is open").forget();
                Ok(Bytes::new().into())
            })
        });
        let provider = world.provider(&here);
        let listen = |in_flight: &str, more: &str| {
            let subjects = format!("work|{more}");
            let settings = [("subscriptions", &*subjects), ("max_in_flight", in_flight)];
            provider.link(link("worker", CONTRACT, &settings))
        };
        listen("1", "").await?;
        settled(&*here).await;
        for n in 0..20 {
            publish(&provider, "work", &n.to_string()).await?;
        }
        settled(&*here).await;
        // They wait, also for those who come later.
        listen("2", ",more").await?;
        listen("3", "").await?;
        gate.add_permits(20);
        let mut heard = Vec::new();
        for _ in 0..20 {
            let body = world.call().await.message["body"].clone();
            heard.push(body.as_str().expect("a text").parse::<u32>()?);
        }
        heard.sort_unstable();
        assert_eq!(heard, (0..20).collect::<Vec<_>>());
        within("the end", provider.drain()).await?;
        assert!(world.calls.try_recv().is_err());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hosts_use_among_themselves_is_kept_from_actors() -> Result<()> {
    on_each(async |here, _there| {
        let world = World::silent();
        let provider = world.provider(&here);
        let own = || Some(link("actor", CONTRACT, &[]));
        for subject in [
            "wasmbus.ctl.default.x",
            "wasmbus.rpc.default.MX",
            "$JS.API.INFO",
            "$KV.a.b",
        ] {
            assert_eq!(
                code(publish(&provider, subject, "").await),
                Code::Denied,
                "{subject}"
            );
            let back = sent("fine", Some(subject), "");
            let refused = call_raw(&*provider, own(), "Messaging.Publish", &back).await;
            assert_eq!(code(refused), Code::Denied, "{subject}");
            let asked = json!({"subject": subject, "body": "", "timeoutMs": 1_000});
            let asked = rmp_serde::to_vec_named(&asked)?;
            let refused = call_raw(&*provider, own(), "Messaging.Request", &asked).await;
            assert_eq!(code(refused), Code::Denied, "{subject}");
        }
        for subject in [">", "wasmbus.>", "_INBOX.>", "*.ctl.>"] {
            let refused = provider.link(link("actor", CONTRACT, &[("subscriptions", subject)]));
            assert_eq!(code(refused.await), Code::Denied, "{subject}");
        }
        for payload in [&b"\xc1"[..], b""] {
            let refused = call_raw(&*provider, own(), "Messaging.Publish", payload).await;
            assert_eq!(code(refused), Code::InvalidInput);
        }
        let unknown = call_raw(&*provider, own(), "Messaging.Shout", b"").await;
        assert_eq!(code(unknown), Code::UnknownOperation);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_link_asks_for_and_does_not_get_is_a_warning() -> Result<()> {
    let lattice: Arc<dyn Lattice> = LocalLattice::new();
    let world = World::silent();
    let provider = world.provider(&lattice);
    let settings = [("CLUSTER_URIS", "nats://10.0.0.1"), ("subscriptons", "x")];
    let link_of_old = link("actor", CONTRACT, &settings);
    provider.link(link_of_old.clone()).await?;
    let warnings = provider.warnings(&link_of_old);
    assert!(
        warnings[0].contains("CLUSTER_URIS has no effect here"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("did you mean \"subscriptions\"?"),
        "{warnings:?}"
    );
    assert_eq!(warnings.len(), 2);
    let mut other = (*handler("component", &[])).clone();
    other.interfaces = vec!["consumer".to_owned()];
    assert_eq!(
        code(provider.link(Arc::new(other)).await),
        Code::InvalidLink
    );
    let other = link("actor", "wasmcloud:keyvalue", &[]);
    assert_eq!(code(provider.link(other).await), Code::InvalidLink);
    Ok(())
}

#[tokio::test]
async fn subscriptions_where_nobody_listens_are_a_warning_that_says_where_they_belong() -> Result<()>
{
    let lattice: Arc<dyn Lattice> = LocalLattice::new();
    let provider = World::silent().provider(&lattice);
    let mut consumer = (*link("component", CONTRACT, &[("SUBSCRIPTIONS", "a.b")])).clone();
    consumer.interfaces = vec!["consumer".to_owned()];
    provider.link(Arc::new(consumer.clone())).await?;
    let warnings = provider.warnings(&consumer);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["SUBSCRIPTIONS", "handler", "from provider to the component"] {
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
    // At the other end they would have no effect either.
    let mut swapped = (*handler("component", &[])).clone();
    swapped.target_config = configuration(&[("subscriptions", "a.b")]);
    assert!(provider.warnings(&swapped)[0].contains("end of the link"));
    for silent in [
        link("actor", CONTRACT, &[("SUBSCRIPTION", "a.b")]),
        handler("component", &[("subscriptions", "a.b")]),
    ] {
        assert_eq!(provider.warnings(&silent), Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn that_a_component_could_not_handle_a_message_is_told() -> Result<()> {
    let lattice: Arc<dyn Lattice> = LocalLattice::new();
    let world = World::new(|_| {
        let words = Value::binary("no such order");
        Box::pin(async { Ok(Reply::Value(Value::Error(Some(Box::new(words))))) })
    });
    let provider = world.provider(&lattice);
    provider
        .link(handler("component", &[("subscriptions", "orders")]))
        .await?;
    publish(&provider, "orders", "").await?;
    // Nothing is left of what it has not taken yet, so that it must be taken first.
    let told = async {
        while world.seen.0.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within("the notice", told).await;
    let seen = world.seen.0.lock();
    let [Notice::CallFailed { error, .. }] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (error.code, error.detail.as_str()),
        (Code::Guest, "no such order")
    );
    Ok(())
}
