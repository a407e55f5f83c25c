//! The imports of components: WASI 0.2, `wasi:http`, the packages of `exosuit_wit`, and every other interface,
//! whose functions become calls through the router. Imports that nothing can answer are in
//! [`unanswered`](super::unanswered).
//!
//! The first three are the same for all components, and defined once per engine. The last are defined for each
//! component, by its types ([`Bridge`]): the host knows such an interface from the component alone. Whoever answers
//! it, an actor, a built-in provider or one in Elixir, gets values without types, and its answer is checked here.
//!
//! A bridged call can fail where the guest's function cannot: no link, a deadline, an answer of another type. A
//! function that gives a `result` with a string as its error gets the text there, and the guest can handle it. Any
//! other function has no value for a failure, so its guest traps.

use std::future::Future;
use std::sync::Arc;

use exosuit_core::{Contract, Value, are_heavy};
use exosuit_wit::wasi::{
    config0_2_0_draft, config0_2_0_rc_1, keyvalue0_2_0_draft, keyvalue0_2_0_draft2, logging,
    logging0_1_0_draft,
};
use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, LinkerInstance, ResourceAny, Val};

use super::caller::Caller;
use super::plain;
use super::resources::{Entering, Leaving, Rules, drop_all};
use super::state::ComponentState;
use super::types::{Signature, WitType};
use super::value::{Misfit, lift, lower};
use crate::configuration::setup;
use crate::slice::leave_scheduler;
use crate::{Error, random};

/// The linker of components.
pub(in crate::abi) type ComponentLinker = wasmtime::component::Linker<ComponentState>;

/// Makes the linker for all components; once per engine.
pub(in crate::abi) fn linker(engine: &wasmtime::Engine) -> Result<ComponentLinker, Error> {
    let mut linker = ComponentLinker::new(engine);
    link(&mut linker).map_err(setup)?;
    Ok(linker)
}

/// Defines the interfaces that the host answers itself.
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
        interface.func_wrap_async(function, |store, (count,): (u64,)| {
            let seeded = store.data().caller.actor.simulated.random.clone();
            Box::new(async move { Ok((random::bytes(count, seeded).await?,)) })
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
    if let Some(defined) = plain::import::define(instance, function, &bridge) {
        return defined;
    }
    instance.func_new_async(function, move |store, _ty, parameters, results| {
        Box::new(Arc::clone(&bridge).call(store, parameters, results))
    })
}

/// A function that others answer.
pub(super) struct Bridge {
    /// The package of the interface, by which links are found.
    contract: Contract,
    /// `acme:shop/orders@1.0.0#place`.
    operation: String,
    pub(super) signature: Arc<Signature>,
}

impl Bridge {
    fn call<'a>(
        self: Arc<Self>,
        mut store: StoreContextMut<'a, ComponentState>,
        parameters: &[Val],
        results: &'a mut [Val],
    ) -> impl Future<Output = wasmtime::Result<()>> + Send + use<'a> {
        let lifted = parameters.iter().zip(&self.signature.parameters);
        let mut leaving = Leaving::new(&mut store, None);
        let arguments: Vec<_> = lifted
            .map(|(val, (_name, ty))| lift(val, ty, &mut leaving))
            .collect();
        let loans = leaving.finish();
        async move {
            let loans = loans?;
            let answer = self.ask(&store.data().caller, arguments).await;
            drop(loans);
            if let (Some(ty), Some(result)) = (&self.signature.result, results.first_mut()) {
                let mut unused = Vec::new();
                let lowered = answer.and_then(|value| {
                    let lowered = self.lower(&mut store, value, ty, &mut unused);
                    lowered.map_err(|misfit| self.misfit(&misfit))
                });
                drop_all(&mut store, unused).await?;
                *result = given(lowered, ty)?;
            } else {
                answer.map_err(Error::Host)?;
            }
            Ok(())
        }
    }

    /// Calls the function through the router, and waits for its answer.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        arguments: Vec<Value>,
    ) -> Result<Value, exosuit_core::Error> {
        if are_heavy(&arguments) {
            leave_scheduler().await;
        }
        let operation = self.operation.clone();
        caller
            .ask(self.contract.as_str(), operation, arguments)
            .await
    }

    /// What the guest gets of a function without resources.
    pub(super) fn given(
        &self,
        answer: Result<Value, exosuit_core::Error>,
        ty: &WitType,
        max_bytes: usize,
    ) -> Result<Val, Error> {
        let lowered = answer.and_then(|value| {
            let lowered = lower(value, ty, max_bytes, &mut ());
            lowered.map_err(|misfit| self.misfit(&misfit))
        });
        given(lowered, ty)
    }

    /// The answer as the guest gets it. If it does not fit, `unused` gets the resources in it.
    fn lower(
        &self,
        store: &mut StoreContextMut<'_, ComponentState>,
        answer: Value,
        ty: &WitType,
        unused: &mut Vec<ResourceAny>,
    ) -> Result<Val, Misfit> {
        let max = store.data().max_value_bytes();
        if !self.signature.has_resources {
            return lower(answer, ty, max, &mut ());
        }
        let rules = Rules::new(Arc::clone(&store.data().caller.actor), None);
        let mut entering = Entering::new(store, rules);
        let lowered = lower(answer, ty, max, &mut entering);
        let (lowered, dropped) = entering.commit(lowered);
        *unused = dropped;
        lowered
    }

    /// The error for an answer of another type: a mistake of the provider.
    fn misfit(&self, misfit: &Misfit) -> exosuit_core::Error {
        let operation = &self.operation;
        exosuit_core::Error::new(
            exosuit_core::Code::Provider,
            format!("the answer to {operation} is not of its type: {misfit}"),
        )
    }
}

/// What the guest gets. A failure is an error to it, if its function can tell one in words; it could not go on with
/// anything else.
fn given(answer: Result<Val, exosuit_core::Error>, ty: &WitType) -> Result<Val, Error> {
    let error = match answer {
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
