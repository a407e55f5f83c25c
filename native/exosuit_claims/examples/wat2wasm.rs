//! Assembles text modules: `wat2wasm IN.wat OUT.wasm [IN.wat OUT.wasm ...]`.

use std::env::args;
use std::fs;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let paths: Vec<_> = args().skip(1).collect();
    if paths.is_empty() || paths.len() % 2 != 0 {
        bail!("usage: wat2wasm IN.wat OUT.wasm [IN.wat OUT.wasm ...]");
    }
    for pair in paths.chunks_exact(2) {
        let wasm = wat::parse_file(&pair[0])?;
        fs::write(&pair[1], wasm).with_context(|| format!("cannot write {}", pair[1]))?;
    }
    Ok(())
}
