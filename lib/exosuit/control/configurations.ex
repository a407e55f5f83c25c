defmodule Exosuit.Control.Configurations do
  @moduledoc false
  # Resolves the configuration in a command to values: that of an actor or a provider that is to be started.

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Otp

  @doc "The values of a configuration."
  @spec resolve(Command.config(), {module(), atom()}) ::
          {:ok, Command.values()} | {:error, Error.t()}
  def resolve({:values, values}, _context), do: {:ok, values}
  def resolve({:text, text}, _context), do: Otp.Configuration.decode(text)

  def resolve({:names, names}, {api, host}) do
    Enum.reduce_while(names, {:ok, %{}}, fn name, {:ok, merged} ->
      case api.get_config(host, name) do
        {:ok, values} -> {:cont, {:ok, Map.merge(merged, values)}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end
end
