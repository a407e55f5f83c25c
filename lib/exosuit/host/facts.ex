defmodule Exosuit.Host.Facts do
  @moduledoc """
  Facts about a host itself: its identity, labels, version, uptime, and how it is connected to its lattice.

  They are part of the inventory and of the answer to a ping, and some of them of the event `host_started`. They contain
  public keys and the names of servers, and no seeds, tokens or passwords.
  """

  alias Exosuit.{Event, Instance, Secret, Settings}

  @units [{"day", 86_400}, {"hour", 3_600}, {"minute", 60}, {"second", 1}]

  @doc """
  The facts, as a plain map without secrets. Without NATS, the fields of the lattice are `nil` or empty.

  `uptime_seconds` counts from the start of the host, not of the VM. `issuer` is the public key by which this host
  signs its calls to others.
  """
  @spec take(Instance.t()) :: map()
  def take(instance) do
    uptime = System.monotonic_time(:second) - instance.started_at

    %{
      host: instance.name,
      host_id: instance.source,
      lattice: instance.config.lattice,
      labels: Settings.labels(instance),
      friendly_name: instance.friendly_name,
      version: to_string(Application.spec(:exosuit, :vsn)),
      uptime_seconds: uptime,
      uptime_human: duration(uptime)
    }
    |> Map.merge(lattice(instance.config.nats))
  end

  @doc "The event that says that the host started."
  @spec started(Instance.t()) :: Event.HostStarted.t()
  def started(instance) do
    fields = [:labels, :version, :friendly_name, :uptime_seconds]
    instance |> take() |> Map.take(fields) |> Event.HostStarted.new()
  end

  @doc """
  A number of seconds for people. Units that are zero are left out.

      iex> Exosuit.Host.Facts.duration(3_605)
      "1 hour, 5 seconds"
      iex> Exosuit.Host.Facts.duration(0)
      "0 seconds"
  """
  @spec duration(non_neg_integer()) :: String.t()
  def duration(0), do: "0 seconds"

  def duration(seconds) do
    {parts, 0} = Enum.map_reduce(@units, seconds, &part/2)
    parts |> Enum.reject(&is_nil/1) |> Enum.join(", ")
  end

  defp lattice(nil) do
    %{issuer: nil, cluster_issuers: [], js_domain: nil, ctl_host: nil, rpc_host: nil}
  end

  defp lattice(nats) do
    {:ok, issuer} = Secret.public_key(nats.cluster_seed, "cluster")

    %{
      issuer: issuer,
      cluster_issuers: Enum.uniq([issuer | nats.cluster_issuers]),
      js_domain: nats.domain,
      ctl_host: host(nats.control.servers),
      rpc_host: host(nats.rpc.servers)
    }
  end

  defp host(servers), do: servers |> Secret.hosts() |> List.first()

  defp part({unit, size}, seconds) do
    case div(seconds, size) do
      0 -> {nil, seconds}
      1 -> {"1 #{unit}", seconds - size}
      n -> {"#{n} #{unit}s", rem(seconds, size)}
    end
  end
end
