//! What a call with a fresh instance costs, beside its floor: pure wasmtime, pooled, `InstancePre`,
//! with nothing left to remove. `cargo bench -p exosuit_engine`.

use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use exosuit_core::{Answer, Deliver, Id, Invocation, LogGate, Notice, Observe, Origin, Target};
use exosuit_engine::{Actor, ActorOptions, Engine, EngineOptions, Instances, Limits};
use tokio::runtime::{Builder, Runtime};
use wasmtime::{
    Caller, Config, Enabled, InstancePre, Linker, Memory, Module, Store, UpdateDeadline,
};

const PAYLOAD: [u8; 100] = [7; 100];
const ROUNDS: usize = 15;
const CALLS_PER_ROUND: u32 = 5_000;

fn main() -> Result<()> {
    // A call that meets the end of its slice sets a timer.
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let _context = runtime.enter();
    let floor = Floor::new(&guest("echo")?).map_err(|error| plain(&error))?;
    let actors = [
        ("echo", actor(&runtime, "echo")?),
        ("start (with WASI)", actor(&runtime, "start")?),
    ];

    let (lowest, actors_lowest) = measure(&floor, &actors)?;
    println!("floor              {lowest:>10.2?}");
    for ((name, _), time) in actors.iter().zip(actors_lowest) {
        let ratio = time.as_secs_f64() / lowest.as_secs_f64();
        println!("{name:<18} {time:>10.2?}  {ratio:.2} x");
    }
    Ok(())
}

/// Medians per call. The rounds take turns, so that a noisy minute hits all of them.
fn measure(floor: &Floor, actors: &[(&str, Actor)]) -> Result<(Duration, Vec<Duration>)> {
    let mut floors = Vec::new();
    let mut others = vec![Vec::new(); actors.len()];
    for _ in 0..ROUNDS {
        floors.push(round(|| floor.call().map_err(|error| plain(&error)))?);
        for ((_, actor), times) in actors.iter().zip(&mut others) {
            times.push(round(|| deliver(actor))?);
        }
    }
    Ok((median(floors), others.into_iter().map(median).collect()))
}

fn round(call: impl Fn() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..CALLS_PER_ROUND {
        call()?;
    }
    Ok(start.elapsed() / CALLS_PER_ROUND)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Polls until it is done, as a scheduler would that has nothing else to do.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn deliver(actor: &Actor) -> Result<()> {
    let call = Invocation {
        origin: Origin::Host,
        target: Target::Actor("echo".to_owned()),
        operation: "Echo.Say".to_owned(),
        payload: Bytes::from_static(&PAYLOAD),
        context: exosuit_core::Context::until(Instant::now() + Duration::from_secs(5)),
    };
    black_box(finish(actor.deliver(call))?);
    Ok(())
}

fn guest(name: &str) -> Result<Bytes> {
    let path = format!(
        "{}/../../test/guests/{name}.wat",
        env!("CARGO_MANIFEST_DIR")
    );
    Ok(wat::parse_file(path)?.into())
}

struct Nobody;

impl Observe for Nobody {
    fn observe(&self, _: Notice) {}
}

impl Deliver for Nobody {
    fn deliver(&self, _: Invocation) -> Answer {
        Box::pin(async { Ok(Bytes::new()) })
    }
}

fn actor(runtime: &Runtime, name: &str) -> Result<Actor> {
    let engine = Engine::new(EngineOptions::default())?;
    let module = runtime.block_on(engine.compile(guest(name)?))?;
    let options = ActorOptions {
        id: Id::parse(name)?,
        limits: Limits::default(),
        instances: Instances::Ephemeral,
        outbound: Weak::<Nobody>::new(),
        log: Arc::new(LogGate::new(Arc::new(Nobody), 100, 100)),
    };
    Ok(engine.actor(&module, options)?)
}

fn plain(error: &wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

/// The same guest in wasmtime alone: a store, an instance, a call, three host functions.
struct Floor {
    instance: InstancePre<Exchange>,
}

#[derive(Default)]
struct Exchange {
    memory: Option<Memory>,
    response: Vec<u8>,
}

impl Floor {
    fn new(echo: &[u8]) -> wasmtime::Result<Self> {
        let mut pool = wasmtime::PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(2 << 20)
            .table_keep_resident(512 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .epoch_interruption(true)
            .allocation_strategy(wasmtime::InstanceAllocationStrategy::Pooling(pool));
        let engine = wasmtime::Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("wasmbus", "__guest_request", request)?;
        linker.func_wrap("wasmbus", "__guest_response", respond)?;
        let module = Module::new(&engine, echo)?;
        Ok(Self {
            instance: linker.instantiate_pre(&module)?,
        })
    }

    fn call(&self) -> wasmtime::Result<()> {
        let mut store = Store::new(self.instance.module().engine(), Exchange::default());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let code = finish(async {
            let instance = self.instance.instantiate_async(&mut store).await?;
            store.data_mut().memory = instance.get_memory(&mut store, "memory");
            let call = instance.get_typed_func::<(u32, u32), u32>(&mut store, "__guest_call")?;
            call.call_async(&mut store, (8, u32::try_from(PAYLOAD.len())?))
                .await
        })?;
        if code != 1 || store.data().response != PAYLOAD {
            wasmtime::bail!("the floor does not echo");
        }
        Ok(())
    }
}

fn request(mut caller: Caller<'_, Exchange>, operation: u32, payload: u32) -> wasmtime::Result<()> {
    let memory = exchange_memory(&caller)?;
    memory.write(&mut caller, operation as usize, b"Echo.Say")?;
    memory.write(&mut caller, payload as usize, &PAYLOAD)?;
    Ok(())
}

fn respond(mut caller: Caller<'_, Exchange>, start: u32, length: u32) -> wasmtime::Result<()> {
    let memory = exchange_memory(&caller)?;
    let start = start as usize;
    let response = memory.data(&caller)[start..start + length as usize].to_vec();
    caller.data_mut().response = response;
    Ok(())
}

fn exchange_memory(caller: &Caller<'_, Exchange>) -> wasmtime::Result<Memory> {
    let memory = caller.data().memory;
    memory.ok_or_else(|| wasmtime::format_err!("no memory"))
}
