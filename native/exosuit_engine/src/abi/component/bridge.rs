//! A call of an import that others answer: through the router, and back with an answer that is checked by its type.
//!
//! An actor, a built-in provider or one in Elixir gets values without types, and answers with such. A call can fail where
//! the guest's function cannot: no link, a deadline, an answer of another type. A function that gives a `result` with a
//! string as its error gets the text there, and the guest can handle it. Any other function has no value for a failure,
//! so its guest traps.
//!
//! # The way of a call
//!
//! ```text
//! guest ─► Val ─► lift ─► Value ─► router ─► provider or actor
//! guest ◄─ Val ◄─ lower ◄ Value ◄───────────── answer, checked against the type
//! ```
//!
//! Arguments need no check: wasmtime has made them by the type. Resources that the guest lends are lent for as long as
//! the call runs (`loans`), and come back when it ends, also if it is dropped.

use std::future::Future;
use std::sync::Arc;

use exosuit_core::{Contract, Value, are_heavy};
use wasmtime::StoreContextMut;
use wasmtime::component::{ResourceAny, Val};

use super::caller::Caller;
use super::resources::{Entering, Leaving, Rules, drop_all};
use super::state::ComponentState;
use super::types::{Signature, WitType};
use super::value::{Misfit, lift, lower};
use crate::Error;
use crate::slice::leave_scheduler;

/// A function that others answer. One for each function of each such import, made when the component is linked.
pub(super) struct Bridge {
    /// The package of the interface, by which links are found.
    pub(super) contract: Contract,
    /// `acme:shop/orders@1.0.0#place`.
    pub(super) operation: String,
    pub(super) signature: Arc<Signature>,
}

impl Bridge {
    /// Calls the function for a guest.
    ///
    /// The arguments are converted before the future begins, as they are borrowed from wasmtime. If the answer is of
    /// a wrong type, the resources that it brought in are dropped in the instance before the guest goes on.
    pub(super) fn call<'a>(
        self: Arc<Self>,
        mut store: StoreContextMut<'a, ComponentState>,
        parameters: &[Val],
        results: &'a mut [Val],
    ) -> impl Future<Output = wasmtime::Result<()>> + Send + use<'a> {
        let lifted = parameters.iter().zip(&self.signature.parameters);
        let mut leaving = Leaving::new(&mut store, None);
        let arguments: Vec<_> = lifted
            .map(|(val, (_name, ty))| lift(val, ty, &mut leaving))
            .collect();
        let loans = leaving.finish();
        async move {
            let loans = loans?;
            let answer = self.ask(&store.data().caller, arguments).await;
            drop(loans);
            if let (Some(ty), Some(result)) = (&self.signature.result, results.first_mut()) {
                let mut unused = Vec::new();
                let lowered = answer.and_then(|value| {
                    let lowered = self.lower(&mut store, value, ty, &mut unused);
                    lowered.map_err(|misfit| self.misfit(&misfit))
                });
                drop_all(&mut store, unused).await?;
                *result = given(lowered, ty)?;
            } else {
                answer.map_err(Error::Host)?;
            }
            Ok(())
        }
    }

    /// Calls the function through the router, and waits for its answer. Arguments that take long to become terms of
    /// Elixir leave the scheduler first.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        arguments: Vec<Value>,
    ) -> Result<Value, exosuit_core::Error> {
        if are_heavy(&arguments) {
            leave_scheduler().await;
        }
        let operation = self.operation.clone();
        caller
            .ask(self.contract.as_str(), operation, arguments)
            .await
    }

    /// The result of a function without resources.
    pub(super) fn given(
        &self,
        answer: Result<Value, exosuit_core::Error>,
        ty: &WitType,
        max_bytes: usize,
    ) -> Result<Val, Error> {
        let lowered = answer.and_then(|value| {
            let lowered = lower(value, ty, max_bytes, &mut ());
            lowered.map_err(|misfit| self.misfit(&misfit))
        });
        given(lowered, ty)
    }

    /// The answer as the guest gets it. If it does not fit, `unused` gets the resources in it.
    fn lower(
        &self,
        store: &mut StoreContextMut<'_, ComponentState>,
        answer: Value,
        ty: &WitType,
        unused: &mut Vec<ResourceAny>,
    ) -> Result<Val, Misfit> {
        let max = store.data().max_value_bytes();
        if !self.signature.has_resources {
            return lower(answer, ty, max, &mut ());
        }
        self.name_types(&answer);
        let rules = Rules::new(Arc::clone(&store.data().caller.actor), None);
        let mut entering = Entering::new(store, rules);
        let lowered = lower(answer, ty, max, &mut entering);
        let (lowered, dropped) = entering.commit(lowered);
        *unused = dropped;
        lowered
    }

    /// Gives new resources in an answer their type, before the answer is checked: if it does not fit, their maker
    /// is told the type of what has ended.
    fn name_types(&self, answer: &Value) {
        if let Some(kind) = &self.signature.gives {
            answer.resources(&mut |handle| {
                if let Some(held) = handle.get() {
                    held.is_of(&kind.name);
                }
            });
        }
    }

    /// The error for an answer of another type: a mistake of the provider.
    fn misfit(&self, misfit: &Misfit) -> exosuit_core::Error {
        let operation = &self.operation;
        exosuit_core::Error::new(
            exosuit_core::Code::Provider,
            format!("the answer to {operation} is not of its type: {misfit}"),
        )
    }
}

/// The result of the guest's function. A failure becomes the error of a `result` with a string as its error. For all
/// other functions it is a trap.
fn given(answer: Result<Val, exosuit_core::Error>, ty: &WitType) -> Result<Val, Error> {
    let error = match answer {
        Ok(val) => return Ok(val),
        Err(error) => error,
    };
    match ty {
        WitType::Result(_, Some(told)) if matches!(**told, WitType::String) => {
            let text = Val::String(error.detail);
            Ok(Val::Result(Err(Some(Box::new(text)))))
        }
        _ => Err(Error::Host(error)),
    }
}
