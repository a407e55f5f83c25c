//! The guest ABIs: how a call gets in and out of an instance.
//!
//! [`wasmbus`] is that of the OTP era's modules, [`component`] that of WASI 0.2 and the component
//! model; a [`command`] of WASI preview 1 becomes a component. Both run in a [`store`] that is
//! bounded in the same way.

mod command;
mod component;
mod store;
mod wasmbus;

use std::sync::{Arc, Weak};

use exosuit_core::{Invocation, Reply};

use crate::actor::Shared;
use crate::code::Code;
use crate::explain::cut;
use crate::{Engine, Error, pool};

pub(crate) use self::command::{adapt, is_command};

/// What links the code of each ABI; made once per engine.
pub(crate) struct Linkers {
    wasmbus: wasmbus::Linker,
    component: component::Linker,
}

impl Linkers {
    pub(crate) fn new(engine: &wasmtime::Engine) -> Result<Self, Error> {
        Ok(Self {
            wasmbus: wasmbus::linker(engine)?,
            component: component::linker(engine)?,
        })
    }
}

/// An instance that is ready for a call.
pub(crate) enum Guest {
    Wasmbus(wasmbus::Guest),
    Component(component::Guest),
}

pub(crate) type Pool = pool::Pool<Guest>;
type Seat = pool::Seat<Guest>;

/// Code that was checked against its ABI and linked.
pub(crate) enum Prepared {
    Wasmbus(wasmbus::Prepared),
    Component(Arc<component::Prepared>),
}

impl Prepared {
    pub(crate) fn new(engine: &Engine, code: &Code) -> Result<Self, Error> {
        let linkers = engine.linkers();
        match code {
            Code::Module(module) => {
                wasmbus::Prepared::new(&linkers.wasmbus, module).map(Self::Wasmbus)
            }
            Code::Component(component) => {
                let prepared = component::Prepared::new(&linkers.component, component)?;
                Ok(Self::Component(Arc::new(prepared)))
            }
        }
    }

    pub(crate) async fn call(
        &self,
        actor: &Arc<Shared>,
        pool: &Weak<Pool>,
        invocation: Invocation,
    ) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus(prepared) => {
                let answer = prepared.call(actor, pool, invocation).await;
                answer.map(Reply::Bytes)
            }
            // In a box of its own: the calls of wasmbus modules need not make room for it.
            Self::Component(prepared) => Box::pin(prepared.call(actor, pool, invocation)).await,
        }
    }
}

/// What bytes claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    Component,
}

/// What the bytes claim to be, of what an ABI here is for.
pub(crate) fn kind(bytes: &[u8]) -> Result<Kind, Error> {
    match bytes {
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Kind::Module),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(Kind::Component),
        [b'\0', b'a', b's', b'm', ..] => Err(Error::Module(
            "the module is of a version of Wasm that is not known here, expected version 1"
                .to_owned(),
        )),
        _ => Err(Error::Module(format!(
            "the bytes are not Wasm: expected them to begin with \"\\0asm\", they begin with {:?}",
            cut(&String::from_utf8_lossy(&bytes[..bytes.len().min(8)]), 8)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_and_components_pass() {
        assert_eq!(kind(b"\0asm\x01\0\0\0"), Ok(Kind::Module));
        assert_eq!(kind(b"\0asm\x0d\0\x01\0"), Ok(Kind::Component));
        for bad in [
            &b""[..],
            b"\0as",
            b"\0asm\x02\0\0\0",
            b"(module)",
            b"\xff\xfe\xff\xfe\xff",
        ] {
            assert!(matches!(kind(bad), Err(Error::Module(_))), "{bad:?} passed");
        }
    }
}
