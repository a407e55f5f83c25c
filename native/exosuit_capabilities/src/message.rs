//! Messages as the guests of the wasmbus write and read them.
//!
//! Structs are written as maps. Read are maps, with unknown fields passed over and missing ones at
//! their default, and arrays in the order of the contract; text may come as bytes.

use bytes::Bytes;
use exosuit_core::{Code, Contract, Error};
use serde::{Deserialize, Serialize};

/// Reads the arguments of `operation`, which should be of this `shape`.
///
/// The decoder's own message is left out: it may quote the payload.
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

/// Writes an answer.
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

/// The error for an operation that a contract has not.
pub(crate) fn unknown_operation(contract: &Contract, operation: &str) -> Error {
    let operation: String = operation.chars().take(64).collect();
    Error::new(
        Code::UnknownOperation,
        format!("{contract} has no operation {operation:?}"),
    )
}
