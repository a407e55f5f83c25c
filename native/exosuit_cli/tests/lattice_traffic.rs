//! Calls and events over a lattice, by a real nats-server.

mod common;
#[path = "common/fake_host.rs"]
mod fake_host;
#[path = "../../exosuit_lattice/tests/common/mod.rs"]
mod lattice;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use common::{Answer, answer, exosuit};
use exosuit_core::Code;
use fake_host::{FakeHosts, Manner, host_id, no, yes};
use lattice::host::{Cluster, echo, failing};
use lattice::nats::NatsServer;
use lattice::within;
use serde_json::{Value, json};

const ACTOR: &str = "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E";

/// Runs a command against the lattice of this server, as one who has this seed.
async fn run(server: &NatsServer, seed: &str, arguments: &[&str]) -> Answer {
    let url = server.url();
    let mut command = exosuit(arguments.iter().copied().chain(["--lattice", &url]));
    command.env("EXOSUIT_CLUSTER_SEED", seed);
    answered(command).await
}

async fn answered(mut command: Command) -> Answer {
    let running = tokio::task::spawn_blocking(move || answer(&mut command));
    running.await.expect("it ran").expect("an answer")
}

fn refused(answer: &Answer, code: &str, text: &str) {
    let error = answer.json().expect("JSON");
    assert_eq!(error["code"], code, "{answer:?}");
    assert!(
        answer.stderr.contains(text),
        "{text:?} is not in {}",
        answer.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_called_by_key_or_id_with_the_seed_of_the_cluster() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let host = cluster.host(&server).await;
    let _serving = host.serve(ACTOR, echo()).await;
    let seed = cluster.0.seed();

    let told = run(&server, seed, &["call", ACTOR, "Echo.Say", "hello"]).await;
    assert_eq!(
        (told.stdout.as_str(), told.code),
        ("hello", Some(0)),
        "{told:?}"
    );
    let told = run(
        &server,
        seed,
        &["call", ACTOR, "Echo.Say", "hello", "--json"],
    )
    .await;
    assert_eq!(
        told.json().expect("JSON"),
        json!({"payload_base64": "aGVsbG8="})
    );

    let _hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let _serving = host.serve("by-its-id", echo()).await;
    let told = run(&server, seed, &["call", "by-its-id", "Echo.Say", "hello"]).await;
    assert_eq!(
        (told.stdout.as_str(), told.code),
        ("hello", Some(0)),
        "{told:?}"
    );

    let strange = Cluster::new();
    let told = run(
        &server,
        strange.0.seed(),
        &["call", ACTOR, "Echo.Say", "--json"],
    )
    .await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("Anti-forgery"), "{}", told.stderr);

    let told = run(
        &server,
        seed,
        &["call", ACTOR, "Echo.Say", "--json", "--host", &host_id()],
    )
    .await;
    refused(&told, "usage", "leave out --host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_alias_stands_for_a_key() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let host = cluster.host(&server).await;
    let _serving = host.serve(ACTOR, echo()).await;
    let claims =
        json!([{"sub": "MOTHER", "call_alias": "other"}, {"sub": ACTOR, "call_alias": "echo"}]);
    let manner = Manner {
        answers: BTreeMap::from([("claims.get", yes(&claims))]),
        ..Manner::default()
    };
    let _hosts = FakeHosts::start(&server, 1, manner).await;
    let told = run(
        &server,
        cluster.0.seed(),
        &["call", "echo", "Echo.Say", "hello"],
    )
    .await;
    assert_eq!(
        (told.stdout.as_str(), told.code),
        ("hello", Some(0)),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_says_why() {
    let server = NatsServer::start().await;
    let cluster = Cluster::new();
    let host = cluster.host(&server).await;
    let _serving = host
        .serve(ACTOR, failing(Code::Guest, "it \u{1b}broke"))
        .await;
    let seed = cluster.0.seed();
    let told = run(&server, seed, &["call", ACTOR, "Echo.Say", "--json"]).await;
    refused(&told, "guest", "it \\u{1b}broke");

    let nobody = ACTOR.replace("MCFM", "MCFN");
    let hosts = FakeHosts::start(&server, 1, Manner::default()).await;
    let told = run(&server, seed, &["call", &nobody, "Echo.Say", "--json"]).await;
    refused(&told, "no_responders", "nobody serves MCFN");
    assert_eq!(hosts.told(), []);

    let url = server.url();
    let unsigned = exosuit(["call", ACTOR, "Echo.Say", "--json", "--lattice", &url]);
    refused(&answered(unsigned).await, "usage", "EXOSUIT_CLUSTER_SEED");
}

/// A command that goes on until it is dropped.
struct Following(Child);

impl Following {
    fn start(arguments: &[&str]) -> Self {
        let mut command = exosuit(arguments.iter().copied());
        Self(command.stdout(Stdio::piped()).spawn().expect("it starts"))
    }

    /// The first line that it prints.
    async fn line(&mut self) -> String {
        let stdout = self.0.stdout.take().expect("a pipe");
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).expect("a line");
            line
        });
        reading.await.expect("read")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

fn event(source: &str, id: &str) -> Value {
    json!({
        "source": source,
        "type": "com.wasmcloud.lattice.component_scaled",
        "time": "2026-01-01T00:00:00Z",
        "data": {"component_id": id, "max_instances": 3},
    })
}

/// Tells events over and over: when somebody listens is not known.
async fn tell_until<T>(server: &NatsServer, events: &[Value], done: impl Future<Output = T>) -> T {
    let client = server.client().await;
    let telling = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            ticks.tick().await;
            for event in events {
                let subject = "wasmbus.evt.default.component_scaled";
                let sent = client.publish(subject, event.to_string().into()).await;
                sent.expect("sent");
            }
        }
    };
    tokio::select! {
        done = within("a line", done) => done,
        () = telling => unreachable!("it goes on for ever"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_hosts_are_followed() {
    let server = NatsServer::start().await;
    let mut following = Following::start(&["events", "--lattice", &server.url()]);
    let line = tell_until(&server, &[event("N1", "echo")], following.line()).await;
    assert_eq!(
        line.trim_end(),
        "2026-01-01T00:00:00Z component_scaled echo max_instances=3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_host_are_followed() {
    let server = NatsServer::start().await;
    let id = host_id();
    let arguments = [
        "events",
        "--json",
        "--lattice",
        &server.url(),
        "--host",
        &id,
    ];
    let mut following = Following::start(&arguments);
    let events = [event("N1", "other"), event(&id, "echo")];
    let line = tell_until(&server, &events, following.line()).await;
    let told: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(told, event(&id, "echo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_is_not_followed() {
    let server = NatsServer::start().await;
    let manner = Manner {
        answers: BTreeMap::from([("host.get", no("no"))]),
        ..Manner::default()
    };
    let _hosts = FakeHosts::start(&server, 1, manner).await;
    let told = run(&server, "", &["events", "--json", "--host", "elsewhere"]).await;
    refused(&told, "not_found", "no host elsewhere");
}
