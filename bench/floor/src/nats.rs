//! Calls over NATS: the client, and the floor, who sends back what it gets. They are different
//! processes, as a host is a process of its own, too.

use std::io::{Read as _, stdin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::Client;
use bytes::Bytes;
use exosuit_claims::invocation::{Call, Entity, Seal, sign};
use exosuit_claims::{KeyKind, KeyPair, PublicKey, Verifier, unix_now};
use exosuit_core::Id;
use exosuit_lattice::{Invocation, MacCaller, MacRequest, Response};
use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::{PAYLOAD, say};

const OPERATION: &str = "Echo.Say";

/// How long the answer of a host with a MAC is, with the payload. `Sent::check` sees to it.
const MAC_ANSWER: usize = 135 + PAYLOAD.len();

/// How long a call may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends back the beginning of each message until standard input ends: as many bytes as the answer
/// of a host has to calls of this kind, so that there is as much to read for who asks. With an issuer it
/// checks that each is signed by it, and nothing else of what a host checks.
pub(crate) fn echo(url: &str, subject: &str, kind: &str, issuer: Option<&str>) -> Result<()> {
    let length = if kind == "mac" {
        MAC_ANSWER
    } else {
        answer().len()
    };
    let trusted = issuer.map(|key| PublicKey::parse(key).map(Verifier::new));
    let trusted: Arc<[Verifier]> = trusted.transpose()?.into_iter().collect();
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = async_nats::connect(url).await?;
        let group = subject.to_owned();
        let mut messages = client.queue_subscribe(subject.to_owned(), group).await?;
        let echo = client.clone();
        tokio::spawn(async move {
            while let Some(mut message) = messages.next().await {
                let reply = message.reply.context("a message that wants no answer")?;
                let sent = message.payload.clone();
                message.payload.truncate(length);
                if trusted.is_empty() || sent.is_empty() {
                    echo.publish(reply, message.payload).await?;
                    continue;
                }
                let (echo, trusted) = (echo.clone(), Arc::clone(&trusted));
                // On all cores, as a host does it.
                tokio::spawn(async move {
                    let invocation = Invocation::decode(&sent)?;
                    Seal::parse(&invocation.token)?.verify(&trusted, unix_now())?;
                    Ok(echo.publish(reply, message.payload).await?) as Result<()>
                });
            }
            anyhow::Ok(())
        });
        // Once there is an answer, the server knows that we listen.
        client.request(subject.to_owned(), Bytes::new()).await?;
        say("ready")
    })?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Makes the calls on one thread, so many at once, and says how long it took: the same work for the
/// floor (`raw`, and `raw-mac`) and for a host (`signed`, and `mac`, where the subject is the lattice).
/// What is sent is made before the clock runs: each call by itself, as a host takes none twice.
pub(crate) fn load(words: &[&str]) -> Result<Duration> {
    let [kind, url, subject, depth, calls, seed, actor] = words else {
        bail!("usage: nats raw|raw-mac|signed|mac URL SUBJECT DEPTH CALLS SEED ACTOR");
    };
    let (depth, calls): (usize, usize) = (depth.parse()?, calls.parse()?);
    ensure!(calls.is_multiple_of(depth), "callers that make fewer calls");
    let cluster = KeyPair::from_seed(seed)?;
    let lattice = kind
        .ends_with("mac")
        .then(|| Id::parse(subject))
        .transpose()?;
    let caller = lattice.map(|lattice| MacCaller::new(&lattice, &cluster));
    let message = || match (*kind, &caller) {
        ("raw", _) => Ok(Sent::Back(invocation(&cluster, actor)?)),
        ("signed", _) => Ok(Sent::Signed(invocation(&cluster, actor)?)),
        ("raw-mac", Some(caller)) => Ok(Sent::Back(request(caller, actor).message().clone())),
        ("mac", Some(caller)) => Ok(Sent::Mac(request(caller, actor))),
        _ => bail!("no such kind of calls: {kind:?}"),
    };
    let messages: Result<Vec<_>> = (0..calls).map(|_| message()).collect();
    let mut messages = messages?;
    let subject = match (*kind, &caller) {
        ("mac", Some(caller)) => caller.subject(&Id::parse(actor)?),
        _ => (*subject).to_owned(),
    };
    runtime()?.block_on(async {
        let client = async_nats::connect(*url).await?;
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..depth {
            let rest = messages.split_off(messages.len() - calls / depth);
            callers.spawn(ask(client.clone(), subject.clone(), rest));
        }
        while let Some(done) = callers.join_next().await {
            done??;
        }
        Ok(start.elapsed())
    })
}

/// Sends each line of a file as a message, as fast as the server takes them.
pub(crate) fn publish(url: &str, subject: &str, path: &str) -> Result<Duration> {
    let lines = std::fs::read_to_string(path)?;
    runtime()?.block_on(async {
        let client = async_nats::connect(url).await?;
        let start = Instant::now();
        for line in lines.lines() {
            let line = Bytes::copy_from_slice(line.as_bytes());
            client.publish(subject.to_owned(), line).await?;
        }
        // That nobody is there is known once the server has taken what was sent before.
        let answer = client.request("nobody", Bytes::new()).await;
        ensure!(answer.is_err(), "an answer of nobody");
        Ok(start.elapsed())
    })
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// What is sent, and what comes back.
enum Sent {
    /// The beginning of the same.
    Back(Bytes),
    Signed(Bytes),
    Mac(MacRequest),
}

impl Sent {
    fn message(&self) -> &Bytes {
        match self {
            Self::Back(message) | Self::Signed(message) => message,
            Self::Mac(request) => request.message(),
        }
    }

    /// Whether that is the answer.
    fn check(&self, answer: &Bytes) -> Result<()> {
        match self {
            Self::Back(message) => ensure!(message.starts_with(answer), "not what was sent"),
            Self::Signed(_) => {
                let answer = Response::decode(answer)?;
                ensure!(answer.error.is_none(), "refused: {:?}", answer.error);
                ensure!(answer.payload == PAYLOAD[..], "the guest does not echo");
            }
            Self::Mac(request) => {
                ensure!(
                    request.read(answer)? == PAYLOAD[..],
                    "the guest does not echo"
                );
                ensure!(answer.len() == MAC_ANSWER, "{} bytes", answer.len());
            }
        }
        Ok(())
    }
}

async fn ask(client: Client, subject: String, messages: Vec<Sent>) -> Result<()> {
    for sent in messages {
        let answer = client
            .request(subject.clone(), sent.message().clone())
            .await?;
        sent.check(&answer.payload)?;
    }
    Ok(())
}

/// A call by another actor, of a host of the same cluster.
fn request(caller: &MacCaller, actor: &str) -> MacRequest {
    let origin = KeyPair::derive(KeyKind::Module, "the caller of bin/bench");
    let origin = Entity::actor(origin.public_key().as_str());
    caller.request(origin, Entity::actor(actor), OPERATION, &PAYLOAD, PATIENCE)
}

/// A call by another actor, of a cluster that the host is of as well.
fn invocation(cluster: &KeyPair, actor: &str) -> Result<Bytes> {
    let id = format!("{:032x}", rand::random::<u128>());
    let caller = KeyPair::derive(KeyKind::Module, "the caller of bin/bench");
    let (origin, target) = (
        Entity::actor(caller.public_key().as_str()),
        Entity::actor(actor),
    );
    let facts = Call::new(&id, &origin, &target, OPERATION);
    let invocation = Invocation {
        token: sign(&facts, &PAYLOAD, cluster, unix_now())?,
        origin,
        target,
        operation: OPERATION.to_owned(),
        payload: Bytes::from_static(&PAYLOAD),
        id,
        host_id: cluster.public_key().to_string(),
        content_length: Some(PAYLOAD.len() as u64),
    };
    Ok(invocation.encode())
}

/// What a host answers.
fn answer() -> Bytes {
    let answer = Response {
        payload: Bytes::from_static(&PAYLOAD),
        invocation_id: "0".repeat(32),
        error: None,
        content_length: Some(PAYLOAD.len() as u64),
    };
    answer.encode()
}
