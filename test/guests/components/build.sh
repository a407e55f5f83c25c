#!/usr/bin/env bash
# Rebuilds the .wasm here from their sources: `./build.sh`, or `./build.sh web run` for these alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=../../../examples/guest.sh
source ../../../examples/guest.sh

components=(calculator delegator run web)

build_guests
for guest in "${@:-${components[@]}}"; do
  cp "$(componentize "guest_$guest")" "$guest.wasm"
  ls -l "$guest.wasm"
done
