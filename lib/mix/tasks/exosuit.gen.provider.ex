defmodule Mix.Tasks.Exosuit.Gen.Provider do
  @shortdoc "Writes an Elixir provider of a WIT interface"
  @moduledoc """
  Writes a provider with a function for each function of an interface. You fill in the bodies.

      mix exosuit.gen.provider MyApp.Bank --wit wit --interface acme:money/bank

  Writes `lib/my_app/bank.ex`, or the file of `--output`. Asks before it replaces a file.

  ## Options

  - `--wit PATH`: a directory or file of WIT. Required.
  - `--interface NAME`: the interface that the provider implements. Required.
  - `--structs`: functions get structs for records.
  - `--output FILE`: the file to write.
  """
  use Mix.Task

  alias Exosuit.World
  alias Mix.Tasks.Exosuit.Gen.Component

  @switches [wit: :string, interface: :string, structs: :boolean, output: :string]

  @impl Mix.Task
  def run(arguments) do
    {options, rest, unknown} = OptionParser.parse(arguments, strict: @switches)
    module = Component.module!(rest, unknown)
    path = options[:wit] || Mix.raise("expected --wit PATH (mix help exosuit.gen.provider)")

    name =
      options[:interface] ||
        Mix.raise("expected --interface NAME (mix help exosuit.gen.provider)")

    Mix.Task.run("app.config")

    case World.read_interface(Path.expand(path), name) do
      {:ok, interface} ->
        used = [wit: path, interface: name] ++ Keyword.take(options, [:structs])
        Component.create(module, [], body(module, interface, used), options[:output])

      {:error, error} ->
        Mix.raise("cannot read the WIT: " <> error.detail)
    end
  end

  defp body(module, interface, used) do
    functions = World.Code.functions(interface, __ENV__)

    quote do
      @moduledoc unquote("Answers `#{interface.name}`.")
      use Exosuit.Provider, unquote(used)
      unquote_splicing(Enum.map(functions, &function(module, &1)))
    end
  end

  defp function(module, function) do
    variables = for {name, _type} <- function.parameters, do: World.Code.variable(name)

    quote do
      @impl unquote(Module.concat(module, Behaviour))
      def unquote(World.Code.function(function.name))(unquote_splicing(variables), context) do
        raise unquote("to be written: #{function.signature}")
      end
    end
  end
end
