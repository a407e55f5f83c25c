defmodule Exosuit.Lattice.Session do
  @moduledoc """
  A host's handle to its lattice: messages go through `Exosuit.Lattice.Bus`, keys and objects through
  `Exosuit.Lattice.Store`. Both call the functions of the backend with its handle.

  A host over NATS has the backend `Exosuit.Lattice.Nats`, every other host `Exosuit.Lattice.Local`. A session is data,
  and not a process: it is a part of the `Exosuit.Instance` that every process of the host has, and any of them may use
  it. It ends with `Exosuit.Lattice.leave/1`.
  """

  alias Exosuit.Config
  alias Exosuit.Lattice.Backend

  @enforce_keys [:backend, :handle]
  defstruct [:backend, :handle]

  @typedoc "`backend` implements `Exosuit.Lattice.Backend`; `handle` is what its functions take."
  @type t :: %__MODULE__{backend: module(), handle: term()}

  @doc """
  The session, with tables that the calling process owns. That process must be the host's topmost supervisor.
  """
  @spec adopt(t()) :: t()
  def adopt(%__MODULE__{} = session),
    do: %{session | handle: session.backend.adopt(session.handle)}

  @doc """
  The processes that the lattice needs on a host; they start before all processes that use it.
  """
  @spec children(t()) :: [Supervisor.child_spec()]
  def children(%__MODULE__{} = session), do: session.backend.children(session.handle)

  @doc "Announces problems that were found while the host started."
  @spec started(t()) :: :ok
  def started(%__MODULE__{} = session), do: session.backend.started(session.handle)

  @doc "Waits for the outcome of the first attempt to connect, for a bounded time."
  @spec await_first(t(), Config.t()) :: :ok
  def await_first(%__MODULE__{} = session, config),
    do: session.backend.await_first(session.handle, config)

  @doc """
  The state of each connection of the host, by its name: `:control` and `:rpc` over NATS, none without.
  """
  @spec connections(t()) :: %{optional(atom()) => Backend.connection()}
  def connections(%__MODULE__{} = session), do: session.backend.connections(session.handle)

  @doc "The number of refused calls from other hosts, by the kind of reason."
  @spec refused_calls(t()) :: %{optional(String.t()) => non_neg_integer()}
  def refused_calls(%__MODULE__{} = session), do: session.backend.refused_calls(session.handle)

  @doc """
  Notes whether any other host accepts calls with a MAC. Does not wait. `Exosuit.Edge.PeerMonitor` calls it when the
  answer of `Exosuit.Lattice.Peers.macs?/1` may have changed.
  """
  @spec take_macs(t(), boolean()) :: :ok
  def take_macs(%__MODULE__{} = session, others_do?),
    do: session.backend.take_macs(session.handle, others_do?)

  @doc "Whether the lattice has a capability, see `t:Exosuit.Lattice.Backend.capability/0`."
  @spec has?(t(), Backend.capability()) :: boolean()
  def has?(%__MODULE__{backend: backend}, capability), do: capability in backend.capabilities()
end
