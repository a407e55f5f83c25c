//! Commands and events: sent, heard, asked, gathered.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::nats::NatsServer;
use common::{PATIENCE, eventually, within};
use exosuit_lattice::{Bus, Error, Message};

async fn bus(server: &NatsServer) -> Bus {
    Bus::start(server.connect().await).await.expect("a bus")
}

/// Answers every message to the subject with this.
async fn answer(
    server: &NatsServer,
    subject: &'static str,
    group: Option<&'static str>,
    with: &'static str,
) {
    let bus = bus(server).await;
    let mut heard = bus.subscribe(subject, group).await.expect("subscribed");
    // The server takes things in order: once it has answered this, it has that.
    let settled = bus
        .request("nobody", "".into(), Instant::now() + PATIENCE)
        .await;
    assert!(
        matches!(settled, Err(Error::NoResponders(_))),
        "{settled:?}"
    );
    tokio::spawn(async move {
        while let Some(message) = heard.next().await {
            let reply = message.reply.expect("somebody waits");
            bus.publish(&reply, with.into()).await.expect("answered");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_once() {
    let server = NatsServer::start().await;
    answer(&server, "ask.*", Some("group"), "one").await;
    answer(&server, "ask.*", Some("group"), "one").await;
    let bus = bus(&server).await;
    let deadline = Instant::now() + PATIENCE;
    assert_eq!(
        bus.request("ask.me", "".into(), deadline).await,
        Ok(Bytes::from("one"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_answers_are_gathered() {
    let server = NatsServer::start().await;
    answer(&server, "ping", None, "one").await;
    answer(&server, "ping", None, "two").await;
    let bus = bus(&server).await;
    let mut answers = bus
        .gather("ping", "".into(), PATIENCE, 2)
        .await
        .expect("answers");
    answers.sort_unstable();
    assert_eq!(answers, ["one", "two"]);
    let short = Duration::from_millis(300);
    assert_eq!(
        bus.gather("ping", "".into(), short, 3)
            .await
            .expect("answers")
            .len(),
        2
    );
    assert_eq!(
        bus.gather("nobody", "".into(), PATIENCE, 3).await,
        Ok(Vec::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_gathered_until_no_more_come() {
    let server = NatsServer::start().await;
    answer(&server, "ping", None, "one").await;
    let bus = bus(&server).await;
    let quiet = Duration::from_millis(50);
    let gathered = bus.gather_until_quiet("ping", "".into(), Duration::MAX, quiet, 3);
    let gathered = within("the end of the answers", gathered).await;
    assert_eq!(gathered, Ok(vec![Bytes::from("one")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_lasts_through_a_restart() {
    let mut server = NatsServer::start().await;
    let (here, there) = (bus(&server).await, bus(&server).await);
    let mut heard = there.subscribe("events.>", None).await.expect("subscribed");
    server.stop();
    eventually("the loss", || async {
        here.publish("events.x", "".into()).await.err()
    })
    .await;
    server.resume().await;
    let told = tokio::spawn(async move { heard.next().await });
    eventually("the event", || async {
        // It may come before the subscription is there again.
        let _ = here.publish("events.one", "here".into()).await;
        told.is_finished().then_some(())
    })
    .await;
    let message = within("the event", told)
        .await
        .expect("no panic")
        .expect("an event");
    let expected = Message {
        subject: "events.one".to_owned(),
        reply: None,
        payload: Bytes::from("here"),
    };
    assert_eq!(message, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_a_clear_error() {
    let server = NatsServer::start_with("max_payload: 1024").await;
    let bus = bus(&server).await;
    let large = bus.publish("x", vec![0; 1_025].into()).await;
    assert_eq!(
        large,
        Err(Error::TooLarge {
            what: "message",
            size: 1_025,
            limit: 1_024
        })
    );
    for subject in ["", "a b", "a\r\nPUB"] {
        let refused = bus
            .publish(subject, "".into())
            .await
            .expect_err("no subject");
        assert_eq!(refused.code(), "malformed", "{subject:?}");
        let refused = bus
            .subscribe(subject, None)
            .await
            .map(|_| ())
            .expect_err("no subject");
        assert_eq!(refused.code(), "malformed", "{subject:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_permit_is_told() {
    let server = NatsServer::start_with(
        "authorization { users: [{ user: ann, password: a, permissions: { publish: { deny: [secret] } } }] }",
    )
    .await;
    let mut options = server.options();
    options.servers = vec![format!("nats://ann:a@127.0.0.1:{}", server.port())];
    let connection = exosuit_lattice::Connection::open(&options)
        .await
        .expect("options");
    connection.ready(PATIENCE).await.expect("a connection");
    let mut notices = connection.notices();
    let bus = Bus::start(connection).await.expect("a bus");
    bus.publish("secret", "".into()).await.expect("sent");
    let told = within("a notice", notices.recv()).await.expect("a notice");
    let exosuit_lattice::Notice::Refused(Error::NotPermitted(words)) = &told else {
        panic!("{told:?}");
    };
    assert!(words.contains("secret"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_listen_is_told_of_it() {
    let server = NatsServer::start().await;
    let connection = server.connect().await;
    let mut notices = connection.notices();
    let there = Bus::start(connection).await.expect("a bus");
    let _unheard = there.subscribe("events", None).await.expect("subscribed");
    let here = bus(&server).await;
    let sending = tokio::spawn(async move {
        loop {
            here.publish("events", "".into()).await.expect("sent");
        }
    });
    let told = within("a notice", notices.recv()).await.expect("a notice");
    assert_eq!(told, exosuit_lattice::Notice::SlowConsumer);
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_listen_keeps_few_bytes_and_is_told_of() {
    const SENT: usize = 100;
    let server = NatsServer::start().await;
    let connection = server.connect().await;
    let mut notices = connection.notices();
    let slow = Bus::start(connection).await.expect("a bus");
    let mut heard = slow.subscribe("events", None).await.expect("subscribed");
    let settle = || slow.request("nobody", "".into(), Instant::now() + PATIENCE);
    assert!(settle().await.is_err());
    let fast = bus(&server).await;
    for _ in 0..SENT {
        let sent = fast.publish("events", vec![0; 1_000_000].into()).await;
        sent.expect("sent");
    }
    // They are there before the answer to this is.
    let asked = fast.request("nobody", "".into(), Instant::now() + PATIENCE);
    assert!(asked.await.is_err());
    assert!(settle().await.is_err());
    let mut kept = 0;
    within("the last", async {
        loop {
            let _sent = fast.publish("events", "the last".into()).await;
            match tokio::time::timeout(Duration::from_millis(100), heard.next()).await {
                Ok(Some(message)) if message.payload == "the last" => return,
                Ok(message) => kept += usize::from(message.is_some()),
                Err(_none_yet) => {}
            }
        }
    })
    .await;
    assert!(kept < SENT, "{kept}");
    let told = within("a notice", notices.recv()).await;
    assert_eq!(told, Ok(exosuit_lattice::Notice::SlowConsumer));
}
