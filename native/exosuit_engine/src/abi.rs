//! The guest ABIs: how a call gets into an instance, and its answer out.
//!
//! - [`wasmbus`]: modules of the OTP era, which exchange bytes.
//! - [`program`]: modules that are commands of WASI preview 1.
//! - [`component`]: components of WASI 0.2, with typed functions.
//!
//! All run in a [`store`] with the same bounds. [`guest`] is an instance of either kind that can serve more than one
//! call. [`preview1`] is the WASI of modules, [`stubs`] are functions in the place of imports that nothing here
//! answers.
//!
//! Two steps, as far apart as possible. *Linking* depends on code alone: it happens once per module, on a blocking
//! thread, and resolves every import ([`Prepared`]). A *call* then needs an instance, which takes microseconds, and
//! runs on whatever thread polls it.
//!
//! The ABI is read off the code. A component is a component. A module is a program if it exports `_start` and no
//! `__guest_call`, and a wasmbus module otherwise.
//!
//! | | wasmbus module | program | component |
//! |---|---|---|---|
//! | payload of a call | bytes | bytes: its standard input | values, bytes, or a request of HTTP |
//! | operation | any text; the guest reads it | `wasi:cli/run` | an exported function |
//! | warm instances | yes | no | yes, but for `wasi:cli/run` |
//! | calls to the outside | `__host_call` | none | its imports |
//! | names the link of such a call | yes | – | no |

mod component;
mod guest;
mod preview1;
mod program;
mod store;
mod stubs;
mod wasmbus;

use std::sync::{Arc, Weak};

use exosuit_core::{Context, Invocation, Reply, WitName};
use wasmtime::ExternType;

pub(crate) use self::component::Pins;
pub(crate) use self::guest::Pool;
use crate::Error;
use crate::actor_shared::ActorShared;
use crate::code::Code;
use crate::configuration::setup;

/// The linkers of all ABIs, made once per engine: defining hundreds of host functions takes milliseconds. Each module
/// is linked by a copy, which may get stubs and functions of links besides.
pub(crate) struct Linkers {
    /// One per type of store data: a linker holds functions of one such type.
    wasmbus: wasmbus::WasmbusLinker,
    program: program::ProgramLinker,
    component: component::ComponentLinker,
}

impl Linkers {
    /// Defines all functions of the host. An error means that two definitions collide: a mistake in this crate.
    pub(crate) fn new(engine: &wasmtime::Engine) -> Result<Self, Error> {
        Ok(Self {
            wasmbus: wasmbus::linker(engine)?,
            program: program::linker(engine)?,
            component: component::linker(engine)?,
        })
    }
}

/// Code that was checked against its ABI, and linked. Shared by all actors that run it.
///
/// Components are counted, because a streamed response needs its component for longer than the call has the module.
pub(crate) enum Prepared {
    Wasmbus(wasmbus::PreparedModule),
    Program(program::PreparedProgram),
    Component(Arc<component::PreparedComponent>),
}

impl Prepared {
    /// Checks the exports, and links the imports. Fails with [`Error::Module`], which says what an ABI expects.
    /// Blocks.
    pub(crate) fn new(linkers: &Linkers, code: &Code) -> Result<Self, Error> {
        match code {
            Code::Module(module) if is_program(module) => {
                program::PreparedProgram::new(&linkers.program, module).map(Self::Program)
            }
            Code::Module(module) => {
                wasmbus::PreparedModule::new(&linkers.wasmbus, module).map(Self::Wasmbus)
            }
            Code::Component(component) => {
                let prepared = component::PreparedComponent::new(&linkers.component, component)?;
                Ok(Self::Component(Arc::new(prepared)))
            }
        }
    }

    /// The imports that nothing here answers, each with the reason.
    pub(crate) fn unanswered(&self) -> &[String] {
        match self {
            Self::Wasmbus(prepared) => prepared.unanswered(),
            Self::Program(prepared) => prepared.unanswered(),
            Self::Component(prepared) => prepared.unanswered(),
        }
    }

    /// The names of fields, cases and flags in the types of its functions. A name may come twice.
    pub(crate) fn names<'a>(&'a self, each: &mut impl FnMut(&'a WitName)) {
        if let Self::Component(prepared) = self {
            prepared.names(each);
        }
    }

    /// Makes an instance as for a call and drops it: shows whether the module can start. Takes no permit of the
    /// actor's share, as it must work while the old version of an actor is busy.
    pub(crate) async fn instantiate(
        &self,
        actor: &Arc<ActorShared>,
        context: Context,
    ) -> Result<(), Error> {
        match self {
            Self::Wasmbus(prepared) => prepared.instantiate(actor, context).await,
            Self::Program(prepared) => prepared.instantiate(actor, context).await,
            Self::Component(prepared) => prepared.instantiate(actor, context).await,
        }
    }

    /// Calls the guest: in the instance of `pins` where resources of the call live, in a warm one if one rests in
    /// `pool`, else in a fresh one. Programs always get a fresh one, because they exit. Waits until the actor's share
    /// has room, up to the deadline.
    pub(crate) async fn call(
        &self,
        actor: &Arc<ActorShared>,
        pool: &Weak<Pool>,
        pins: &Weak<Pins>,
        invocation: Invocation,
    ) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus(prepared) => {
                let answer = prepared.call(actor, pool, invocation).await;
                answer.map(Reply::Bytes)
            }
            // Boxed: these futures are larger, and every call of a wasmbus module would reserve their size.
            Self::Program(prepared) => {
                let answer = Box::pin(prepared.call(actor, invocation)).await;
                answer.map(Reply::Bytes)
            }
            Self::Component(prepared) => {
                Box::pin(prepared.call(actor, pool, pins, invocation)).await
            }
        }
    }
}

/// Whether a module is a command. Wasmbus actors may have a `_start` as well, so that alone does not tell.
fn is_program(module: &wasmtime::Module) -> bool {
    let exports = |name| matches!(module.get_export(name), Some(ExternType::Func(_)));
    exports(program::START) && !exports(wasmbus::GUEST_CALL)
}

/// The imports that nothing here answers. The code needs no exports: see `skeleton.rs`.
pub(crate) fn unanswered(linkers: &Linkers, code: &Code) -> Result<Vec<String>, Error> {
    match code {
        Code::Module(module) => {
            let linked = stubs::linked(&linkers.wasmbus, module).map_err(setup)?;
            Ok(linked.1)
        }
        Code::Component(component) => {
            component::linked(&linkers.component, component).map(|linked| linked.unanswered)
        }
    }
}
