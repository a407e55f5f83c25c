//! From the ids of `wit-parser` to names.
//!
//! `wit-parser` refers to types by ids in a table, which nobody outside can read. Here every use of
//! a type is written out up to the next name. So types that share parts take more room than in the
//! table, and that is counted: a type of 100 levels with two uses of the level below would
//! otherwise be 2¹⁰⁰ uses.

use wit_parser::{
    Docs, Function as WitFunction, FunctionKind, Handle, InterfaceId, Resolve, Type as WitType,
    TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem, WorldKey,
};

use crate::model::{
    Case, Field, Function, Interface, Named, Parameter, Shape, Type, TypeDefinition, World,
};
use crate::{Error, signature};

/// The uses of types, those inside of others counted each time.
const MAX_TYPES: usize = 200_000;

/// The nesting of types without names.
const MAX_DEPTH: usize = 100;

/// The bytes of the names of types, counted at every use.
const MAX_NAMES: usize = 16 << 20;

/// Converts parts of one table. Its counts are for all that it converts.
pub(crate) struct Converter<'a> {
    resolve: &'a Resolve,
    /// The uses of types that may still come.
    left: usize,
    /// The bytes of names that may still come.
    bytes_left: usize,
}

impl<'a> Converter<'a> {
    /// Nothing is counted yet.
    pub(crate) fn new(resolve: &'a Resolve) -> Self {
        Self {
            resolve,
            left: MAX_TYPES,
            bytes_left: MAX_NAMES,
        }
    }

    /// A world with its imports and exports.
    pub(crate) fn world(&mut self, id: WorldId) -> Result<World, Error> {
        let world = &self.resolve.worlds[id];
        let name = match world.package {
            Some(package) => self.resolve.id_of_name(package, &world.name),
            None => world.name.clone(),
        };
        Ok(World {
            name,
            docs: docs(&world.docs),
            imports: self.items(world.imports.iter())?,
            exports: self.items(world.exports.iter())?,
        })
    }

    /// The interfaces of a list of imports or exports. Functions and types of the world itself
    /// become an interface without a name, which comes first.
    fn items<'i>(
        &mut self,
        items: impl Iterator<Item = (&'i WorldKey, &'i WorldItem)>,
    ) -> Result<Vec<Interface>, Error> {
        let mut own = Interface {
            name: None,
            docs: None,
            functions: Vec::new(),
            types: Vec::new(),
        };
        let mut interfaces = Vec::new();
        for (key, item) in items {
            match item {
                WorldItem::Interface { id, .. } => {
                    let name = self.resolve.name_world_key(key);
                    interfaces.push(self.named_interface(*id, name)?);
                }
                WorldItem::Function(function) => own.functions.push(self.function(function)?),
                WorldItem::Type { id, .. } => own.types.extend(self.definition(*id)?),
            }
        }
        if !own.functions.is_empty() || !own.types.is_empty() {
            interfaces.insert(0, own);
        }
        Ok(interfaces)
    }

    /// An interface by its own name.
    pub(crate) fn interface(&mut self, id: InterfaceId) -> Result<Interface, Error> {
        let name = self.resolve.id_of(id).unwrap_or_default();
        self.named_interface(id, name)
    }

    /// An interface under the name that a world gives it.
    fn named_interface(&mut self, id: InterfaceId, name: String) -> Result<Interface, Error> {
        let interface = &self.resolve.interfaces[id];
        let mut types = Vec::new();
        for id in interface.types.values() {
            types.extend(self.definition(*id)?);
        }
        let functions = interface
            .functions
            .values()
            .map(|function| self.function(function));
        Ok(Interface {
            name: Some(name),
            docs: docs(&interface.docs),
            functions: functions.collect::<Result<_, _>>()?,
            types,
        })
    }

    /// A function with its signature.
    fn function(&mut self, function: &WitFunction) -> Result<Function, Error> {
        let mut parameters = Vec::with_capacity(function.params.len());
        for parameter in &function.params {
            parameters.push(Parameter {
                name: parameter.name.clone(),
                r#type: self.ty(&parameter.ty, 0)?,
            });
        }
        let result = function.result.as_ref().map(|ty| self.ty(ty, 0));
        let result = result.transpose()?;
        let is_async = matches!(
            function.kind,
            FunctionKind::AsyncFreestanding
                | FunctionKind::AsyncMethod(_)
                | FunctionKind::AsyncStatic(_)
        );
        Ok(Function {
            signature: signature::of(&parameters, result.as_ref(), is_async),
            name: function.name.clone(),
            resource: self.resource(&function.kind),
            is_async,
            docs: docs(&function.docs),
            parameters,
            result,
        })
    }

    /// The resource of a method, a static function or a constructor.
    fn resource(&self, kind: &FunctionKind) -> Option<String> {
        match kind {
            FunctionKind::Method(id)
            | FunctionKind::AsyncMethod(id)
            | FunctionKind::Static(id)
            | FunctionKind::AsyncStatic(id)
            | FunctionKind::Constructor(id) => self.resolve.types[*id].name.clone(),
            FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => None,
        }
    }

    /// The definition of a type. `None` for a type that another interface defines.
    fn definition(&mut self, id: TypeId) -> Result<Option<TypeDefinition>, Error> {
        let ty = &self.resolve.types[id];
        let Some(name) = ty.name.clone() else {
            return Ok(None);
        };
        if self.original(id) != id {
            return Ok(None);
        }
        Ok(Some(TypeDefinition {
            name,
            docs: docs(&ty.docs),
            shape: self.shape(&ty.kind)?,
        }))
    }

    /// The shape of a definition.
    fn shape(&mut self, kind: &TypeDefKind) -> Result<Shape, Error> {
        Ok(match kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    Ok(Field {
                        name: field.name.clone(),
                        docs: docs(&field.docs),
                        r#type: self.ty(&field.ty, 0)?,
                    })
                });
                Shape::Record(fields.collect::<Result<_, Error>>()?)
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| {
                    let ty = case.ty.as_ref().map(|ty| self.ty(ty, 0));
                    Ok(Case {
                        name: case.name.clone(),
                        docs: docs(&case.docs),
                        r#type: ty.transpose()?,
                    })
                });
                Shape::Variant(cases.collect::<Result<_, Error>>()?)
            }
            TypeDefKind::Enum(names) => {
                let cases = names.cases.iter();
                Shape::Enum(cases.map(|case| bare(&case.name, &case.docs)).collect())
            }
            TypeDefKind::Flags(names) => {
                let flags = names.flags.iter();
                Shape::Flags(flags.map(|flag| bare(&flag.name, &flag.docs)).collect())
            }
            TypeDefKind::Resource => Shape::Resource,
            other => Shape::Alias(self.structure(other, 0)?),
        })
    }

    /// A type where it is used: its name, or its structure if it has none.
    fn ty(&mut self, ty: &WitType, depth: usize) -> Result<Type, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooLarge("100 levels of types"));
        }
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(Error::TooLarge("200000 uses of types"))?;
        let WitType::Id(id) = ty else {
            return Ok(Type::Primitive(primitive(ty)));
        };
        let id = self.original(*id);
        match &self.resolve.types[id].name {
            Some(name) => Ok(Type::Named(self.named(id, name)?)),
            None => self.structure(&self.resolve.types[id].kind, depth + 1),
        }
    }

    /// The structure of a type without a name.
    fn structure(&mut self, kind: &TypeDefKind, depth: usize) -> Result<Type, Error> {
        Ok(match kind {
            TypeDefKind::Tuple(tuple) => {
                let types = tuple.types.iter().map(|ty| self.ty(ty, depth));
                Type::Tuple(types.collect::<Result<_, _>>()?)
            }
            TypeDefKind::Option(ty) => Type::Option(self.boxed(ty, depth)?),
            TypeDefKind::List(ty) => Type::List(self.boxed(ty, depth)?),
            TypeDefKind::FixedLengthList(ty, length) => {
                Type::FixedLengthList(self.boxed(ty, depth)?, *length)
            }
            TypeDefKind::Map(key, value) => {
                Type::Map(self.boxed(key, depth)?, self.boxed(value, depth)?)
            }
            TypeDefKind::Result(result) => Type::Result(
                self.optional(result.ok.as_ref(), depth)?,
                self.optional(result.err.as_ref(), depth)?,
            ),
            TypeDefKind::Future(ty) => Type::Future(self.optional(ty.as_ref(), depth)?),
            TypeDefKind::Stream(ty) => Type::Stream(self.optional(ty.as_ref(), depth)?),
            TypeDefKind::Handle(Handle::Own(id)) => Type::Own(self.handle(*id)?),
            TypeDefKind::Handle(Handle::Borrow(id)) => Type::Borrow(self.handle(*id)?),
            TypeDefKind::Type(ty) => self.ty(ty, depth)?,
            other => {
                let detail = format!("a {} without a name", other.as_str());
                return Err(Error::Unreadable(detail));
            }
        })
    }

    /// A part of a type.
    fn boxed(&mut self, ty: &WitType, depth: usize) -> Result<Box<Type>, Error> {
        Ok(Box::new(self.ty(ty, depth)?))
    }

    /// A part of a type that may be missing.
    fn optional(&mut self, ty: Option<&WitType>, depth: usize) -> Result<Option<Box<Type>>, Error> {
        ty.map(|ty| self.boxed(ty, depth)).transpose()
    }

    /// The name of the resource of a handle.
    fn handle(&mut self, id: TypeId) -> Result<Named, Error> {
        let id = self.original(id);
        let name = self.resolve.types[id].name.clone().unwrap_or_default();
        self.named(id, &name)
    }

    /// The name of a type with its interface, counted.
    fn named(&mut self, id: TypeId, name: &str) -> Result<Named, Error> {
        let interface = match self.resolve.types[id].owner {
            TypeOwner::Interface(interface) => self.resolve.id_of(interface),
            TypeOwner::World(_) | TypeOwner::None => None,
        };
        let bytes = name.len() + interface.as_ref().map_or(0, String::len);
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or(Error::TooLarge("16 MiB of names of types"))?;
        Ok(Named {
            interface,
            name: name.to_owned(),
        })
    }

    /// The type behind a `use`, or behind an alias of a type that has a name.
    fn original(&self, mut id: TypeId) -> TypeId {
        while let TypeDefKind::Type(WitType::Id(other)) = self.resolve.types[id].kind {
            if self.resolve.types[other].name.is_none() {
                break;
            }
            id = other;
        }
        id
    }
}

/// A case without a value.
fn bare(name: &str, comment: &Docs) -> Case {
    Case {
        name: name.to_owned(),
        docs: docs(comment),
        r#type: None,
    }
}

/// The comment, without blanks around it.
fn docs(docs: &Docs) -> Option<String> {
    docs.contents.as_deref().map(|text| text.trim().to_owned())
}

/// The name of a primitive type.
fn primitive(ty: &WitType) -> &'static str {
    match ty {
        WitType::Bool => "bool",
        WitType::U8 => "u8",
        WitType::U16 => "u16",
        WitType::U32 => "u32",
        WitType::U64 => "u64",
        WitType::S8 => "s8",
        WitType::S16 => "s16",
        WitType::S32 => "s32",
        WitType::S64 => "s64",
        WitType::F32 => "f32",
        WitType::F64 => "f64",
        WitType::Char => "char",
        WitType::String => "string",
        WitType::ErrorContext | WitType::Id(_) => "error-context",
    }
}
