#!/usr/bin/env bash
# Rebuilds the .wasm here from their sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=../../../examples/guest.sh
source ../../../examples/guest.sh

build_guests
for guest in calculator delegator run web; do
  cp "$(componentize "guest_$guest")" "$guest.wasm"
done
wasm_tools parse command.wat -o command.wasm
ls -l ./*.wasm
