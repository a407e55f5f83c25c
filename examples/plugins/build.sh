#!/usr/bin/env bash
# Rebuilds the components that the tests upload: priv/discount.wasm from guests/rust, and test/guests/bad.wasm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

cargo build --release --locked --target wasm32-wasip2 \
  --manifest-path guests/rust/Cargo.toml --target-dir guests/rust/target
cp guests/rust/target/wasm32-wasip2/release/discount.wasm priv/discount.wasm

cargo run --quiet --release --locked --manifest-path ../../Cargo.toml -p exosuit_claims --example wat2wasm -- \
  test/guests/bad.wat test/guests/bad.wasm
ls -l priv/discount.wasm test/guests/bad.wasm
