//! Values from a guest: they carry names and cases, so that their type is not needed any more.
//!
//! wasmtime has read the values by the function's type, so every combination that does not fit is impossible and
//! becomes
//! `Nil` rather than a panic. Names are those of the type, shared and not copied: a list of a million records has each
//! name once. The number of values is bounded by the memory limit of the actor, through the fuel of its store.

use std::sync::Arc;

use exosuit_core::{Value, WitName};
use wasmtime::component::{ResourceAny, Val};

use super::super::kinds::Kind;
use super::super::types::WitType;

/// Makes handles of the resources that a guest gives.
pub(in crate::abi::component) trait GiveOut {
    /// The handle as a value.
    fn give_out(&mut self, resource: ResourceAny, kind: &Arc<Kind>) -> Value;
}

/// For functions without resources.
impl GiveOut for () {
    fn give_out(&mut self, _resource: ResourceAny, _kind: &Arc<Kind>) -> Value {
        Value::Nil
    }
}

/// Converts a value of this type that a guest gave.
pub(in crate::abi::component) fn lift(val: &Val, ty: &WitType, out: &mut dyn GiveOut) -> Value {
    match (val, ty) {
        (Val::List(items), WitType::Bytes) => Value::binary(bytes(items)),
        (Val::List(items), WitType::List(ty)) => {
            Value::List(items.iter().map(|item| lift(item, ty, out)).collect())
        }
        (Val::Map(entries), WitType::Map(key, value)) => {
            let entries = entries.iter();
            Value::Map(
                entries
                    .map(|(k, v)| (lift(k, key, out), lift(v, value, out)))
                    .collect(),
            )
        }
        (Val::Tuple(fields), WitType::Tuple(types)) => {
            let fields = fields.iter().zip(types);
            Value::Tuple(fields.map(|(field, ty)| lift(field, ty, out)).collect())
        }
        (Val::Record(given), WitType::Record(fields)) => {
            let fields = given.iter().zip(fields);
            let lifted =
                fields.map(|((_name, val), (name, ty))| (name.clone(), lift(val, ty, out)));
            Value::Record(lifted.collect())
        }
        (Val::Variant(name, payload), WitType::Variant(cases)) => {
            let found = cases.binary_search_by(|(case, _ty)| (**case).cmp(name.as_str()));
            let (name, ty) = found.map_or_else(
                |_| (name.as_str().into(), None),
                |at| (cases[at].0.clone(), cases[at].1.as_ref()),
            );
            Value::Case(name, lift_case(payload.as_deref(), ty, out))
        }
        (Val::Enum(name), WitType::Enum(names)) => Value::Case(known(name, names), None),
        (Val::Flags(set), WitType::Flags(names)) => {
            let set = set.iter().map(|name| Value::Case(known(name, names), None));
            Value::List(set.collect())
        }
        (Val::Option(Some(value)), WitType::Option(ty)) => lift(value, ty, out),
        (Val::Option(Some(value)), WitType::MarkedOption(ty)) => {
            Value::Some(Box::new(lift(value, ty, out)))
        }
        (Val::Result(Ok(value)), WitType::Result(ty, _)) => {
            Value::Ok(lift_case(value.as_deref(), ty.as_deref(), out))
        }
        (Val::Result(Err(value)), WitType::Result(_, ty)) => {
            Value::Error(lift_case(value.as_deref(), ty.as_deref(), out))
        }
        (Val::Resource(resource), WitType::Own(kind) | WitType::Borrow(kind)) => {
            out.give_out(*resource, kind)
        }
        (val, _) => lift_scalar(val),
    }
}

/// The bytes of a `list<u8>`.
fn bytes(items: &[Val]) -> Vec<u8> {
    let byte = |item: &Val| match item {
        Val::U8(byte) => *byte,
        _ => 0,
    };
    items.iter().map(byte).collect()
}

fn lift_case(
    value: Option<&Val>,
    ty: Option<&WitType>,
    out: &mut dyn GiveOut,
) -> Option<Box<Value>> {
    Some(Box::new(lift(value?, ty?, out)))
}

/// The name as the type has it, which costs no copy.
fn known(name: &str, names: &[WitName]) -> WitName {
    let found = names.binary_search_by(|known| (**known).cmp(name));
    found.map_or_else(|_| name.into(), |at| names[at].clone())
}

/// A value without parts.
fn lift_scalar(val: &Val) -> Value {
    match *val {
        Val::Bool(value) => Value::Bool(value),
        Val::S8(value) => Value::Integer(value.into()),
        Val::U8(value) => Value::Integer(value.into()),
        Val::S16(value) => Value::Integer(value.into()),
        Val::U16(value) => Value::Integer(value.into()),
        Val::S32(value) => Value::Integer(value.into()),
        Val::U32(value) => Value::Integer(value.into()),
        Val::S64(value) => Value::Integer(value.into()),
        Val::U64(value) => Value::Integer(value.into()),
        Val::Float32(value) => Value::Float(value.into()),
        Val::Float64(value) => Value::Float(value),
        Val::Char(value) => Value::binary(value.to_string()),
        Val::String(ref text) => Value::binary(text.clone()),
        // An option that is not there. `Signature` lets no other type pass.
        _ => Value::Nil,
    }
}
