//! The imports of components: WASI 0.2, `wasi:http`, the packages of `exosuit_wit`, and every other interface,
//! whose functions become calls through the router. Imports that nothing can answer are in
//! [`unanswered`](super::unanswered).

use std::future::Future;
use std::sync::Arc;

use exosuit_core::{Contract, Value, are_heavy};
use exosuit_wit::wasi::{
    config0_2_0_draft, config0_2_0_rc_1, keyvalue0_2_0_draft, keyvalue0_2_0_draft2, logging,
    logging0_1_0_draft,
};
use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, LinkerInstance, Val};

use super::state::ComponentState;
use super::types::{Signature, WitType};
use super::value::{Misfit, lift, lower};
use crate::configuration::setup;
use crate::slice::leave_scheduler;
use crate::{Error, random};

/// What links a component.
pub(in crate::abi) type ComponentLinker = wasmtime::component::Linker<ComponentState>;

/// Makes the linker for all components; once per engine.
pub(in crate::abi) fn linker(engine: &wasmtime::Engine) -> Result<ComponentLinker, Error> {
    let mut linker = ComponentLinker::new(engine);
    link(&mut linker).map_err(setup)?;
    Ok(linker)
}

fn link(linker: &mut ComponentLinker) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    random(linker)?;
    keyvalue0_2_0_draft::store::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)?;
    keyvalue0_2_0_draft::atomics::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| {
        state
    })?;
    keyvalue0_2_0_draft::batch::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)?;
    keyvalue0_2_0_draft2::store::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| {
        state
    })?;
    keyvalue0_2_0_draft2::atomics::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| {
        state
    })?;
    keyvalue0_2_0_draft2::batch::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| {
        state
    })?;
    config0_2_0_draft::store::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)?;
    config0_2_0_draft::runtime::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)?;
    config0_2_0_rc_1::store::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)?;
    logging::logging::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)?;
    logging0_1_0_draft::logging::add_to_linker::<_, HasSelf<ComponentState>>(linker, |state| state)
}

/// Replaces WASI's own functions for random bytes: those fill a buffer of any size in one go, and nothing
/// interrupts them. The names contain the WASI version of this wasmtime.
fn random(linker: &mut ComponentLinker) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for (interface, function) in [
        ("wasi:random/random@0.2.12", "get-random-bytes"),
        ("wasi:random/insecure@0.2.12", "get-insecure-random-bytes"),
    ] {
        let mut interface = linker.instance(interface)?;
        interface.func_wrap_async(function, |_, (count,): (u64,)| {
            Box::new(async move { Ok((random::bytes(count).await?,)) })
        })?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Defines a function as a call through the router.
pub(super) fn define(
    instance: &mut LinkerInstance<ComponentState>,
    function: &str,
    operation: String,
    contract: &Contract,
    signature: Arc<Signature>,
) -> wasmtime::Result<()> {
    let bridge = Arc::new(Bridge {
        contract: contract.clone(),
        operation,
        signature,
    });
    instance.func_new_async(function, move |store, _ty, parameters, results| {
        Box::new(Arc::clone(&bridge).call(store, parameters, results))
    })
}

/// A function that others answer.
struct Bridge {
    contract: Contract,
    operation: String,
    signature: Arc<Signature>,
}

impl Bridge {
    fn call<'a>(
        self: Arc<Self>,
        store: StoreContextMut<'a, ComponentState>,
        parameters: &[Val],
        results: &'a mut [Val],
    ) -> impl Future<Output = wasmtime::Result<()>> + Send + use<'a> {
        let lifted = parameters.iter().zip(&self.signature.parameters);
        let arguments: Vec<_> = lifted.map(|(val, (_name, ty))| lift(val, ty)).collect();
        async move {
            if are_heavy(&arguments) {
                leave_scheduler().await;
            }
            let ComponentState { caller, .. } = store.data();
            let max = store.data().max_value_bytes();
            let answer = caller.ask(self.contract.as_str(), self.operation.clone(), arguments);
            let answer = answer.await;
            if let (Some(ty), Some(result)) = (&self.signature.result, results.first_mut()) {
                *result = self.given(answer, ty, max)?;
            } else {
                answer.map_err(Error::Host)?;
            }
            Ok(())
        }
    }

    /// What the guest gets. A failure is an error to it, if its function can tell one in words; it
    /// could not go on with anything else.
    fn given(
        &self,
        answer: Result<Value, exosuit_core::Error>,
        ty: &WitType,
        max_bytes: usize,
    ) -> Result<Val, Error> {
        let lowered = answer
            .and_then(|value| lower(value, ty, max_bytes).map_err(|misfit| self.misfit(&misfit)));
        let error = match lowered {
            Ok(val) => return Ok(val),
            Err(error) => error,
        };
        match ty {
            WitType::Result(_, Some(told)) if matches!(**told, WitType::String) => {
                let text = Val::String(error.detail);
                Ok(Val::Result(Err(Some(Box::new(text)))))
            }
            _ => Err(Error::Host(error)),
        }
    }

    fn misfit(&self, misfit: &Misfit) -> exosuit_core::Error {
        let operation = &self.operation;
        exosuit_core::Error::new(
            exosuit_core::Code::Provider,
            format!("the answer to {operation} is not of its type: {misfit}"),
        )
    }
}
