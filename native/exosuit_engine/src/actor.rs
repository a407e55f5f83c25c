//! A module with an identity, limits and a way out.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::time::Instant;

use exosuit_core::{
    Answer, Code, Context, Deliver, Id, Invocation, LogGate, LogLevel, Reply, bounded,
};
use tokio::sync::Semaphore;

use crate::abi::Pool;
use crate::configuration::MAX_TABLE_ELEMENTS;
use crate::share::Share;
use crate::ticker::Ticker;
use crate::{ActorOptions, Error, Limits, Module, WasiGrants, sandbox};

/// How many imports that nothing answers the log names at the start of an actor.
const MAX_NAMED: usize = 16;

/// A module with an identity, limits and a way out. Cheap to clone; calls run concurrently, each
/// in an instance that it has to itself.
///
/// It answers at the deadline of a call at the latest. Where its calls go, and whether it may be
/// called, is for others to decide.
#[derive(Clone)]
pub struct Actor {
    shared: Arc<Shared>,
    /// What rests between calls. Not with what calls share: an instance holds that.
    pool: Option<Arc<Pool>>,
}

/// What the calls of one actor share.
pub(crate) struct Shared {
    pub(crate) id: Id,
    pub(crate) limits: Limits,
    pub(crate) module: Module,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) grants: WasiGrants,
    pub(crate) outbound: Weak<dyn Deliver>,
    pub(crate) log: Arc<LogGate>,
    /// How many instances may be at work at once.
    pub(crate) share: Share,
    /// How many may be opening their directories at once.
    pub(crate) opening: Arc<Semaphore>,
}

impl Actor {
    pub(crate) fn new(module: &Module, options: ActorOptions) -> Result<Self, Error> {
        module.starts_within(&options.limits)?;
        let engine = module.engine();
        let pool = Pool::new(options.instances, engine.reserve());
        let shared = Arc::new(Shared {
            id: options.id,
            limits: Limits {
                table_elements: options.limits.table_elements.min(MAX_TABLE_ELEMENTS),
                ..options.limits
            },
            module: module.clone(),
            config: options.config,
            grants: sandbox::located(options.grants)?,
            outbound: options.outbound,
            log: options.log,
            share: Share::of(engine.slots(), &module.0.needs),
            opening: Arc::new(Semaphore::new(sandbox::MAX_OPENING)),
        });
        Ok(Self { shared, pool })
    }

    /// Instantiates the module once, as a call would, and drops the instance: what keeps it from
    /// starting shows before anybody depends on it. That no instance is free now is no reason not to
    /// try later.
    pub async fn rehearse(&self, deadline: Instant) -> Result<(), exosuit_core::Error> {
        let context = Context::until(deadline);
        let compiled = &self.shared.module.0;
        let starting = pin!(async {
            let instance = compiled.prepared.instantiate(&self.shared, context);
            let instance = pin!(instance);
            match ticking(compiled.engine.ticker(), instance).await {
                Ok(()) | Err(Error::Overloaded(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        });
        bounded(starting, deadline, None).await
    }

    /// Names the imports in the log that nothing here answers: for when the actor begins to serve.
    pub fn warn_of_unanswered(&self) {
        let Shared {
            id, log, module, ..
        } = &*self.shared;
        let unanswered = module.unanswered();
        let warn = |text: String| log.write(id, LogLevel::Warning, &text);
        for import in unanswered.iter().take(MAX_NAMED) {
            warn(format!(
                "nothing here answers the import {import}: a call of it fails"
            ));
        }
        if let Some(more @ 1..) = unanswered.len().checked_sub(MAX_NAMED) {
            warn(format!("nothing here answers {more} more imports"));
        }
    }

    /// Who it is.
    pub fn id(&self) -> &Id {
        &self.shared.id
    }

    /// What runs.
    pub fn module(&self) -> &Module {
        &self.shared.module
    }
}

impl Shared {
    /// A call of its guest, on its way to whoever answers it.
    pub(crate) fn call_out(&self, invocation: Invocation) -> Answer {
        match self.outbound.upgrade() {
            Some(outbound) => outbound.deliver(invocation),
            None => Box::pin(ready(Err(exosuit_core::Error::new(
                Code::Dropped,
                "the host of this actor has stopped",
            )))),
        }
    }
}

impl Deliver for Actor {
    fn deliver(&self, invocation: Invocation) -> Answer {
        let actor = Arc::clone(&self.shared);
        let pool = self.pool.as_ref().map_or_else(Weak::new, Arc::downgrade);
        Box::pin(async move {
            let deadline = invocation.context.deadline;
            // Pinned where it is made: it has kilobytes, and each move would copy them.
            let call = pin!(answer(&actor, &pool, invocation));
            bounded(call, deadline, None).await
        })
    }

    fn names_links(&self) -> bool {
        !self.shared.module.is_component()
    }
}

async fn answer(
    actor: &Arc<Shared>,
    pool: &Weak<Pool>,
    call: Invocation,
) -> Result<Reply, exosuit_core::Error> {
    if Instant::now() >= call.context.deadline {
        return Err(Error::Deadline.into());
    }
    let _settled = Settled(actor);
    let compiled = &actor.module.0;
    let call = pin!(compiled.prepared.call(actor, pool, call));
    Ok(ticking(compiled.engine.ticker(), call).await?)
}

/// Reports what the log lost of a call once its instance is gone, also when the call is dropped.
pub(crate) struct Settled<'a>(pub(crate) &'a Shared);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        self.0.log.settle(&self.0.id);
    }
}

/// Has the epoch advance whenever `call` is being polled.
pub(crate) async fn ticking<T>(ticker: &Ticker, mut call: Pin<&mut impl Future<Output = T>>) -> T {
    poll_fn(|context| {
        let _running = ticker.run();
        call.as_mut().poll(context)
    })
    .await
}
