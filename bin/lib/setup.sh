# shellcheck shell=bash
# What bin/exosuit and bin/test need on a machine, installed and built only where it is missing.
# Everything said here goes to standard error: standard output belongs to the command that was asked for.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rust_version=1.95
elixir_version=1.14
erlang_packages=(elixir erlang-dev erlang-inets erlang-parsetools erlang-ssl erlang-tools erlang-xmerl)

# Shared by the clones on a machine, so that wasmtime is built once.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/exosuit/target}

# Elixir warns, and prints escapes for anything but ASCII, where the locale is not UTF-8.
export ELIXIR_ERL_OPTIONS="${ELIXIR_ERL_OPTIONS-} +fnu"
case ${LC_ALL:-${LC_CTYPE:-${LANG-}}} in
  *[Uu][Tt][Ff]*) ;;
  *) export LC_ALL=C.UTF-8 ;;
esac

say() { printf '==> %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

# With EXOSUIT_SKIP_CARGO, what stands in the target directory is taken as it is, and no Rust is needed.
skips_cargo() { [ -n "${EXOSUIT_SKIP_CARGO-}" ]; }

have() { command -v "$1" >/dev/null 2>&1; }

# at_least 1.9 1.10
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# need_apt PACKAGE...
need_apt() {
  have apt-get || fail "this machine has no apt; install by hand what these Debian packages hold: $*"

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || fail "not root, and no sudo here; run as root: apt-get install $*"
    as_root=(sudo)
  fi

  say "installing $* (apt)"
  apt_get update
  apt_get install --yes --no-install-recommends "$@" || fail "apt could not install: $*"
}

apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2
}

need_compiler() {
  skips_cargo && return
  if ! have cc || ! have make; then need_apt build-essential; fi
}

need_curl() {
  if ! have curl || [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then need_apt curl ca-certificates; fi
}

need_rust() {
  skips_cargo && return
  rust_found && return
  PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
  rust_found && return
  # The default toolchain of a rustup that is here already stays as it is.
  export RUSTUP_TOOLCHAIN=stable
  rust_found && return

  say "installing rust $rust_version or newer (rustup)"
  if have rustup; then
    rustup toolchain install stable --profile minimal >&2
  else
    install_rustup
  fi
  rust_found || fail "rust $rust_version or newer is needed, found: $(rustc --version 2>&1)"
}

rust_found() {
  local version
  have cargo && version=$(rustc --version 2>/dev/null) && at_least "$rust_version" "${version#rustc }"
}

install_rustup() {
  need_curl
  # A distribution's older Rust may stay beside it.
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
    RUSTUP_INIT_SKIP_PATH_CHECK=yes sh -s -- -y --no-modify-path --profile minimal >&2 ||
    fail "rustup could not be installed; install rust $rust_version or newer by hand"
}

need_rust_linters() {
  if ! { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
    rustup component add clippy rustfmt >&2 || fail "the rust components clippy and rustfmt are missing"
  fi
}

need_erlang() {
  if ! have elixir || ! erlang_complete; then need_apt "${erlang_packages[@]}"; fi

  local found
  found=$(elixir --short-version) || fail "elixir does not start"
  at_least "$elixir_version" "$found" || fail "elixir $elixir_version or newer is needed, found $found"
}

# Debian splits Erlang into packages, and an installed Elixir does not mean that all of them are here.
erlang_complete() {
  erl -noinput -eval '
    Missing = [App || App <- [inets, parsetools, ssl, tools, xmerl], is_tuple(code:lib_dir(App))],
    halt(length(Missing)).'
}

# For `mix dialyzer`. Debian has it apart from the rest of Erlang.
need_dialyzer() {
  if ! dialyzer_found; then need_apt erlang-dialyzer; fi
}

dialyzer_found() {
  erl -noinput -eval 'halt(case code:which(dialyzer) of non_existing -> 1; _ -> 0 end).'
}

# fresh PRODUCT SOURCE...: is PRODUCT newer than all of them? Directories tell of deleted files.
fresh() {
  local product=$1
  shift
  [ -e "$product" ] && [ -z "$(find "$@" -newer "$product" -print -quit)" ]
}

# Cargo tells what is stale by date alone, and takes what another clone built last for this one's if it
# is newer. Only our own crates are built again: wasmtime is the same for all. config/cargo.exs does the
# same for those who use mix alone.
claim_target() {
  local stamp=$CARGO_TARGET_DIR/exosuit-clone
  [ "$(cat "$stamp" 2>/dev/null)" = "$root" ] && return
  mkdir -p "$CARGO_TARGET_DIR"
  find "$root"/native "$root"/bench "$root"/test/conformance -name '*.rs' -exec touch {} +
  printf %s "$root" >"$stamp"
}

# cargo_build ARGUMENT...
cargo_build() {
  claim_target
  cargo build --release --locked --manifest-path "$root/Cargo.toml" "$@" >&2
}

# Two first runs of one clone at once: the second waits, and finds all built.
alone() {
  mkdir -p "$root/_build"
  (
    flock 9
    "$@"
  ) 9>"$root/_build/.lock" || exit 1
}

# install_program NAME FILE: copies what cargo built, dated to before the build. `set -e` does not hold here.
install_program() {
  cp "$CARGO_TARGET_DIR/release/$1" "$2.new" && touch -r "$2.started" "$2.new" && mv "$2.new" "$2" ||
    fail "$CARGO_TARGET_DIR/release/$1 could not be copied to $2"
}

cli=$root/_build/bin/exosuit

cli_fresh() { fresh "$cli" "$root"/{Cargo.toml,Cargo.lock,native/exosuit_{cli,claims,core}}; }

build_cli() {
  cli_fresh && return
  need_compiler
  need_rust
  alone compile_cli
}

# The command by itself: no Erlang, no wasmtime. Copied into this clone, as clones share the target
# directory. Dated to before the build, so that what is edited meanwhile is newer.
compile_cli() {
  cli_fresh && return
  say "building the command"
  mkdir -p "${cli%/*}"
  touch "$cli.started"
  skips_cargo || cargo_build -p exosuit_cli || fail "the command could not be built"
  install_program exosuit "$cli"
}

# All that stand on wasmtime, always together, as config/cargo.exs has them.
on_wasmtime=(-p exosuit_nif -p exosuit_engine -p exosuit_run --lib --bin exosuit-compile --bin exosuit-run)

run=$root/_build/bin/exosuit-run

run_fresh() { fresh "$run" "$root"/{Cargo.toml,Cargo.lock,native/exosuit_{run,engine,core,wit}}; }

build_run() {
  run_fresh && return
  need_compiler
  need_rust
  alone compile_run
}

# The program behind `exosuit run`, with wasmtime.
compile_run() {
  run_fresh && return
  say "building exosuit run (about ten minutes the first time, nearly all of it wasmtime)"
  mkdir -p "${run%/*}"
  touch "$run.started"
  skips_cargo || cargo_build "${on_wasmtime[@]}" || fail "exosuit run could not be built"
  install_program exosuit-run "$run"
}

host=$root/_build/prod/.built

host_fresh() { fresh "$host" "$root"/{Cargo.toml,Cargo.lock,mix.exs,config,lib,native}; }

build_host() {
  have elixir && host_fresh && return
  need_erlang
  need_compiler
  need_rust
  alone compile_host
}

# The library in Rust and the application in Elixir, compiled for production.
compile_host() {
  host_fresh && return
  say "building (about ten minutes the first time, nearly all of it wasmtime)"
  mkdir -p "${host%/*}"
  touch "$host.started"
  (cd "$root" && MIX_ENV=prod mix compile >&2) || fail "the host could not be built"
  mv "$host.started" "$host"
}
