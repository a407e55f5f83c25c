//! What a component may import: WASI 0.2, `wasi:http`, the packages of `exosuit_wit`, and any other
//! interface, whose functions become calls through the router. What of the rest nothing can answer is
//! in [`unanswered`](super::unanswered).

use std::future::Future;

use exosuit_core::{Contract, Value};
use exosuit_wit::wasi::{
    config0_2_0_draft, config0_2_0_rc_1, keyvalue0_2_0_draft, keyvalue0_2_0_draft2, logging,
    logging0_1_0_draft,
};
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{HasSelf, Linker, LinkerInstance, Type, Val};

use super::state::State;
use super::value::{lift, lower};
use crate::configuration::setup;
use crate::{Error, random};

/// What every component is linked with.
pub(in crate::abi) fn linker(engine: &wasmtime::Engine) -> Result<Linker<State>, Error> {
    let mut linker = Linker::new(engine);
    link(&mut linker).map_err(setup)?;
    Ok(linker)
}

fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    random(linker)?;
    keyvalue0_2_0_draft::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue0_2_0_draft::atomics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue0_2_0_draft::batch::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue0_2_0_draft2::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue0_2_0_draft2::atomics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue0_2_0_draft2::batch::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    config0_2_0_draft::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    config0_2_0_draft::runtime::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    config0_2_0_rc_1::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    logging::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    logging0_1_0_draft::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// Replaces WASI's own, which fill a buffer of any size at once. By the names of its version here.
fn random(linker: &mut Linker<State>) -> wasmtime::Result<()> {
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
    instance: &mut LinkerInstance<State>,
    function: &str,
    operation: String,
    contract: &Contract,
) -> wasmtime::Result<()> {
    let contract = contract.clone();
    instance.func_new_async(function, move |store, ty, parameters, results| {
        let (contract, operation) = (contract.clone(), operation.clone());
        Box::new(call(store, ty, parameters, results, contract, operation))
    })
}

fn call<'a>(
    store: StoreContextMut<'a, State>,
    ty: ComponentFunc,
    parameters: &'a [Val],
    results: &'a mut [Val],
    contract: Contract,
    operation: String,
) -> impl Future<Output = wasmtime::Result<()>> + Send + 'a {
    let lifted = parameters.iter().zip(ty.params());
    let arguments = lifted.map(|(val, (_name, ty))| lift(val, &ty)).collect();
    async move {
        let caller = &store.data().caller;
        let answer = caller.ask(contract.as_str(), operation.clone(), arguments);
        let answer = answer.await;
        if let (Some(ty), Some(result)) = (ty.results().next(), results.first_mut()) {
            *result = given(answer, &ty, &operation)?;
        } else {
            answer.map_err(Error::Host)?;
        }
        Ok(())
    }
}

/// What the guest gets. A failure is an error to it, if its function can tell one in words; it
/// could not go on with anything else.
fn given(
    answer: Result<Value, exosuit_core::Error>,
    ty: &Type,
    operation: &str,
) -> Result<Val, Error> {
    let error =
        match answer.and_then(|value| lower(value, ty).map_err(|what| misfit(operation, &what))) {
            Ok(val) => return Ok(val),
            Err(error) => error,
        };
    match ty {
        Type::Result(result) if result.err() == Some(Type::String) => {
            let text = Val::String(error.detail);
            Ok(Val::Result(Err(Some(Box::new(text)))))
        }
        _ => Err(Error::Host(error)),
    }
}

fn misfit(operation: &str, what: &str) -> exosuit_core::Error {
    exosuit_core::Error::new(
        exosuit_core::Code::Provider,
        format!("the answer to {operation} is not of its type: {what}"),
    )
}
