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

/// The largest file that is read, in bytes.
pub const MAX_FILE: usize = 256 << 20;

/// Why a file cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not Wasm or WIT.
    #[error("{0}")]
    Unreadable(String),
    /// The file has no world or interface of this name.
    #[error("{0}")]
    NotFound(String),
    /// The file exceeds a limit.
    #[error("it has more than {0}")]
    TooLarge(&'static str),
}
