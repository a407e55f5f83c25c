//! Helpers of the tests: guests, a host to call, and a collector of log lines.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use exosuit_core::{
    Answer, Code, Context, Deliver, Error, Id, Invocation, LogGate, LogLevel, Notice, Observe,
    Origin, Target,
};
use exosuit_engine::{
    Actor, ActorOptions, Engine, EngineOptions, Instances, Limits, Module, Parts, Simulation,
    WasiGrants,
};
use parking_lot::Mutex;

/// Few slots: each reserves 4 GiB of address space, and every test has an engine of its own.
pub(crate) const OPTIONS: EngineOptions = EngineOptions {
    cache: None,
    cache_bytes: 1 << 30,
    pool_slots: 16,
    actor_share: 100,
    parts: Parts {
        core_instances: 30,
        memories: 4,
        tables: 8,
    },
    compiler: None,
    compile_threads: 1,
    compile_jobs: 1,
    module_bytes: 1 << 20,
};

pub(crate) fn engine() -> Result<Engine> {
    Ok(Engine::new(OPTIONS)?)
}

/// A guest of `test/guests`.
pub(crate) fn guest(name: &str) -> Result<Bytes> {
    let path = format!(
        "{}/../../test/guests/{name}.wat",
        env!("CARGO_MANIFEST_DIR")
    );
    Ok(wat::parse_file(path)?.into())
}

/// Everything around an actor. It keeps alive what the actor holds weakly.
pub(crate) struct World {
    pub(crate) engine: Engine,
    /// The id of its actors.
    pub(crate) id: &'static str,
    pub(crate) host: Arc<dyn Deliver>,
    pub(crate) log: Arc<Log>,
    pub(crate) gate: Arc<LogGate>,
    pub(crate) limits: Limits,
    pub(crate) instances: Instances,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) grants: WasiGrants,
}

/// A component of `test/guests/components`, or a command.
pub(crate) fn component(name: &str) -> Result<Bytes> {
    let path = format!(
        "{}/../../test/guests/components/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytes = std::fs::read(&path).with_context(|| path)?;
    Ok(bytes.into())
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self::with(engine()?, |call: Invocation| {
            let text = format!(
                "{:?} {} with {:?}",
                call.target, call.operation, call.payload
            );
            Box::pin(async move { Ok(text.into()) })
        }))
    }

    pub(crate) fn with(
        engine: Engine,
        host: impl Fn(Invocation) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Log::default());
        Self {
            engine,
            id: "tested",
            host: Arc::new(Host(host)),
            gate: Arc::new(LogGate::new(log.clone(), 1, 100)),
            log,
            limits: Limits::default(),
            instances: Instances::default(),
            config: BTreeMap::new(),
            grants: WasiGrants::default(),
        }
    }

    /// With a host that answers with more than bytes.
    pub(crate) fn delivering(engine: Engine, host: Arc<dyn Deliver>) -> Self {
        let world = Self::with(engine, |_| Box::pin(async { Ok(Bytes::new()) }));
        Self { host, ..world }
    }

    pub(crate) async fn component(&self, name: &str) -> Result<Actor> {
        self.run_bytes(component(name)?).await
    }

    pub(crate) async fn actor(&self, name: &str) -> Result<Actor> {
        self.run_bytes(guest(name)?).await
    }

    /// An actor of a module in text.
    pub(crate) async fn text(&self, text: &str) -> Result<Actor> {
        self.run_bytes(wat::parse_str(text)?.into()).await
    }

    pub(crate) async fn run_bytes(&self, bytes: Bytes) -> Result<Actor> {
        let module = self.engine.compile(bytes).await?;
        Ok(self.start(&module)?)
    }

    pub(crate) fn start(&self, module: &Module) -> Result<Actor, exosuit_engine::Error> {
        let options = ActorOptions {
            id: id(self.id),
            limits: self.limits,
            instances: self.instances,
            config: self.config.clone(),
            grants: self.grants.clone(),
            outbound: Arc::downgrade(&self.host),
            log: self.gate.clone(),
            simulation: Simulation::default(),
        };
        let actor = self.engine.actor(module, options)?;
        actor.warn_of_unanswered();
        Ok(actor)
    }
}

struct Host<F>(F);

/// A call on its way to an answer in bytes.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

impl<F: Fn(Invocation) -> Answering + Send + Sync> Deliver for Host<F> {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let answer = (self.0)(invocation);
        Box::pin(async move { answer.await.map(Into::into) })
    }
}

/// The written lines with their levels, and the reported numbers of lost lines.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<Notice>>);

impl Observe for Log {
    fn observe(&self, notice: Notice) {
        self.0.lock().push(notice);
    }
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<(LogLevel, String)> {
        let line = |notice: &Notice| match notice {
            Notice::Log { level, text, .. } => Some((*level, text.clone())),
            _ => None,
        };
        self.0.lock().iter().filter_map(line).collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        let dropped = |notice: &Notice| match notice {
            Notice::LogDropped { lines, .. } => *lines,
            _ => 0,
        };
        self.0.lock().iter().map(dropped).sum()
    }
}

pub(crate) fn id(text: &str) -> Id {
    Id::parse(text).expect("a good id")
}

pub(crate) fn far() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

pub(crate) fn invocation(
    operation: &str,
    payload: impl Into<Bytes>,
    deadline: Instant,
) -> Invocation {
    Invocation {
        origin: Origin::Host,
        target: Target::Actor("tested".to_owned()),
        operation: operation.to_owned(),
        payload: payload.into().into(),
        context: Context::until(deadline),
    }
}

pub(crate) fn start(actor: &Actor, operation: &str, payload: impl Into<Bytes>) -> Answering {
    deliver(actor, invocation(operation, payload, far()))
}

pub(crate) fn deliver(actor: &Actor, invocation: Invocation) -> Answering {
    let answer = actor.deliver(invocation);
    Box::pin(async move { answer.await?.into_bytes() })
}

pub(crate) async fn call(
    actor: &Actor,
    operation: &str,
    payload: impl Into<Bytes>,
) -> Result<Bytes> {
    Ok(start(actor, operation, payload).await?)
}

pub(crate) async fn failure(actor: &Actor, operation: &str) -> Result<Error> {
    let answer = start(actor, operation, "").await;
    answer
        .err()
        .with_context(|| format!("{operation} succeeded"))
}

/// The code of the failure, and whether its text speaks of all that it should.
#[track_caller]
pub(crate) fn assert_says(error: &Error, code: Code, parts: &[&str]) {
    assert_eq!(error.code, code, "{error}");
    for part in parts {
        assert!(
            error.detail.contains(part),
            "{:?} does not say {part:?}",
            error.detail
        );
    }
}
