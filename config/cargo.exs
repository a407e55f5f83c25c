defmodule Mix.Tasks.Compile.Cargo do
  @moduledoc """
  Builds native/exosuit_nif, the program that compiles Wasm, and that of `exosuit run`. Puts the first two where
  `Exosuit.Native` and `Exosuit.Wasm` look for them.

  It stands outside `lib/`, since Elixir needs the library while it compiles what is there. Cargo
  itself knows what is stale, and does nothing in a fraction of a second where nothing is.

  With `EXOSUIT_SKIP_CARGO` in the environment nothing is built: what stands in the target directory
  is taken as it is. So no Rust is needed where another machine, or the host of a chroot, has built.
  """
  use Mix.Task.Compiler

  @root Path.expand("..", __DIR__)
  @library "priv/native/exosuit_nif.so"
  @compiler "priv/native/exosuit-compile"

  # All that stand on wasmtime, always together: asked for one by one, they have other features of shared crates, and
  # wasmtime is built once more.
  @packages ~w(-p exosuit_nif -p exosuit_engine -p exosuit_run --lib --bin exosuit-compile --bin exosuit-run)

  @impl Mix.Task.Compiler
  def run(_args) do
    case build(@packages) do
      :ok -> install()
      :error -> {:error, []}
    end
  end

  @doc "Builds a package, as `cargo build --release` does with these arguments."
  @spec build([String.t()]) :: :ok | :error
  def build(args) do
    if System.get_env("EXOSUIT_SKIP_CARGO"), do: :ok, else: cargo_build(args)
  end

  @doc "Where cargo builds: shared by the clones on a machine, so that wasmtime is built once."
  @spec target() :: Path.t()
  def target, do: System.get_env("CARGO_TARGET_DIR", Path.expand("~/.cache/exosuit/target"))

  defp cargo_build(args) do
    forget_other_clones()
    args = ~w(build --release --locked --target-dir) ++ [target() | args]

    case System.cmd("cargo", args, into: IO.stream(), cd: @root) do
      {_output, 0} -> :ok
      {_output, _status} -> :error
    end
  end

  # Cargo tells what is stale by time alone, and takes what another clone built last for this one's
  # if it is newer. Only the crates here are built again; wasmtime is the same for all.
  defp forget_other_clones do
    stamp = Path.join(target(), "exosuit-clone")

    if File.read(stamp) != {:ok, @root} do
      File.mkdir_p!(target())
      crates = ["native", "bench", "test/conformance"]
      sources = Enum.flat_map(crates, &Path.wildcard("#{@root}/#{&1}/**/*.rs"))
      Enum.each(sources, &File.touch!/1)
      File.write!(stamp, @root)
    end
  end

  defp install do
    [built] = Path.wildcard("#{target()}/release/libexosuit_nif.{so,dylib}")
    put(built, Path.join(@root, @library))
    put("#{target()}/release/exosuit-compile", Path.join(@root, @compiler))
    Mix.Project.build_structure()
    {:ok, []}
  end

  # Where another machine has built, there may be the library alone.
  defp put(built, file) do
    if File.exists?(built) and stale?(built, file), do: replace(built, file)
  end

  defp stale?(built, file) do
    with {:ok, new} <- File.stat(built),
         {:ok, old} <- File.stat(file),
         do: {new.size, new.mtime} != {old.size, old.mtime},
         else: (_missing -> true)
  end

  # Remove, then copy: writing into the old file would pull it from under a VM that runs it.
  defp replace(built, file) do
    File.mkdir_p!(Path.dirname(file))
    File.rm(file)
    File.cp!(built, file)
    File.touch!(file, File.stat!(built).mtime)
  end
end
