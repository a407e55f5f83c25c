defmodule Exosuit.Directory.Anchor do
  @moduledoc """
  Ends with the registry, so that its siblings register their names again.

  It is the first child of a `rest_for_one` supervisor whose other children have names and trap exits, as supervisors
  do. These survive a crash of the registry, but lose their names, and nobody would find them. This process is linked to
  the registry through its own registration, and does not trap exits.
  """

  use Exosuit.Server

  alias Exosuit.Directory

  @doc "Starts the process. `role` is a name that no other process of the host has."
  @spec start_link({host :: atom(), role :: atom()}) :: GenServer.on_start()
  def start_link({host, role}) do
    GenServer.start_link(__MODULE__, nil, name: Directory.via(host, role))
  end

  @impl GenServer
  def init(nil), do: {:ok, nil}
end
