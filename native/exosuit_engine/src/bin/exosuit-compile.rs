//! Compiles one module for the host that started it, see `program` in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    exosuit_engine::compile_for_parent()
}
