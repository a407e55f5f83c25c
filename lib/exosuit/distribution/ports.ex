defmodule Exosuit.Distribution.Ports do
  @moduledoc """
  Replaces epmd: knows the port of the one node.

  Because of `-epmd_module`, the kernel calls it on both sides; it has the callbacks of `erl_epmd`.

  | side | call | effect |
  |---|---|---|
  | a host's VM | `register_node/3` | notes the port, which only `Exosuit.Distribution` reads, and sets a new cookie |
  | the VM of `exosuit remote` | `address_please/3` | sets the cookie, and returns the host's address |

  The VM of `exosuit remote` gets the port and the path of the cookie's file by its environment (`EXOSUIT_REMOTE_PORT`,
  `EXOSUIT_REMOTE_COOKIE`), because everybody on the machine can read a command line.
  """

  @key {__MODULE__, :port}

  # Numbers up to 3 mean an old node.
  @creations 4..0xFFFFFFFF

  @doc "Whether this VM was started with this module."
  @spec used?() :: boolean()
  def used?, do: :init.get_argument(:epmd_module) == {:ok, [[Atom.to_charlist(__MODULE__)]]}

  @doc "The port of this VM; `:error` while it has no distribution."
  @spec fetch() :: {:ok, :inet.port_number()} | :error
  def fetch do
    with nil <- :persistent_term.get(@key, nil), do: :error, else: (port -> {:ok, port})
  end

  @doc "There is no process to start."
  @spec start_link() :: :ignore
  def start_link, do: :ignore

  @doc "Any free port."
  @spec listen_port_please(charlist() | atom(), term()) :: {:ok, 0}
  def listen_port_please(_name, _host), do: {:ok, 0}

  @doc """
  Sets the cookie. The kernel listens already, but accepts no connection before this function returns. Therefore no
  connection is ever made with another cookie.
  """
  @spec register_node(charlist() | atom(), :inet.port_number(), atom()) :: {:ok, pos_integer()}
  def register_node(_name, port, _family) do
    # Makes one atom in the life of a VM: the cookie.
    cookie = 32 |> :crypto.strong_rand_bytes() |> Base.url_encode64(padding: false)
    :erlang.set_cookie(String.to_atom(cookie))
    :persistent_term.put(@key, port)
    {:ok, Enum.random(@creations)}
  end

  @doc "The address of the host of `exosuit remote`. No other node is reachable."
  @spec address_please(charlist(), term(), atom()) ::
          {:ok, :inet.ip_address(), :inet.port_number(), pos_integer()} | {:error, :nxdomain}
  def address_please(_name, _host, _family) do
    with port when is_binary(port) <- System.get_env("EXOSUIT_REMOTE_PORT"),
         path when is_binary(path) <- System.get_env("EXOSUIT_REMOTE_COOKIE"),
         {:ok, cookie} <- File.read(path) do
      # Makes one atom, from a file of the same user, in the VM of `exosuit remote` only.
      :erlang.set_cookie(String.to_atom(cookie))
      {:ok, {127, 0, 0, 1}, String.to_integer(port), _version = 6}
    else
      _not_told -> {:error, :nxdomain}
    end
  end

  @doc "No names are listed."
  @spec names(term()) :: {:error, :address}
  def names(_host), do: {:error, :address}
end
