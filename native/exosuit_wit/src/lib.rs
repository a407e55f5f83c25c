//! WIT packages that the host offers beside WASI's own, and the bindings generated from them.
//!
//! The packages lie in `wit/`: `wasi:keyvalue` and `wasi:config` as of 0.2.0-draft, and
//! `wasi:logging` with its version and without, as guests of wasmCloud 1.x import them. No logic is
//! here: `exosuit_engine` implements the traits.

#![forbid(unsafe_code)]

/// What a guest's bucket stands for.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The name that it was opened by.
    pub name: String,
}

#[expect(missing_docs, reason = "generated code")]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "exosuit:host/imports",
        imports: { default: async | trappable },
        require_store_data_send: true,
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}

pub use generated::wasi;
