# shellcheck shell=bash
# How the examples are built and signed; sourced by each `build.sh`, which runs in its own directory.
#
#   build_guests              compiles the Cargo workspace here to wasm32-unknown-unknown
#   sign_guest CRATE OUT ...  signs what CRATE became; the rest goes to `exosuit claims sign`

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=wasm32-unknown-unknown
build_dir=$HOME/.cache/exosuit/guests

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

sign_guest() {
  local crate=$1 out=$2
  shift 2
  "$repo/bin/exosuit" claims sign "$build_dir/$target/release/$crate.wasm" -o "$out" \
    --issuer "$repo/examples/keys/issuer.nk" "$@"
  ls -l "$out"
}
