//! The guest ABIs: how a call gets in and out of an instance.
//!
//! [`wasmbus`] is that of the OTP era's modules, [`program`] that of commands of WASI preview 1, and
//! [`component`] that of WASI 0.2 and the component model. All run in a [`store`] that is bounded in
//! the same way. [`preview1`] is what modules see of WASI, [`stubs`] are the functions that they import
//! and nothing here answers.

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

pub(crate) use self::guest::Pool;
use crate::Error;
use crate::actor_shared::ActorShared;
use crate::code::Code;
use crate::configuration::setup;

/// What links the code of each ABI; made once per engine.
pub(crate) struct Linkers {
    wasmbus: wasmbus::Linker,
    program: program::Linker,
    component: component::Linker,
}

impl Linkers {
    pub(crate) fn new(engine: &wasmtime::Engine) -> Result<Self, Error> {
        Ok(Self {
            wasmbus: wasmbus::linker(engine)?,
            program: program::linker(engine)?,
            component: component::linker(engine)?,
        })
    }
}

/// Code that was checked against its ABI and linked.
pub(crate) enum Prepared {
    Wasmbus(wasmbus::Prepared),
    Program(program::Prepared),
    Component(Arc<component::Prepared>),
}

impl Prepared {
    pub(crate) fn new(linkers: &Linkers, code: &Code) -> Result<Self, Error> {
        match code {
            Code::Module(module) if is_program(module) => {
                program::Prepared::new(&linkers.program, module).map(Self::Program)
            }
            Code::Module(module) => {
                wasmbus::Prepared::new(&linkers.wasmbus, module).map(Self::Wasmbus)
            }
            Code::Component(component) => {
                let prepared = component::Prepared::new(&linkers.component, component)?;
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

    /// Makes an instance as for a call, and drops it.
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

    pub(crate) async fn call(
        &self,
        actor: &Arc<ActorShared>,
        pool: &Weak<Pool>,
        invocation: Invocation,
    ) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus(prepared) => {
                let answer = prepared.call(actor, pool, invocation).await;
                answer.map(Reply::Bytes)
            }
            // In boxes of their own: the calls of wasmbus modules need not make room for them.
            Self::Program(prepared) => {
                let answer = Box::pin(prepared.call(actor, invocation)).await;
                answer.map(Reply::Bytes)
            }
            Self::Component(prepared) => Box::pin(prepared.call(actor, pool, invocation)).await,
        }
    }
}

/// Whether the module is a command, and not an actor that has a `_start` as well.
fn is_program(module: &wasmtime::Module) -> bool {
    let exports = |name| matches!(module.get_export(name), Some(ExternType::Func(_)));
    exports(program::START) && !exports(wasmbus::GUEST_CALL)
}

/// The imports of code without exports that nothing here answers.
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
