//! Imports that take and give strings and lists of bytes alone: as calls through the router, with one copy of the
//! bytes each way.
//!
//! It defines the import with the Rust types of its function, so that wasmtime copies strings and bytes in one piece.
//! An answer of another shape than that is converted by the type in the general way, which also says what is wrong
//! with it.

use std::sync::Arc;

use exosuit_core::Value;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};

use super::super::bridge::Bridge;
use super::super::state::ComponentState;
use super::super::value::lift;
use super::{IntoValue, Plain, Shape};
use crate::Error;

/// Defines the import. Returns `None` if it takes or gives other types.
pub(in crate::abi::component) fn define(
    instance: &mut LinkerInstance<ComponentState>,
    function: &str,
    bridge: &Arc<Bridge>,
) -> Option<wasmtime::Result<()>> {
    use Plain::{Bytes as B, Text as T};
    let shape = Shape::of(&bridge.signature)?;
    let parameters = bridge.signature.parameters.iter();
    let parameters: Option<Vec<_>> = parameters.map(|(_name, ty)| Plain::of(ty)).collect();
    let import = Import {
        instance,
        function,
        bridge,
    };
    Some(match parameters?[..] {
        [] => import.take::<()>(shape),
        [T] => import.take::<(String,)>(shape),
        [B] => import.take::<(Vec<u8>,)>(shape),
        [T, T] => import.take::<(String, String)>(shape),
        [T, B] => import.take::<(String, Vec<u8>)>(shape),
        _ => return None,
    })
}

/// An import that is being defined.
struct Import<'a, 'i> {
    instance: &'a mut LinkerInstance<'i, ComponentState>,
    function: &'a str,
    bridge: &'a Arc<Bridge>,
}

impl Import<'_, '_> {
    /// Picks the Rust type of the result.
    fn take<P: Parameters>(self, shape: Shape) -> wasmtime::Result<()> {
        match shape {
            Shape::Nothing => self.give::<P, ()>(),
            Shape::One(Plain::Text) => self.give::<P, (String,)>(),
            Shape::One(Plain::Bytes) => self.give::<P, (Vec<u8>,)>(),
            Shape::Result(None) => self.give::<P, (Result<(), String>,)>(),
            Shape::Result(Some(Plain::Text)) => self.give::<P, (Result<String, String>,)>(),
            Shape::Result(Some(Plain::Bytes)) => self.give::<P, (Result<Vec<u8>, String>,)>(),
        }
    }

    /// Defines the function, with both Rust types known.
    fn give<P: Parameters, R: Answer>(self) -> wasmtime::Result<()> {
        let bridge = Arc::clone(self.bridge);
        self.instance
            .func_wrap_async(self.function, move |store, parameters: P| {
                let bridge = Arc::clone(&bridge);
                let arguments = parameters.into_values();
                Box::new(async move {
                    let answer = bridge.ask(&store.data().caller, arguments).await;
                    R::new(&bridge, answer, store.data().max_value_bytes())
                })
            })
    }
}

/// The parameters of such an import.
trait Parameters: ComponentNamedList + Lift + Send + 'static {
    fn into_values(self) -> Vec<Value>;
}

impl Parameters for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl<T: Lift + IntoValue + Send + 'static> Parameters for (T,) {
    fn into_values(self) -> Vec<Value> {
        self.0.into_value().into_iter().collect()
    }
}

impl<T, U> Parameters for (T, U)
where
    T: Lift + IntoValue + Send + 'static,
    U: Lift + IntoValue + Send + 'static,
{
    fn into_values(self) -> Vec<Value> {
        let values = [self.0.into_value(), self.1.into_value()];
        values.into_iter().flatten().collect()
    }
}

/// The result of such an import.
trait Answer: ComponentNamedList + Lower + Send + Sized + 'static {
    /// The answer of the provider as the guest gets it.
    fn new(
        bridge: &Bridge,
        answer: Result<Value, exosuit_core::Error>,
        max_bytes: usize,
    ) -> wasmtime::Result<Self>;
}

impl Answer for () {
    fn new(
        _bridge: &Bridge,
        answer: Result<Value, exosuit_core::Error>,
        _max_bytes: usize,
    ) -> wasmtime::Result<Self> {
        answer.map_err(Error::Host)?;
        Ok(())
    }
}

impl<T: Lower + FromValue + Send + 'static> Answer for (T,) {
    /// An answer of another form, and a failure, go the way of all other types, which knows what to do with them.
    fn new(
        bridge: &Bridge,
        answer: Result<Value, exosuit_core::Error>,
        max_bytes: usize,
    ) -> wasmtime::Result<Self> {
        let answer = match answer.map(|value| T::from_value(Some(value))) {
            Ok(Ok(answer)) => return Ok((answer,)),
            Ok(Err(value)) => Ok(value.unwrap_or(Value::Nil)),
            Err(error) => Err(error),
        };
        if let Some(ty) = &bridge.signature.result {
            let given = lift(&bridge.given(answer, ty, max_bytes)?, ty, &mut ());
            if let Ok(answer) = T::from_value(Some(given)) {
                return Ok((answer,));
            }
        }
        wasmtime::bail!("an import of other types")
    }
}

/// A result from a value: `None` is what a result without a value has. A value of another form is given back.
trait FromValue: Sized {
    fn from_value(value: Option<Value>) -> Result<Self, Option<Value>>;
}

impl FromValue for () {
    fn from_value(value: Option<Value>) -> Result<Self, Option<Value>> {
        match value {
            None => Ok(()),
            other => Err(other),
        }
    }
}

impl FromValue for String {
    fn from_value(value: Option<Value>) -> Result<Self, Option<Value>> {
        let bytes = Vec::from_value(value)?;
        let other = |error: std::string::FromUtf8Error| Some(Value::binary(error.into_bytes()));
        Self::from_utf8(bytes).map_err(other)
    }
}

impl FromValue for Vec<u8> {
    /// Takes the bytes themselves, unless somebody else has them as well.
    fn from_value(value: Option<Value>) -> Result<Self, Option<Value>> {
        match value {
            Some(Value::Binary(bytes)) => Ok(bytes.into()),
            other => Err(other),
        }
    }
}

impl<T: FromValue> FromValue for Result<T, String> {
    fn from_value(value: Option<Value>) -> Result<Self, Option<Value>> {
        match value {
            Some(Value::Ok(value)) => {
                let ok = T::from_value(value.map(|value| *value));
                ok.map(Ok)
                    .map_err(|other| Some(Value::Ok(other.map(Box::new))))
            }
            Some(Value::Error(value)) => {
                let error = String::from_value(value.map(|value| *value));
                error
                    .map(Err)
                    .map_err(|other| Some(Value::Error(other.map(Box::new))))
            }
            other => Err(other),
        }
    }
}
