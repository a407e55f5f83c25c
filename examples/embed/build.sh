#!/usr/bin/env bash
# Rebuilds priv/visitor_s.wasm from visitor.wat and signs it with the examples' (public) keys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

out=examples/embed/priv/visitor_s.wasm
cargo run --quiet --release --locked -p exosuit_claims --example wat2wasm -- \
  examples/embed/visitor.wat "$out"
bin/exosuit claims sign "$out" -o "$out" --issuer examples/keys/issuer.nk \
  --subject examples/keys/visitor.nk --name Visitor --alias visitor --rev 1 --ver 0.1.0 --cap embed:greeter
