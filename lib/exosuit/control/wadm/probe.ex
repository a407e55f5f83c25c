defmodule Exosuit.Control.Wadm.Probe do
  @moduledoc """
  Finds out whether a wadm runs in the lattice: a wadm answers a subject that no host of Exosuit subscribes to.

  `run/2` blocks the calling process.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Lattice.{Bus, Session}
  alias Exosuit.Protocol.Wadm

  # Without a subscriber, the answer comes at once.
  @timeout 1_000

  # A busy wadm answers late. Another subscriber, to all messages for example, never answers.
  @max_unanswered 5

  @typedoc "A wadm answers, there is no subscriber, a subscriber does not answer, or the lattice cannot be reached."
  @type found :: :wadm | :nobody | :no_answer | :unknown

  @doc "Sends one probe. Takes at most a second."
  @spec run(Session.t(), lattice :: String.t()) :: found()
  def run(session, lattice) do
    with {:ok, text} <- Bus.request(session, Wadm.probe(lattice), "", @timeout),
         {:ok, reply} <- Json.decode(text) do
      if Wadm.probed?(reply), do: :wadm, else: :nobody
    else
      {:error, %Error{reason: :deadline}} -> :no_answer
      _no_reply -> if Bus.connected?(session), do: :nobody, else: :unknown
    end
  end

  @doc """
  Whether a host should answer requests. `silent?` says that it stopped answering because of a wadm, and
  `unanswered` is the number of probes without an answer since then. Pure.

  A probe without an answer is not proof that wadm is gone: a busy one answers late. A silent host therefore waits for
  five of them. An unreachable lattice changes nothing.

      iex> alias Exosuit.Control.Wadm.Probe
      iex> {Probe.serve?(:nobody, true, 0), Probe.serve?(:no_answer, true, 4), Probe.serve?(:no_answer, true, 5)}
      {true, false, true}
  """
  @spec serve?(found(), silent? :: boolean(), unanswered :: non_neg_integer()) :: boolean()
  def serve?(:wadm, _silent?, _unanswered), do: false
  def serve?(:nobody, _silent?, _unanswered), do: true
  def serve?(:no_answer, true, unanswered), do: unanswered >= @max_unanswered
  def serve?(_no_answer_or_unknown, silent?, _unanswered), do: not silent?
end
