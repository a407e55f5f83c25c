//! Functions of strings and lists of bytes alone, called with one copy of the bytes each way. [`import`] has those
//! that the guest calls.
//!
//! `Val` takes forty bytes for each byte of a list, and a step for each of them: a megabyte would cost 40, and more
//! than a slice. wasmtime copies a `Vec<u8>` in one piece, if the Rust type of the function is known. So the few
//! shapes that are common are written out here as Rust types:
//!
//! - parameters: none; `string`; `list<u8>`; `string, string`; `string, list<u8>`,
//! - results: none, `string`, `list<u8>`, or a `result` of one of these with a string as its error.
//!
//! Every other function goes the way of `value`, with the same outcome.

pub(super) mod import;

use bytes::Bytes;
use exosuit_core::Value;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Lift, Lower, TypedFunc};

use super::state::ComponentState;
use super::types::{Signature, WitType};
use crate::Error;

/// The arguments of such a function, by the types of its parameters.
pub(super) enum Arguments {
    None,
    Text(String),
    Bytes(Bytes),
    TextAndText(String, String),
    TextAndBytes(String, Bytes),
}

/// The type of a parameter or of a result.
#[derive(Clone, Copy)]
enum Plain {
    Text,
    Bytes,
}

impl Plain {
    /// The type as one of the two, if it is one.
    fn of(ty: &WitType) -> Option<Self> {
        match ty {
            WitType::String => Some(Self::Text),
            WitType::Bytes => Some(Self::Bytes),
            _ => None,
        }
    }
}

impl Arguments {
    /// The arguments, if the function is of such types, and they are such values; otherwise, the values. Those go the
    /// general way then, which converts them or says what is wrong.
    pub(super) fn of(signature: &Signature, values: Vec<Value>) -> Result<Self, Vec<Value>> {
        if Shape::of(signature).is_none() || values.len() != signature.parameters.len() {
            return Err(values);
        }
        let types = signature.parameters.iter().map(|(_name, ty)| ty);
        let fit = types.zip(&values).all(|(ty, value)| match (ty, value) {
            (WitType::String, Value::Binary(bytes)) => std::str::from_utf8(bytes).is_ok(),
            (WitType::Bytes, Value::Binary(_)) => true,
            _ => false,
        });
        if fit {
            Self::plain(signature, values)
        } else {
            Err(values)
        }
    }

    /// The payload as the one argument that the function takes.
    pub(super) fn from_bytes(signature: &Signature, payload: Bytes) -> Result<Self, Error> {
        if Shape::of(signature).is_none() {
            return Err(Error::Input(
                "the function does not give a string, a list of bytes, nothing, or a result of these with a string \
                 as its error: call it with a list of arguments"
                    .to_owned(),
            ));
        }
        match &signature.parameters[..] {
            [] if payload.is_empty() => Ok(Self::None),
            [(_name, WitType::String)] => text(payload).map(Self::Text),
            [(_name, WitType::Bytes)] => Ok(Self::Bytes(payload)),
            _ => Err(Error::Input(
                "the function does not take just one string or list of bytes: call it with a list of arguments"
                    .to_owned(),
            )),
        }
    }

    /// The arguments for each list of parameter types that is known here. Texts were checked to be UTF-8 before.
    fn plain(signature: &Signature, values: Vec<Value>) -> Result<Self, Vec<Value>> {
        use Plain::{Bytes as B, Text as T};
        let types = signature.parameters.iter().map(|(_name, ty)| Plain::of(ty));
        let types: Vec<_> = types.collect();
        let as_text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        match (&types[..], &values[..]) {
            ([], []) => Ok(Self::None),
            ([Some(T)], [Value::Binary(one)]) => Ok(Self::Text(as_text(one))),
            ([Some(B)], [Value::Binary(one)]) => Ok(Self::Bytes(one.clone())),
            ([Some(T), Some(T)], [Value::Binary(one), Value::Binary(two)]) => {
                Ok(Self::TextAndText(as_text(one), as_text(two)))
            }
            ([Some(T), Some(B)], [Value::Binary(one), Value::Binary(two)]) => {
                Ok(Self::TextAndBytes(as_text(one), two.clone()))
            }
            _ => Err(values),
        }
    }

    /// Calls the function, which is of the types that the arguments were made for. wasmtime checks the types once
    /// more.
    pub(super) async fn call(
        self,
        store: &mut Store<ComponentState>,
        function: Func,
        signature: &Signature,
    ) -> wasmtime::Result<Value> {
        let Some(shape) = Shape::of(signature) else {
            wasmtime::bail!("a function of other types");
        };
        match &self {
            Self::None => shape.call(store, function, ()).await,
            Self::Text(text) => shape.call(store, function, (&text[..],)).await,
            Self::Bytes(bytes) => shape.call(store, function, (&bytes[..],)).await,
            Self::TextAndText(one, two) => shape.call(store, function, (&one[..], &two[..])).await,
            Self::TextAndBytes(one, two) => shape.call(store, function, (&one[..], &two[..])).await,
        }
    }
}

fn text(payload: Bytes) -> Result<String, Error> {
    let not_text =
        |_| Error::Input("the function takes a string, the payload is not UTF-8".to_owned());
    String::from_utf8(payload.into()).map_err(not_text)
}

/// The results of such functions.
#[derive(Clone, Copy)]
enum Shape {
    Nothing,
    One(Plain),
    /// A `result` whose error is a string.
    Result(Option<Plain>),
}

impl Shape {
    /// The shape of a function's result; `None` if it gives anything else.
    fn of(signature: &Signature) -> Option<Self> {
        match &signature.result {
            None => Some(Self::Nothing),
            Some(WitType::Result(ok, error)) => {
                let told = matches!(error.as_deref(), Some(WitType::String));
                let ok = ok.as_deref();
                match ok.map(Plain::of) {
                    _ if !told => None,
                    None => Some(Self::Result(None)),
                    Some(Some(plain)) => Some(Self::Result(Some(plain))),
                    Some(None) => None,
                }
            }
            Some(ty) => Plain::of(ty).map(Self::One),
        }
    }

    /// Picks the Rust type of the result. Together with the five of the parameters these are thirty functions, which
    /// the compiler makes from one.
    async fn call<P>(
        self,
        store: &mut Store<ComponentState>,
        function: Func,
        parameters: P,
    ) -> wasmtime::Result<Value>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        match self {
            Self::Nothing => typed::<P, ()>(store, function, parameters).await,
            Self::One(Plain::Text) => typed::<P, (String,)>(store, function, parameters).await,
            Self::One(Plain::Bytes) => typed::<P, (Vec<u8>,)>(store, function, parameters).await,
            Self::Result(None) => {
                typed::<P, (Result<(), String>,)>(store, function, parameters).await
            }
            Self::Result(Some(Plain::Text)) => {
                typed::<P, (Result<String, String>,)>(store, function, parameters).await
            }
            Self::Result(Some(Plain::Bytes)) => {
                typed::<P, (Result<Vec<u8>, String>,)>(store, function, parameters).await
            }
        }
    }
}

/// Calls a function by Rust types. The look-up compares types, not names.
async fn typed<P, R>(
    store: &mut Store<ComponentState>,
    function: Func,
    parameters: P,
) -> wasmtime::Result<Value>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + ComponentType + Lift + IntoValue + Send + Sync + 'static,
{
    let function: TypedFunc<P, R> = function.typed(&*store)?;
    let answer = function.call_async(store, parameters).await?;
    Ok(answer.into_value().unwrap_or(Value::Nil))
}

/// A result as a value; none where the function gives nothing.
trait IntoValue {
    fn into_value(self) -> Option<Value>;
}

impl IntoValue for () {
    fn into_value(self) -> Option<Value> {
        None
    }
}

impl IntoValue for String {
    fn into_value(self) -> Option<Value> {
        Some(Value::binary(self))
    }
}

impl IntoValue for Vec<u8> {
    fn into_value(self) -> Option<Value> {
        Some(Value::binary(self))
    }
}

impl<T: IntoValue> IntoValue for Result<T, String> {
    fn into_value(self) -> Option<Value> {
        let case = |value: Option<Value>| value.map(Box::new);
        Some(match self {
            Ok(value) => Value::Ok(case(value.into_value())),
            Err(error) => Value::Error(case(error.into_value())),
        })
    }
}

impl<T: IntoValue> IntoValue for (T,) {
    fn into_value(self) -> Option<Value> {
        self.0.into_value()
    }
}
