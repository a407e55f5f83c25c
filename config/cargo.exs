defmodule Mix.Tasks.Compile.Cargo do
  @moduledoc """
  Builds native/exosuit_nif and puts the library where `Exosuit.Native` looks for it.

  It stands outside `lib/`, since Elixir needs the library while it compiles what is there. Cargo
  itself knows what is stale, and does nothing in a fraction of a second where nothing is.

  With `EXOSUIT_SKIP_CARGO` in the environment nothing is built: what stands in the target directory
  is taken as it is. So no Rust is needed where another machine, or the host of a chroot, has built.
  """
  use Mix.Task.Compiler

  @root Path.expand("..", __DIR__)
  @library "priv/native/exosuit_nif.so"

  @impl Mix.Task.Compiler
  def run(_args) do
    case build(~w(-p exosuit_nif)) do
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
    library = Path.join(@root, @library)

    if stale?(built, library), do: replace(built, library)

    Mix.Project.build_structure()
    {:ok, []}
  end

  defp stale?(built, library) do
    with {:ok, new} <- File.stat(built),
         {:ok, old} <- File.stat(library),
         do: {new.size, new.mtime} != {old.size, old.mtime},
         else: (_missing -> true)
  end

  # Remove, then copy: writing into the old file would pull it from under a VM that runs it.
  defp replace(built, library) do
    File.mkdir_p!(Path.dirname(library))
    File.rm(library)
    File.cp!(built, library)
    File.touch!(library, File.stat!(built).mtime)
  end
end
