defmodule Exosuit.Control.Wadm.Probe do
  @moduledoc """
  Finds out whether a wadm runs in the lattice: it answers a subject that no host of Exosuit subscribes to.

  Each function blocks the calling process.
  """

  alias Exosuit.Json
  alias Exosuit.Lattice.{Bus, Session}
  alias Exosuit.Protocol.Wadm

  # If nobody listens, the answer comes at once. Who listens and does not answer is no wadm.
  @timeout 1_000

  @pause 20

  @doc "Whether a wadm answers, nobody does, or the lattice cannot be reached."
  @spec run(Session.t(), lattice :: String.t()) :: :wadm | :nobody | :unknown
  def run(session, lattice) do
    with {:ok, text} <- Bus.request(session, Wadm.probe(lattice), "", @timeout),
         {:ok, reply} <- Json.decode(text) do
      if Wadm.probed?(reply), do: :wadm, else: :nobody
    else
      _no_reply -> if Bus.connected?(session), do: :nobody, else: :unknown
    end
  end

  @doc "Waits until the first attempt to connect has ended, and no longer than this many milliseconds."
  @spec await_connection(Session.t(), non_neg_integer()) :: :ok
  def await_connection(session, timeout) do
    if timeout > 0 and Bus.connection(session) == {:connecting, nil} do
      receive do
      after
        @pause -> await_connection(session, timeout - @pause)
      end
    else
      :ok
    end
  end
end
