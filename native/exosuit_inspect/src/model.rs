//! The model: names in the place of ids, so that it can be read by itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::needs::Needs;

/// What a Wasm file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: usize,
    /// What a component imports and exports.
    pub world: Option<World>,
    /// What a module imports and exports.
    pub module: Option<Module>,
    /// The languages and tools that made it, each with its version: `language`, `processed-by`, `sdk`.
    pub producers: BTreeMap<String, BTreeMap<String, String>>,
    /// How many core modules it has; a module is one.
    pub core_modules: usize,
    /// What an instance of it needs when it starts.
    pub needs: Needs,
}

/// The kinds of Wasm files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A component.
    Component,
    /// A module of the OTP era, with `__guest_call`.
    WasmbusModule,
    /// A command of WASI preview 1, with `_start`.
    Program,
    /// Any other module.
    Module,
    /// A package of WIT in its binary form.
    WitPackage,
}

/// What a component imports and exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct World {
    /// With package and version: `acme:shop/shop@1.0.0`.
    pub name: String,
    /// Its comment.
    pub docs: Option<String>,
    /// What it asks for.
    pub imports: Vec<Interface>,
    /// What it offers.
    pub exports: Vec<Interface>,
}

/// Functions and types under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// With package and version: `acme:shop/orders@1.0.0`. None for the functions and types of the world itself.
    pub name: Option<String>,
    /// Its comment.
    pub docs: Option<String>,
    /// Its functions.
    pub functions: Vec<Function>,
    /// The types that it defines.
    pub types: Vec<TypeDefinition>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// As an operation calls it: `place`, `[method]basket.add`.
    pub name: String,
    /// The resource that it is a method, a static function or the constructor of.
    pub resource: Option<String>,
    /// Whether it is of WASI 0.3.
    pub is_async: bool,
    /// Its comment.
    pub docs: Option<String>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// What it gives.
    pub result: Option<Type>,
    /// All of this as WIT writes it: `func(order: order) -> result<receipt, string>`.
    pub signature: String,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: Type,
}

/// The use of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// `bool`, `u8` … `s64`, `f32`, `f64`, `char`, `string` or `error-context`.
    Primitive(&'static str),
    /// `list<T>`.
    List(Box<Self>),
    /// `list<T, N>`.
    FixedLengthList(Box<Self>, u32),
    /// `map<K, V>`.
    Map(Box<Self>, Box<Self>),
    /// `tuple<…>`.
    Tuple(Vec<Self>),
    /// `option<T>`.
    Option(Box<Self>),
    /// `result<T, E>`.
    Result(Option<Box<Self>>, Option<Box<Self>>),
    /// A handle that is given away.
    Own(Named),
    /// A handle that is lent for the call.
    Borrow(Named),
    /// `stream<T>`.
    Stream(Option<Box<Self>>),
    /// `future<T>`.
    Future(Option<Box<Self>>),
    /// A type by its name.
    Named(Named),
}

/// The name of a type, and of the interface that defines it; none for one of the world itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// `acme:shop/orders@1.0.0`.
    pub interface: Option<String>,
    /// `order`.
    pub name: String,
}

/// The definition of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeDefinition {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub docs: Option<String>,
    /// What it is.
    pub shape: Shape,
}

/// What a type with a name is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Fields.
    Record(Vec<Field>),
    /// One of several cases.
    Variant(Vec<Case>),
    /// One of several names.
    Enum(Vec<Case>),
    /// Any of several names.
    Flags(Vec<Case>),
    /// What only its functions can read.
    Resource,
    /// Another type.
    Alias(Type),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub docs: Option<String>,
    /// Its type.
    pub r#type: Type,
}

/// A case of a variant or enum, or a flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub docs: Option<String>,
    /// The type of its value, if it has one.
    pub r#type: Option<Type>,
}

/// What a module imports and exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Each as module and name.
    pub imports: Vec<(String, String)>,
    /// Their names.
    pub exports: Vec<String>,
}
