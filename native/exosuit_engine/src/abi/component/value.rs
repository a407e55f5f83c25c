//! Values between a guest and those who do not know its types.
//!
//! Lowering checks a value against its type and says where it does not fit; lifting cannot fail for
//! a function whose types were checked. A type that neither does yet is refused by [`supported`].

use exosuit_core::Value;
use wasmtime::component::{Type, Val};

/// How deep values may be nested: types are finite, and theirs is the bound; a hostile type is not
/// worth a deep stack.
const MAX_DEPTH: usize = 16;

/// Whether values of this type can pass, or which part of it cannot.
pub(super) fn supported(ty: &Type) -> Result<(), String> {
    supported_at(ty, 0)
}

fn supported_at(ty: &Type, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("types nested more than {MAX_DEPTH} deep"));
    }
    let inner = |ty: &Type| supported_at(ty, depth + 1);
    match ty {
        Type::List(list) => inner(&list.ty()),
        Type::Tuple(tuple) => tuple.types().try_for_each(|ty| inner(&ty)),
        Type::Record(record) => record.fields().try_for_each(|field| inner(&field.ty)),
        Type::Option(option) => match option.ty() {
            Type::Option(_) => Err("an option of an option".to_owned()),
            ty => inner(&ty),
        },
        Type::Result(result) => {
            let mut cases = [result.ok(), result.err()].into_iter().flatten();
            cases.try_for_each(|ty| inner(&ty))
        }
        ty if is_scalar(ty) => Ok(()),
        ty => Err(format!("a {}", name(ty))),
    }
}

fn is_scalar(ty: &Type) -> bool {
    matches!(ty, Type::Bool | Type::String) || is_integer(ty)
}

/// What a guest gave, of this type.
pub(super) fn lift(val: &Val, ty: &Type) -> Value {
    match (val, ty) {
        (Val::List(items), Type::List(list)) => lift_list(items, &list.ty()),
        (Val::Tuple(fields), Type::Tuple(tuple)) => {
            let fields = fields.iter().zip(tuple.types());
            Value::Tuple(fields.map(|(field, ty)| lift(field, &ty)).collect())
        }
        (Val::Record(fields), Type::Record(record)) => {
            let fields = fields.iter().zip(record.fields());
            let lifted = fields.map(|((_name, val), field)| lift(val, &field.ty));
            Value::Tuple(lifted.collect())
        }
        (Val::Option(Some(value)), Type::Option(option)) => lift(value, &option.ty()),
        (Val::Result(Ok(value)), Type::Result(result)) => {
            Value::Ok(lift_case(value.as_deref(), result.ok()))
        }
        (Val::Result(Err(value)), Type::Result(result)) => {
            Value::Error(lift_case(value.as_deref(), result.err()))
        }
        (val, _) => lift_scalar(val),
    }
}

fn lift_list(items: &[Val], ty: &Type) -> Value {
    if *ty == Type::U8 {
        let byte = |item: &Val| match item {
            Val::U8(byte) => *byte,
            _ => 0,
        };
        return Value::binary(items.iter().map(byte).collect::<Vec<u8>>());
    }
    Value::List(items.iter().map(|item| lift(item, ty)).collect())
}

fn lift_case(value: Option<&Val>, ty: Option<Type>) -> Option<Box<Value>> {
    Some(Box::new(lift(value?, &ty?)))
}

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
        Val::String(ref text) => Value::binary(text.clone()),
        // No option, or of a type that `supported` has refused.
        _ => Value::Nil,
    }
}

/// What a guest gets, or what was expected and what was found.
pub(super) fn lower(value: Value, ty: &Type) -> Result<Val, String> {
    match (ty, value) {
        (Type::Bool, Value::Bool(value)) => Ok(Val::Bool(value)),
        (Type::String, Value::Binary(bytes)) => match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Val::String(text)),
            Err(_) => Err("expected a string, got bytes that are not UTF-8".to_owned()),
        },
        (Type::List(list), Value::Binary(bytes)) if list.ty() == Type::U8 => {
            Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
        }
        (Type::List(list), Value::List(items)) => {
            let ty = list.ty();
            let items = items.into_iter().map(|item| lower(item, &ty));
            items.collect::<Result<_, _>>().map(Val::List)
        }
        (Type::Tuple(tuple), Value::Tuple(fields)) if tuple.types().len() == fields.len() => {
            let fields = fields.into_iter().zip(tuple.types());
            let fields = fields.map(|(field, ty)| lower(field, &ty));
            fields.collect::<Result<_, _>>().map(Val::Tuple)
        }
        (Type::Record(record), Value::Tuple(fields)) if record.fields().len() == fields.len() => {
            let fields = fields.into_iter().zip(record.fields());
            let named = fields.map(|(value, field)| {
                lower(value, &field.ty).map(|val| (field.name.to_owned(), val))
            });
            named.collect::<Result<_, _>>().map(Val::Record)
        }
        (Type::Option(_), Value::Nil) => Ok(Val::Option(None)),
        (Type::Option(option), value) => {
            lower(value, &option.ty()).map(|value| Val::Option(Some(Box::new(value))))
        }
        (Type::Result(result), Value::Ok(value)) => {
            lower_case(value, result.ok(), "ok").map(|value| Val::Result(Ok(value)))
        }
        (Type::Result(result), Value::Error(value)) => {
            lower_case(value, result.err(), "error").map(|value| Val::Result(Err(value)))
        }
        (ty, Value::Integer(number)) if is_integer(ty) => {
            let expected = || {
                format!(
                    "expected {}, got {number}, which it cannot hold",
                    article(ty)
                )
            };
            integer(ty, number).ok_or_else(expected)
        }
        (ty, value) => Err(format!("expected {}, got {}", article(ty), kind(&value))),
    }
}

fn lower_case(
    value: Option<Box<Value>>,
    ty: Option<Type>,
    case: &str,
) -> Result<Option<Box<Val>>, String> {
    match (value, ty) {
        (None, None) => Ok(None),
        (Some(value), Some(ty)) => lower(*value, &ty).map(|value| Some(Box::new(value))),
        (None, Some(ty)) => Err(format!("expected {case} with {}, got none", article(&ty))),
        (Some(_), None) => Err(format!("expected {case} without a value, got one")),
    }
}

fn is_integer(ty: &Type) -> bool {
    // Zero fits into all of them.
    integer(ty, 0).is_some()
}

/// The number as this type holds it, if it does.
fn integer(ty: &Type, number: i128) -> Option<Val> {
    match ty {
        Type::S8 => number.try_into().ok().map(Val::S8),
        Type::U8 => number.try_into().ok().map(Val::U8),
        Type::S16 => number.try_into().ok().map(Val::S16),
        Type::U16 => number.try_into().ok().map(Val::U16),
        Type::S32 => number.try_into().ok().map(Val::S32),
        Type::U32 => number.try_into().ok().map(Val::U32),
        Type::S64 => number.try_into().ok().map(Val::S64),
        Type::U64 => number.try_into().ok().map(Val::U64),
        _ => None,
    }
}

fn article(ty: &Type) -> String {
    let name = name(ty);
    match name {
        "option" | "s8" | "s16" | "s32" | "s64" | "enum" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

fn name(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(list) if list.ty() == Type::U8 => "list of bytes",
        Type::List(_) => "list",
        Type::Record(_) => "record",
        Type::Tuple(_) => "tuple",
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Option(_) => "option",
        Type::Result(_) => "result",
        Type::Flags(_) => "flags",
        Type::Own(_) | Type::Borrow(_) => "resource",
        _ => "type of a later WASI",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nothing",
        Value::Bool(_) => "a bool",
        Value::Integer(_) => "an integer",
        Value::Binary(_) => "a text or bytes",
        Value::List(_) => "a list",
        Value::Tuple(_) => "a tuple",
        Value::Ok(_) => "an ok",
        Value::Error(_) => "an error",
        _ => "something else",
    }
}
