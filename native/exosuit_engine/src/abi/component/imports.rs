//! What a component may import: WASI 0.2, `wasi:http`, the packages of `exosuit_wit`, and any other
//! interface, whose functions become calls through the router.

use std::future::Future;

use exosuit_core::{Contract, Value};
use exosuit_wit::wasi::{config, keyvalue, logging, logging0_1_0_draft};
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, HasSelf, Linker, LinkerInstance, Type, Val};

use super::state::State;
use super::value::{lift, lower, supported};
use crate::Error;
use crate::configuration::setup;
use crate::explain::{MAX_NAME, MAX_TEXT, cut};

/// The packages whose interfaces are not left to links.
const OWN: &[&str] = &[
    "wasi:cli",
    "wasi:clocks",
    "wasi:config",
    "wasi:filesystem",
    "wasi:http",
    "wasi:io",
    "wasi:keyvalue",
    "wasi:logging",
    "wasi:random",
    "wasi:sockets",
];

/// What every component is linked with.
pub(in crate::abi) fn linker(engine: &wasmtime::Engine) -> Result<Linker<State>, Error> {
    let mut linker = Linker::new(engine);
    link(&mut linker).map_err(setup)?;
    Ok(linker)
}

fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    keyvalue::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue::atomics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    keyvalue::batch::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    config::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    config::runtime::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    logging::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    logging0_1_0_draft::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// The linker for this component: with its further imports, if it has any.
pub(super) fn linked(base: &Linker<State>, component: &Component) -> Result<Linker<State>, Error> {
    let mut linker = base.clone();
    let engine = component.engine();
    for (name, import) in component.component_type().imports(engine) {
        let package = name.split_once('/').map(|(package, _interface)| package);
        if package.is_some_and(|package| OWN.contains(&package)) {
            continue;
        }
        let contract = package.and_then(|package| Contract::parse(package).ok());
        match (import.ty, contract) {
            (ComponentItem::ComponentInstance(interface), Some(contract)) => {
                bridge(&mut linker, engine, name, &interface, &contract)?;
            }
            _ => {
                return Err(Error::Module(format!(
                    "the component imports {:?}, which is not an interface of a package: nothing \
                     here answers it",
                    cut(name, MAX_NAME)
                )));
            }
        }
    }
    Ok(linker)
}

fn bridge(
    linker: &mut Linker<State>,
    engine: &wasmtime::Engine,
    name: &str,
    interface: &ComponentInstance,
    contract: &Contract,
) -> Result<(), Error> {
    let mut instance = linker.instance(name).map_err(setup)?;
    for (function, export) in interface.exports(engine) {
        let operation = format!("{name}#{function}");
        match export.ty {
            ComponentItem::ComponentFunc(ty) => {
                check(&ty).map_err(|what| unsupported(&operation, &what))?;
                define(&mut instance, function, operation, contract).map_err(setup)?;
            }
            ComponentItem::Resource(_) => return Err(unsupported(&operation, "is a resource")),
            _ => {}
        }
    }
    Ok(())
}

fn check(ty: &ComponentFunc) -> Result<(), String> {
    if ty.async_() {
        return Err("is of WASI 0.3".to_owned());
    }
    for (name, ty) in ty.params() {
        supported(&ty).map_err(|what| format!("takes {what} as {:?}", cut(name, MAX_NAME)))?;
    }
    let mut results = ty.results();
    results.try_for_each(|ty| supported(&ty).map_err(|what| format!("gives {what}")))
}

fn unsupported(operation: &str, what: &str) -> Error {
    Error::Module(format!(
        "the component imports {}, which {what}: what passes between guests and providers are \
         strings, bytes, integers, booleans, lists, tuples, records, options and results of these",
        cut(operation, MAX_TEXT)
    ))
}

fn define(
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
