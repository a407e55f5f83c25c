//! The guest in the engine crate, without router, NIF and BEAM: which part of a gap is the engine's.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use exosuit_core::{
    Answer, Context, Deliver, Id, Invocation, LogGate, Notice, Observe, Origin, Target,
};
use exosuit_engine::{
    Actor, ActorOptions, Engine, EngineOptions, Instances, Limits, Simulation, WasiGrants,
};
use tokio::runtime::{Builder, Runtime};

use crate::plain::finish;

/// An actor that nobody but us can call.
pub(crate) struct EngineActor {
    actor: Actor,
    /// A call that meets the end of its slice sets a timer.
    runtime: Runtime,
}

impl EngineActor {
    pub(crate) fn new(wasm: Vec<u8>, instances: Instances) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()?;
        let engine = Engine::new(EngineOptions::default())?;
        let module = runtime.block_on(engine.compile(wasm.into()))?;
        let options = ActorOptions {
            id: Id::parse("echo")?,
            limits: Limits::default(),
            instances,
            config: BTreeMap::new(),
            grants: WasiGrants::default(),
            outbound: Weak::<Nobody>::new(),
            log: Arc::new(LogGate::new(Arc::new(Nobody), 100, 100)),
            simulation: Simulation::default(),
        };
        let actor = engine.actor(&module, options)?;
        Ok(Self { actor, runtime })
    }

    /// Calls and checks that the payload comes back.
    pub(crate) fn echo(&self, payload: &'static [u8]) -> Result<()> {
        let _context = self.runtime.enter();
        let answer = finish(self.actor.deliver(Invocation {
            origin: Origin::Host,
            target: Target::Actor("echo".to_owned()),
            operation: "Echo.Say".to_owned(),
            payload: Bytes::from_static(payload).into(),
            context: Context::until(Instant::now() + Duration::from_secs(5)),
        }))?
        .into_bytes()?;
        ensure!(answer == payload, "the guest does not echo");
        Ok(())
    }
}

struct Nobody;

impl Observe for Nobody {
    fn observe(&self, _: Notice) {}
}

impl Deliver for Nobody {
    fn deliver(&self, _: Invocation) -> Answer {
        Box::pin(async { Ok(Bytes::new().into()) })
    }
}
