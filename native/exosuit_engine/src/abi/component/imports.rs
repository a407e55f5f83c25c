//! The imports of components: WASI 0.2, `wasi:http`, the packages of `exosuit_wit`, and every other interface,
//! whose functions become calls through the router. Imports that nothing can answer are in
//! [`unanswered`](super::unanswered).
//!
//! The first three are the same for all components, and defined once per engine. The last are defined for each
//! component, by its types: the host knows such an interface from the component alone. [`Bridge`] has the calls.
//!
//! | imports | defined | answered by |
//! |---|---|---|
//! | WASI 0.2 | once per engine | wasmtime, in the [`sandbox`](crate::sandbox) of the instance |
//! | `wasi:random` | once per engine | `crate::random` |
//! | `wasi:http/outgoing-handler` | once per engine | a call through the router ([`outgoing`](super::outgoing)) |
//! | `wasi:keyvalue`, `wasi:logging` | once per engine | a call through the router |
//! | `wasi:config` | once per engine | the settings of the actor |
//! | interfaces of other packages | for each component | a call through the router ([`Bridge`]) |
//! | what is left | for each component | a stub that fails |

use std::sync::Arc;

use exosuit_core::Contract;
use exosuit_wit::wasi::{
    config0_2_0_draft, config0_2_0_rc_1, keyvalue0_2_0_draft, keyvalue0_2_0_draft2, logging,
    logging0_1_0_draft,
};
use wasmtime::component::{HasSelf, LinkerInstance};

use super::bridge::Bridge;
use super::plain;
use super::state::ComponentState;
use super::types::Signature;
use crate::configuration::setup;
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

/// Defines a function as a call through the router. Functions of strings and bytes alone get the quicker way of
/// [`plain`].
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
