defmodule Exosuit.Control.Configurations do
  @moduledoc """
  Resolves the configuration in a command to values: that of an actor or a provider that is to be started.

  A command has values, names of stored configurations (1.x), or a text (OTP era).
  """

  alias Exosuit.{Error, Instance}
  alias Exosuit.Host.Configurations
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Otp

  @doc """
  The values of a configuration. Names are read from the lattice's store, which blocks the calling process. Later ones
  take precedence; a missing one is `:not_found`.
  """
  @spec resolve(Command.config(), Instance.t()) :: {:ok, Command.values()} | {:error, Error.t()}
  def resolve({:values, values}, _instance), do: {:ok, values}
  def resolve({:text, text}, _instance), do: Otp.Configuration.decode(text)
  def resolve({:names, names}, instance), do: Configurations.merge(instance, names)
end
