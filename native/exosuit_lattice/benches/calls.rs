//! Calls from NATS to a target that answers at once, beside a raw echo responder: `cargo bench -p
//! exosuit_lattice`. First those with a MAC, as hosts of one cluster make them, then signed ones.
//!
//! The calls are made before they are counted; the load is the same for both, in the same process
//! but on threads of its own. The cores are shared, so beside calls per second stands how long a
//! core worked on each: on the serving side alone, whatever else the machine did. Then the same
//! beside a flood of calls whose signatures are forged.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::host::{ACTOR, Cluster, Host, echo, id};
use common::nats::NatsServer;
use exosuit_claims::invocation::{Call, Entity, sign};
use exosuit_claims::unix_now;
use exosuit_lattice::{Invocation, MacCaller, MacRequest, Response};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio_util::task::AbortOnDropHandle;

const RAW: &str = "raw";
const NAME: &str = "echo";
const CALLS: usize = 10_000;
const ROUNDS: usize = 7;

fn main() {
    let (load, serve) = (runtime("load"), runtime("serve"));
    let server = load.block_on(NatsServer::start());
    let cluster = Cluster::new();
    let options = cluster.options();
    let (_serving, _host) = serve.block_on(async {
        let client = server.client().await;
        let mut calls = client
            .queue_subscribe(RAW, RAW.to_owned())
            .await
            .expect("subscribed");
        tokio::spawn(async move {
            while let Some(call) = calls.next().await {
                let reply = call.reply.expect("somebody waits");
                client.publish(reply, call.payload).await.expect("sent");
            }
        });
        let host = Host::start(server.connect().await, options).await;
        let by_mac = host.serve(NAME, echo()).await;
        ((host.serve(ACTOR, echo()).await, by_mac), host)
    });
    let client = load.block_on(server.client());
    let caller = MacCaller::new(&id("default"), &cluster.0);
    let with_mac = caller.subject(&id(NAME));
    println!("depth   raw /s   mac /s  ratio   raw us   mac us of a core");
    for depth in [1, 8, 64, 256] {
        row(&depth.to_string(), || {
            let calls: Arc<[_]> = (0..CALLS).map(|_| mac_call(&caller)).collect();
            let raw = round(&load, &client, RAW, &calls, depth);
            (raw, round(&load, &client, &with_mac, &calls, depth))
        });
    }
    let subject = format!("wasmbus.rpc.default.{ACTOR}");
    println!("depth   raw /s  ours /s  ratio   raw us  ours us of a core");
    for depth in [1, 8, 64, 256] {
        row(&depth.to_string(), || {
            let calls = calls(&cluster);
            let raw = round(&load, &client, RAW, &calls, depth);
            (raw, round(&load, &client, &subject, &calls, depth))
        });
    }
    println!("flood   none /s flood /s  ratio   none us flood us of a core");
    let forged = forged(&cluster);
    for flood in [1_000, 5_000] {
        row(&flood.to_string(), || {
            let first = calls(&cluster);
            let none = round(&load, &client, &subject, &first, 64);
            let second = calls(&cluster);
            let _flood = load.block_on(pour(&server, &subject, &forged, flood));
            (none, round(&load, &client, &subject, &second, 64))
        });
    }
}

/// Prints the medians of two kinds of rounds, that of the latter by the former among them.
fn row(name: &str, mut both: impl FnMut() -> (Round, Round)) {
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| both()).collect();
    let mut median = |key: fn(&(Round, Round)) -> f64| {
        rounds.sort_by(|one, other| key(one).total_cmp(&key(other)));
        key(&rounds[ROUNDS / 2])
    };
    println!(
        "{name:>5} {:8.0} {:8.0} {:6.2} {:8.1} {:8.1}",
        median(|(floor, _)| floor.rate),
        median(|(_, ours)| ours.rate),
        median(|(floor, ours)| ours.rate / floor.rate),
        median(|(floor, _)| floor.work),
        median(|(_, ours)| ours.work),
    );
}

/// Sends this over and over, so often a second, until it is dropped.
async fn pour(
    server: &NatsServer,
    subject: &str,
    message: &Bytes,
    rate: u32,
) -> AbortOnDropHandle<()> {
    let (client, subject, message) = (server.client().await, subject.to_owned(), message.clone());
    let pour = async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            for _ in 0..rate / 100 {
                let sent = client.publish(subject.clone(), message.clone()).await;
                sent.expect("sent");
            }
        }
    };
    AbortOnDropHandle::new(tokio::spawn(pour))
}

fn runtime(name: &str) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_name(name).enable_all();
    builder.build().expect("a runtime")
}

/// A call as it is sent, and how its answer is looked at.
enum Prepared {
    Signed(Bytes),
    Mac(Box<MacRequest>),
}

impl Prepared {
    fn message(&self) -> &Bytes {
        match self {
            Self::Signed(message) => message,
            Self::Mac(request) => request.message(),
        }
    }

    fn check(&self, answer: &Bytes) {
        match self {
            Self::Signed(_) => {
                let answer = Response::decode(answer).expect("a response");
                assert_eq!(answer.error, None);
            }
            Self::Mac(request) => assert_eq!(request.read(answer), Ok(Bytes::from(vec![7; 100]))),
        }
    }
}

fn calls(cluster: &Cluster) -> Arc<[Prepared]> {
    let signed = (0..CALLS).map(|_| Prepared::Signed(call(cluster).encode()));
    signed.collect()
}

fn mac_call(caller: &MacCaller) -> Prepared {
    let (origin, target) = (Entity::actor("MCALLER"), Entity::actor(NAME));
    let left = Duration::from_secs(10);
    Prepared::Mac(Box::new(
        caller.request(origin, target, "Echo.Say", &[7; 100], left),
    ))
}

/// A call in the name of a cluster that has signed others.
fn forged(cluster: &Cluster) -> Bytes {
    let (mut forged, other) = (call(cluster), call(cluster));
    let signature = other.token.rsplit('.').next().expect("a signature");
    let end = forged.token.len() - signature.len();
    forged.token.replace_range(end.., signature);
    forged.encode()
}

fn call(cluster: &Cluster) -> Invocation {
    let id = format!("{:032x}", rand::random::<u128>());
    let (origin, target) = (Entity::actor("MCALLER"), Entity::actor(ACTOR));
    let facts = Call::new(&id, &origin, &target, "Echo.Say");
    let payload = Bytes::from(vec![7; 100]);
    Invocation {
        token: sign(&facts, &payload, &cluster.0, unix_now()).expect("a token"),
        origin,
        target,
        operation: "Echo.Say".to_owned(),
        payload,
        id,
        host_id: "N".to_owned(),
        content_length: Some(100),
    }
}

struct Round {
    /// Calls in a second.
    rate: f64,
    /// Microseconds of a core for each, where they are served.
    work: f64,
}

fn round(
    load: &Runtime,
    client: &async_nats::Client,
    subject: &str,
    calls: &Arc<[Prepared]>,
    depth: usize,
) -> Round {
    let (begun, worked) = (Instant::now(), ticks());
    let next = Arc::new(AtomicUsize::new(0));
    load.block_on(async {
        let callers: Vec<_> = (0..depth)
            .map(|_| {
                let (client, subject) = (client.clone(), subject.to_owned());
                let (calls, next) = (Arc::clone(calls), Arc::clone(&next));
                tokio::spawn(async move {
                    while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let message = call.message().clone();
                        let answer = client.request(subject.clone(), message).await;
                        let answer = answer.expect("an answer");
                        if subject != RAW {
                            call.check(&answer.payload);
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no panic");
        }
    });
    let calls = f64::from(u32::try_from(CALLS).expect("few"));
    Round {
        rate: calls / begun.elapsed().as_secs_f64(),
        work: (ticks() - worked) / calls,
    }
}

/// How many microseconds the threads of the serving side have worked, as the scheduler of Linux counts.
fn ticks() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let of_task = |path: std::path::PathBuf| -> Option<f64> {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        (name.trim() == "serve").then_some(nanoseconds / 1_000.0)
    };
    tasks.filter_map(|task| of_task(task.ok()?.path())).sum()
}
