defmodule Mix.Tasks.Exosuit.Gen.Component do
  @shortdoc "Writes the Elixir module of a component's world"
  @moduledoc """
  Writes the source of the module that `use Exosuit.Component` makes from a world.

      mix exosuit.gen.component MyApp.Shop --wit wit --world shop --actor shop

  Writes `lib/my_app/shop.ex`, or the file of `--output`. Asks before it replaces a file.

  ## Options

  - `--wit PATH`: a directory or file of WIT, or a component. Required.
  - `--world NAME`: the world; optional if there is only one.
  - `--host MODULE`, `--actor ID`: the host and the actor that the functions call by default.
  - `--structs`: functions return structs for records.
  - `--output FILE`: the file to write.
  """
  use Mix.Task

  alias Exosuit.{Component, World}

  @switches [
    wit: :string,
    world: :string,
    host: :string,
    actor: :string,
    structs: :boolean,
    output: :string
  ]

  @impl Mix.Task
  def run(arguments) do
    {options, rest, unknown} = OptionParser.parse(arguments, strict: @switches)
    module = module!(rest, unknown)
    path = options[:wit] || Mix.raise("expected --wit PATH (mix help exosuit.gen.component)")
    Mix.Task.run("app.config")

    case World.read(Path.expand(path), options[:world]) do
      {:ok, world} -> write(module, world, options)
      {:error, error} -> Mix.raise("cannot read the WIT: " <> error.detail)
    end
  end

  @doc false
  @spec module!([String.t()], list()) :: module()
  def module!([name], []) do
    if name =~ ~r/\A([A-Z]\w*)(\.[A-Z]\w*)*\z/,
      do: Module.concat([name]),
      else: Mix.raise("expected a module's name, got #{name}")
  end

  def module!(_rest, [{option, _value} | _more]), do: Mix.raise("unknown option #{option}")
  def module!(_rest, []), do: Mix.raise("expected one module's name")

  @doc false
  @spec create(module(), [Macro.t()], Macro.t(), String.t() | nil) :: boolean()
  def create(module, before, body, output) do
    code =
      quote do
        unquote_splicing(before)

        defmodule unquote(module) do
          unquote(body)
        end
      end

    text = code |> Macro.to_string() |> Code.format_string!() |> IO.iodata_to_binary()
    path = output || Path.join("lib", Macro.underscore(module) <> ".ex")
    Mix.Generator.create_file(path, text <> "\n")
  end

  defp write(module, world, options) do
    defaults = [
      host: options[:host] && Module.concat([options[:host]]),
      actor: options[:actor],
      structs: options[:structs],
      wit: options[:wit]
    ]

    {structs, functions} = Component.quoted(world, defaults, %{__ENV__ | module: module})

    body =
      quote do
        @moduledoc unquote(World.docs(world))
        unquote(functions)
      end

    create(module, structs, body, options[:output])
  end
end
