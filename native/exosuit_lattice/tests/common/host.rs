//! Hosts of one lattice, as far as calls need them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use exosuit_claims::{KeyKind, KeyPair};
use exosuit_core::{
    Answer, Code, Context, Contract, Deliver, Error, Id, Invocation, Local, Origin, Remote, Reply,
};
use exosuit_lattice::{Address, CallOptions, Calls, Connection, Served, Serving};

use super::nats::NatsServer;
use super::{PATIENCE, eventually};

/// The key of an actor, and of a provider.
pub(crate) const ACTOR: &str = "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E";
pub(crate) const PROVIDER: &str = "VAZVC4RX54J2NVCMCW7BPCAHGGG5XZXDBXFUMDUXGESTMQEJLC3YVZWB";

/// A cluster, whose hosts trust each other.
pub(crate) struct Cluster(pub(crate) Arc<KeyPair>);

impl Cluster {
    pub(crate) fn new() -> Self {
        Self(Arc::new(KeyPair::generate(KeyKind::Cluster)))
    }

    pub(crate) fn options(&self) -> CallOptions {
        let host = KeyPair::generate(KeyKind::Server);
        CallOptions::new(
            id("default"),
            host.public_key().clone(),
            Arc::clone(&self.0),
        )
    }

    pub(crate) async fn host(&self, server: &NatsServer) -> Host {
        Host::start(server.connect().await, self.options()).await
    }
}

pub(crate) struct Host {
    pub(crate) connection: Connection,
    pub(crate) calls: Calls,
}

impl Host {
    pub(crate) async fn start(connection: Connection, options: CallOptions) -> Self {
        let calls = Calls::start(connection.clone(), options)
            .await
            .expect("options");
        Self { connection, calls }
    }

    /// Serves an actor, by its key as the peers do it or by its id, and waits until calls reach it.
    pub(crate) async fn serve(&self, actor: &str, target: impl Deliver + 'static) -> Serving {
        let served = Served::all(&local(actor, None)).swap_remove(0);
        let serving = self
            .calls
            .serve(served, Arc::new(target))
            .await
            .expect("served");
        self.settle().await;
        serving
    }

    /// Waits until the server has taken what was sent to it: it answers in that order.
    pub(crate) async fn settle(&self) {
        let nobody = address("nobody");
        eventually("an answer of the server", || async {
            let mut call = invocation("nobody", "x", "");
            call.context = Context::until(Instant::now() + PATIENCE);
            let answer = self.calls.call(&nobody, None, call).await;
            matches!(answer, Err(exosuit_lattice::Error::NoResponders(_))).then_some(())
        })
        .await;
    }

    /// Calls an actor from another one.
    pub(crate) async fn call(
        &self,
        actor: &str,
        operation: &str,
        payload: impl Into<bytes::Bytes>,
    ) -> Result<bytes::Bytes, Error> {
        let call = invocation(actor, operation, payload);
        self.send(actor, call).await?.into_bytes()
    }

    /// Calls an actor as this says.
    pub(crate) async fn send(&self, actor: &str, call: Invocation) -> Result<Reply, Error> {
        Ok(self.calls.call(&address(actor), None, call).await?)
    }
}

pub(crate) fn id(text: &str) -> Id {
    Id::parse(text).expect("an id")
}

/// An actor, by its key if that is what it is called.
pub(crate) fn address(name: &str) -> Address {
    match KeyKind::of_key(name) {
        Some(KeyKind::Module) => Address::Actor(id(name)),
        _ => Address::Named {
            name: id(name),
            through: None,
        },
    }
}

/// A target that runs on a host: an actor, or a provider of these contracts.
pub(crate) fn local(name: &str, contracts: Option<&[&str]>) -> Local {
    let contracts = contracts.map(|texts| texts.iter().map(|text| contract(text)).collect());
    Local {
        id: id(name),
        key: None,
        contracts,
    }
}

pub(crate) fn contract(text: &str) -> Contract {
    Contract::parse(text).expect("a contract")
}

/// A caller of another host, by its id.
pub(crate) fn remote(name: &str) -> Origin {
    Origin::Elsewhere(Remote {
        id: id(name),
        key: None,
        through: None,
    })
}

pub(crate) fn invocation(
    actor: &str,
    operation: &str,
    payload: impl Into<bytes::Bytes>,
) -> Invocation {
    Invocation {
        origin: Origin::Actor(id("MCALLER")),
        target: exosuit_core::Target::Actor(actor.to_owned()),
        operation: operation.to_owned(),
        payload: payload.into().into(),
        context: Context::until(Instant::now() + Duration::from_secs(20)),
    }
}

/// A target made of a function.
pub(crate) struct Actor<F>(pub(crate) F);

impl<F, A> Deliver for Actor<F>
where
    F: Fn(Invocation) -> A + Send + Sync,
    A: Future<Output = Result<bytes::Bytes, Error>> + Send + 'static,
{
    fn deliver(&self, invocation: Invocation) -> Answer {
        let answer = (self.0)(invocation);
        Box::pin(async move { answer.await.map(Into::into) })
    }
}

/// Says what it is told.
pub(crate) fn echo() -> impl Deliver + 'static {
    Actor(|invocation: Invocation| async move { invocation.payload.into_bytes() })
}

/// Always fails.
pub(crate) fn failing(code: Code, detail: &'static str) -> impl Deliver + 'static {
    Actor(move |_| async move { Err(Error::new(code, detail)) })
}
