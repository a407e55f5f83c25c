//! Types of WIT functions, read once when a component is prepared, so that a call asks wasmtime for none.
//!
//! wasmtime's own types are handles into tables of the component. Here a type is a tree that knows what conversions
//! need: names sorted, `list<u8>` told from other lists, and options whose value may look absent told from those
//! whose value may not.
//!
//! A type is written out again wherever it is used, so a small component can describe a huge tree: `tuple<t, t>` of
//! such tuples doubles with each level. Therefore depth and size are bounded while the types are read. A function
//! beyond the bounds cannot be called, and the component works otherwise.

use std::sync::Arc;

use exosuit_core::WitName;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{ResourceType, Type, Val};

use super::kinds::{Home, Kind, Kinds};
use crate::explain::{MAX_NAME, cut};

/// How deep types may be nested. Values are handled by functions that call themselves for each level.
const MAX_DEPTH: usize = 64;

/// How many types and names the functions of a component may have, counting those inside of others each time: a type
/// is written out again wherever it is used. Every 32 bytes of a name count as a further one.
pub(super) const MAX_TYPES: usize = 1 << 18;

/// The types of a function: its parameters and its result.
#[derive(Debug)]
pub(super) struct Signature {
    /// The names are those of WIT, for errors.
    pub(super) parameters: Vec<(WitName, WitType)>,
    /// `None` for a function that gives nothing.
    pub(super) result: Option<WitType>,
    /// Whether it takes or gives resources.
    pub(super) has_resources: bool,
    /// Whether it gives resources that live in the component itself.
    pub(super) gives_own: bool,
    /// The type of the resources that it gives, if they are of one type.
    pub(super) gives: Option<Arc<Kind>>,
}

impl Signature {
    /// Reads the types of a function. An error says which of them cannot pass, and why. Takes from `left` how many
    /// types it read.
    pub(super) fn read(
        function: &ComponentFunc,
        kinds: &Kinds,
        left: &mut usize,
    ) -> Result<Self, String> {
        if function.async_() {
            return Err("is of WASI 0.3".to_owned());
        }
        let mut reader = Reader {
            left,
            kinds,
            has_resources: false,
            given: Vec::new(),
        };
        let mut parameters = Vec::new();
        for (name, ty) in function.params() {
            let ty = reader
                .read(&ty, 0)
                .map_err(|what| format!("takes {what} as {:?}", cut(name, MAX_NAME)))?;
            parameters.push((reader.name(name)?, ty));
        }
        reader.given.clear();
        let result = function.results().next();
        let result = result.map(|ty| reader.read(&ty, 0)).transpose();
        let result = result.map_err(|what| format!("gives {what}"))?;
        let Reader {
            has_resources,
            given,
            ..
        } = reader;
        let is_of = |one: &Arc<Kind>| given.iter().all(|other| Arc::ptr_eq(one, other));
        Ok(Self {
            parameters,
            result,
            has_resources,
            gives_own: given.iter().any(|kind| kind.home == Home::Here),
            gives: given.first().filter(|kind| is_of(kind)).cloned(),
        })
    }

    /// Calls `each` with every name of a field, case or flag.
    pub(super) fn names<'a>(&'a self, each: &mut impl FnMut(&'a WitName)) {
        for ty in self
            .parameters
            .iter()
            .map(|(_name, ty)| ty)
            .chain(&self.result)
        {
            ty.names(each);
        }
    }
}

/// A type whose values can pass.
#[derive(Debug)]
pub(super) enum WitType {
    Bool,
    Integer(Integer),
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    /// A list of any other type.
    List(Box<Self>),
    /// The types of its keys and its values.
    Map(Box<Self>, Box<Self>),
    Tuple(Vec<Self>),
    /// The fields in the order of the type, which is that of wasmtime's values.
    Record(Vec<(WitName, Self)>),
    /// The cases, sorted by name like those of enums and flags.
    Variant(Vec<(WitName, Option<Self>)>),
    Enum(Vec<WitName>),
    Flags(Vec<WitName>),
    /// An option whose value is never nothing.
    Option(Box<Self>),
    /// An option whose value may be nothing itself: one that is there is marked by [`Value::Some`].
    ///
    /// [`Value::Some`]: exosuit_core::Value::Some
    MarkedOption(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    /// A resource that is given away.
    Own(Arc<Kind>),
    /// A resource that is lent for the call.
    Borrow(Arc<Kind>),
}

/// The integer types.
#[derive(Debug, Clone, Copy)]
pub(super) enum Integer {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Integer {
    /// The number as this type holds it, if it does.
    pub(super) fn holds(self, number: i128) -> Option<Val> {
        match self {
            Self::S8 => number.try_into().ok().map(Val::S8),
            Self::U8 => number.try_into().ok().map(Val::U8),
            Self::S16 => number.try_into().ok().map(Val::S16),
            Self::U16 => number.try_into().ok().map(Val::U16),
            Self::S32 => number.try_into().ok().map(Val::S32),
            Self::U32 => number.try_into().ok().map(Val::U32),
            Self::S64 => number.try_into().ok().map(Val::S64),
            Self::U64 => number.try_into().ok().map(Val::U64),
        }
    }

    /// Its name in WIT.
    fn name(self) -> &'static str {
        match self {
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
        }
    }
}

impl WitType {
    /// The kind of type, with its article, for errors.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Bool => "a bool".to_owned(),
            Self::Integer(integer) => match integer.name() {
                name if name.starts_with('s') => format!("an {name}"),
                name => format!("a {name}"),
            },
            Self::F32 => "an f32".to_owned(),
            Self::F64 => "an f64".to_owned(),
            Self::Char => "a char (a string of one character)".to_owned(),
            Self::String => "a string".to_owned(),
            Self::Bytes => "a list of bytes".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(key, _) => format!("a map with {} as the key", key.described()),
            Self::Tuple(types) => format!("a tuple of {}", types.len()),
            Self::Record(_) => "a record".to_owned(),
            Self::Variant(_) => "a variant".to_owned(),
            Self::Enum(_) => "an enum".to_owned(),
            Self::Flags(_) => "flags (a list of their names)".to_owned(),
            Self::Option(_) => "an option".to_owned(),
            Self::MarkedOption(_) => "an option (nil or {:some, value})".to_owned(),
            Self::Result(..) => "a result".to_owned(),
            Self::Own(kind) | Self::Borrow(kind) => format!("a resource {}", kind.name),
        }
    }

    /// Whether one of its values looks like an option that is not there.
    fn may_be_nothing(&self) -> bool {
        let is_nil = |name: &WitName| &**name == "nil";
        match self {
            Self::Option(_) | Self::MarkedOption(_) => true,
            Self::Enum(names) => names.iter().any(is_nil),
            Self::Variant(cases) => cases
                .iter()
                .any(|(name, payload)| payload.is_none() && is_nil(name)),
            _ => false,
        }
    }

    /// Calls `each` with every name in it.
    fn names<'a>(&'a self, each: &mut impl FnMut(&'a WitName)) {
        match self {
            Self::List(inner) | Self::Option(inner) | Self::MarkedOption(inner) => {
                inner.names(each);
            }
            Self::Map(key, value) => [key, value].into_iter().for_each(|ty| ty.names(each)),
            Self::Tuple(types) => types.iter().for_each(|ty| ty.names(each)),
            Self::Record(fields) => {
                for (name, ty) in fields {
                    each(name);
                    ty.names(each);
                }
            }
            Self::Variant(cases) => {
                for (name, payload) in cases {
                    each(name);
                    if let Some(ty) = payload {
                        ty.names(each);
                    }
                }
            }
            Self::Enum(names) | Self::Flags(names) => names.iter().for_each(each),
            Self::Result(ok, error) => {
                [ok, error]
                    .into_iter()
                    .flatten()
                    .for_each(|ty| ty.names(each));
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    left: &'a mut usize,
    kinds: &'a Kinds,
    has_resources: bool,
    /// The types of the resources that are given away in what was read last.
    given: Vec<Arc<Kind>>,
}

impl Reader<'_> {
    /// Reads a type at this depth. The error completes "takes …" and "gives …".
    fn read(&mut self, ty: &Type, depth: usize) -> Result<WitType, String> {
        if depth > MAX_DEPTH {
            return Err(format!("types nested more than {MAX_DEPTH} deep"));
        }
        self.spend(1)?;
        let depth = depth + 1;
        Ok(match ty {
            Type::Bool => WitType::Bool,
            Type::S8 => WitType::Integer(Integer::S8),
            Type::U8 => WitType::Integer(Integer::U8),
            Type::S16 => WitType::Integer(Integer::S16),
            Type::U16 => WitType::Integer(Integer::U16),
            Type::S32 => WitType::Integer(Integer::S32),
            Type::U32 => WitType::Integer(Integer::U32),
            Type::S64 => WitType::Integer(Integer::S64),
            Type::U64 => WitType::Integer(Integer::U64),
            Type::Float32 => WitType::F32,
            Type::Float64 => WitType::F64,
            Type::Char => WitType::Char,
            Type::String => WitType::String,
            Type::List(list) => match list.ty() {
                Type::U8 => WitType::Bytes,
                ty => WitType::List(Box::new(self.read(&ty, depth)?)),
            },
            Type::Map(map) => WitType::Map(
                Box::new(self.read(&map.key(), depth)?),
                Box::new(self.read(&map.value(), depth)?),
            ),
            Type::Tuple(tuple) => {
                let types = tuple.types().map(|ty| self.read(&ty, depth));
                WitType::Tuple(types.collect::<Result<_, _>>()?)
            }
            Type::Record(record) => {
                let fields = record
                    .fields()
                    .map(|field| Ok((self.name(field.name)?, self.read(&field.ty, depth)?)));
                WitType::Record(fields.collect::<Result<_, String>>()?)
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    let payload = case.ty.map(|ty| self.read(&ty, depth)).transpose()?;
                    Ok((self.name(case.name)?, payload))
                });
                let mut cases = cases.collect::<Result<Vec<_>, String>>()?;
                cases.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                WitType::Variant(cases)
            }
            Type::Enum(names) => WitType::Enum(self.names(names.names())?),
            Type::Flags(names) => WitType::Flags(self.names(names.names())?),
            Type::Option(option) => {
                let inner = Box::new(self.read(&option.ty(), depth)?);
                if inner.may_be_nothing() {
                    WitType::MarkedOption(inner)
                } else {
                    WitType::Option(inner)
                }
            }
            Type::Result(result) => WitType::Result(
                self.case(result.ok(), depth)?,
                self.case(result.err(), depth)?,
            ),
            Type::Own(ty) => {
                let kind = self.kind(*ty)?;
                self.given.push(Arc::clone(&kind));
                WitType::Own(kind)
            }
            Type::Borrow(ty) => WitType::Borrow(self.kind(*ty)?),
            // The engine has them off, and refuses a component that has one. See `configuration`.
            Type::FixedLengthList(_) => return Err("a list of a fixed length".to_owned()),
            Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                return Err("a type of WASI 0.3".to_owned());
            }
        })
    }

    fn kind(&mut self, ty: ResourceType) -> Result<Arc<Kind>, String> {
        self.has_resources = true;
        let kind = self.kinds.find(ty).cloned();
        kind.ok_or_else(|| "a resource of the host's own".to_owned())
    }

    /// Sorted, so that a value finds its own among ten thousand.
    fn names<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Result<Vec<WitName>, String> {
        let mut names = names
            .map(|name| self.name(name))
            .collect::<Result<Vec<_>, _>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Copies a name. Long names count as several types.
    fn name(&mut self, name: &str) -> Result<WitName, String> {
        self.spend(1 + name.len() / 32)?;
        Ok(name.into())
    }

    /// Takes from what all functions of the component may have together.
    fn spend(&mut self, count: usize) -> Result<(), String> {
        let left = self.left.checked_sub(count);
        *self.left = left.ok_or_else(|| {
            format!("more types and names than the {MAX_TYPES} that the functions of a component may have")
        })?;
        Ok(())
    }

    /// The type of one side of a result.
    fn case(&mut self, ty: Option<Type>, depth: usize) -> Result<Option<Box<WitType>>, String> {
        let ty = ty.map(|ty| self.read(&ty, depth)).transpose()?;
        Ok(ty.map(Box::new))
    }
}
