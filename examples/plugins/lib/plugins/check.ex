defmodule Plugins.Check do
  @moduledoc """
  Checks an upload before anything of it is stored, compiled or run. The errors are texts for the customer.
  """

  alias Exosuit.World
  alias Exosuit.World.Description

  # JavaScript brings its interpreter, which has 12 MB.
  @max_bytes 32_000_000

  @wit Path.expand("../../wit", __DIR__)
  for file <- Path.wildcard(@wit <> "/**/*.wit"), do: @external_resource(file)
  {:ok, world} = World.read(@wit, "plugin")
  @world world

  @doc "The name becomes a part of file names and ids."
  @spec name(String.t()) :: :ok | {:error, String.t()}
  def name(name) do
    if name =~ ~r/\A[a-z][a-z0-9-]{0,39}\z/,
      do: :ok,
      else: {:error, "expected a name of 1 to 40 of a-z, 0-9 and -, with a letter first"}
  end

  @doc "Whether these bytes are a component of the plugins' world, and ask for nothing else."
  @spec component(binary()) :: :ok | {:error, String.t()}
  def component(wasm) when byte_size(wasm) > @max_bytes,
    do: {:error, "expected a component of at most #{@max_bytes} bytes, got #{byte_size(wasm)}"}

  def component(<<0, "asm", _rest::binary>> = wasm) do
    with {:ok, description} <- Exosuit.describe({:bytes, wasm}),
         :ok <- kind(description),
         :ok <- imports(description),
         :ok <- World.check_exports(description.world, @world) do
      :ok
    else
      {:error, %Exosuit.Error{} = error} -> {:error, Exception.message(error)}
      {:error, text} -> {:error, text}
    end
  end

  def component(_other), do: {:error, "expected a component, got bytes that are no WebAssembly"}

  defp kind(%Description{kind: :component}), do: :ok
  defp kind(%Description{kind: kind}), do: {:error, "expected a component, got a #{kind}"}

  # The standard libraries of languages import parts of WASI. Those that need a link or a grant reach nothing.
  defp imports(%Description{world: world}) do
    offered = for interface <- @world.imports, do: interface.name

    case for(
           %{name: name} <- world.imports,
           not offered?(name, offered),
           do: name || "a function"
         ) do
      [] -> :ok
      names -> {:error, "imports #{Enum.join(names, ", ")}, which the shop does not offer"}
    end
  end

  defp offered?("wasi:" <> _name, _offered), do: true
  defp offered?(name, offered), do: name in offered
end
