defmodule Exosuit.Lattice.Join do
  @moduledoc """
  Opens the lattice that a host's options ask for: `Exosuit.Lattice.Nats` with the option `:nats`, otherwise
  `Exosuit.Lattice.Local`. No other module of Exosuit distinguishes the two.
  """

  alias Exosuit.{Config, Error}
  alias Exosuit.Lattice.{Local, Nats, Session}

  @doc """
  Moves the secrets of the options into the data plane. Reads the files that the options name, in the calling process.
  """
  @spec keep_secrets(Config.t()) :: {:ok, Config.t()} | {:error, Error.t()}
  def keep_secrets(%Config{nats: nil} = config), do: {:ok, config}

  def keep_secrets(%Config{} = config) do
    with {:ok, nats} <- Nats.keep_secrets(config.nats), do: {:ok, %{config | nats: nats}}
  end

  @doc """
  Opens the lattice for the host with this public key and this router. `writer` is the name of the process that
  writes a local store. The topmost supervisor of the host then adopts the session, see
  `Exosuit.Lattice.Session.adopt/1`.
  """
  @spec open(Config.t(), String.t(), reference(), writer :: GenServer.name()) ::
          {:ok, Session.t()} | {:error, Error.t()}
  def open(%Config{nats: nil} = config, public_key, _router, writer),
    do: {:ok, Local.session(config, public_key, writer)}

  def open(%Config{} = config, public_key, router, _writer) do
    with {:ok, lattice} <- Nats.open(config, public_key, router),
         do: {:ok, %Session{backend: Nats, handle: lattice}}
  end
end
