//! The functions that a component exports, called by name.

use std::collections::HashMap;

use bytes::Bytes;
use exosuit_core::{Reply, Value};
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, ComponentType, Func, Instance, Lift,
    Lower, Type, TypedFunc, Val,
};

use super::state::State;
use super::value::{lift, lower, supported};
use crate::Error;
use crate::explain::{MAX_GUEST_ERROR, MAX_NAME, cut};

/// How many functions an error names.
const NAMED: usize = 16;

/// The functions that a component exports, by operation: `ns:pkg/iface@version#function`, the same
/// without its version where that is not ambiguous, or the bare name of one outside of interfaces.
#[derive(Default)]
pub(super) struct Functions(HashMap<String, Option<ComponentExportIndex>>);

impl Functions {
    pub(super) fn of(component: &Component) -> Self {
        let mut functions = Self::default();
        let engine = component.engine();
        for (name, export) in component.component_type().exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => functions.add(component, None, name),
                ComponentItem::ComponentInstance(interface) => {
                    for (function, export) in interface.exports(engine) {
                        if matches!(export.ty, ComponentItem::ComponentFunc(_)) {
                            functions.add(component, Some(name), function);
                        }
                    }
                }
                _ => {}
            }
        }
        functions
    }

    fn add(&mut self, component: &Component, interface: Option<&str>, function: &str) {
        let within = interface.and_then(|name| component.get_export_index(None, name));
        let Some(index) = component.get_export_index(within.as_ref(), function) else {
            return;
        };
        let Some(interface) = interface else {
            self.0.insert(function.to_owned(), Some(index));
            return;
        };
        if let Some((unversioned, _version)) = interface.split_once('@') {
            let short = self.0.entry(format!("{unversioned}#{function}"));
            // A second version makes the short name mean neither.
            short
                .and_modify(|index| *index = None)
                .or_insert(Some(index));
        }
        self.0
            .insert(format!("{interface}#{function}"), Some(index));
    }

    pub(super) fn find(&self, operation: &str) -> Result<&ComponentExportIndex, Error> {
        let found = self.0.get(operation).and_then(Option::as_ref);
        found.ok_or_else(|| self.unknown(operation))
    }

    fn unknown(&self, operation: &str) -> Error {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        let more = if names.len() > NAMED { ", …" } else { "" };
        let names = names
            .into_iter()
            .take(NAMED)
            .map(|name| cut(name, MAX_NAME));
        Error::UnknownOperation(format!(
            "the component exports no function {:?}, it exports {}{more}",
            cut(operation, MAX_NAME),
            names.collect::<Vec<_>>().join(", ")
        ))
    }
}

/// The function itself, in an instance.
pub(super) fn function(
    store: &mut Store<State>,
    instance: Instance,
    index: &ComponentExportIndex,
) -> wasmtime::Result<Func> {
    let function = instance.get_func(store, index);
    function.ok_or_else(|| wasmtime::format_err!("an export that was there is gone"))
}

/// Calls it with values.
pub(super) async fn call_with_values(
    store: &mut Store<State>,
    function: Func,
    arguments: Vec<Value>,
) -> wasmtime::Result<Reply> {
    let ty = function.ty(&*store);
    let parameters = parameters(&ty.params().collect::<Vec<_>>(), arguments)?;
    let result = ty.results().next();
    if let Some(what) = result.as_ref().and_then(|ty| supported(ty).err()) {
        let text = format!("the function gives {what}, which cannot be told here yet");
        return Err(Error::Input(text).into());
    }
    let mut results = vec![Val::Bool(false); usize::from(result.is_some())];
    function
        .call_async(store, &parameters, &mut results)
        .await?;
    let value = results.pop().zip(result);
    Ok(Reply::Value(
        value.map_or(Value::Nil, |(val, ty)| lift(&val, &ty)),
    ))
}

fn parameters(types: &[(&str, Type)], arguments: Vec<Value>) -> Result<Vec<Val>, Error> {
    if types.len() != arguments.len() {
        return Err(Error::Input(format!(
            "the function takes {} arguments, got {}",
            types.len(),
            arguments.len()
        )));
    }
    let lowered = types.iter().zip(arguments).map(|((name, ty), value)| {
        lower(value, ty).map_err(|what| Error::Input(format!("argument {name:?}: {what}")))
    });
    lowered.collect()
}

/// Calls it with bytes: one of at most one string or list of bytes, that gives such a one, or a
/// result of such a one, or nothing. Bytes are copied once each way.
pub(super) async fn call_with_bytes(
    store: &mut Store<State>,
    function: Func,
    payload: &Bytes,
) -> wasmtime::Result<Reply> {
    let ty = function.ty(&*store);
    let types: Vec<Type> = ty.params().map(|(_name, ty)| ty).collect();
    let result = ty.results().next();
    match &types[..] {
        [] if payload.is_empty() => call_typed(store, function, (), result).await,
        [Type::String] => {
            let text = std::str::from_utf8(payload).map_err(|_| {
                Error::Input("the function takes a string, the payload is not UTF-8".to_owned())
            })?;
            call_typed(store, function, (text,), result).await
        }
        [Type::List(list)] if list.ty() == Type::U8 => {
            call_typed(store, function, (&payload[..],), result).await
        }
        _ => Err(Error::Input(
            "the function does not take just one string or list of bytes: call it with a list of \
             arguments"
                .to_owned(),
        )
        .into()),
    }
}

async fn call_typed<P>(
    store: &mut Store<State>,
    function: Func,
    parameters: P,
    result: Option<Type>,
) -> wasmtime::Result<Reply>
where
    P: ComponentNamedList + Lower + Send + Sync,
{
    match result {
        None => call_for::<P, ()>(store, function, parameters).await,
        Some(Type::String) => call_for::<P, (String,)>(store, function, parameters).await,
        Some(ty) if is_bytes(&ty) => call_for::<P, (Vec<u8>,)>(store, function, parameters).await,
        Some(Type::Result(ty)) if ty.err() == Some(Type::String) => match ty.ok() {
            None => call_for::<P, (Result<(), String>,)>(store, function, parameters).await,
            Some(Type::String) => {
                call_for::<P, (Result<String, String>,)>(store, function, parameters).await
            }
            Some(ty) if is_bytes(&ty) => {
                call_for::<P, (Result<Vec<u8>, String>,)>(store, function, parameters).await
            }
            Some(_) => Err(no_bytes()),
        },
        Some(_) => Err(no_bytes()),
    }
}

fn no_bytes() -> wasmtime::Error {
    Error::Input(
        "the function does not give a string, a list of bytes, nothing, or a result of these with \
         a string as its error: call it with a list of arguments"
            .to_owned(),
    )
    .into()
}

fn is_bytes(ty: &Type) -> bool {
    matches!(ty, Type::List(list) if list.ty() == Type::U8)
}

async fn call_for<P, R>(
    store: &mut Store<State>,
    function: Func,
    parameters: P,
) -> wasmtime::Result<Reply>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + ComponentType + Lift + InBytes + Send + Sync + 'static,
{
    let function: TypedFunc<P, R> = function.typed(&*store)?;
    let answer = function.call_async(store, parameters).await?;
    let bytes = answer.in_bytes();
    let told = |text: String| Error::Guest(cut(&text, MAX_GUEST_ERROR).to_owned());
    Ok(Reply::Bytes(bytes.map_err(told)?))
}

/// A result that can be told in bytes.
trait InBytes {
    fn in_bytes(self) -> Result<Bytes, String>;
}

impl InBytes for () {
    fn in_bytes(self) -> Result<Bytes, String> {
        Ok(Bytes::new())
    }
}

impl InBytes for String {
    fn in_bytes(self) -> Result<Bytes, String> {
        Ok(self.into())
    }
}

impl InBytes for Vec<u8> {
    fn in_bytes(self) -> Result<Bytes, String> {
        Ok(self.into())
    }
}

impl<T: InBytes> InBytes for Result<T, String> {
    fn in_bytes(self) -> Result<Bytes, String> {
        self.and_then(T::in_bytes)
    }
}

impl<T: InBytes> InBytes for (T,) {
    fn in_bytes(self) -> Result<Bytes, String> {
        self.0.in_bytes()
    }
}
