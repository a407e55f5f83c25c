//! Commands of WASI preview 1: core modules that become components, so that they run as those do.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW_1,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::ComponentEncoder;

use super::wasmbus::GUEST_CALL;
use crate::Error;

const START: &str = "_start";

/// Whether it is a command, and not a wasmbus module that has a `_start` as well.
pub(crate) fn is_command(module: &[u8]) -> bool {
    let (mut starts, mut is_called) = (false, false);
    let sections = Parser::new(0).parse_all(module).map_while(Result::ok);
    for section in sections {
        let Payload::ExportSection(exports) = section else {
            continue;
        };
        for export in exports.into_iter().map_while(Result::ok) {
            let is_function = export.kind == ExternalKind::Func;
            starts |= is_function && export.name == START;
            is_called |= is_function && export.name == GUEST_CALL;
        }
    }
    starts && !is_called
}

/// The component that the command becomes.
pub(crate) fn adapt(module: &[u8]) -> Result<Vec<u8>, Error> {
    let encoder = ComponentEncoder::default().module(module);
    let encoder = encoder.and_then(|encoder| encoder.adapter(PREVIEW_1, ADAPTER));
    let component = encoder.and_then(|mut encoder| encoder.encode());
    component.map_err(|error| {
        Error::Module(format!(
            "the module is a command ({START:?} and no {GUEST_CALL:?}), and no component can be made \
             of it: {error:#}"
        ))
    })
}
