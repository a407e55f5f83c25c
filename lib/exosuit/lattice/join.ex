defmodule Exosuit.Lattice.Join do
  @moduledoc """
  Opens the lattice that a host's options ask for: `Exosuit.Lattice.Nats` with the option `:nats`, otherwise
  `Exosuit.Lattice.Local`. No other module of Exosuit distinguishes the two.

  `Exosuit.Tree` calls both functions before it starts any process of the host. First the secrets move from the options
  into handles, so that no later process and no crash report has their text. Then the session opens, in the background:
  a host starts without its servers.
  """

  alias Exosuit.{Config, Error}
  alias Exosuit.Lattice.{Local, Nats, Session}

  @doc """
  Moves the secrets of the options into the data plane. Reads the files that the options name, in the calling process.
  Returns an error if a file cannot be read, or if a seed is of another kind. Changes nothing without `:nats`.
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

  Returns an error only for options that can never work. Servers that cannot be reached are no error: the session
  connects when it can.
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
