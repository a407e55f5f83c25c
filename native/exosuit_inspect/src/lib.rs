//! Describes WIT files, components and modules before anything runs.
//!
//! - [`describe`]: a Wasm file: its kind, what it imports and exports, and which tools made it.
//! - [`answers`]: who answers its imports, on any host or on one whose inventory is given.
//! - [`read_world`], [`read_interface`]: a directory or file of WIT, or a component that carries its world.
//!
//! The model ([`World`], [`Interface`], [`Function`], [`Type`]) has names in the place of the ids of `wit-parser`, and
//! is serialized as it stands: Elixir and the command line read the same JSON.
//!
//! Files may come from anybody. They are bounded in their size and in the number of their types.
//!
//! # Who calls it
//!
//! `exosuit_nif` for `Exosuit.World`, and the command line for `inspect`. Nothing
//! here compiles or runs code, and nothing waits, except for reading files.
//!
//! # What is bounded
//!
//! | what | by |
//! |---|---|
//! | a file | 256 MiB |
//! | the names of a component, each at every use | 64 MiB |
//! | uses of types, written out | 200,000 |
//! | the nesting of types | 100 levels |
//! | the names of types in a description | 16 MiB |
//! | imports and exports of a module | 100,000 |
//!
//! A file beyond a bound is [`Error::TooLarge`]. The bounds matter because a small file may
//! describe much: types share their parts, and a description writes them out.
#![forbid(unsafe_code)]

mod answers;
mod convert;
mod decode;
mod describe;
mod model;
mod needs;
mod read;
mod signature;

pub use self::answers::{Answer, Asker, By, Inventory, Through, answers};
pub use self::describe::describe;
pub use self::model::{
    Case, Description, Field, Function, Interface, Kind, Module, Named, Parameter, Shape, Type,
    TypeDefinition, World,
};
pub use self::needs::Needs;
pub use self::read::{read_interface, read_world};

/// The largest file that is read: 256 MiB.
pub const MAX_FILE: usize = 256 << 20;

/// The reason why a file cannot be described. The texts are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read, or is not valid Wasm or WIT. The text says where.
    #[error("{0}")]
    Unreadable(String),
    /// The file has no world or interface of this name, or several. The text lists those that there
    /// are.
    #[error("{0}")]
    NotFound(String),
    /// The file exceeds a limit, which the text names.
    #[error("it has more than {0}")]
    TooLarge(&'static str),
}
