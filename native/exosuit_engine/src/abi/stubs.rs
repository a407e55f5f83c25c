//! Stubs for the imports of a module that nothing here answers. A stub fails when it is called, so that a
//! module which never calls it runs.
//!
//! Toolchains import functions that no path of the program reaches. Only functions have stubs: a missing memory,
//! table or global has no value that would fail later, so such a module is refused. Components have stubs of their
//! own (`component::unanswered`).

use wasmtime::{ExternType, FuncType, InstancePre, Linker, Module, UnknownImportError};

use crate::Error;
use crate::explain::{MAX_NAME, cut};

/// The most of them that a module may have: each makes the linking of the others a little longer.
const MAX_UNANSWERED: usize = 1_000;

/// Links a module. Also returns the imports that became stubs. wasmtime names one missing import at a time, so linking
/// is tried again after each stub.
///
/// The linker is copied: stubs are for this module alone. The error of the last try is that of the module: a missing
/// import that is no function, or more than [`MAX_UNANSWERED`] missing ones.
pub(super) fn linked<T: 'static>(
    linker: &Linker<T>,
    module: &Module,
) -> wasmtime::Result<(InstancePre<T>, Vec<String>)> {
    let mut linker = linker.clone();
    let mut unanswered = Vec::new();
    loop {
        let error = match linker.instantiate_pre(module) {
            Ok(instance) => return Ok((instance, unanswered)),
            Err(error) => error,
        };
        match unknown_function(&error) {
            Some((unknown, ty)) if unanswered.len() < MAX_UNANSWERED => {
                unanswered.push(stub(&mut linker, unknown, ty)?);
            }
            _ => return Err(error),
        }
    }
}

/// The function that is missing, if that is what the error says.
fn unknown_function(error: &wasmtime::Error) -> Option<(&UnknownImportError, FuncType)> {
    let unknown: &UnknownImportError = error.downcast_ref()?;
    match unknown.ty() {
        ExternType::Func(ty) => Some((unknown, ty)),
        _ => None,
    }
}

/// Defines the function as one that fails, and gives its name for people: `` `env::abort` ``.
fn stub<T: 'static>(
    linker: &mut Linker<T>,
    unknown: &UnknownImportError,
    ty: FuncType,
) -> wasmtime::Result<String> {
    let (module, function) = (unknown.module(), unknown.name());
    let name = format!("`{}::{}`", cut(module, MAX_NAME), cut(function, MAX_NAME));
    let called = name.clone();
    linker.func_new(module, function, ty, move |_, _, _| {
        Err(Error::Unanswered(called.clone()).into())
    })?;
    Ok(name)
}
