//! A wasmbus guest in wasmtime alone: a store, an instance, a call, two host functions.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::anyhow;
use wasmtime::{
    Caller, Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Memory,
    Module, PoolingAllocationConfig, Store, TypedFunc, UpdateDeadline,
};

/// What a request of the floor's HTTP server becomes, since the guest is to read something. A guest
/// of ours gets one of that size, too, but made anew for each request.
pub(crate) const REQUEST: [u8; 100] = [0; 100];

/// The engine that a floor runs on: with the settings of `exosuit_engine`, from which it must not
/// differ but where a floor has no need of epochs.
pub(crate) fn engine(epochs: bool) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(2 << 20)
        .table_keep_resident(512 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(epochs)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Compiled and linked.
pub(crate) struct Guest(InstancePre<Exchange>);

struct Exchange {
    memory: Option<Memory>,
    payload: &'static [u8],
    response: Vec<u8>,
}

impl Guest {
    pub(crate) fn new(wasm: &[u8]) -> wasmtime::Result<Self> {
        let engine = engine(true)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("wasmbus", "__guest_request", request)?;
        linker.func_wrap("wasmbus", "__guest_response", respond)?;
        let module = Module::new(&engine, wasm)?;
        Ok(Self(linker.instantiate_pre(&module)?))
    }

    /// Calls a fresh instance, on this thread.
    pub(crate) fn call(&self, payload: &'static [u8]) -> wasmtime::Result<Vec<u8>> {
        self.instance()?.call(payload)
    }

    /// An instance, for one call or for many.
    pub(crate) fn instance(&self) -> wasmtime::Result<Instance> {
        let exchange = Exchange {
            memory: None,
            payload: &[],
            response: Vec::new(),
        };
        let mut store = Store::new(self.0.module().engine(), exchange);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let call = finish(async {
            let instance = self.0.instantiate_async(&mut store).await?;
            store.data_mut().memory = instance.get_memory(&mut store, "memory");
            instance.get_typed_func(&mut store, "__guest_call")
        })?;
        Ok(Instance { store, call })
    }
}

/// A guest that is ready.
pub(crate) struct Instance {
    store: Store<Exchange>,
    call: TypedFunc<(u32, u32), u32>,
}

impl Instance {
    /// Calls and checks that the payload comes back.
    pub(crate) fn echo(&mut self, payload: &'static [u8]) -> wasmtime::Result<()> {
        if self.call(payload)? != payload {
            wasmtime::bail!("the guest does not echo");
        }
        Ok(())
    }

    fn call(&mut self, payload: &'static [u8]) -> wasmtime::Result<Vec<u8>> {
        self.store.set_epoch_deadline(1);
        self.store.data_mut().payload = payload;
        let parameters = (8, u32::try_from(payload.len())?);
        let code = finish(self.call.call_async(&mut self.store, parameters))?;
        if code != 1 {
            wasmtime::bail!("the guest returned {code}");
        }
        Ok(std::mem::take(&mut self.store.data_mut().response))
    }
}

fn request(mut caller: Caller<'_, Exchange>, operation: u32, payload: u32) -> wasmtime::Result<()> {
    let memory = memory(&caller)?;
    let bytes = caller.data().payload;
    memory.write(&mut caller, operation as usize, b"Echo.Say")?;
    memory.write(&mut caller, payload as usize, bytes)?;
    Ok(())
}

fn respond(mut caller: Caller<'_, Exchange>, start: u32, length: u32) -> wasmtime::Result<()> {
    let memory = memory(&caller)?;
    let start = start as usize;
    let response = memory.data(&caller)[start..start + length as usize].to_vec();
    caller.data_mut().response = response;
    Ok(())
}

fn memory(caller: &Caller<'_, Exchange>) -> wasmtime::Result<Memory> {
    let memory = caller.data().memory;
    memory.ok_or_else(|| wasmtime::format_err!("no memory"))
}

/// Polls until it is done, as a scheduler would that has nothing else to do.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Wasmtime's error is no `std::error::Error`.
pub(crate) fn plain(error: &wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}
