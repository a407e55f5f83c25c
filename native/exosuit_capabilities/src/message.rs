//! Messages as the guests of the wasmbus write and read them.
//!
//! Structs are written as maps. Read are maps, with unknown fields passed over and missing ones at
//! their default, and arrays in the order of the contract; text may come as bytes.
//!
//! The guests of the OTP era were built with several libraries, which write structs as maps or as
//! arrays. So reading is tolerant and writing is fixed.

use bytes::Bytes;
use exosuit_core::{Code, Contract, Error};
use serde::{Deserialize, Serialize};

/// Decodes the arguments of `operation`, which should have this `shape`.
///
/// # Errors
///
/// `invalid_input` with the shape. The decoder's own message is left out, because it may quote the
/// payload.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    operation: &str,
    shape: &str,
    payload: &'a [u8],
) -> Result<T, Error> {
    rmp_serde::from_slice(payload).map_err(|_| {
        Error::new(
            Code::InvalidInput,
            format!("expected the payload of {operation} to be MessagePack of {shape}"),
        )
    })
}

/// Encodes an answer as a map. It fails only for types that `MessagePack` cannot hold, which is a
/// fault of ours: `internal`.
pub(crate) fn write<T: Serialize + ?Sized>(answer: &T) -> Result<Bytes, Error> {
    rmp_serde::to_vec_named(answer)
        .map(Bytes::from)
        .map_err(|error| {
            Error::new(
                Code::Internal,
                format!("an answer could not be encoded: {error}"),
            )
        })
}

/// The error for an operation that the contract does not have, with its name cut to 64 characters.
pub(crate) fn unknown_operation(contract: &Contract, operation: &str) -> Error {
    let operation: String = operation.chars().take(64).collect();
    Error::new(
        Code::UnknownOperation,
        format!("{contract} has no operation {operation:?}"),
    )
}
