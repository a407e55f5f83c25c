//! The model: names in the place of ids, so that it can be read by itself.
//!
//! Everything serializes as it stands, in `snake_case` for fields and `kebab-case` for variants.
//! Elixir reads it as maps, and `exosuit inspect --json` prints it.
//!
//! ```text
//! Description
//! ├── world: World            of a component
//! │   ├── imports: [Interface]
//! │   └── exports: [Interface]
//! │         ├── functions: [Function]
//! │         └── types: [TypeDefinition] ── shape: Shape
//! └── module: Module          of a module
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use crate::needs::Needs;

/// The description of a Wasm file, read from the file itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// What kind of file it is, which also says which of `world` and `module` is there.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: usize,
    /// The imports and exports of a component.
    pub world: Option<World>,
    /// The imports and exports of a module.
    pub module: Option<Module>,
    /// The languages and tools that made it, each with its version: `language`, `processed-by`, `sdk`.
    pub producers: BTreeMap<String, BTreeMap<String, String>>,
    /// The number of its core modules; 1 for a module.
    pub core_modules: usize,
    /// The resources that an instance needs when it starts.
    pub needs: Needs,
}

/// The kinds of Wasm files.
///
/// It decides how a host runs the file: a component by `wasi:…` exports, a module of the OTP era by
/// `__guest_call`, a program by `_start`.
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

/// The imports and exports of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct World {
    /// With package and version: `acme:shop/shop@1.0.0`.
    pub name: String,
    /// Its comment.
    pub docs: Option<String>,
    /// The imported interfaces.
    pub imports: Vec<Interface>,
    /// The exported interfaces.
    pub exports: Vec<Interface>,
}

/// Functions and types under a name.
///
/// A type that another interface defines, and this one uses, is not among `types`.
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
///
/// A method has the resource as its first parameter, `self`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// As an operation calls it: `place`, `[method]basket.add`.
    pub name: String,
    /// The resource that it is a method, a static function or the constructor of.
    pub resource: Option<String>,
    /// Whether it is asynchronous, as WASI 0.3 has it.
    pub is_async: bool,
    /// Its comment.
    pub docs: Option<String>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub result: Option<Type>,
    /// The whole function as WIT writes it: `func(order: order) -> result<receipt, string>`.
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

/// A type where it is used. `Display` writes it as WIT does.
///
/// ```
/// use exosuit_inspect::{Named, Type};
///
/// let order = Type::Named(Named { interface: None, name: "order".to_owned() });
/// let orders = Type::List(Box::new(Type::Option(Box::new(order))));
/// assert_eq!(orders.to_string(), "list<option<order>>");
/// ```
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
    /// A handle of a resource that is given to the callee.
    Own(Named),
    /// A handle of a resource that is lent for the call.
    Borrow(Named),
    /// `stream<T>`.
    Stream(Option<Box<Self>>),
    /// `future<T>`.
    Future(Option<Box<Self>>),
    /// A type by its name.
    Named(Named),
}

/// The name of a type, and of the interface that defines it. `None` for a type of the world itself.
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
    /// The definition.
    pub shape: Shape,
}

/// The definition of a type that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Several fields, all of them there.
    Record(Vec<Field>),
    /// One of several cases, each with or without a value.
    Variant(Vec<Case>),
    /// One of several names.
    Enum(Vec<Case>),
    /// Any number of several names.
    Flags(Vec<Case>),
    /// A resource, whose content only its functions can read.
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

/// The imports and exports of a module.
///
/// Only functions are listed among the exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Each as module and name.
    pub imports: Vec<(String, String)>,
    /// Their names.
    pub exports: Vec<String>,
}
