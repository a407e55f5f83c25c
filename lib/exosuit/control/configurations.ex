defmodule Exosuit.Control.Configurations do
  @moduledoc false
  # Resolves the configuration in a command to values: that of an actor or a provider that is to be started.

  alias Exosuit.{Error, Instance}
  alias Exosuit.Host.Configurations
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Otp

  @doc "The values of a configuration."
  @spec resolve(Command.config(), Instance.t()) :: {:ok, Command.values()} | {:error, Error.t()}
  def resolve({:values, values}, _instance), do: {:ok, values}
  def resolve({:text, text}, _instance), do: Otp.Configuration.decode(text)
  def resolve({:names, names}, instance), do: Configurations.merge(instance, names)
end
