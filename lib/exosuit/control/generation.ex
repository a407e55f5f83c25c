defmodule Exosuit.Control.Generation do
  @moduledoc false
  # What a generation of the control interface is: subjects and bodies to commands, results to replies.

  alias Exosuit.Control.{Command, Execution}
  alias Exosuit.Error

  @doc "What every subject begins with."
  @callback prefix(topic_prefix :: String.t(), lattice :: String.t()) :: String.t()

  @doc "The subjects behind the prefix, each with whether one host of the lattice answers, or all do."
  @callback subscriptions(host_id :: String.t()) :: [{String.t(), :all | :one}]

  @doc """
  The command that the rest of a subject and a body are; `:ignore` where nobody waits for a refusal. The
  host is the one that was meant.
  """
  @callback parse([String.t()], body :: term()) ::
              {:ok, Command.t()} | {:error, Error.t()} | :ignore

  @doc "Whether it is acknowledged before it is carried out; how it went is told by events."
  @callback at_once?(Command.t()) :: boolean()

  @doc "The reply to a command by its name and how it went; `nil` where there shall be none."
  @callback reply(atom(), Execution.result()) :: map() | nil
end
