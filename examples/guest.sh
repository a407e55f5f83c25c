# shellcheck shell=bash
# How the examples are built and signed; sourced by each `build.sh`, which runs in its own directory.
#
#   build_guests              compiles the Cargo workspace here to wasm32-unknown-unknown
#   componentize CRATE        makes a component of what CRATE became, and says where it is
#   sign_guest WASM OUT ...   signs WASM into OUT; the rest goes to `exosuit claims sign`
#   module CRATE              says where what CRATE became is

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=wasm32-unknown-unknown
build_dir=$HOME/.cache/exosuit/guests

# Of the host's own generation (Cargo.lock), so that it writes what the host reads.
wasm_tools_version=1.254.2

build_guests() {
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$(path_flags)

  if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    guest_cargo build
  else
    need_debian_rust
    # Debian ships the standard library as source only: built here, once, about three minutes.
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld \
      guest_cargo build -Zbuild-std=std,panic_abort
  fi
}

# So that no path of this machine ends in the wasm, and another machine gets the same one.
path_flags() {
  cargo fetch --quiet --locked
  printf -- '--remap-path-prefix=%s=' "$repo/"
  printf -- ' --remap-path-prefix=%s=' "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/
}

guest_cargo() {
  cargo "$@" --release --locked --target "$target" --target-dir "$build_dir"
}

need_debian_rust() {
  local std=/usr/lib/rustlib/src/rust/library/std
  [ -x /usr/bin/rustc ] && [ -d "$std" ] && command -v wasm-ld >/dev/null && return

  echo "guests need the Rust target $target: either of" >&2
  echo "  rustup target add $target" >&2
  echo "  apt-get install --no-install-recommends rustc-web rust-web-src lld" >&2
  exit 1
}

module() {
  echo "$build_dir/$target/release/$1.wasm"
}

componentize() {
  local component=$build_dir/$1.component.wasm
  wasm_tools component new "$(module "$1")" -o "$component"
  # The text of the WIT's comments: nothing that runs reads it.
  wasm_tools strip --delete '^package-docs$' "$component" -o "$component"
  echo "$component"
}

# Builds it first if it is missing, which takes some minutes, once.
wasm_tools() {
  local root=$build_dir/wasm-tools-$wasm_tools_version

  [ -x "$root/bin/wasm-tools" ] ||
    cargo install wasm-tools --version "$wasm_tools_version" --locked --quiet --root "$root" \
      --no-default-features --features component,parse,print,strip,validate >&2

  "$root/bin/wasm-tools" "$@"
}

sign_guest() {
  local wasm=$1 out=$2
  shift 2
  "$repo/bin/exosuit" claims sign "$wasm" -o "$out" \
    --issuer "$repo/examples/keys/issuer.nk" "$@"
  ls -l "$out"
}
