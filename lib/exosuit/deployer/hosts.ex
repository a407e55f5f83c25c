defmodule Exosuit.Deployer.Hosts do
  @moduledoc """
  The hosts of a lattice, as one who deploys sees them: asked and told by the control interface of
  wasmCloud 1.x. `bus` has the functions of `Exosuit.Lattice.Bus`, and `handle` is what they take.
  Times are milliseconds: `answer` to one request, `gather` for all answers to one, `look` between two
  looks at the state of hosts whose events are awaited.

  `own` is the host that deploys, if it is one of them, and the function that has it run what other hosts
  cannot be told of, see `Exosuit.Manifest.read_application/2`.
  """

  alias Exosuit.{Config, Error, Json, Lattice}
  alias Exosuit.Deployer.State
  alias Exosuit.Model.ActorSpecification

  @enforce_keys [:bus, :handle, :lattice]
  defstruct [
    :bus,
    :handle,
    :lattice,
    :own,
    prefix: "wasmbus.ctl",
    answer: 10_000,
    gather: 2_000,
    look: 3_000
  ]

  @type t :: %__MODULE__{
          bus: module(),
          handle: term(),
          lattice: String.t(),
          own:
            {id :: String.t(), (ActorSpecification.t(), map() -> :ok | {:error, Error.t()})} | nil,
          prefix: String.t(),
          answer: timeout(),
          gather: non_neg_integer(),
          look: pos_integer()
        }

  # As many hosts as are told apart, and as are asked at a time.
  @most 10_000
  @at_once 32

  @doc """
  The hosts of the lattice that a host is in. Blocks the calling process until the host is connected,
  for as long as an attempt may take: its application may be deployed as soon as it has started.
  """
  @spec of(Config.t()) :: t()
  def of(%Config{} = config) do
    Lattice.Nats.await_connected(config)

    %__MODULE__{
      bus: Lattice.Bus,
      handle: config.session,
      lattice: config.lattice,
      prefix: config.nats.prefix
    }
  end

  @doc "The ids of the hosts that answer. Blocks the calling process for as long as they may take."
  @spec ids(t()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def ids(%__MODULE__{} = hosts) do
    %{bus: bus, handle: handle} = hosts

    with {:ok, answers} <-
           bus.gather(handle, subject(hosts, "host.ping"), "", hosts.gather, @most) do
      ids = for answer <- answers, {:ok, told} <- [read(answer)], id = State.host_id(told), do: id
      if ids == [], do: {:error, nobody(hosts)}, else: {:ok, ids |> Enum.uniq() |> Enum.sort()}
    end
  end

  @doc """
  What runs on these hosts, and how it is linked; and who did not say so. Blocks the calling process.
  """
  @spec state(t(), [String.t()]) ::
          {:ok, State.t(), silent :: [{String.t(), Error.t()}]} | {:error, Error.t()}
  def state(%__MODULE__{} = hosts, ids) do
    asked =
      Task.async_stream(ids, &{&1, request(hosts, "host.get.#{&1}", nil)},
        max_concurrency: @at_once,
        timeout: :infinity
      )

    told = for {:ok, answer} <- asked, do: answer

    with {:ok, links} <- request(hosts, "link.get", nil) do
      there = for {id, {:ok, inventory}} <- told, do: State.host(id, inventory)
      silent = for {id, {:error, error}} <- told, do: {id, error}
      {:ok, %State{hosts: there, links: State.links(links)}, silent}
    end
  end

  @doc "Asks, and gives what the answer says. Blocks the calling process."
  @spec request(t(), String.t(), map() | nil) :: {:ok, term()} | {:error, Error.t()}
  def request(%__MODULE__{bus: bus} = hosts, suffix, body) do
    with {:ok, body} <- encode(body),
         {:ok, answer} <- bus.request(hosts.handle, subject(hosts, suffix), body, hosts.answer),
         do: read(answer)
  end

  @doc "The subject of all that hosts tell."
  @spec events(t()) :: String.t()
  def events(hosts), do: "wasmbus.evt.#{hosts.lattice}.>"

  defp subject(hosts, suffix), do: "#{hosts.prefix}.v1.#{hosts.lattice}.#{suffix}"

  defp encode(nil), do: {:ok, ""}
  defp encode(body), do: Json.encode(body)

  # A host is not more trusted than anybody on the lattice: what it says may be anything.
  defp read(answer) do
    with true <- String.valid?(answer), {:ok, told} <- Json.decode(answer) do
      envelope(told)
    else
      _other -> {:error, Error.new(:internal, "the answer of a host is not JSON")}
    end
  end

  defp envelope(%{"success" => true} = told), do: {:ok, told["response"]}

  defp envelope(%{"message" => message}) when is_binary(message) do
    {:error, Error.new(:unavailable, message)}
  end

  defp envelope(_other),
    do: {:error, Error.new(:internal, "the answer of a host has neither success nor message")}

  defp nobody(hosts) do
    Error.new(:unavailable, "no host answers in lattice #{hosts.lattice}")
  end
end
