defmodule Exosuit.Guests do
  @moduledoc """
  The guests of the tests: readable `.wat`, assembled once per run; components, built and committed;
  and signed ones of either.
  """

  alias Mix.Tasks.Compile.Cargo

  @source Path.expand("../guests", __DIR__)
  @built Path.join(Mix.Project.build_path(), "guests")

  @doc "Assembles the guests, and builds the command line that signs them."
  @spec build() :: :ok
  def build do
    File.mkdir_p!(@built)
    sources = Path.wildcard("#{@source}/*.wat")
    pairs = Enum.flat_map(sources, &[&1, Path.join(@built, Path.basename(&1, ".wat") <> ".wasm")])
    :ok = Cargo.build(~w(--quiet -p exosuit_cli))
    :ok = Cargo.build(~w(--quiet -p exosuit_claims --example wat2wasm))
    {_output, 0} = System.cmd(built("examples/wat2wasm"), pairs, into: IO.stream())
    :ok
  end

  @doc "Assembles texts, by the names of the files that they become in `dir`."
  @spec assemble(Path.t(), %{String.t() => String.t()}) :: :ok
  def assemble(dir, texts) do
    pairs =
      Enum.flat_map(texts, fn {name, text} ->
        source = Path.join(dir, name <> ".wat")
        File.write!(source, text)
        [source, Path.join(dir, name <> ".wasm")]
      end)

    {_output, 0} = System.cmd(built("examples/wat2wasm"), pairs, into: IO.stream())
    :ok
  end

  @doc "The path of an unsigned guest: `\"echo\"`, `\"components/calculator\"`."
  @spec path(String.t()) :: Path.t()
  def path("components/" <> _ = name), do: Path.join(@source, name <> ".wasm")
  def path(name), do: Path.join(@built, name <> ".wasm")

  @doc "The path of an unsigned component, or of a command of WASI preview 1: `\"web\"`."
  @spec component(String.t()) :: Path.t()
  def component(name), do: Path.join([@source, "components", name <> ".wasm"])

  @doc "The path of the command line program."
  @spec command() :: Path.t()
  def command, do: built("exosuit")

  @doc "A new key: `%{\"public_key\" => _, \"seed\" => _}`."
  @spec key(String.t()) :: map()
  def key(kind) do
    {json, 0} = System.cmd(command(), ["keys", "gen", kind, "--json"])
    {:ok, key} = Exosuit.Json.decode(json)
    key
  end

  @doc """
  Signs a guest into `dir`. `keys` may give `:issuer` and `:subject`; the rest are arguments of
  `claims sign`, such as `caps: [\"wasmcloud:keyvalue\"]`, `alias: \"pong\"`.
  """
  @spec sign(Path.t(), String.t(), keyword()) :: {Path.t(), map()}
  def sign(dir, name, options \\ []) do
    issuer = options[:issuer] || key("account")
    subject = options[:subject] || key("module")
    signed = Path.join(dir, "#{Path.basename(name)}_#{System.unique_integer([:positive])}_s.wasm")

    arguments =
      ["claims", "sign", options[:wasm] || path(name), "-o", signed, "--name", name] ++
        ["--issuer", issuer["seed"], "--subject", subject["seed"]] ++
        Enum.flat_map(options[:caps] || [], &["--cap", &1]) ++
        Enum.flat_map(Keyword.take(options, [:alias, :rev, :ver]), fn {k, v} ->
          ["--#{k}", "#{v}"]
        end) ++
        (options[:arguments] || [])

    {_output, 0} = System.cmd(command(), arguments, stderr_to_stdout: true)
    {signed, %{issuer: issuer, subject: subject}}
  end

  defp built(program), do: Path.join([Cargo.target(), "release", program])
end
