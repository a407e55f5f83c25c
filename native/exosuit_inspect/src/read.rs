//! Worlds and interfaces, from WIT or from a component.
//!
//! WIT files may name packages in a directory `deps` beside them. All features that are behind a
//! gate are read.

use std::fmt::Display;
use std::path::Path;

use wit_parser::decoding::DecodedWasm;
use wit_parser::{InterfaceId, PackageId, Resolve, WorldId};

use crate::convert::Converter;
use crate::decode::decode;
use crate::model::{Interface, World};
use crate::{Error, MAX_FILE};

/// Reads a world from a file or directory of WIT with its `deps`, or from a component.
///
/// `world` may be left out if there is only one. It is a name (`shop`), or a name with its package
/// (`acme:shop/shop`). A component has one world, so `world` is ignored for it.
///
/// # Errors
///
/// `Unreadable` for files and syntax, `NotFound` for a name, `TooLarge`.
pub fn read_world(path: &Path, world: Option<&str>) -> Result<World, Error> {
    let (resolve, id) = match source(path)? {
        Source::Component(resolve, id) => (resolve, id),
        Source::Package(resolve, package) => {
            let found = resolve.select_world(&[package], world);
            let id = found.map_err(|error| Error::NotFound(format!("{error:#}")))?;
            (resolve, id)
        }
    };
    Converter::new(&resolve).world(id)
}

/// Reads an interface by its name with package (`acme:kv/store`), and with its version if there are
/// several.
///
/// # Errors
///
/// `Unreadable`, `NotFound` with all interfaces that there are, `TooLarge`.
pub fn read_interface(path: &Path, name: &str) -> Result<Interface, Error> {
    let (Source::Component(resolve, _) | Source::Package(resolve, _)) = &source(path)?;
    let found: Vec<_> = resolve
        .interfaces
        .iter()
        .filter_map(|(id, _)| Some((id, resolve.id_of(id)?)))
        .filter(|(_, known)| known == name || known.split('@').next() == Some(name))
        .collect();
    match &found[..] {
        [(id, _name)] => Converter::new(resolve).interface(*id),
        [] => Err(unknown(resolve, name)),
        several => {
            let names: Vec<_> = several.iter().map(|(_id, name)| name.as_str()).collect();
            Err(Error::NotFound(format!(
                "{name:?} may be any of {}: name it with its version",
                names.join(", ")
            )))
        }
    }
}

/// The error for an interface that is not there.
fn unknown(resolve: &Resolve, name: &str) -> Error {
    let names = |(id, _): (InterfaceId, _)| resolve.id_of(id);
    let known: Vec<_> = resolve.interfaces.iter().filter_map(names).collect();
    let known = known.join(", ");
    Error::NotFound(format!("there is no interface {name:?}, there are {known}"))
}

/// Where a world or interface is looked up.
enum Source {
    Component(Resolve, WorldId),
    Package(Resolve, PackageId),
}

/// Reads a path: Wasm by its first bytes, WIT otherwise.
fn source(path: &Path) -> Result<Source, Error> {
    let meta = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if meta.is_file() {
        if meta.len() > MAX_FILE as u64 {
            return Err(Error::TooLarge("256 MiB"));
        }
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        if bytes.starts_with(b"\0asm") {
            let decoded = decode(&bytes).map_err(|error| match error {
                Error::Unreadable(text) => unreadable(path, &text),
                other => other,
            });
            return match decoded? {
                DecodedWasm::Component(resolve, id) => Ok(Source::Component(resolve, id)),
                DecodedWasm::WitPackage(resolve, id) => Ok(Source::Package(resolve, id)),
            };
        }
    }
    let mut resolve = Resolve {
        all_features: true,
        ..Resolve::default()
    };
    match resolve.push_path(path) {
        Ok((package, _files)) => Ok(Source::Package(resolve, package)),
        Err(error) => Err(Error::Unreadable(resolve.render_error(&error))),
    }
}

/// The error for a file, with its path.
fn unreadable(path: &Path, error: &impl Display) -> Error {
    Error::Unreadable(format!("{}: {error}", path.display()))
}
