//! Links a component whatever it imports. An import that nothing here can answer fails when the guest calls
//! it, not when the component is loaded: many guests import more than they use.
//!
//! - A function of an interface that links may answer becomes a call through the router, if its types can be
//!   converted.
//! - Every other function that the linker does not know becomes a stub, whose error names the import.
//!
//! The linker itself says which functions it does not know, so there is no second list to keep in step. It
//! names one import at a time: linking is tried, the named import is stubbed, and linking is tried again.
//!
//! Interfaces of the packages in [`OWN`] are answered by the host, or not at all: a link that could take their
//! place would give a provider the guest's files, clocks or requests. All other packages are left to links, whether
//! a link is there or not, because links come and go while an actor runs.
//!
//! A component that imports a version of WASI that this host does not have is linked too. Only what it calls of it
//! fails.
//!
//! # The steps of [`linked`]
//!
//! 1. Refuse a component of too many imports.
//! 2. For each interface that is left to links: define its types of resources and its functions ([`Bridge`]), or stubs
//!    for those whose types cannot pass.
//! 3. Try to link. If wasmtime names an import that it does not know, or knows with another type, put stubs in its
//!    place, and try again.
//!
//! Each round of step 3 stubs one import, and none is stubbed twice, so it ends.
//!
//! [`Bridge`]: super::bridge::Bridge

use std::sync::Arc;

use exosuit_core::Contract;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, ResourceType};

use super::imports::define;
use super::kinds::Kinds;
use super::state::ComponentState;
use super::types::{MAX_TYPES, Signature};
use crate::Error;
use crate::configuration::setup;
use crate::explain::{MAX_NAME, MAX_TEXT, cut};

/// The packages that the host answers itself. A link cannot take their place.
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

/// The most imports that a component may have, with the functions and types of its interfaces: all of
/// WASI has some hundreds. Some of the steps here take the square of it.
const MAX_ITEMS: usize = 10_000;

/// The most of them that nothing answers.
const MAX_UNANSWERED: usize = 1_000;

/// The type of resources that nothing answers. No value of it ever exists.
struct Nothing;

/// A component that is linked.
pub(in crate::abi) struct Linked {
    pub(super) instance: InstancePre<ComponentState>,
    /// The types of the functions that links may answer.
    pub(super) bridged: Vec<Arc<Signature>>,
    /// The types of resources of the interfaces that links may answer.
    pub(super) kinds: Kinds,
    /// The imports that nothing answers, each with the reason.
    pub(in crate::abi) unanswered: Vec<String>,
}

/// Links the component. Blocks, for milliseconds with hundreds of imports. The error says what has no stub: an import
/// of a module, of a component or of a value.
pub(in crate::abi) fn linked(
    base: &Linker<ComponentState>,
    component: &Component,
) -> Result<Linked, Error> {
    check_size(component)?;
    let mut linking = Linking {
        linker: base.clone(),
        engine: component.engine(),
        types_left: MAX_TYPES,
        bridged: Vec::new(),
        kinds: Kinds::default(),
        unanswered: Vec::new(),
    };
    let mut imports = Import::all(component);
    for import in &mut imports {
        linking.bridge(import)?;
    }
    loop {
        let error = match linking.linker.instantiate_pre(component) {
            Ok(instance) => {
                let Linking {
                    bridged,
                    kinds,
                    unanswered,
                    ..
                } = linking;
                return Ok(Linked {
                    instance,
                    bridged,
                    kinds,
                    unanswered,
                });
            }
            Err(error) => error,
        };
        let failed = imports.iter_mut().find(|import| import.is_named_by(&error));
        let is_new =
            |import: &&mut Import| !import.is_stubbed && linking.unanswered.len() < MAX_UNANSWERED;
        let Some(import) = failed.filter(is_new) else {
            return Err(unlinked(&error));
        };
        linking.stub(import, &error)?;
    }
}

/// Refuses a component of too many imports, before anything takes the square of them.
fn check_size(component: &Component) -> Result<(), Error> {
    let engine = component.engine();
    let size = |item: ComponentItem| match item {
        ComponentItem::ComponentInstance(interface) => 1 + interface.exports(engine).len(),
        _ => 1,
    };
    let ty = component.component_type();
    let items: usize = ty.imports(engine).map(|(_, import)| size(import.ty)).sum();
    if items <= MAX_ITEMS {
        return Ok(());
    }
    Err(Error::Module(format!(
        "the component imports {items} interfaces, functions and types, at most {MAX_ITEMS} are allowed"
    )))
}

/// One import of a component.
struct Import {
    /// With its version: `wasi:keyvalue/store@0.2.0-draft`.
    name: String,
    item: ComponentItem,
    /// The resources that no import before this one has named.
    resources: Vec<(String, ResourceType)>,
    is_stubbed: bool,
}

impl Import {
    /// The imports of a component, in their order: types must be defined before those who use them.
    fn all(component: &Component) -> Vec<Self> {
        let mut known = Vec::new();
        let ty = component.component_type();
        let imports = ty.imports(component.engine()).map(|(name, import)| Self {
            name: name.to_owned(),
            resources: new_resources(component.engine(), name, &import.ty, &mut known),
            item: import.ty,
            is_stubbed: false,
        });
        imports.collect()
    }

    /// The contract that links answer it by, if they may.
    fn contract(&self) -> Option<Contract> {
        let (package, _interface) = self.name.split_once('/')?;
        let contract = Contract::parse(package).ok()?;
        (!OWN.contains(&package)).then_some(contract)
    }

    /// Whether the linker's error names this import. The name is in backquotes, which no name contains;
    /// wasmtime has no structured error for this.
    fn is_named_by(&self, error: &wasmtime::Error) -> bool {
        error.to_string().split('`').nth(1) == Some(&self.name)
    }
}

/// The resources of an import that are not known yet.
fn new_resources(
    engine: &wasmtime::Engine,
    name: &str,
    item: &ComponentItem,
    known: &mut Vec<ResourceType>,
) -> Vec<(String, ResourceType)> {
    let mut new = |name: &str, item: &ComponentItem| match item {
        ComponentItem::Resource(ty) if !known.contains(ty) => {
            known.push(*ty);
            Some((name.to_owned(), *ty))
        }
        _ => None,
    };
    match item {
        ComponentItem::ComponentInstance(interface) => {
            let exports = interface.exports(engine);
            let new = exports.filter_map(|(name, export)| new(name, &export.ty));
            new.collect()
        }
        item => new(name, item).into_iter().collect(),
    }
}

/// A component that is being linked.
struct Linking<'a> {
    linker: Linker<ComponentState>,
    engine: &'a wasmtime::Engine,
    types_left: usize,
    bridged: Vec<Arc<Signature>>,
    kinds: Kinds,
    unanswered: Vec<String>,
}

impl Linking<'_> {
    /// Makes calls through the router of the functions of an interface, if it is left to links.
    fn bridge(&mut self, import: &mut Import) -> Result<(), Error> {
        let (ComponentItem::ComponentInstance(interface), Some(contract)) =
            (&import.item, import.contract())
        else {
            return Ok(());
        };
        import.is_stubbed = true;
        let mut instance = self.linker.instance(&import.name).map_err(setup)?;
        for (name, ty) in &import.resources {
            let ty = self.kinds.import(&import.name, name, *ty);
            define_resource(&mut instance, name, ty).map_err(setup)?;
        }
        for (function, ty) in functions(self.engine, interface) {
            let operation = format!("{}#{function}", import.name);
            let defined = match Signature::read(&ty, &self.kinds, &mut self.types_left) {
                Ok(signature) => {
                    let signature = Arc::new(signature);
                    self.bridged.push(Arc::clone(&signature));
                    define(&mut instance, &function, operation, &contract, signature)
                }
                Err(what) => {
                    let import = unsupported(&operation, &what);
                    self.unanswered.push(import.clone());
                    define_stub(&mut instance, &function, import)
                }
            };
            defined.map_err(setup)?;
        }
        Ok(())
    }

    /// Defines stubs for an import that the linker does not have, or has with another type.
    fn stub(&mut self, import: &mut Import, error: &wasmtime::Error) -> Result<(), Error> {
        import.is_stubbed = true;
        let name = cut(&import.name, MAX_NAME);
        let reason = error.root_cause().to_string();
        let text = format!("{name:?} ({})", cut(&reason, MAX_TEXT));
        self.linker.allow_shadowing(true);
        let stubbed = self.define_stubs(import, &text);
        self.linker.allow_shadowing(false);
        self.unanswered.push(text);
        stubbed.map_err(setup)
    }

    /// Defines every function of an import as one that fails.
    fn define_stubs(&mut self, import: &Import, text: &str) -> wasmtime::Result<()> {
        let Import { name, item, .. } = import;
        match item {
            ComponentItem::ComponentInstance(interface) => {
                let mut instance = self.linker.instance(name)?;
                define_resources(&mut instance, &import.resources)?;
                for (function, _ty) in functions(self.engine, interface) {
                    define_stub(&mut instance, &function, format!("{function:?} of {text}"))?;
                }
                Ok(())
            }
            ComponentItem::ComponentFunc(_) => {
                define_stub(&mut self.linker.root(), name, text.to_owned())
            }
            _ => define_resources(&mut self.linker.root(), &import.resources),
        }
    }
}

/// The functions of an interface, with their types. Collected, because the linker is borrowed while they are defined.
fn functions(
    engine: &wasmtime::Engine,
    interface: &ComponentInstance,
) -> Vec<(String, ComponentFunc)> {
    let functions = interface
        .exports(engine)
        .filter_map(|(name, export)| match export.ty {
            ComponentItem::ComponentFunc(ty) => Some((name.to_owned(), ty)),
            _ => None,
        });
    functions.collect()
}

/// Defines types of resources of which no value ever exists, so that functions with these types can be stubbed.
fn define_resources(
    instance: &mut LinkerInstance<'_, ComponentState>,
    resources: &[(String, ResourceType)],
) -> wasmtime::Result<()> {
    resources
        .iter()
        .try_for_each(|(name, _ty)| define_resource(instance, name, None))
}

/// Defines a type of resources: one that passes, or one of which no value ever exists.
fn define_resource(
    instance: &mut LinkerInstance<'_, ComponentState>,
    name: &str,
    ty: Option<ResourceType>,
) -> wasmtime::Result<()> {
    let Some(ty) = ty else {
        return instance.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()));
    };
    instance.resource(name, ty, |mut store, number| {
        // Those who answer the import hear of it when this was the last handle.
        drop(store.data_mut().held.remove(number));
        Ok(())
    })
}

/// Defines a function that fails, and says which it is.
fn define_stub(
    instance: &mut LinkerInstance<'_, ComponentState>,
    function: &str,
    import: String,
) -> wasmtime::Result<()> {
    instance.func_new(function, move |_, _, _, _| {
        Err(Error::Unanswered(import.clone()).into())
    })
}

/// The text for a function whose types cannot pass.
fn unsupported(operation: &str, what: &str) -> String {
    format!(
        "{} (it {what}, which cannot pass between guests and providers yet)",
        cut(operation, MAX_TEXT)
    )
}

/// The error for a component that cannot be linked, even with stubs: an import is of a kind that has none.
fn unlinked(error: &wasmtime::Error) -> Error {
    Error::Module(format!("the component cannot be linked: {error:#}"))
}
