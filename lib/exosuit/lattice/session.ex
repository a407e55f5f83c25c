defmodule Exosuit.Lattice.Session do
  @moduledoc """
  A host's handle to its lattice: messages go through `Exosuit.Lattice.Bus`, keys and objects through
  `Exosuit.Lattice.Store`. Both call the functions of the backend with its handle.

  A host over NATS has the backend `Exosuit.Lattice.Nats`, every other host `Exosuit.Lattice.Local`.
  """

  @enforce_keys [:backend, :handle]
  defstruct [:backend, :handle]

  @typedoc "`backend` implements `Exosuit.Lattice.Backend`; `handle` is what its functions take."
  @type t :: %__MODULE__{backend: module(), handle: term()}

  @doc "Whether there can be no other host in this lattice."
  @spec alone?(t()) :: boolean()
  def alone?(%__MODULE__{backend: backend}), do: backend.alone?()
end
