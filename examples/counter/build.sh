#!/usr/bin/env bash
# Rebuilds counter_s.wasm from src/ and counter_component_s.wasm from component/, and signs both with
# the examples' (public) keys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=../guest.sh
source ../guest.sh

build_guests
sign_guest "$(module counter)" counter_s.wasm --subject ../keys/counter.nk --name Counter --alias counter \
  --rev 1 --ver 0.1.0 --cap wasmcloud:httpserver --cap wasmcloud:keyvalue

cd component
build_guests
sign_guest "$(componentize counter_component)" ../counter_component_s.wasm \
  --subject ../../keys/counter_component.nk --name 'Counter component' --alias counter_component \
  --rev 1 --ver 0.1.0 --cap wasi:http --cap wasi:keyvalue
