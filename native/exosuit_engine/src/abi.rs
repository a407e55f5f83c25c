//! The guest ABIs: how a call gets in and out of an instance.
//!
//! [`wasmbus`] is the one there is. Another, as components are, is another variant of [`Prepared`]
//! and another encoding that [`check`] lets pass.

mod wasmbus;

use std::sync::Arc;

use exosuit_core::{Invocation, Reply};

use crate::actor::Shared;
use crate::explain::cut;
use crate::{Engine, Error};

/// What links the modules of each ABI; made once per engine.
pub(crate) struct Linkers {
    wasmbus: wasmbus::Linker,
}

impl Linkers {
    pub(crate) fn new(engine: &wasmtime::Engine) -> Result<Self, Error> {
        Ok(Self {
            wasmbus: wasmbus::linker(engine)?,
        })
    }
}

/// A module that was checked against its ABI and linked.
pub(crate) enum Prepared {
    Wasmbus(wasmbus::Prepared),
}

impl Prepared {
    pub(crate) fn new(engine: &Engine, module: &wasmtime::Module) -> Result<Self, Error> {
        wasmbus::Prepared::new(&engine.linkers().wasmbus, module).map(Self::Wasmbus)
    }

    pub(crate) async fn call(
        &self,
        actor: &Arc<Shared>,
        invocation: Invocation,
    ) -> Result<Reply, Error> {
        match self {
            Self::Wasmbus(prepared) => prepared.call(actor, invocation).await.map(Reply::Bytes),
        }
    }
}

/// Whether the bytes claim to be something that an ABI here is for.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    match bytes {
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Err(Error::Component),
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
    fn only_core_modules_pass() {
        assert_eq!(check(b"\0asm\x01\0\0\0"), Ok(()));
        assert_eq!(check(b"\0asm\x0d\0\x01\0"), Err(Error::Component));
        for bad in [
            &b""[..],
            b"\0as",
            b"\0asm\x02\0\0\0",
            b"(module)",
            b"\xff\xfe\xff\xfe\xff",
        ] {
            assert!(
                matches!(check(bad), Err(Error::Module(_))),
                "{bad:?} passed"
            );
        }
    }
}
