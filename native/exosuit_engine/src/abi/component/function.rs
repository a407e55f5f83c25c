//! The functions that a component exports, found by name and called with values or with bytes.
//!
//! # Names of operations
//!
//! | export | operations |
//! |---|---|
//! | `f`, outside of interfaces | `f` |
//! | `f` of `ns:pkg/iface@1.2.0` | `ns:pkg/iface@1.2.0#f`, and `ns:pkg/iface#f` if no other version is exported |
//! | `f` of `ns:pkg/iface` | `ns:pkg/iface#f` |
//!
//! # Two ways to call
//!
//! | | [`call_with_values`] | [`call_with_bytes`] |
//! |---|---|---|
//! | takes | a list of arguments | one binary |
//! | for | any function whose types can pass | one of at most one string or list of bytes |
//! | gives | a value | bytes |
//! | a `result` that is an error | a value, as any other | the error `guest`, with the text |
//!
//! A function whose types cannot pass is found, and a call of it says which type that is.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use exosuit_core::{Reply, Value, WitName, are_heavy};
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Func, Instance, Val};

use super::kinds::Kinds;
use super::plain;
use super::state::ComponentState;
use super::types::{MAX_TYPES, Signature};
use super::value::{Misfit, lift, lower_all};
use crate::Error;
use crate::explain::{MAX_GUEST_ERROR, MAX_NAME, cut};
use crate::slice::leave_scheduler;

/// How many functions an error names.
const MAX_LISTED: usize = 16;

/// How many bytes the names of all operations may have: each has the name of its interface in it.
const MAX_OPERATIONS: usize = 16 << 20;

/// A function that a component exports.
pub(super) struct Function {
    /// Finds the function in an instance without comparing names.
    index: ComponentExportIndex,
    /// Its types, or which of them cannot pass.
    signature: Result<Signature, String>,
}

impl Function {
    /// Looks the function up in an instance.
    pub(super) fn within(
        &self,
        store: &mut Store<ComponentState>,
        instance: Instance,
    ) -> wasmtime::Result<Func> {
        let function = instance.get_func(store, self.index);
        function.ok_or_else(|| wasmtime::format_err!("an export that was there is gone"))
    }

    /// Whether it takes or gives resources. `false` if its types cannot pass: the call fails later, with the reason.
    pub(super) fn has_resources(&self) -> bool {
        let signature = self.signature.as_ref();
        signature.is_ok_and(|signature| signature.has_resources)
    }

    /// Its types, or an error that says which of them cannot pass.
    pub(super) fn signature(&self) -> Result<&Signature, Error> {
        let signature = self.signature.as_ref();
        signature
            .map_err(|what| Error::Input(format!("the function {what}, which cannot pass yet")))
    }
}

/// The state of reading the types of a component's functions.
struct Types<'a> {
    kinds: &'a Kinds,
    /// The number of types that may still be read.
    left: usize,
}

/// The functions that a component exports, by operation: `ns:pkg/iface@version#function`, the same without its version
/// where that is not ambiguous, or the bare name of one outside of interfaces.
///
/// Found by hash, once for each call. `None` stands for a short name that several versions share.
#[derive(Default)]
pub(super) struct Functions {
    by_operation: HashMap<String, Option<Arc<Function>>>,
    bytes_left: usize,
}

impl Functions {
    /// All functions that a component exports, alone or within an interface.
    pub(super) fn of(component: &Component, kinds: &Kinds) -> Self {
        let mut functions = Self::default();
        let mut types = Types {
            kinds,
            left: MAX_TYPES,
        };
        functions.bytes_left = MAX_OPERATIONS;
        let engine = component.engine();
        for (name, export) in component.component_type().exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(ty) => {
                    functions.add(component, None, name, &ty, &mut types);
                }
                ComponentItem::ComponentInstance(interface) => {
                    for (function, export) in interface.exports(engine) {
                        if let ComponentItem::ComponentFunc(ty) = export.ty {
                            let interface = Some(name);
                            functions.add(component, interface, function, &ty, &mut types);
                        }
                    }
                }
                _ => {}
            }
        }
        functions
    }

    /// Adds one function under its names. Functions beyond the bound on names cannot be called, and the component
    /// works otherwise.
    fn add(
        &mut self,
        component: &Component,
        interface: Option<&str>,
        name: &str,
        ty: &ComponentFunc,
        types: &mut Types<'_>,
    ) {
        // Functions beyond that cannot be called.
        let bytes = 2 * (interface.map_or(0, str::len) + name.len());
        let Some(left) = self.bytes_left.checked_sub(bytes) else {
            return;
        };
        self.bytes_left = left;
        let within = interface.and_then(|name| component.get_export_index(None, name));
        let Some(index) = component.get_export_index(within.as_ref(), name) else {
            return;
        };
        let signature = Signature::read(ty, types.kinds, &mut types.left);
        let function = Arc::new(Function { index, signature });
        let Some(interface) = interface else {
            self.by_operation.insert(name.to_owned(), Some(function));
            return;
        };
        if let Some((unversioned, _version)) = interface.split_once('@') {
            let short = self.by_operation.entry(format!("{unversioned}#{name}"));
            // A second version makes the short name mean neither.
            short
                .and_modify(|function| *function = None)
                .or_insert_with(|| Some(Arc::clone(&function)));
        }
        self.by_operation
            .insert(format!("{interface}#{name}"), Some(function));
    }

    /// The export of an operation, or an error that lists the operations there are.
    pub(super) fn find(&self, operation: &str) -> Result<&Arc<Function>, Error> {
        let found = self.by_operation.get(operation).and_then(Option::as_ref);
        found.ok_or_else(|| self.unknown(operation))
    }

    /// The names of all fields, cases and flags in their types.
    pub(super) fn names<'a>(&'a self, each: &mut impl FnMut(&'a WitName)) {
        for function in self.by_operation.values().flatten() {
            function
                .signature
                .iter()
                .for_each(|signature| signature.names(each));
        }
    }

    /// The error `unknown_operation`, which names the first sixteen operations in the order of their names.
    fn unknown(&self, operation: &str) -> Error {
        let mut names: Vec<&str> = self.by_operation.keys().map(String::as_str).collect();
        names.sort_unstable();
        let more = if names.len() > MAX_LISTED {
            ", …"
        } else {
            ""
        };
        let names = names
            .into_iter()
            .take(MAX_LISTED)
            .map(|name| cut(name, MAX_NAME));
        Error::UnknownOperation(format!(
            "the component exports no function {:?}, it exports {}{more}",
            cut(operation, MAX_NAME),
            names.collect::<Vec<_>>().join(", ")
        ))
    }
}

/// Calls it with values. What takes and gives strings and lists of bytes alone is called without `Val`, which takes
/// forty bytes for each byte of a list.
///
/// Arguments that do not fit are `invalid_input`, and say where: `acme:shop/orders#place: order.lines[3].price:
/// expected …`. The guest is not called then.
pub(super) async fn call_with_values(
    store: &mut Store<ComponentState>,
    instance: Instance,
    function: &Function,
    operation: &str,
    arguments: Vec<Value>,
) -> wasmtime::Result<Reply> {
    let signature = function.signature()?;
    let func = function.within(store, instance)?;
    let arguments = match plain::Arguments::of(signature, arguments) {
        Ok(plain) => {
            let value = plain.call(store, func, signature).await?;
            return Ok(Reply::Value(off_scheduler(value).await));
        }
        Err(arguments) => arguments,
    };
    let max = store.data().max_value_bytes();
    let parameters = lower_all(arguments, signature, max, &mut ())
        .map_err(|misfit| input(operation, &misfit))?;
    let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
    func.call_async(store, &parameters, &mut results).await?;
    let result = results.first().zip(signature.result.as_ref());
    let value = result.map_or(Value::Nil, |(val, ty)| lift(val, ty, &mut ()));
    Ok(Reply::Value(off_scheduler(value).await))
}

/// A value that takes its time to become a term is not handed over on a scheduler.
pub(super) async fn off_scheduler(value: Value) -> Value {
    if are_heavy([&value]) {
        leave_scheduler().await;
    }
    value
}

/// The error for arguments that do not fit, with the operation before the path.
pub(super) fn input(operation: &str, misfit: &Misfit) -> Error {
    Error::Input(format!("{}: {misfit}", cut(operation, MAX_NAME)))
}

/// Calls it with bytes: one of at most one string or list of bytes, that gives such a one, or a
/// result of such a one, or nothing. Bytes are copied once each way.
pub(super) async fn call_with_bytes(
    store: &mut Store<ComponentState>,
    instance: Instance,
    function: &Function,
    payload: Bytes,
) -> wasmtime::Result<Reply> {
    let signature = function.signature()?;
    let func = function.within(store, instance)?;
    let arguments = plain::Arguments::from_bytes(signature, payload)?;
    match arguments.call(store, func, signature).await? {
        Value::Error(Some(error)) => {
            let text = match *error {
                Value::Binary(text) => String::from_utf8_lossy(&text).into_owned(),
                _ => String::new(),
            };
            Err(Error::Guest(cut(&text, MAX_GUEST_ERROR).to_owned()).into())
        }
        Value::Ok(Some(value)) => Ok(Reply::Bytes(into_bytes(*value))),
        value => Ok(Reply::Bytes(into_bytes(value))),
    }
}

/// The bytes of a value that [`plain`] gave: nothing at all is an empty binary.
fn into_bytes(value: Value) -> Bytes {
    match value {
        Value::Binary(bytes) => bytes,
        _ => Bytes::new(),
    }
}
