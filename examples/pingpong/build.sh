#!/usr/bin/env bash
# Rebuilds ping_s.wasm and pong_s.wasm and signs them with the examples' (public) keys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=../guest.sh
source ../guest.sh

build_guests
sign_guest "$(module pingpong_ping)" ping_s.wasm --subject ../keys/ping.nk --name Ping --alias ping \
  --rev 1 --ver 0.1.0 --cap wasmcloud:httpserver
# No --cap: pong may answer, and nothing else.
sign_guest "$(module pingpong_pong)" pong_s.wasm --subject ../keys/pong.nk --name Pong --alias pong \
  --rev 1 --ver 0.1.0
