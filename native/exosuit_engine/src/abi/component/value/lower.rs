//! Values for a guest, each checked against its type.
//!
//! Values come from anywhere: Elixir, other actors, other hosts, providers. Nothing about them is trusted. Each
//! function takes a value apart and consumes it, so that a large value is never in memory twice as `Value`.
//!
//! Time and memory are bounded. Nesting is bounded by the type, which was read with a bound ([`WitType`]). Memory is
//! counted in `Val`s ([`Lowering::spend`]) before it is allocated. Names are looked up by binary search, because a
//! stranger's component may have thousands of cases and a value a million elements.
//!
//! Beyond the exact form, it accepts integers as floats if nothing is lost, lists of numbers as bytes, texts as
//! names, names with `_` for `-`, tuples that look like cases, and missing fields of options. `Exosuit.Wit` has the
//! table.

use std::collections::HashMap;
use std::sync::Arc;

use exosuit_core::{Handle, Value, WitName};
use wasmtime::component::Val;

use super::super::kinds::Kind;
use super::super::types::{Integer, Signature, WitType};
use super::misfit::{Misfit, listed};
use crate::explain::{MAX_NAME, cut};

/// From how many fields on a record is searched by a table.
const MANY_FIELDS: usize = 16;

/// The largest integer up to which every integer is an `f64`.
const MAX_EXACT: i128 = 1 << f64::MANTISSA_DIGITS;

/// Makes resources of the handles that a guest gets.
pub(in crate::abi::component) trait TakeIn {
    /// The resource, given away or lent, or why the guest cannot have it.
    fn take_in(&mut self, handle: &Handle, kind: &Arc<Kind>, is_given: bool)
    -> Result<Val, Misfit>;
}

/// For functions without resources.
impl TakeIn for () {
    fn take_in(
        &mut self,
        _handle: &Handle,
        _kind: &Arc<Kind>,
        _is_given: bool,
    ) -> Result<Val, Misfit> {
        Err(Misfit::new("no resource passes here"))
    }
}

/// The arguments of a function as a guest gets them, of at most this many bytes.
pub(in crate::abi::component) fn lower_all(
    values: Vec<Value>,
    signature: &Signature,
    max_bytes: usize,
    resources: &mut dyn TakeIn,
) -> Result<Vec<Val>, Misfit> {
    let parameters = &signature.parameters;
    if parameters.len() != values.len() {
        let (takes, got) = (parameters.len(), values.len());
        let names = listed(parameters.iter().map(|(name, _ty)| name));
        return Err(Misfit::new(format!(
            "the function takes {takes} arguments ({names}), got {got}"
        )));
    }
    let mut lowering = Lowering::new(max_bytes, resources);
    let lowered = parameters.iter().zip(values).map(|((name, ty), value)| {
        let lowered = lowering.lower(value, ty);
        lowered.map_err(|misfit| misfit.within(name))
    });
    lowered.collect()
}

/// Converts one value for a guest, of at most this many bytes.
pub(in crate::abi::component) fn lower(
    value: Value,
    ty: &WitType,
    max_bytes: usize,
    resources: &mut dyn TakeIn,
) -> Result<Val, Misfit> {
    Lowering::new(max_bytes, resources).lower(value, ty)
}

/// Bounds what values take as wasmtime holds them: forty bytes each, though it be a byte of a list.
struct Lowering<'a> {
    max: usize,
    left: usize,
    resources: &'a mut dyn TakeIn,
}

impl<'a> Lowering<'a> {
    /// With room for this many bytes.
    fn new(max: usize, resources: &'a mut dyn TakeIn) -> Self {
        Self {
            max,
            left: max,
            resources,
        }
    }

    /// The value as this type, or where it does not fit.
    fn lower(&mut self, value: Value, ty: &WitType) -> Result<Val, Misfit> {
        self.spend(1)?;
        match (ty, value) {
            (WitType::Bool, Value::Bool(value)) => Ok(Val::Bool(value)),
            (WitType::Integer(integer), Value::Integer(number)) => {
                integer.holds(number).ok_or_else(|| {
                    let expected = ty.described();
                    Misfit::new(format!(
                        "expected {expected}, got {number}, which it cannot hold"
                    ))
                })
            }
            (WitType::F32 | WitType::F64, value) => float(&value, ty),
            (WitType::Char, value) => character(value, ty),
            (WitType::String, Value::Binary(bytes)) => text(bytes.into()).map(Val::String),
            (WitType::Bytes, value) => self.bytes(value, ty),
            (WitType::List(ty), Value::List(items)) => self.each(items, ty).map(Val::List),
            (WitType::Map(key, item), Value::Map(entries)) => self.map(entries, key, item),
            // An empty map of Elixir may be either.
            (WitType::Map(..), Value::Record(fields)) if fields.is_empty() => Ok(Val::Map(vec![])),
            (WitType::Map(..), Value::Record(_)) => {
                let expected = ty.described();
                Err(Misfit::new(format!(
                    "expected {expected}, got a map with atoms as keys"
                )))
            }
            (WitType::Tuple(types), value) => self.tuple(value, types, ty),
            (WitType::Record(fields), Value::Record(given)) => self.record(given, fields),
            (WitType::Record(fields), Value::Map(entries)) => {
                self.record(fields_of(entries)?, fields)
            }
            (WitType::Variant(cases), value) => self.variant(value, cases, ty),
            (WitType::Enum(names), value) => enumeration(value, names, ty),
            (WitType::Flags(names), Value::List(items)) => flags(items, names, ty),
            (WitType::Option(_) | WitType::MarkedOption(_), Value::Nil) => Ok(Val::Option(None)),
            (WitType::Option(ty), value) => self.some(value, ty),
            (WitType::MarkedOption(ty), Value::Some(value)) => self.some(*value, ty),
            (WitType::MarkedOption(ty), Value::Case(name, Some(value))) if &*name == "some" => {
                self.some(*value, ty)
            }
            (WitType::Result(ty, _), Value::Ok(value)) => {
                let value = self.case(value, ty.as_deref(), "ok")?;
                Ok(Val::Result(Ok(value)))
            }
            (WitType::Result(_, ty), Value::Error(value)) => {
                let value = self.case(value, ty.as_deref(), "error")?;
                Ok(Val::Result(Err(value)))
            }
            (WitType::Own(kind), Value::Resource(handle)) => {
                self.resources.take_in(&handle, kind, true)
            }
            (WitType::Borrow(kind), Value::Resource(handle)) => {
                self.resources.take_in(&handle, kind, false)
            }
            (ty, value) => Err(Misfit::expected(ty, &value)),
        }
    }

    /// Takes the room of this many values.
    fn spend(&mut self, values: usize) -> Result<(), Misfit> {
        let bytes = values.saturating_mul(size_of::<Val>());
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let max = self.max;
            Misfit::new(format!(
                "the values take more than {max} bytes as the guest's types have them, which is the memory \
                 limit of the actor; large strings and lists of bytes are best passed as the one argument of a \
                 function"
            ))
        })?;
        Ok(())
    }

    /// A `list<u8>`: each byte becomes a `Val` of its own, which is why its size counts forty times.
    fn bytes(&mut self, value: Value, ty: &WitType) -> Result<Val, Misfit> {
        match value {
            Value::Binary(bytes) => {
                self.spend(bytes.len())?;
                Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
            }
            Value::List(items) => {
                let byte = WitType::Integer(Integer::U8);
                self.each(items, &byte).map(Val::List)
            }
            other => Err(Misfit::expected(ty, &other)),
        }
    }

    /// The entries of a map.
    fn map(
        &mut self,
        entries: Vec<(Value, Value)>,
        key_type: &WitType,
        value_type: &WitType,
    ) -> Result<Val, Misfit> {
        let entries = entries.into_iter().map(|(key, value)| {
            let key = self.lower(key, key_type).map_err(Misfit::in_key)?;
            match self.lower(value, value_type) {
                Ok(value) => Ok((key, value)),
                Err(misfit) => Err(misfit.of_key(&key)),
            }
        });
        entries.collect::<Result<_, _>>().map(Val::Map)
    }

    /// The elements of a list.
    fn each(&mut self, items: Vec<Value>, ty: &WitType) -> Result<Vec<Val>, Misfit> {
        let items = items.into_iter().enumerate().map(|(index, item)| {
            let lowered = self.lower(item, ty);
            lowered.map_err(|misfit| misfit.at(index))
        });
        items.collect()
    }

    /// A tuple. One of two may have come as a case.
    fn tuple(&mut self, value: Value, types: &[WitType], ty: &WitType) -> Result<Val, Misfit> {
        let fields = elements(value).map_err(|value| Misfit::expected(ty, &value))?;
        if fields.len() != types.len() {
            return Err(Misfit::expected(ty, &Value::Tuple(fields)));
        }
        let fields = fields.into_iter().zip(types).enumerate();
        let fields = fields.map(|(index, (field, ty))| {
            let lowered = self.lower(field, ty);
            lowered.map_err(|misfit| misfit.at(index))
        });
        fields.collect::<Result<_, _>>().map(Val::Tuple)
    }

    /// A record, its fields in the order of the type. A field of an option may be missing; a field that the type does
    /// not have is an error, as it is probably misspelt.
    fn record(
        &mut self,
        given: Vec<(WitName, Value)>,
        fields: &[(WitName, WitType)],
    ) -> Result<Val, Misfit> {
        let mut given = Given::new(given);
        let mut lowered = Vec::with_capacity(fields.len());
        for (name, ty) in fields {
            let value = match (given.take(name), ty) {
                (Some(value), _) => value,
                (None, WitType::Option(_) | WitType::MarkedOption(_)) => Value::Nil,
                (None, ty) => {
                    let expected = ty.described();
                    let missing = format!("expected {expected}, but the field is missing");
                    return Err(Misfit::new(missing).within(name));
                }
            };
            let val = self.lower(value, ty);
            lowered.push((name.to_string(), val.map_err(|misfit| misfit.within(name))?));
        }
        match given.left() {
            None => Ok(Val::Record(lowered)),
            Some(other) => {
                let known = listed(fields.iter().map(|(name, _ty)| name));
                Err(
                    Misfit::new(format!("the record has no such field, it has {known}"))
                        .within(&other),
                )
            }
        }
    }

    /// A variant: a case by its name, with its payload.
    fn variant(
        &mut self,
        value: Value,
        cases: &[(WitName, Option<WitType>)],
        ty: &WitType,
    ) -> Result<Val, Misfit> {
        let (name, payload) = named(value).map_err(|value| Misfit::expected(ty, &value))?;
        let found = cases.binary_search_by(|(case, _ty)| case.cmp(&name));
        let Some((name, ty)) = found.ok().map(|at| &cases[at]) else {
            let known = listed(cases.iter().map(|(name, _ty)| name));
            return Err(Misfit::new(format!(
                "the variant has no case {:?}, it has {known}",
                cut(&name, MAX_NAME)
            )));
        };
        let payload = self.case(payload, ty.as_ref(), name);
        let payload = payload.map_err(|misfit| misfit.within(name))?;
        Ok(Val::Variant(name.to_string(), payload))
    }

    /// An option that is there.
    fn some(&mut self, value: Value, ty: &WitType) -> Result<Val, Misfit> {
        let value = self.lower(value, ty)?;
        Ok(Val::Option(Some(Box::new(value))))
    }

    /// The payload of a case, which the type has or has not.
    fn case(
        &mut self,
        value: Option<Box<Value>>,
        ty: Option<&WitType>,
        case: &str,
    ) -> Result<Option<Box<Val>>, Misfit> {
        match (value, ty) {
            (None, None) => Ok(None),
            (Some(value), Some(ty)) => Ok(Some(Box::new(self.lower(*value, ty)?))),
            (None, Some(ty)) => {
                let expected = ty.described();
                Err(Misfit::new(format!(
                    "expected {case} with {expected}, got none"
                )))
            }
            (Some(_), None) => Err(Misfit::new(format!(
                "expected {case} without a value, got one"
            ))),
        }
    }
}

/// A string.
fn text(bytes: Vec<u8>) -> Result<String, Misfit> {
    let not_text = |_| Misfit::new("expected a string, got bytes that are not UTF-8");
    String::from_utf8(bytes).map_err(not_text)
}

/// A char: a text of exactly one.
fn character(value: Value, ty: &WitType) -> Result<Val, Misfit> {
    let Value::Binary(bytes) = value else {
        return Err(Misfit::expected(ty, &value));
    };
    let text = text(bytes.into())?;
    let mut characters = text.chars();
    if let (Some(character), None) = (characters.next(), characters.next()) {
        return Ok(Val::Char(character));
    }
    let count = text.chars().count();
    let expected = ty.described();
    Err(Misfit::new(format!(
        "expected {expected}, got {count} characters"
    )))
}

/// Integers that it holds exactly pass, and so do the names of what is no number in Elixir.
fn float(value: &Value, ty: &WitType) -> Result<Val, Misfit> {
    let number = match value {
        Value::Float(number) => *number,
        #[expect(
            clippy::cast_precision_loss,
            reason = "up to this bound nothing is lost"
        )]
        Value::Integer(number) if number.abs() <= MAX_EXACT => *number as f64,
        Value::Case(name, None) => match &**name {
            "nan" => f64::NAN,
            "infinity" => f64::INFINITY,
            "neg-infinity" => f64::NEG_INFINITY,
            _ => return Err(Misfit::expected(ty, value)),
        },
        _ => return Err(Misfit::expected(ty, value)),
    };
    if matches!(ty, WitType::F64) {
        return Ok(Val::Float64(number));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an f32 is what the guest takes"
    )]
    let narrow = number as f32;
    if narrow.is_infinite() && number.is_finite() {
        return Err(Misfit::new(format!(
            "expected an f32, got {number:e}, which it cannot hold"
        )));
    }
    Ok(Val::Float32(narrow))
}

/// A case of an enum.
fn enumeration(value: Value, names: &[WitName], ty: &WitType) -> Result<Val, Misfit> {
    match named(value) {
        Ok((name, None)) if names.binary_search(&name).is_ok() => Ok(Val::Enum(name.to_string())),
        Ok((name, None)) => {
            let known = listed(names.iter());
            Err(Misfit::new(format!(
                "the enum has no {:?}, it has {known}",
                cut(&name, MAX_NAME)
            )))
        }
        Ok((name, payload)) => Err(Misfit::expected(ty, &Value::Case(name, payload))),
        Err(value) => Err(Misfit::expected(ty, &value)),
    }
}

/// Flags, from a list of names in any order.
fn flags(items: Vec<Value>, names: &[WitName], ty: &WitType) -> Result<Val, Misfit> {
    let mut set = Vec::with_capacity(items.len().min(names.len()));
    for (index, item) in items.into_iter().enumerate() {
        match named(item) {
            Ok((name, None)) if names.binary_search(&name).is_ok() => set.push(name.to_string()),
            Ok((name, None)) => {
                let known = listed(names.iter());
                let name = cut(&name, MAX_NAME);
                let why = format!("there is no flag {name:?}, there are {known}");
                return Err(Misfit::new(why).at(index));
            }
            Ok((name, payload)) => {
                return Err(Misfit::expected(ty, &Value::Case(name, payload)).at(index));
            }
            Err(value) => return Err(Misfit::expected(ty, &value).at(index)),
        }
        // A set has each once; a list may repeat it without end.
        if set.len() > names.len() {
            set.sort_unstable();
            set.dedup();
        }
    }
    set.sort_unstable();
    set.dedup();
    Ok(Val::Flags(set))
}

/// The elements of a tuple. One of two looks like a case where its first is a name.
fn elements(value: Value) -> Result<Vec<Value>, Value> {
    match value {
        Value::Tuple(fields) => Ok(fields),
        Value::Case(name, Some(value)) => Ok(vec![Value::Case(name, None), *value]),
        Value::Ok(Some(value)) => Ok(vec![Value::Ok(None), *value]),
        Value::Error(Some(value)) => Ok(vec![Value::Error(None), *value]),
        Value::Some(value) => Ok(vec![Value::case("some"), *value]),
        other => Err(other),
    }
}

/// The fields of a record that came as a map with texts as keys.
fn fields_of(entries: Vec<(Value, Value)>) -> Result<Vec<(WitName, Value)>, Misfit> {
    let fields = entries.into_iter().map(|(key, value)| match named(key) {
        Ok((name, None)) => Ok((name, value)),
        _ => Err(Misfit::new(
            "expected a record, got a map with keys that are neither atoms nor strings",
        )),
    });
    fields.collect()
}

/// The case that a value is, whatever it is called. A text is taken for a name.
fn named(value: Value) -> Result<(WitName, Option<Box<Value>>), Value> {
    match value {
        Value::Case(name, payload) => Ok((name, payload)),
        Value::Ok(payload) => Ok(("ok".into(), payload)),
        Value::Error(payload) => Ok(("error".into(), payload)),
        Value::Some(value) => Ok(("some".into(), Some(value))),
        Value::Nil => Ok(("nil".into(), None)),
        Value::Bool(truth) => Ok((truth.to_string().into(), None)),
        Value::Binary(bytes) => match std::str::from_utf8(&bytes) {
            Ok(name) => Ok((name.replace('_', "-").into(), None)),
            Err(_) => Err(Value::Binary(bytes)),
        },
        Value::Tuple(fields) => match <[Value; 2]>::try_from(fields) {
            Ok(
                [
                    name @ (Value::Nil | Value::Bool(_) | Value::Binary(_)),
                    value,
                ],
            ) => {
                let (name, _none) = named(name)?;
                Ok((name, Some(Box::new(value))))
            }
            Ok(fields) => Err(Value::Tuple(fields.into())),
            Err(fields) => Err(Value::Tuple(fields)),
        },
        other => Err(other),
    }
}

/// The fields that a record was given, of which each is taken once.
///
/// A list is quicker for few, and a table bounds the time for many.
enum Given {
    Few(Vec<(WitName, Value)>),
    Many(HashMap<WitName, Value>),
}

impl Given {
    fn new(fields: Vec<(WitName, Value)>) -> Self {
        if fields.len() < MANY_FIELDS {
            Self::Few(fields)
        } else {
            Self::Many(fields.into_iter().collect())
        }
    }

    /// Takes the field of this name.
    fn take(&mut self, name: &WitName) -> Option<Value> {
        match self {
            Self::Few(fields) => {
                let found = fields.iter().position(|(field, _value)| field == name)?;
                Some(fields.swap_remove(found).1)
            }
            Self::Many(fields) => fields.remove(name),
        }
    }

    /// The name of a field that was not taken.
    fn left(self) -> Option<WitName> {
        match self {
            Self::Few(fields) => fields.into_iter().next().map(|(name, _value)| name),
            Self::Many(fields) => fields.into_keys().next(),
        }
    }
}
