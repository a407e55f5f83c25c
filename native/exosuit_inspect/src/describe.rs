//! The description of a Wasm file.
//!
//! The file is read three times, each time from its beginning: by the validator, for its parts, and
//! for its needs. Validation comes first, as the others rely on it. The sections of code are
//! validated and not kept.

use std::collections::BTreeMap;

use wasm_metadata::Producers;
use wasmparser::{Encoding, ExternalKind, Parser, Payload, Validator, WasmFeatures};
use wit_parser::decoding::DecodedWasm;

use crate::convert::Converter;
use crate::decode::decode;
use crate::model::{Description, Kind, Module, World};
use crate::needs::Needs;
use crate::{Error, MAX_FILE};

/// The number of imports and exports of a module.
const MAX_ITEMS: usize = 100_000;

/// Describes a component or a module. Nothing of it is compiled.
///
/// # Errors
///
/// `TooLarge`, or `Unreadable` for anything that is not valid Wasm.
///
/// ```
/// use exosuit_inspect::{Kind, describe};
///
/// // The smallest module: its magic number and its version.
/// let module = describe(b"\0asm\x01\0\0\0")?;
/// assert_eq!(module.kind, Kind::Module);
/// assert_eq!((module.size, module.core_modules, module.needs.instances), (8, 1, 1));
///
/// assert!(describe(b"not Wasm").is_err());
/// # Ok::<(), exosuit_inspect::Error>(())
/// ```
pub fn describe(wasm: &[u8]) -> Result<Description, Error> {
    if wasm.len() > MAX_FILE {
        return Err(Error::TooLarge("256 MiB"));
    }
    // Others trust that it is valid, or nest without end.
    let validated = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm);
    validated.map_err(|error| Error::Unreadable(error.to_string()))?;
    let parts = Parts::of(wasm).map_err(|error| Error::Unreadable(error.to_string()))?;
    let needs = Needs::of(wasm).map_err(|error| Error::Unreadable(error.to_string()))?;
    let (kind, world, module) = if parts.is_component {
        component(wasm)?
    } else {
        let module = parts.module()?;
        (module_kind(&module), None, Some(module))
    };
    Ok(Description {
        kind,
        size: wasm.len(),
        world,
        module,
        producers: parts.producers,
        core_modules: parts.core_modules,
        needs,
    })
}

/// The world of a component. A package of WIT has none.
fn component(wasm: &[u8]) -> Result<(Kind, Option<World>, Option<Module>), Error> {
    match decode(wasm)? {
        DecodedWasm::Component(resolve, id) => {
            let world = Converter::new(&resolve).world(id)?;
            Ok((Kind::Component, Some(world), None))
        }
        DecodedWasm::WitPackage(..) => Ok((Kind::WitPackage, None, None)),
    }
}

/// The kind of a module, by its exports.
fn module_kind(module: &Module) -> Kind {
    let exports = |name: &str| module.exports.iter().any(|export| export == name);
    match () {
        () if exports("__guest_call") => Kind::WasmbusModule,
        () if exports("_start") => Kind::Program,
        () => Kind::Module,
    }
}

/// What a walk through the file collects.
#[derive(Default)]
struct Parts {
    is_component: bool,
    core_modules: usize,
    producers: BTreeMap<String, BTreeMap<String, String>>,
    imports: Vec<(String, String)>,
    exports: Vec<String>,
}

impl Parts {
    /// Walks through the file. The first payload says whether it is a component.
    fn of(wasm: &[u8]) -> wasmparser::Result<Self> {
        let mut parts = Self::default();
        for (n, payload) in Parser::new(0).parse_all(wasm).enumerate() {
            let payload = payload?;
            if n == 0 {
                let component = Encoding::Component;
                parts.is_component =
                    matches!(&payload, Payload::Version { encoding, .. } if *encoding == component);
            }
            parts.take(&payload)?;
        }
        Ok(parts)
    }

    /// Collects from one payload. Imports and exports count in a module only; `producers` in every
    /// nested part.
    fn take(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => self.core_modules += 1,
            Payload::ImportSection(imports) if !self.is_component => {
                for import in imports.clone().into_imports() {
                    let import = import?;
                    self.imports
                        .push((import.module.to_owned(), import.name.to_owned()));
                }
            }
            Payload::ExportSection(exports) if !self.is_component => {
                for export in exports.clone() {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        self.exports.push(export.name.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == "producers" => {
                // What is no such section tells nothing.
                if let Ok(found) = Producers::from_bytes(section.data(), section.data_offset()) {
                    self.add(&found);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Merges the tools of a nested part.
    fn add(&mut self, producers: &Producers) {
        for (field, entries) in producers.iter() {
            let known = self.producers.entry(field.clone()).or_default();
            for (name, version) in entries.iter() {
                known.insert(name.clone(), version.clone());
            }
        }
    }

    /// Imports and exports of a module, if they are not too many.
    fn module(&self) -> Result<Module, Error> {
        if self.imports.len() + self.exports.len() > MAX_ITEMS {
            return Err(Error::TooLarge("100000 imports and exports"));
        }
        Ok(Module {
            imports: self.imports.clone(),
            exports: self.exports.clone(),
        })
    }
}
