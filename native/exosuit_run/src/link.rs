//! Links components with all of WASI. Every other import ends the program when it is called.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, ResourceType};
use wasmtime::{Engine, Result, bail};
use wasmtime_wasi::{p2, p3};

use crate::say::say;
use crate::state::State;

/// The packages that are here, in all their compatible versions.
const PACKAGES: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Links a component. Names each import that is not supported on stderr. A call of it is an error, which ends the
/// program.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<InstancePre<State>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    for (name, import) in component.component_type().imports(engine) {
        if PACKAGES.iter().any(|package| name.starts_with(package)) {
            continue;
        }
        say(format_args!(
            "the import {name} is not supported: a call of it ends the program"
        ));
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                let mut answers = linker.instance(name)?;
                for (item, export) in instance.exports(engine) {
                    trap(&mut answers, &format!("{name}#{item}"), item, &export.ty)?;
                }
            }
            ty => trap(&mut linker.root(), name, name, &ty)?,
        }
    }
    linker.instantiate_pre(component)
}

/// Defines one import as an error that names it.
fn trap(
    linker: &mut LinkerInstance<'_, State>,
    called: &str,
    name: &str,
    ty: &ComponentItem,
) -> Result<()> {
    let called = called.to_owned();
    match ty {
        ComponentItem::ComponentFunc(function) if function.async_() => {
            linker.func_new_concurrent(name, move |_store, _ty, _arguments, _results| {
                let called = called.clone();
                Box::pin(async move { bail!("the import {called} is not supported") })
            })
        }
        ComponentItem::ComponentFunc(_) => linker
            .func_new(name, move |_store, _ty, _arguments, _results| {
                bail!("the import {called} is not supported")
            }),
        ComponentItem::Resource(_) => {
            linker.resource(name, ResourceType::host::<()>(), |_store, _resource| Ok(()))
        }
        _ => Ok(()),
    }
}
