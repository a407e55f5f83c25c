//! WIT packages that the host offers beside WASI's own, and the bindings generated from them.
//!
//! The packages lie in `wit/`: `wasi:keyvalue` as of 0.2.0-draft and 0.2.0-draft2, `wasi:config` as of
//! 0.2.0-draft and 0.2.0-rc.1, and `wasi:logging` with its version and without. Guests of wasmCloud 1.x
//! import the older ones, the tools of today fetch the newer. No logic is here: `exosuit_engine`
//! implements the traits.

#![forbid(unsafe_code)]

/// The state behind a guest's bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The name that it was opened by.
    pub name: String,
}

/// The state behind a guest's handle of a compare-and-swap.
#[derive(Debug, Clone)]
pub struct Cas {
    /// The bucket.
    pub bucket: String,
    /// The key in it.
    pub key: String,
    /// The SHA-256 of the value when the handle was made, if there was one: handles may be many, and
    /// values large.
    pub seen: Option<[u8; 32]>,
}

#[expect(missing_docs, reason = "generated code")]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "exosuit:host/imports",
        imports: { default: async | trappable },
        require_store_data_send: true,
        with: {
            "wasi:keyvalue/store@0.2.0-draft.bucket": super::Bucket,
            "wasi:keyvalue/store@0.2.0-draft2.bucket": super::Bucket,
            "wasi:keyvalue/atomics@0.2.0-draft2.cas": super::Cas,
        },
    });
}

pub use generated::wasi;
