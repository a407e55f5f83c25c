defmodule Exosuit.Distribution.Ports do
  @moduledoc false
  # What epmd is elsewhere: it knows which node listens where. The kernel calls it on both sides, as
  # `-epmd_module` says (its callbacks are those of `erl_epmd`). A host's VM notes its port here, and
  # tells nobody but `Exosuit.Distribution`. The VM of `exosuit remote` is told port and cookie by its
  # environment: on a command line everybody could read them.

  @key {__MODULE__, :port}

  # Those up to 3 mean an old node.
  @creations 4..0xFFFFFFFF

  @doc "Whether this VM was started to use it."
  @spec used?() :: boolean()
  def used?, do: :init.get_argument(:epmd_module) == {:ok, [[Atom.to_charlist(__MODULE__)]]}

  @doc "Where this VM listens."
  @spec fetch() :: {:ok, :inet.port_number()} | :error
  def fetch do
    with nil <- :persistent_term.get(@key, nil), do: :error, else: (port -> {:ok, port})
  end

  @doc "There is no process to start."
  @spec start_link() :: :ignore
  def start_link, do: :ignore

  @doc "Any port that is free."
  @spec listen_port_please(charlist() | atom(), term()) :: {:ok, 0}
  def listen_port_please(_name, _host), do: {:ok, 0}

  @doc """
  The kernel listens, and takes nobody in before this returns: so nobody ever came in by a cookie
  other than this one.
  """
  @spec register_node(charlist() | atom(), :inet.port_number(), atom()) :: {:ok, pos_integer()}
  def register_node(_name, port, _family) do
    # The one atom of a VM's one cookie.
    cookie = 32 |> :crypto.strong_rand_bytes() |> Base.url_encode64(padding: false)
    :erlang.set_cookie(String.to_atom(cookie))
    :persistent_term.put(@key, port)
    {:ok, Enum.random(@creations)}
  end

  @doc "Where the host is that `exosuit remote` means; nothing else is to be reached."
  @spec address_please(charlist(), term(), atom()) ::
          {:ok, :inet.ip_address(), :inet.port_number(), pos_integer()} | {:error, :nxdomain}
  def address_please(_name, _host, _family) do
    with port when is_binary(port) <- System.get_env("EXOSUIT_REMOTE_PORT"),
         path when is_binary(path) <- System.get_env("EXOSUIT_REMOTE_COOKIE"),
         {:ok, cookie} <- File.read(path) do
      # One atom of a file of one's own, in the VM of `exosuit remote` alone.
      :erlang.set_cookie(String.to_atom(cookie))
      {:ok, {127, 0, 0, 1}, String.to_integer(port), _version = 6}
    else
      _not_told -> {:error, :nxdomain}
    end
  end

  @doc "Nobody is told."
  @spec names(term()) :: {:error, :address}
  def names(_host), do: {:error, :address}
end
