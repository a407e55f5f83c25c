//! Decodes the world of a component that may come from anybody.
//!
//! `wit-parser` writes the names of a type out again wherever the type is used, and panics on valid components that WIT
//! cannot express. So the names are counted before it begins, and a panic becomes an error.
//!
//! ```text
//! validate (bounds nesting) ──► count names ──► decode ──► Resolve
//!                                  │               │
//!                                  └ TooLarge      └ panic → Unreadable
//! ```
//!
//! The order matters. The count trusts that the file is valid, and `wit-parser` trusts that the
//! names fit into memory.

use std::panic::catch_unwind;

use wasmparser::component_types::{ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType};
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_parser::decoding::DecodedWasm;

use crate::Error;

/// The bytes of all names, each counted at every use.
const MAX_NAMES: usize = 64 << 20;

/// The memory that a name takes besides its bytes.
const NAME: usize = 64;

/// Decodes a component or a package of WIT.
///
/// # Errors
///
/// `Unreadable` for a file that is not valid, or that WIT cannot express. `TooLarge` for too many
/// names.
pub(crate) fn decode(wasm: &[u8]) -> Result<DecodedWasm, Error> {
    let validated = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm);
    let types = validated.map_err(|error| Error::Unreadable(error.to_string()))?;
    check_names(wasm, types.as_ref())?;
    match catch_unwind(|| wit_parser::decoding::decode(wasm)) {
        Ok(decoded) => decoded.map_err(|error| Error::Unreadable(format!("{error:#}"))),
        Err(_) => Err(Error::Unreadable(
            "it imports or exports something that WIT cannot express".to_owned(),
        )),
    }
}

/// Counts the names of the imports and exports of the outermost component.
fn check_names(wasm: &[u8], types: TypesRef<'_>) -> Result<(), Error> {
    let mut names = Names {
        types,
        left: MAX_NAMES,
    };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        let unreadable =
            |error: wasmparser::BinaryReaderError| Error::Unreadable(error.to_string());
        match payload.map_err(unreadable)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    let name = import.map_err(unreadable)?.name.name;
                    names.item(
                        name,
                        types.component_item_for_import(name).map(|item| &item.ty),
                    )?;
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let name = export.map_err(unreadable)?.name.name;
                    names.item(
                        name,
                        types.component_item_for_export(name).map(|item| &item.ty),
                    )?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names that may still come.
struct Names<'a> {
    types: TypesRef<'a>,
    left: usize,
}

impl Names<'_> {
    /// Counts one name.
    fn name(&mut self, name: &str) -> Result<(), Error> {
        let left = self.left.checked_sub(NAME + name.len());
        self.left = left.ok_or(Error::TooLarge("64 MiB of names"))?;
        Ok(())
    }

    /// Counts the names of an import or export. The validator has bounded the nesting, so recursion
    /// is safe.
    fn item(&mut self, name: &str, ty: Option<&ComponentEntityType>) -> Result<(), Error> {
        self.name(name)?;
        let types = self.types;
        match ty {
            Some(ComponentEntityType::Func(id)) => types.get(*id).map_or(Ok(()), |function| {
                function
                    .params
                    .iter()
                    .try_for_each(|(name, _ty)| self.name(name))
            }),
            Some(ComponentEntityType::Instance(id)) => types.get(*id).map_or(Ok(()), |instance| {
                let mut exports = instance.exports.iter();
                exports.try_for_each(|(name, item)| self.item(name, Some(&item.ty)))
            }),
            Some(ComponentEntityType::Component(id)) => {
                types.get(*id).map_or(Ok(()), |component| {
                    let mut items = component.imports.iter().chain(component.exports.iter());
                    items.try_for_each(|(name, item)| self.item(name, Some(&item.ty)))
                })
            }
            Some(ComponentEntityType::Type {
                referenced: ComponentAnyTypeId::Defined(id),
                ..
            }) => types
                .get(*id)
                .map_or(Ok(()), |defined| self.defined(defined)),
            // A package of WIT exports the type of a component.
            Some(ComponentEntityType::Type {
                created: ComponentAnyTypeId::Component(id),
                ..
            }) => self.item("", Some(&ComponentEntityType::Component(*id))),
            _ => Ok(()),
        }
    }

    /// Counts the names in a type.
    fn defined(&mut self, ty: &ComponentDefinedType) -> Result<(), Error> {
        match ty {
            ComponentDefinedType::Record(record) => {
                record.fields.keys().try_for_each(|name| self.name(name))
            }
            ComponentDefinedType::Variant(variant) => {
                variant.cases.keys().try_for_each(|name| self.name(name))
            }
            ComponentDefinedType::Enum(names) | ComponentDefinedType::Flags(names) => {
                names.iter().try_for_each(|name| self.name(name))
            }
            _ => Ok(()),
        }
    }
}
