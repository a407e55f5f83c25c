#!/usr/bin/env bash
# Rebuilds counter_s.wasm from src/ and signs it with the examples' (public) keys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=../guest.sh
source ../guest.sh

build_guests
sign_guest counter counter_s.wasm --subject ../keys/counter.nk --name Counter --alias counter \
  --rev 1 --ver 0.1.0 --cap wasmcloud:httpserver --cap wasmcloud:keyvalue
